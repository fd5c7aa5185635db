// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a network makes of another's output: a denoiser's own projection of the text encoder's.
#ifndef WANLITE_SRC_DISTILL_OUTPUT_READER_H_
#define WANLITE_SRC_DISTILL_OUTPUT_READER_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "src/model/float32_block.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/block_program.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite::distill {

class OutputReader {
 public:
  // The first step of the component that `term` names, of the model that the recipe began with: its
  // rest, outside the blocks, is in memory while this lives, in fp32. The step's other inputs are
  // those of a recorded sample. FailedPrecondition for a component that is not there, has no
  // samples, or whose program neither takes the input nor makes the value in its first step.
  static absl::StatusOr<std::unique_ptr<OutputReader>> Open(const PassContext& context,
                                                            const ProjectedTerm& term);

  // output: [B, tokens, features] -> the value, [B, tokens, …]. Passes gradients to it. Throws
  // c10::Error.
  at::Tensor Read(const at::Tensor& output) const;

 private:
  OutputReader(ModelView model, const ProjectedTerm& term)
      : model_(std::move(model)), term_(term) {}

  ModelView model_;
  const ProjectedTerm term_;
  const BlockProgram* program_ = nullptr;
  // In the order in which they go: the copies, then the lease.
  std::optional<BlockLease> lease_;
  std::optional<Float32Block> float32_;
  Values others_;
};

}  // namespace wanlite::distill

#endif  // WANLITE_SRC_DISTILL_OUTPUT_READER_H_
