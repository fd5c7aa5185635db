// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/gated_weight.h"

#include <optional>
#include <utility>
#include <vector>

#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class GatedWeight : public LinearWeight {
 public:
  GatedWeight(std::unique_ptr<LinearWeight> base, InputGate gate)
      : base_(std::move(base)), gate_(std::move(gate)) {}

  absl::string_view format() const override { return "gated"; }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

  at::Tensor Apply(const Activation& input, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor& x = input.dense();
    TORCH_CHECK(gate_->dim() == 1 && gate_->size(0) == in_features(), "a gate of ", gate_->sizes(),
                " for a layer with ", in_features(), " inputs");
    return base_->Apply(x * gate_->to(x.scalar_type()), bias);
  }
  LinearArithmetic arithmetic() const override { return base_->arithmetic(); }

  std::vector<WeightTensor> State() const override { return base_->State(); }
  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return base_->Dequantize() * *gate_;
  }
  at::Tensor Matrix() const override { return base_->Matrix() * *gate_; }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("a weight of format gated cannot be cut");
  }

 private:
  std::unique_ptr<LinearWeight> base_;
  InputGate gate_;
};

}  // namespace

std::unique_ptr<LinearWeight> MakeGatedWeight(std::unique_ptr<LinearWeight> base, InputGate gate) {
  return std::make_unique<GatedWeight>(std::move(base), std::move(gate));
}

absl::StatusOr<Trial::Undo> GateInputs(ModelView& model,
                                       const std::map<std::string, InputGate>& gates) {
  std::map<std::string, std::unique_ptr<LinearWeight>> weights;
  for (const auto& [path, gate] : gates) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(path));
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, SharedWeight(*weight, path));
    weights[path] = MakeGatedWeight(std::move(base), gate);
  }
  return ExchangeWeights(model, std::move(weights));
}

}  // namespace wanlite
