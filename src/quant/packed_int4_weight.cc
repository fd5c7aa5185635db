// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/packed_int4_weight.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "src/quant/packed_matrix.h"
#include "src/quant/weight_int8.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

class PackedInt4Weight : public LinearWeight {
 public:
  PackedInt4Weight(at::Tensor packed, int64_t group, const LinearWeight& original)
      : packed_(std::move(packed)),
        group_(group),
        in_features_(original.in_features()),
        out_features_(original.out_features()),
        attributes_(original.attributes()),
        arithmetic_(original.arithmetic()) {}

  absl::string_view format() const override { return "int4"; }
  std::string attributes() const override { return attributes_; }
  int64_t in_features() const override { return in_features_; }
  int64_t out_features() const override { return out_features_; }
  const InputForm* input_form() const override { return &Int8TokenForm(0); }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    TORCH_CHECK(!at::GradMode::is_enabled() || !x.requires_grad(),
                "a packed int4 weight is for running only, but its input requires a gradient");
    const QuantizedInput input = x.In(Int8TokenForm(0));
    return ops::W4A8GemmPacked(input.values, input.scale, packed_, out_features_, group_, bias,
                               x.dtype());
  }

  LinearArithmetic arithmetic() const override { return arithmetic_; }
  std::vector<WeightTensor> State() const override {
    return {{"packed_weight", packed_, WeightTensor::Role::kCode, false}};
  }

  at::Tensor Dequantize() const override {
    return MatrixOfProduct(out_features_, in_features_,
                           [&](const at::Tensor& q, const at::Tensor& scale) {
                             return ops::W4A8GemmPacked(q, scale, packed_, out_features_, group_,
                                                        std::nullopt, at::kFloat);
                           });
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("a packed int4 weight is for running only and cannot be cut");
  }

 private:
  at::Tensor packed_;  // of ops::W4A8Pack()
  int64_t group_, in_features_, out_features_;
  std::string attributes_;
  LinearArithmetic arithmetic_;
};

}  // namespace

std::unique_ptr<LinearWeight> MakePackedInt4Weight(const at::Tensor& weight,
                                                   const at::Tensor& weight_scale,
                                                   const at::Tensor& zero,
                                                   const LinearWeight& original) {
  if (nn::IsHollow(weight) || !weight.is_cpu()) return nullptr;
  const int64_t group = original.in_features() / std::max<int64_t>(1, weight_scale.size(1));
  if (!ops::W4A8Packs(original.in_features(), group)) return nullptr;
  const at::Tensor packed =
      ops::W4A8Pack(weight.detach(), weight_scale.detach(),
                    zero.defined() ? std::optional(zero.detach()) : std::nullopt);
  return std::make_unique<PackedInt4Weight>(packed, group, original);
}

}  // namespace wanlite
