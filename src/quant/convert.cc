// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/convert.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/proto/quant.pb.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Matrices in fp32 while one layer is converted.
constexpr int64_t kBytesPerWeight = 16;

class ConvertPass : public BlockPass {
 public:
  explicit ConvertPass(const ConvertOptions& options)
      : options_(options), linears_(FilterOf(options.linears())) {}
  absl::string_view name() const override { return "convert"; }
  const google::protobuf::Message& options() const override { return options_; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    PassNotes plan;
    plan.notes = selection.notes;
    int64_t converted = 0, largest = 0;
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<LinearWeight> merged, Merged(model, linear));
      if (merged == nullptr) continue;
      ++converted;
      largest = std::max(largest, merged->out_features() * merged->in_features());
    }
    if (converted == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("none of the ", selection.linears.size(),
                       " chosen layers has a weight that was made for training"));
    }
    int64_t block_bytes = 0;
    for (const BlockInfo& block : model.blocks()) {
      block_bytes = std::max(block_bytes, StoredBytes(model.BlockTensors(block.path)));
    }
    plan.peak_memory_bytes = 2 * block_bytes + kBytesPerWeight * largest;
    return plan;
  }

  absl::Status ApplyPlan(ModelView& hollow, const google::protobuf::Message*) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(hollow, linears_));
    return Convert(hollow, selection.linears).status();
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<LinearSelection> selection = SelectLinears(model, linears_);
    if (!selection.ok()) return true;  // RunBlock() tells the error
    for (const LinearInfo& linear : selection->InBlock(block)) {
      const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
      if (!weight.ok() || !absl::IsFailedPrecondition((*weight)->Merge().status())) return true;
    }
    return false;
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const google::protobuf::Message*,
                        PassContext& context) const override {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    WANLITE_ASSIGN_OR_RETURN(const int64_t converted,
                             Convert(model, selection.InBlock(block.block())));
    context.metrics["converted_layers"] += static_cast<double>(converted);
    return absl::OkStatus();
  }

 private:
  // Null for a weight that is none for training.
  static absl::StatusOr<std::unique_ptr<LinearWeight>> Merged(const ModelView& model,
                                                              const LinearInfo& linear) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    absl::StatusOr<std::unique_ptr<LinearWeight>> merged = weight->Merge();
    if (absl::IsFailedPrecondition(merged.status())) return nullptr;
    if (!merged.ok()) return Annotate(merged.status(), linear.path);
    return merged;
  }

  static absl::StatusOr<int64_t> Convert(ModelView& model, const std::vector<LinearInfo>& linears) {
    int64_t converted = 0;
    for (const LinearInfo& linear : linears) {
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> merged, Merged(model, linear));
      if (merged == nullptr) continue;
      ++converted;
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(linear.path, std::move(merged)));
    }
    return converted;
  }

  const ConvertOptions options_;
  const LinearFilter linears_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeConvert(const ConvertOptions& options) {
  return std::make_unique<ConvertPass>(options);
}

}  // namespace wanlite
