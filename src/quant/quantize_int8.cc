// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_int8.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/ops/int8_math.h"
#include "src/proto/quant.pb.h"
#include "src/quant/weight_int8.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kDefaultRotationGroup = 256;
// Rows expanded to fp32, their rotated copy and the error's scratch.
constexpr int64_t kScratchBytes = int64_t{32} << 20;

class QuantizeInt8 : public BlockPass {
 public:
  explicit QuantizeInt8(QuantizeInt8Options options)
      : options_(std::move(options)), linears_(FilterOf(options_.linears())) {}

  absl::string_view name() const override { return "quantize-int8"; }
  const google::protobuf::Message& options() const override { return options_; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, linears_));
    PassNotes plan;
    plan.notes = std::move(selection.notes);
    std::map<std::string, int64_t> block_growth;
    int64_t narrowed = 0, unrotated = 0;
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear.path));
      block_growth[linear.block] += weight->in_features() * weight->out_features() +
                                    weight->out_features() * int64_t{sizeof(float)};
      if (options_.rotation() != QuantizeInt8Options::CONVROT) continue;
      const int64_t group = GroupFor(weight->in_features());
      narrowed += group != 0 && group != options_.rotation_group();
      unrotated += group == 0;
    }
    for (const BlockInfo& block : model.blocks()) {
      const int64_t bytes = StoredBytes(model.BlockTensors(block.path));
      plan.peak_memory_bytes =
          std::max(plan.peak_memory_bytes, bytes + block_growth[block.path] + kScratchBytes);
    }
    if (narrowed > 0) {
      plan.notes.push_back(
          absl::StrCat(narrowed, " layers are rotated in smaller groups than rotation_group ",
                       options_.rotation_group(), ", which does not divide their input width"));
    }
    if (unrotated > 0) {
      plan.notes.push_back(absl::StrCat(
          unrotated, " layers are not rotated: no power of 4 divides their input width"));
    }
    return plan;
  }

  absl::Status ApplyPlan(ModelView& hollow,
                         const google::protobuf::Message* decision) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(hollow, linears_));
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(hollow, linear.path));
      WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(
          linear.path, MakeHollowInt8Weight(weight->out_features(), weight->in_features(),
                                            GroupFor(weight->in_features()))));
    }
    return absl::OkStatus();
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<std::vector<LinearInfo>> linears = LinearsOf(model, block);
    return !linears.ok() || !linears->empty();  // RunBlock() tells the error
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<LinearInfo> linears,
                             LinearsOf(model, block.block()));
    for (const LinearInfo& linear : linears) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear.path));
      QuantizationError error;
      absl::StatusOr<std::unique_ptr<LinearWeight>> quantized =
          MakeInt8Weight(*weight->dense(), GroupFor(weight->in_features()), &error);
      if (!quantized.ok()) {
        return Annotate(quantized.status(), absl::StrCat(linear.path, ".weight"));
      }
      context.metrics["quantized_layers"] += 1;
      context.metrics["quantized_weights"] +=
          static_cast<double>(weight->in_features()) * static_cast<double>(weight->out_features());
      context.metrics["sum_relative_error"] += error.Relative();
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(linear.path, *std::move(quantized)));
    }
    return absl::OkStatus();
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    const auto sum = metrics.find("sum_relative_error");
    if (sum == metrics.end()) return;
    metrics["mean_relative_error"] = sum->second / metrics["quantized_layers"];
    metrics.erase(sum);
  }

 private:
  absl::StatusOr<std::vector<LinearInfo>> LinearsOf(const ModelView& model,
                                                    absl::string_view block) const {
    WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, linears_));
    return selection.InBlock(block);
  }

  // The rotation group of a layer: the wanted one, or the largest power of 4 below it that divides
  // the width; 0 for no rotation.
  int64_t GroupFor(int64_t in_features) const {
    if (options_.rotation() != QuantizeInt8Options::CONVROT) return 0;
    for (int64_t group = options_.rotation_group(); group >= 4; group /= 4) {
      if (in_features % group == 0) return group;
    }
    return 0;
  }

  const QuantizeInt8Options options_;  // resolved
  const LinearFilter linears_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt8(const QuantizeInt8Options& options) {
  QuantizeInt8Options resolved = options;
  if (!QuantizeInt8Options::Rotation_IsValid(resolved.rotation())) {
    return OptionError(
        "rotation", absl::StrCat(static_cast<int>(resolved.rotation()), " is not NONE or CONVROT"));
  }
  if (resolved.rotation() == QuantizeInt8Options::CONVROT) {
    if (!resolved.has_rotation_group()) resolved.set_rotation_group(kDefaultRotationGroup);
    if (!ops::IsRotationGroup(resolved.rotation_group())) {
      return OptionError("rotation_group", absl::StrCat(resolved.rotation_group(),
                                                        " is not one of 4, 16, 64, 256, 1024"));
    }
  } else if (resolved.has_rotation_group()) {
    return OptionError("rotation_group",
                       absl::StrCat(resolved.rotation_group(),
                                    " is given but rotation is NONE; set rotation: CONVROT"));
  }
  return std::make_unique<QuantizeInt8>(std::move(resolved));
}

}  // namespace wanlite
