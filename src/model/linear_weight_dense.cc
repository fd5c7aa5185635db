// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/packed_dense_weight.h"
#include "src/model/wrap_weight.h"
#include "wanlite/linear_weight.h"

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

  at::Tensor Apply(const Activation& input, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor& x = input.dense();
    TORCH_CHECK(x.dim() >= 1 && x.size(-1) == in_features(), "linear [", out_features(), ", ",
                in_features(), "] applied to ", x.sizes());
    const at::ScalarType dtype = weight_.scalar_type();
    // The matrix product runs in the weight's dtype; the result comes back in the input's.
    if (!bias.has_value() || bias->scalar_type() == dtype) {
      return at::linear(x.to(dtype), weight_, bias).to(x.scalar_type());
    }
    // A matrix that was cast beside its bias.
    return (at::linear(x.to(dtype), weight_).to(at::kFloat) + bias->to(at::kFloat))
        .to(x.scalar_type());
  }

  LinearArithmetic arithmetic() const override {
    const int bits = static_cast<int>(8 * weight_.element_size());
    return {.weight_bits = bits, .activation_bits = bits};
  }

  std::vector<WeightTensor> State() const override { return {{"weight", weight_}}; }
  const at::Tensor* dense() const override { return &weight_; }

  double NonZero() const override {
    if (weight_.numel() == 0) return 1;
    return static_cast<double>(at::count_nonzero(weight_.detach()).item<int64_t>()) /
           static_cast<double>(weight_.numel());
  }
  at::Tensor Matrix() const override { return weight_; }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    return std::make_unique<DenseWeight>(weight_);
  }

  at::Tensor Dequantize() const override { return weight_.detach().to(at::kFloat); }
  std::unique_ptr<LinearWeight> Packed() const override { return MakePackedDenseWeight(weight_); }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("dense weight has no dimension ", dim));
    }
    return CatchTorch([&] { return MakeDenseWeight(SelectFrom(weight_, dim, index)); });
  }

 private:
  at::Tensor weight_;  // [out, in]
};

}  // namespace

std::unique_ptr<LinearWeight> MakeDenseWeight(at::Tensor weight) {
  return std::make_unique<DenseWeight>(std::move(weight));
}

double LinearWeight::NonZero() const {
  const at::Tensor matrix = Dequantize();
  if (matrix.numel() == 0) return 1;
  return static_cast<double>(at::count_nonzero(matrix).item<int64_t>()) /
         static_cast<double>(matrix.numel());
}

absl::StatusOr<std::unique_ptr<LinearWeight>> LinearWeight::Share() const {
  return absl::UnimplementedError(
      absl::StrCat("a weight of format ", std::string(format()), " cannot be wrapped"));
}

absl::StatusOr<std::unique_ptr<LinearWeight>> LinearWeight::Merge() const {
  return absl::FailedPreconditionError(
      absl::StrCat("a weight of format ", std::string(format()), " has nothing to merge"));
}

int64_t LinearWeight::bytes() const {
  int64_t bytes = 0;
  for (const WeightTensor& state : State()) {
    bytes += state.tensor.numel() * static_cast<int64_t>(state.tensor.element_size());
  }
  return bytes;
}

double LinearWeight::bits_per_weight() const {
  const double weights = static_cast<double>(in_features()) * static_cast<double>(out_features());
  return weights == 0 ? 0 : 8 * static_cast<double>(bytes()) / weights;
}

}  // namespace wanlite
