// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/factored_weight.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/tensor_text.h"
#include "src/model/wrap_weight.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kFactorA[] = "factor_a";
constexpr char kFactorB[] = "factor_b";

class FactoredWeight : public LinearWeight {
 public:
  FactoredWeight(at::Tensor a, at::Tensor b) : a_(std::move(a)), b_(std::move(b)) {}

  absl::string_view format() const override { return "factored"; }
  int64_t in_features() const override { return a_.size(1); }
  int64_t out_features() const override { return b_.size(0); }
  int64_t parameters() const override { return a_.numel() + b_.numel(); }

  at::Tensor Apply(const Activation& input, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor& x = input.dense();
    TORCH_CHECK(x.dim() >= 1 && x.size(-1) == in_features(), "linear [", out_features(), ", ",
                in_features(), "] applied to ", x.sizes());
    const at::ScalarType dtype = at::promote_types(x.scalar_type(), a_.scalar_type());
    std::optional<at::Tensor> cast = bias;
    if (cast.has_value()) cast = cast->to(dtype);
    return at::linear(at::linear(x.to(dtype), a_.to(dtype)), b_.to(dtype), cast)
        .to(x.scalar_type());
  }

  LinearArithmetic arithmetic() const override {
    const int bits = static_cast<int>(8 * a_.element_size());
    LinearArithmetic arithmetic{.weight_bits = bits, .activation_bits = bits};
    arithmetic.realised_fraction =
        static_cast<double>(parameters()) /
        (static_cast<double>(in_features()) * static_cast<double>(out_features()));
    return arithmetic;
  }

  std::vector<WeightTensor> State() const override { return {{kFactorA, a_}, {kFactorB, b_}}; }

  // Of the matrices that Apply() multiplies by, which are the factors.
  double NonZero() const override {
    const int64_t nonzero = at::count_nonzero(a_.detach()).item<int64_t>() +
                            at::count_nonzero(b_.detach()).item<int64_t>();
    return parameters() == 0 ? 1 : static_cast<double>(nonzero) / static_cast<double>(parameters());
  }
  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return b_.to(at::kFloat).matmul(a_.to(at::kFloat));
  }
  at::Tensor Matrix() const override { return b_.matmul(a_); }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("a factored weight has no dimension ", dim));
    }
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      return std::make_unique<FactoredWeight>(dim == 1 ? SelectFrom(a_, 1, index) : CopyOf(a_),
                                              dim == 0 ? SelectFrom(b_, 0, index) : CopyOf(b_));
    });
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    return std::make_unique<FactoredWeight>(a_, b_);
  }

 private:
  at::Tensor a_;  // [rank, in]
  at::Tensor b_;  // [out, rank]
};

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFactoredWeight(const at::Tensor& a,
                                                                 const at::Tensor& b) {
  if (!a.defined() || !b.defined() || a.dim() != 2 || b.dim() != 2 || a.size(0) < 1 ||
      a.size(0) != b.size(1) || !a.is_floating_point() || a.scalar_type() != b.scalar_type()) {
    const auto text = [](const at::Tensor& tensor) {
      return tensor.defined() ? TensorText(tensor) : std::string("nothing");
    };
    return absl::InvalidArgumentError(
        absl::StrCat("a factored weight is factor_a [rank, in] and factor_b [out, rank] of one "
                     "floating dtype, found ",
                     text(a), " and ", text(b)));
  }
  return std::make_unique<FactoredWeight>(a, b);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> FactoredWeightFromState(
    const WeightState& state, absl::string_view attributes_json, const WeightFormatRegistry&) {
  const auto a = state.find(kFactorA), b = state.find(kFactorB);
  if (state.size() != 2 || a == state.end() || b == state.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a factored weight has the tensors factor_a and factor_b, found {",
        absl::StrJoin(state, ", ",
                      [](std::string* out, const auto& entry) { out->append(entry.first); }),
        "}"));
  }
  if (attributes_json != "{}" && !attributes_json.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("a factored weight has no attributes, found ",
                                                   attributes_json.substr(0, 100)));
  }
  return MakeFactoredWeight(a->second, b->second);
}

}  // namespace wanlite
