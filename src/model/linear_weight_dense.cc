// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/linear_weight.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

class DenseWeight : public LinearWeight {
 public:
  explicit DenseWeight(at::Tensor weight) : weight_(std::move(weight)) {
    TORCH_CHECK(weight_.dim() == 2 && weight_.is_floating_point(),
                "a dense weight is a floating-point matrix [out, in], got ", weight_.scalar_type(),
                " ", weight_.sizes());
  }

  absl::string_view format() const override { return "dense"; }
  int64_t in_features() const override { return weight_.size(1); }
  int64_t out_features() const override { return weight_.size(0); }
  bool trainable() const override { return true; }

  at::Tensor Apply(const at::Tensor& x, const std::optional<at::Tensor>& bias) const override {
    TORCH_CHECK(x.dim() >= 1 && x.size(-1) == in_features(), "linear [", out_features(), ", ",
                in_features(), "] applied to ", x.sizes());
    const at::ScalarType dtype = weight_.scalar_type();
    if (x.scalar_type() == dtype) return at::linear(x, weight_, bias);
    // The matrix product runs in the weight's dtype; the result comes back in the input's.
    return at::linear(x.to(dtype), weight_, bias).to(x.scalar_type());
  }

  LinearArithmetic arithmetic() const override {
    const int bits = static_cast<int>(8 * weight_.element_size());
    return {.weight_bits = bits, .activation_bits = bits};
  }

  std::vector<NamedTensor> State() const override { return {{"weight", weight_}}; }

  at::Tensor Dequantize() const override { return weight_.detach().to(at::kFloat); }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("dense weight has no dimension ", dim));
    }
    at::NoGradGuard no_grad;
    if (nn::IsHollow(weight_)) {
      std::vector<int64_t> shape = weight_.sizes().vec();
      shape[dim] = index.numel();
      nn::HollowGuard hollow;
      return MakeDenseWeight(nn::NewTensor(shape, weight_.scalar_type()));
    }
    return MakeDenseWeight(weight_.index_select(dim, index.to(weight_.device())).detach());
  }

 private:
  at::Tensor weight_;  // [out, in]
};

}  // namespace

std::unique_ptr<LinearWeight> MakeDenseWeight(at::Tensor weight) {
  return std::make_unique<DenseWeight>(std::move(weight));
}

double LinearWeight::bits_per_weight() const {
  double bytes = 0;
  for (const NamedTensor& state : State()) {
    bytes += static_cast<double>(state.tensor.numel()) * state.tensor.element_size();
  }
  const double weights = static_cast<double>(in_features()) * static_cast<double>(out_features());
  return weights == 0 ? 0 : 8 * bytes / weights;
}

}  // namespace wanlite
