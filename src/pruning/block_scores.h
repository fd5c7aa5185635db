// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What it costs to leave a block out.
#ifndef WANLITE_SRC_PRUNING_BLOCK_SCORES_H_
#define WANLITE_SRC_PRUNING_BLOCK_SCORES_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/search/network_trials.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/sample_set.h"

namespace wanlite {

struct BlockScore {
  double mean = 0;
  // At the timestep at which it is most, and that timestep; 0 for scores of weights alone.
  double worst = 0, worst_timestep = 0;
};

// Scores are of `blocks`, full paths in forward order, of one component, one for each. One block is
// leased at a time and left as it was. InvalidArgument, naming the block, where one is not finite.

// Block influence (ShortGPT, arXiv 2403.03853): 1 - the cosine between what goes into the block and
// what comes out, token by token, of every value that it adds to; the mean over tokens, values and
// passes by their weight. passes: numbers of the component's samples.
absl::StatusOr<std::vector<BlockScore>> ScoreInfluence(ModelView& model, const SampleSet& samples,
                                                       const std::string& component,
                                                       const std::vector<int64_t>& passes,
                                                       const std::vector<std::string>& blocks,
                                                       PassContext& context);

// OutputError of the network without the block and without `left_out`: mean is that of the
// trajectory, worst that of the worst pass. `network` has run its original.
absl::StatusOr<std::vector<BlockScore>> ScoreOutputError(NetworkTrials& network,
                                                         const std::set<std::string>& left_out,
                                                         const std::vector<std::string>& blocks,
                                                         PassContext& context);

// Euclidean norm of all floating tensors, of the matrices that weights stand for.
absl::StatusOr<std::vector<BlockScore>> ScoreBlockNorms(ModelView& model,
                                                        const std::vector<std::string>& blocks,
                                                        PassContext& context);

// In [0, 1), drawn from the seed and each block's path inside the component, so that blocks of one
// name have one score in all components.
std::vector<BlockScore> ScoreBlocksAtRandom(const std::string& component,
                                            const std::vector<std::string>& blocks, uint64_t seed);

// Some of the blocks left out, and edits of those that stay.
struct BlockChoice {
  std::string name;  // "found", "random 1"
  std::set<std::string> left_out;
  std::map<std::string, Trial::Edit> edits = {};
};
// The error of the network with each choice, in one sweep through its blocks. An error that is not
// finite is an infinity, not a failure.
absl::StatusOr<std::vector<OutputError>> MeasureChoices(NetworkTrials& network,
                                                        const std::vector<BlockChoice>& choices,
                                                        PassContext& context);

// `count` choices of so many of the blocks as `like` leaves out, all different from each other and
// from it; fewer where there are no more.
std::vector<BlockChoice> RandomChoices(const std::vector<std::string>& blocks,
                                       const std::set<std::string>& like, int64_t count,
                                       uint64_t seed);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_BLOCK_SCORES_H_
