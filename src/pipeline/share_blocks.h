// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The blocks of one pass shared among the processes of a group. They are worked on in rounds: of
// the blocks that are left to do, in order, each process takes one, and then all meet. What the
// others than rank 0 make of their blocks they leave as files in the pass's scratch folder, from
// where rank 0 publishes it: so the result, and what a killed run has done, is that of one process.
#ifndef WANLITE_SRC_PIPELINE_SHARE_BLOCKS_H_
#define WANLITE_SRC_PIPELINE_SHARE_BLOCKS_H_

#include <google/protobuf/message.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/pipeline/pass_runner.h"
#include "wanlite/pass.h"
#include "wanlite/process_group.h"

namespace wanlite {

// Whether the group has several processes, and the pass is one whose blocks they may share.
bool SharesBlocks(const Pass& pass, const ProcessGroup* group);

// Rank 0's side.
class SharedBlocks {
 public:
  // Tells the others which blocks are left to do, by their numbers among model.blocks(), ascending.
  // scratch: of the pass.
  static absl::StatusOr<SharedBlocks> Begin(Env& env, ProcessGroup& group,
                                            const std::string& scratch,
                                            std::vector<size_t> numbers);

  // Whether another process works on the block.
  bool IsOthers(size_t number) const;
  // After rank 0's own block of a round: waits for those of the others. Unavailable when one is
  // gone.
  absl::Status Meet();
  // What another process has made of the block, one of this round. `tensors`: as the block has
  // them, with the values made.
  struct Made {
    std::vector<NamedTensor> tensors;
    Metrics metrics;
  };
  absl::StatusOr<Made> Take(const ModelView& model, size_t number) const;
  // The block is published: its file is needed no more.
  absl::Status Remove(size_t number) const;

 private:
  SharedBlocks(Env& env, ProcessGroup& group, std::string scratch, std::vector<size_t> numbers)
      : env_(&env), group_(&group), scratch_(std::move(scratch)), numbers_(std::move(numbers)) {}

  Env* env_;
  ProcessGroup* group_;
  std::string scratch_;
  std::vector<size_t> numbers_;
};

// The others'. `context`: its scratch is that of the pass; each process works in a folder of its
// own there. The model is as the pass's Restructure() left it, and streams.
absl::Status AssistWithBlocks(const BlockPass& pass, const google::protobuf::Message* decision,
                              ModelView& model, const PassContext& context);

}  // namespace wanlite

#endif  // WANLITE_SRC_PIPELINE_SHARE_BLOCKS_H_
