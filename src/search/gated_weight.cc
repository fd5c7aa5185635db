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
  GatedWeight(std::unique_ptr<LinearWeight> base, LayerGates gates)
      : base_(std::move(base)), gates_(std::move(gates)) {}

  absl::string_view format() const override { return "gated"; }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

  const InputForm* input_form() const override {
    return gates_.input == nullptr ? base_->input_form() : nullptr;
  }
  bool reads_dense_input() const override {
    return gates_.input != nullptr || base_->reads_dense_input();
  }
  at::Tensor Apply(const Activation& input, const std::optional<at::Tensor>& bias) const override {
    at::Tensor y;
    if (gates_.input == nullptr) {
      y = base_->Apply(input, bias);
    } else {
      const at::Tensor& x = input.dense();
      CheckGate(*gates_.input, in_features());
      y = base_->Apply(x * gates_.input->to(x.scalar_type()), bias);
    }
    if (!gates_.output.defined()) return y;
    CheckGate(gates_.output, out_features());
    return y * gates_.output.to(y.scalar_type());
  }
  LinearArithmetic arithmetic() const override { return base_->arithmetic(); }

  std::vector<WeightTensor> State() const override { return base_->State(); }
  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return Gated(base_->Dequantize());
  }
  at::Tensor Matrix() const override { return Gated(base_->Matrix()); }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("a weight of format gated cannot be cut");
  }

 private:
  static void CheckGate(const at::Tensor& gate, int64_t features) {
    TORCH_CHECK(gate.dim() == 1 && gate.size(0) == features, "a gate of ", gate.sizes(), " for ",
                features, " features of a layer");
  }
  at::Tensor Gated(at::Tensor matrix) const {
    if (gates_.input != nullptr) matrix = matrix * *gates_.input;
    return gates_.output.defined() ? matrix * gates_.output.unsqueeze(1) : matrix;
  }

  std::unique_ptr<LinearWeight> base_;
  LayerGates gates_;
};

}  // namespace

std::unique_ptr<LinearWeight> MakeGatedWeight(std::unique_ptr<LinearWeight> base,
                                              LayerGates gates) {
  return std::make_unique<GatedWeight>(std::move(base), std::move(gates));
}

absl::StatusOr<Trial::Undo> GateLayers(ModelView& model,
                                       const std::map<std::string, LayerGates>& gates) {
  std::map<std::string, std::unique_ptr<LinearWeight>> weights;
  for (const auto& [path, own] : gates) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(path));
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, SharedWeight(*weight, path));
    weights[path] = MakeGatedWeight(std::move(base), own);
  }
  return ExchangeWeights(model, std::move(weights));
}

}  // namespace wanlite
