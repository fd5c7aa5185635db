// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_int8.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/model/dump.h"
#include "src/model/select_linears.h"
#include "src/ops/int8_math.h"
#include "src/proto/quant.pb.h"
#include "src/quant/weight_int8.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kDefaultRotationGroup = 256;
// Rows expanded to fp32, their rotated copy and the error's scratch.
constexpr int64_t kScratchBytes = int64_t{32} << 20;

std::vector<std::string> ToVector(const google::protobuf::RepeatedPtrField<std::string>& field) {
  return {field.begin(), field.end()};
}

class QuantizeInt8 : public Pass {
 public:
  explicit QuantizeInt8(QuantizeInt8Options options)
      : options_(std::move(options)),
        include_(ToVector(options_.include())),
        exclude_(ToVector(options_.exclude())) {}

  absl::string_view name() const override { return "quantize-int8"; }
  const google::protobuf::Message& options() const override { return options_; }
  PassScope scope() const override { return PassScope::kBlock; }

  absl::StatusOr<PassPlan> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, include_, exclude_));
    PassPlan plan;
    plan.pass = "quantize-int8";
    plan.notes = std::move(selection.notes);
    plan.bytes_before = StoredBytes(model.Tensors());
    plan.bytes_after = plan.bytes_before;
    std::map<std::string, int64_t> block_growth;
    int64_t narrowed = 0, unrotated = 0;
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear.path));
      const int64_t group = GroupFor(weight->in_features());
      PlannedChange change;
      change.path = linear.path;
      change.description =
          absl::StrCat("dense ", DtypeName(weight->State()[0].tensor.scalar_type()), " -> int8",
                       group == 0 ? "" : absl::StrCat(", rotated in groups of ", group));
      change.bytes_before = StoredBytes(weight->State());
      change.bytes_after = StoredBytes(
          MakeHollowInt8Weight(weight->out_features(), weight->in_features(), group)->State());
      plan.bytes_after += change.bytes_after - change.bytes_before;
      block_growth[linear.block] += change.bytes_after;
      if (options_.rotation() == QuantizeInt8Options::CONVROT) {
        narrowed += group != 0 && group != options_.rotation_group();
        unrotated += group == 0;
      }
      plan.changes.push_back(std::move(change));
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

  absl::Status ApplyPlan(ModelView& hollow) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection,
                             SelectLinears(hollow, include_, exclude_));
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(hollow, linear.path));
      WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(
          linear.path, MakeHollowInt8Weight(weight->out_features(), weight->in_features(),
                                            GroupFor(weight->in_features()))));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<State>> Prepare(ModelView& model,
                                                 PassContext& context) const override {
    auto state = std::make_unique<Selected>();
    WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, include_, exclude_));
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_RETURN_IF_ERROR(DenseWeightOf(model, linear.path).status());
      state->by_block[linear.block].push_back(linear.path);
    }
    return state;
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, State* state,
                        PassContext& context) const override {
    const auto& by_block = static_cast<const Selected*>(state)->by_block;
    const auto linears = by_block.find(block.block());
    if (linears == by_block.end()) return absl::OkStatus();
    for (const std::string& path : linears->second) {
      if (context.cancel != nullptr) WANLITE_RETURN_IF_ERROR(context.cancel->Check());
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, path));
      QuantizationError error;
      absl::StatusOr<std::unique_ptr<LinearWeight>> quantized =
          MakeInt8Weight(weight->State()[0].tensor, GroupFor(weight->in_features()), &error);
      if (!quantized.ok()) return Annotate(quantized.status(), absl::StrCat(path, ".weight"));
      context.metrics["quantized_layers"] += 1;
      context.metrics["quantized_weights"] +=
          static_cast<double>(weight->in_features()) * static_cast<double>(weight->out_features());
      context.metrics["sum_relative_error"] += error.Relative();
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(path, *std::move(quantized)));
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
  struct Selected : State {
    std::map<std::string, std::vector<std::string>> by_block;
  };

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
  const std::vector<std::string> include_, exclude_;
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
