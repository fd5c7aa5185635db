// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Activations for the blocks of a pass that wants them: one stream for each component, which moves
// past a block after the pass has changed it and before the block is published.
#ifndef WANLITE_SRC_PIPELINE_BLOCK_STREAMS_H_
#define WANLITE_SRC_PIPELINE_BLOCK_STREAMS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/activation_stream.h"
#include "wanlite/pass.h"

namespace wanlite {

// FailedPrecondition when there are no samples or they do not fit the model; `who` needs them.
absl::Status CheckSamplesFor(absl::string_view who, const ModelView& hollow,
                             const SampleSet* samples);
// FailedPrecondition when the pass needs samples and there are none, when they do not fit the
// model, or when they have none of a component that the pass needs them of. `hollow`: the model
// before the pass.
absl::Status CheckSamplesOf(const Pass& pass, const ModelView& hollow, const SampleSet* samples);
// The same of all these, as far as the model before the first pass tells.
absl::Status CheckSamples(const std::vector<const Pass*>& passes, const ModelView& hollow,
                          const SampleSet* samples);
// Whether any of the passes needs them.
bool NeedSamples(const std::vector<const Pass*>& passes);

class BlockStreams {
 public:
  // touched, done: of each of model.blocks(), whether the pass may change it and whether it was
  // published in an earlier run. Opens nothing for a pass that wants no activations. All must
  // outlive it but the vectors.
  static absl::StatusOr<BlockStreams> Open(const BlockPass& pass, const ModelView& model,
                                           const PassContext& context,
                                           const std::vector<bool>& touched,
                                           const std::vector<bool>& done);

  // Whether the block is to be run, or passed through, though it may have been published: what its
  // successors start from is not there any more.
  bool Streams(size_t block) const { return Find(block) != nullptr; }
  // Stands before the block from here on; null when its activations are not streamed.
  absl::StatusOr<ActivationStream*> Enter(size_t block);
  // With the block leased: before it is changed, and then. Does nothing where none are streamed.
  absl::Status BeforeEdit(size_t block, const BlockLease& lease);
  absl::Status AfterEdit(size_t block, const BlockLease& lease);
  // The block is published.
  absl::Status Published(size_t block);

 private:
  struct Component {
    std::unique_ptr<ActivationStream> stream;
    std::vector<size_t> blocks;  // those with steps, in their order
    size_t first = 0, last = 0;  // of the blocks that are streamed in this run
  };
  const Component* Find(size_t block) const;

  BlockStreams(const ModelView& model, const CancellationToken* cancel)
      : model_(&model), cancel_(cancel) {}

  const ModelView* model_;
  const CancellationToken* cancel_;
  std::vector<Component> components_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_PIPELINE_BLOCK_STREAMS_H_
