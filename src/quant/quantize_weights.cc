// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_weights.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "src/proto/quant.pb.h"
#include "src/quant/int4_quantizer.h"
#include "src/quant/int8_quantizer.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Rows expanded to fp32, their rotated copy and the error's scratch.
constexpr int64_t kScratchBytes = int64_t{32} << 20;

template <typename Options>
class QuantizeWeights : public BlockPass {
 public:
  // options: resolved. embeddings: of tables, for options that may ask for them.
  QuantizeWeights(std::string name, Options options, std::unique_ptr<WeightQuantizer> quantizer,
                  std::unique_ptr<WeightQuantizer> embeddings)
      : name_(std::move(name)),
        options_(std::move(options)),
        linears_(FilterOf(options_.linears())),
        quantizer_(std::move(quantizer)),
        embeddings_(std::move(embeddings)) {
    if constexpr (requires { options_.embeddings(); }) linears_.embeddings = options_.embeddings();
  }

  absl::string_view name() const override { return name_; }
  const google::protobuf::Message& options() const override { return options_; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, linears_));
    PassNotes plan;
    plan.notes = std::move(selection.notes);
    int64_t largest = 0;
    std::vector<std::pair<int64_t, int64_t>> shapes;
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<LinearWeight> planned, Planned(model, linear));
      largest = std::max(largest, planned->bytes());
      if (model.FindLinear(linear.path) == nullptr) continue;
      shapes.emplace_back(planned->out_features(), planned->in_features());
    }
    // The dense weight goes when the layer has the new one.
    plan.block_scratch_bytes = largest + kScratchBytes;
    for (std::string& note : quantizer_->Notes(shapes)) plan.notes.push_back(std::move(note));
    return plan;
  }

  absl::Status ApplyPlan(ModelView& hollow,
                         const google::protobuf::Message* decision) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(hollow, linears_));
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> planned, Planned(hollow, linear));
      WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(linear.path, std::move(planned)));
    }
    return absl::OkStatus();
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<LinearSelection> selection = SelectLinears(model, linears_);
    return !selection.ok() || !selection->InBlock(block).empty();  // RunBlock() tells the error
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    for (const LinearInfo& linear : selection.InBlock(block.block())) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear.path));
      QuantizationError error;
      absl::StatusOr<std::unique_ptr<LinearWeight>> quantized =
          QuantizerOf(model, linear).Quantize(*weight->dense(), /*statistics=*/nullptr, &error);
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
  // The weight that a layer will have, hollow.
  absl::StatusOr<std::unique_ptr<LinearWeight>> Planned(const ModelView& model,
                                                        const LinearInfo& linear) const {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear.path));
    const WeightQuantizer& quantizer = QuantizerOf(model, linear);
    const absl::Status shape = quantizer.CheckShape(weight->out_features(), weight->in_features());
    if (!shape.ok()) return Annotate(shape, absl::StrCat(linear.path, ".weight"));
    return quantizer.Hollow(weight->out_features(), weight->in_features());
  }

  const WeightQuantizer& QuantizerOf(const ModelView& model, const LinearInfo& linear) const {
    return model.FindLinear(linear.path) == nullptr ? *embeddings_ : *quantizer_;
  }

  const std::string name_;
  const Options options_;
  LinearFilter linears_;
  const std::unique_ptr<WeightQuantizer> quantizer_, embeddings_;
};

template <typename Options, typename MakeQuantizer>
absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeWeights(const char* name, const Options& options,
                                                          MakeQuantizer make_quantizer) {
  Options resolved = options;
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WeightQuantizer> quantizer, make_quantizer(resolved));
  // A table has no inputs to scale or rotate: its rows alone are rounded.
  QuantizeInt8Options rows;
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WeightQuantizer> embeddings, MakeInt8Quantizer(rows));
  return std::make_unique<QuantizeWeights<Options>>(name, std::move(resolved), std::move(quantizer),
                                                    std::move(embeddings));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt8(const QuantizeInt8Options& options) {
  return MakeQuantizeWeights("quantize-int8", options, MakeInt8Quantizer);
}
absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt4(const QuantizeInt4Options& options) {
  return MakeQuantizeWeights("quantize-int4", options, MakeInt4Quantizer);
}

}  // namespace wanlite
