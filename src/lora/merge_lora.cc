// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/lora/merge_lora.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/checked_cast.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/nn.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

// fp32 matrices while one layer is merged.
constexpr int64_t kMergeBytesPerWeight = 12;
constexpr size_t kRefusedShown = 3;

std::optional<at::ScalarType> ExpandedDtype(MergeLoraOptions::Expand expand) {
  switch (expand) {
    case MergeLoraOptions::BF16:
      return at::kBFloat16;
    case MergeLoraOptions::FP16:
      return at::kHalf;
    case MergeLoraOptions::FP32:
      return at::kFloat;
    default:
      return std::nullopt;
  }
}

class MergeLoraPass : public BlockPass {
 public:
  explicit MergeLoraPass(const MergeLoraOptions& options)
      : options_(options), expand_(ExpandedDtype(options.expand())) {}

  absl::string_view name() const override { return "merge-lora"; }
  const Message& options() const override { return options_; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<LinearInfo> linears, Adapted(model));
    if (linears.empty()) {
      return absl::FailedPreconditionError("none of the chosen layers has an adapter");
    }
    PassNotes notes;
    int64_t expanded = 0;
    std::vector<std::string> refused;
    for (const LinearInfo& linear : linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      notes.block_scratch_bytes =
          std::max(notes.block_scratch_bytes,
                   kMergeBytesPerWeight * weight->in_features() * weight->out_features());
      const LinearWeight& base = LoraBase(*weight);
      if (base.dense() != nullptr) continue;
      if (expand_.has_value()) {
        ++expanded;
      } else {
        refused.push_back(absl::StrCat(linear.path, " (", std::string(base.format()), ")"));
      }
    }
    if (!refused.empty()) {
      const size_t count = refused.size();
      refused.resize(std::min(count, kRefusedShown));
      return absl::FailedPreconditionError(absl::StrCat(
          count, " of ", linears.size(), " layers cannot take an adapter into their weights: ",
          absl::StrJoin(refused, ", "), count > kRefusedShown ? ", …" : "",
          "; leave them unmerged, or say by expand what they become"));
    }
    if (expanded > 0) {
      notes.notes.push_back(absl::StrCat(expanded, " layers become dense, in ",
                                         MergeLoraOptions::Expand_Name(options_.expand())));
    }
    return notes;
  }

  absl::Status ApplyPlan(ModelView& hollow, const Message*) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<LinearInfo> linears, Adapted(hollow));
    return Merge(hollow, linears);
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<std::vector<LinearInfo>> linears = Adapted(model);
    if (!linears.ok()) return true;  // RunBlock() tells the error
    return std::any_of(linears->begin(), linears->end(),
                       [&](const LinearInfo& linear) { return linear.block == block; });
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
    WANLITE_ASSIGN_OR_RETURN(std::vector<LinearInfo> linears, Adapted(model));
    std::erase_if(linears, [&](const LinearInfo& linear) { return linear.block != block.block(); });
    context.metrics["merged_layers"] += static_cast<double>(linears.size());
    return Merge(model, linears);
  }

 private:
  // Chosen layers that have adapters.
  absl::StatusOr<std::vector<LinearInfo>> Adapted(const ModelView& model) const {
    std::vector<LinearInfo> chosen = model.linears();
    if (options_.has_linears()) {
      WANLITE_ASSIGN_OR_RETURN(LinearSelection selection,
                               SelectLinears(model, FilterOf(options_.linears())));
      chosen = std::move(selection.linears);
    }
    std::vector<LinearInfo> adapted;
    for (const LinearInfo& linear : chosen) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      if (!LoraBranches(*weight).empty()) adapted.push_back(linear);
    }
    return adapted;
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Merged(const LinearWeight& weight) const {
    if (LoraBase(weight).dense() != nullptr || !expand_.has_value()) return weight.Merge();
    const std::vector<WeightTensor> state = weight.State();
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      if (nn::IsHollow(state.front().tensor)) {
        const nn::HollowGuard hollow;
        return MakeDenseWeight(
            nn::NewTensor({weight.out_features(), weight.in_features()}, *expand_));
      }
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix,
                               CheckedCast(weight.Dequantize(), *expand_, "the merged weight"));
      return MakeDenseWeight(matrix);
    });
  }

  absl::Status Merge(ModelView& model, const std::vector<LinearInfo>& linears) const {
    for (const LinearInfo& linear : linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      absl::StatusOr<std::unique_ptr<LinearWeight>> merged = Merged(*weight);
      if (!merged.ok()) return Annotate(merged.status(), linear.path);
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(linear.path, *std::move(merged)));
    }
    return absl::OkStatus();
  }

  const MergeLoraOptions options_;
  const std::optional<at::ScalarType> expand_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeMergeLora(const MergeLoraOptions& options) {
  if (!MergeLoraOptions::Expand_IsValid(options.expand())) {
    return OptionError("expand", absl::StrCat(static_cast<int>(options.expand()),
                                              " is not REFUSE, BF16, FP16 or FP32"));
  }
  return std::make_unique<MergeLoraPass>(options);
}

}  // namespace wanlite
