// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_weights.h"

#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/proto/quant.pb.h"
#include "src/quant/cast_quantizer.h"
#include "src/quant/format_plan.h"
#include "src/quant/input_statistics.h"
#include "src/quant/int4_quantizer.h"
#include "src/quant/int8_quantizer.h"
#include "src/quant/weight_fp8.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Rows expanded to fp32, their rotated copy and their codes.
constexpr int64_t kScratchBytes = int64_t{12} << 20;

template <typename Options>
class QuantizeWeights : public BlockPass {
 public:
  // options: resolved. embeddings: of tables, for options that may ask for them.
  QuantizeWeights(std::string name, Options options, Calibration calibration,
                  std::unique_ptr<WeightQuantizer> quantizer,
                  std::unique_ptr<WeightQuantizer> embeddings)
      : name_(std::move(name)),
        options_(std::move(options)),
        calibration_(std::move(calibration)),
        linears_(FilterOf(options_.linears())),
        quantizer_(std::move(quantizer)),
        embeddings_(std::move(embeddings)) {
    if constexpr (requires { options_.embeddings(); }) linears_.embeddings = options_.embeddings();
  }

  absl::string_view name() const override { return name_; }
  const google::protobuf::Message& options() const override { return options_; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    return PlanFormat(
        model, linears_, *quantizer_, [](int64_t, int64_t) { return kScratchBytes; },
        embeddings_.get());
  }
  absl::Status ApplyPlan(ModelView& hollow,
                         const google::protobuf::Message* decision) const override {
    return ApplyFormat(hollow, linears_, *quantizer_, embeddings_.get());
  }
  bool Touches(const ModelView& model, absl::string_view block) const override {
    return TouchesSelection(model, linears_, block);
  }
  std::optional<StreamOptions> activations() const override {
    if (!quantizer_->needs_statistics()) return std::nullopt;
    return StreamOptions();
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    const std::vector<LinearInfo> linears = selection.InBlock(block.block());
    std::map<std::string, InputStatistics> statistics;
    std::vector<LinearInfo> readers;  // tables have no inputs
    for (const LinearInfo& linear : linears) {
      if (model.FindLinear(linear.path) != nullptr) readers.push_back(linear);
    }
    if (quantizer_->needs_statistics() && !readers.empty()) {
      if (context.activations == nullptr) {
        return absl::FailedPreconditionError(
            absl::StrCat(readers.front().path, ": no sample reaches it; its inputs are not known"));
      }
      WANLITE_ASSIGN_OR_RETURN(statistics,
                               CollectInputStatistics(model, block, *context.activations, readers,
                                                      *quantizer_, calibration_, context.cancel));
    }
    for (const LinearInfo& linear : linears) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear.path));
      const auto found = statistics.find(linear.path);
      QuantizationError error;
      absl::StatusOr<std::unique_ptr<LinearWeight>> quantized =
          model.FindLinear(linear.path) == nullptr
              ? embeddings_->Quantize(*weight->dense(), /*statistics=*/nullptr, &error)
              : quantizer_->Quantize(*weight->dense(),
                                     found == statistics.end() ? nullptr : &found->second, &error);
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

  std::vector<std::string> Explain(const google::protobuf::Message* decision) const override {
    const std::string simulation = quantizer_->simulation();
    return simulation.empty() ? std::vector<std::string>() : std::vector<std::string>{simulation};
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    const auto sum = metrics.find("sum_relative_error");
    if (sum == metrics.end()) return;
    metrics["mean_relative_error"] = sum->second / metrics["quantized_layers"];
    metrics.erase(sum);
  }

 private:
  const std::string name_;
  const Options options_;
  const Calibration calibration_;  // of quantizers that need statistics
  LinearFilter linears_;
  const std::unique_ptr<WeightQuantizer> quantizer_, embeddings_;
};

template <typename Options, typename MakeQuantizer>
absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeWeights(const char* name, const Options& options,
                                                          MakeQuantizer make_quantizer) {
  Options resolved = options;
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WeightQuantizer> quantizer, make_quantizer(resolved));
  Calibration calibration;
  if constexpr (std::is_same_v<Options, QuantizeInt8Options>) calibration = resolved.calibration();
  // A table has no inputs to scale or rotate: its rows alone are rounded.
  QuantizeInt8Options rows;
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WeightQuantizer> embeddings, MakeInt8Quantizer(rows));
  return std::make_unique<QuantizeWeights<Options>>(name, std::move(resolved),
                                                    std::move(calibration), std::move(quantizer),
                                                    std::move(embeddings));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt8(const QuantizeInt8Options& options) {
  return MakeQuantizeWeights("quantize-int8", options, MakeInt8Quantizer);
}
absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeFp8(const QuantizeFp8Options& options) {
  return MakeQuantizeWeights("quantize-fp8", options, MakeFp8Quantizer);
}
absl::StatusOr<std::unique_ptr<Pass>> MakeCast(const CastOptions& options) {
  return MakeQuantizeWeights("cast", options, MakeCastQuantizer);
}
absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt4(const QuantizeInt4Options& options) {
  return MakeQuantizeWeights("quantize-int4", options, MakeInt4Quantizer);
}

}  // namespace wanlite
