// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/packed_dense_weight.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/core/libtorch.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

// Tokens that the layout is chosen for. It serves any number.
constexpr int64_t kUsualTokens = 1024;
// Below so many values MKL, which at::linear() calls, is as fast without.
constexpr int64_t kLeastValues = 512 * 512;

at::Tensor ReorderForOneDnn(const at::Tensor& weight) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                             .typed<at::Tensor(const at::Tensor&, std::optional<int64_t>)>();
  return op.call(weight, kUsualTokens);
}

at::Tensor OneDnnLinear(const at::Tensor& x, const at::Tensor& weight,
                        const std::optional<at::Tensor>& bias) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                            c10::string_view, c10::List<std::optional<at::Scalar>>,
                            std::optional<c10::string_view>)>();
  static const c10::List<std::optional<at::Scalar>> no_scalars;
  return op.call(x, weight, bias, "none", no_scalars, "");
}

class PackedDenseWeight : public LinearWeight {
 public:
  PackedDenseWeight(at::Tensor packed, int64_t out_features, int64_t in_features)
      : packed_(std::move(packed)), out_features_(out_features), in_features_(in_features) {}

  absl::string_view format() const override { return "dense"; }
  int64_t in_features() const override { return in_features_; }
  int64_t out_features() const override { return out_features_; }

  at::Tensor Apply(const Activation& input, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor& x = input.dense();
    TORCH_CHECK(x.dim() >= 1 && x.size(-1) == in_features_, "linear [", out_features_, ", ",
                in_features_, "] applied to ", x.sizes());
    TORCH_CHECK(!at::GradMode::is_enabled() || !x.requires_grad(),
                "a packed dense weight is for running only, but its input requires a gradient");
    const std::optional<at::Tensor> wide =
        bias.has_value() ? std::optional(bias->to(at::kFloat)) : std::nullopt;
    return OneDnnLinear(x.to(at::kFloat).contiguous(), packed_, wide).to(x.scalar_type());
  }

  LinearArithmetic arithmetic() const override { return {}; }
  std::vector<WeightTensor> State() const override {
    return {{"packed_weight", packed_, WeightTensor::Role::kCode, false}};
  }
  at::Tensor Dequantize() const override { return packed_.to_dense(); }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("a packed dense weight is for running only and cannot be cut");
  }

 private:
  at::Tensor packed_;  // in oneDNN's layout
  int64_t out_features_, in_features_;
};

bool OneDnnPacks() {
  return at::globalContext().userEnabledMkldnn() && at::hasMKLDNN() &&
         c10::Dispatcher::singleton().findSchema({"mkldnn::_reorder_linear_weight", ""}) &&
         c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
}

}  // namespace

std::unique_ptr<LinearWeight> MakePackedDenseWeight(const at::Tensor& weight) {
  if (weight.scalar_type() != at::kFloat || !weight.is_cpu() || nn::IsHollow(weight) ||
      weight.numel() < kLeastValues || !OneDnnPacks()) {
    return nullptr;
  }
  const at::NoGradGuard no_grad;
  return std::make_unique<PackedDenseWeight>(ReorderForOneDnn(weight.detach().contiguous()),
                                             weight.size(0), weight.size(1));
}

}  // namespace wanlite
