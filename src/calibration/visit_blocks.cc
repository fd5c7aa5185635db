// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/visit_blocks.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/model/rest_block.h"
#include "wanlite/activation_stream.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status VisitBlocks(ModelView& model, const PassContext& context, LinearTap& tap,
                         const std::function<absl::Status(const BlockLease& block)>& visit,
                         const VisitOptions& options) {
  if (context.samples == nullptr) {
    return absl::FailedPreconditionError("needs recorded inputs of the model");
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, "calibration"));
  const at::NoGradGuard no_grad;
  const std::vector<BlockInfo> blocks = model.blocks();
  ProgressSink& progress = context.progress != nullptr ? *context.progress : SilentProgress();
  progress.Begin("calibrate", static_cast<int64_t>(blocks.size()));
  int64_t visited = 0;
  for (const Component& component : model.components()) {
    if (context.samples->size(component.name) == 0) continue;
    if (!options.components.empty() &&
        std::find(options.components.begin(), options.components.end(), component.name) ==
            options.components.end()) {
      continue;
    }
    const std::string dir = JoinPath(scratch, absl::StrCat("visit-", RestBlock(component.name)));
    // A killed visit has thrown away where it began.
    if (context.env->FolderExists(dir)) WANLITE_RETURN_IF_ERROR(context.env->RemoveAll(dir));
    WANLITE_ASSIGN_OR_RETURN(
        const std::unique_ptr<ActivationStream> stream,
        ActivationStream::Open(*context.env, dir, model, *context.samples, component.name));
    const auto advance = [&](const std::string& block) -> absl::Status {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block));
      {
        WANLITE_ASSIGN_OR_RETURN(const TapGuard guard, TapLinears(model, block, tap));
        WANLITE_RETURN_IF_ERROR(stream->Advance(lease, context.cancel, options.begin_sample));
      }
      WANLITE_RETURN_IF_ERROR(visit(lease));
      progress.Update(++visited, block);
      return absl::OkStatus();
    };
    for (const BlockInfo& block : blocks) {
      if (model.ComponentOf(block.path).name != component.name || !stream->Covers(block.path)) {
        continue;
      }
      WANLITE_RETURN_IF_ERROR(stream->Enter(block.path));
      WANLITE_RETURN_IF_ERROR(advance(block.path));
    }
    // What is left is the rest behind the last block.
    if (options.heads && !stream->block().empty()) {
      WANLITE_RETURN_IF_ERROR(advance(stream->block()));
    }
    WANLITE_RETURN_IF_ERROR(stream->Remove());
  }
  progress.End();
  return absl::OkStatus();
}

}  // namespace wanlite
