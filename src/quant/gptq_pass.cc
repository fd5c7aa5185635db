// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/gptq_pass.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/calibration/input_moments.h"
#include "src/calibration/sample_tap.h"
#include "src/core/libtorch.h"
#include "src/proto/quant.pb.h"
#include "src/quant/format_plan.h"
#include "src/quant/gptq.h"
#include "src/quant/input_statistics.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class Gptq : public BlockPass {
 public:
  // options: resolved.
  Gptq(GptqOptions options, std::unique_ptr<WeightQuantizer> quantizer)
      : options_(std::move(options)),
        linears_(FilterOf(options_.linears())),
        settings_{options_.damping(), options_.activation_order()},
        quantizer_(std::move(quantizer)) {}

  absl::string_view name() const override { return "gptq"; }
  const google::protobuf::Message& options() const override { return options_; }
  std::optional<StreamOptions> activations() const override { return StreamOptions(); }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(PassNotes plan,
                             PlanFormat(model, linears_, *quantizer_, GptqScratchBytes));
    plan.notes.push_back(
        "the peak memory is that of the second moments; one sample's forward through a block comes "
        "on top");
    return plan;
  }
  absl::Status ApplyPlan(ModelView& hollow,
                         const google::protobuf::Message* decision) const override {
    return ApplyFormat(hollow, linears_, *quantizer_);
  }
  bool Touches(const ModelView& model, absl::string_view block) const override {
    return TouchesSelection(model, linears_, block);
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    // In the order of execution: each input is what the rounded layers before it make.
    return ForEachInput(model, block, selection.InBlock(block.block()), context.activations,
                        [&](const std::vector<std::string>& readers) {
                          return RoundReaders(model, block, readers, context);
                        });
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    for (const char* name : {"relative_error", "relative_output_error"}) {
      const auto sum = metrics.find(absl::StrCat("sum_", name));
      if (sum == metrics.end()) continue;
      metrics[absl::StrCat("mean_", name)] = sum->second / metrics["quantized_layers"];
      metrics.erase(sum);
    }
  }

 private:
  // Of one input.
  absl::Status RoundReaders(ModelView& model, const BlockLease& block,
                            const std::vector<std::string>& readers, PassContext& context) const {
    const std::string& first = readers.front();
    const Calibration& calibration = CalibrationOf(options_.format());
    std::optional<InputStatistics> statistics;
    std::optional<MomentFactor> moments;
    {
      InputTap tap({first},
                   {quantizer_.get(), quantizer_->needs_statistics() ? &calibration : nullptr,
                    /*moments=*/true});
      WANLITE_RETURN_IF_ERROR(RunTapped(model, block, *context.activations,
                                        calibration.timestep_bins(), tap, context.cancel));
      if (quantizer_->needs_statistics()) {
        WANLITE_ASSIGN_OR_RETURN(statistics, tap.Statistics(first));
      }
      WANLITE_ASSIGN_OR_RETURN(at::Tensor moment, tap.TakeMoment(first));
      absl::StatusOr<MomentFactor> made = MomentFactor::Make(std::move(moment), settings_);
      if (!made.ok()) return Annotate(made.status(), first);
      moments = *std::move(made);
    }
    for (const std::string& path : readers) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, path));
      const at::Tensor matrix = weight->dense()->detach().to(at::kFloat);
      const double largest = matrix.numel() > 0 ? matrix.abs().max().item<double>() : 0;
      const std::unique_ptr<WeightGrid> grid = quantizer_->Grid(weight->in_features(), largest);
      absl::StatusOr<GptqResult> result = GptqRound(grid->ToBasis(matrix), *moments, *grid);
      if (!result.ok()) return Annotate(result.status(), absl::StrCat(path, ".weight"));
      absl::StatusOr<std::unique_ptr<LinearWeight>> packed = grid->Pack(
          result->rounded, result->scales, statistics.has_value() ? &*statistics : nullptr);
      if (!packed.ok()) return Annotate(packed.status(), absl::StrCat(path, ".weight"));
      context.metrics["quantized_layers"] += 1;
      context.metrics["quantized_weights"] +=
          static_cast<double>(weight->in_features()) * static_cast<double>(weight->out_features());
      context.metrics["sum_relative_error"] += result->weight_error.Relative();
      context.metrics["sum_relative_output_error"] += result->output_error.Relative();
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(path, *std::move(packed)));
    }
    return absl::OkStatus();
  }

  const GptqOptions options_;
  const LinearFilter linears_;
  const MomentSettings settings_;
  const std::unique_ptr<WeightQuantizer> quantizer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeGptq(const GptqOptions& options) {
  GptqOptions resolved = options;
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WeightQuantizer> quantizer,
                           MakeWeightQuantizer(*resolved.mutable_format(), "format"));
  // Whether there is a grid hangs on the format, not on the width.
  constexpr int64_t kSomeWidth = 4096;
  if (quantizer->Grid(kSomeWidth, /*largest=*/1) == nullptr) {
    return OptionError("format", absl::StrCat(quantizer->name(),
                                              " is no grid of values that columns could be rounded "
                                              "to one by one"));
  }
  if (!resolved.has_damping()) resolved.set_damping(MomentSettings().damping);
  if (!(resolved.damping() > 0 && resolved.damping() <= 1)) {
    return OptionError("damping", absl::StrCat(resolved.damping(), " is not in (0, 1]"));
  }
  return std::make_unique<Gptq>(std::move(resolved), std::move(quantizer));
}

}  // namespace wanlite
