// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/model/wrap_weight.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

constexpr char kMaskSuffix[] = "weight_mask";

class MaskedWeight : public LinearWeight {
 public:
  MaskedWeight(std::unique_ptr<LinearWeight> base, at::Tensor mask)
      : base_(std::move(base)), mask_(std::move(mask)) {}

  absl::string_view format() const override { return "masked"; }
  std::string attributes() const override { return WrapAttributes(*base_).dump(); }
  int64_t in_features() const override { return mask_.size(1); }
  int64_t out_features() const override { return mask_.size(0); }

  at::Tensor Apply(const Activation& input, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor& x = input.dense();
    TORCH_CHECK(x.dim() >= 1 && x.size(-1) == in_features(), "linear [", out_features(), ", ",
                in_features(), "] applied to ", x.sizes());
    const at::Tensor matrix = Matrix();
    std::optional<at::Tensor> cast = bias;
    if (cast.has_value()) cast = cast->to(matrix.scalar_type());
    return at::linear(x.to(matrix.scalar_type()), matrix, cast).to(x.scalar_type());
  }

  LinearArithmetic arithmetic() const override {
    const int bits =
        base_->dense() == nullptr ? 32 : static_cast<int>(8 * base_->dense()->element_size());
    return {.weight_bits = bits, .activation_bits = bits};
  }

  std::vector<WeightTensor> State() const override {
    std::vector<WeightTensor> states = base_->State();
    states.push_back({kMaskSuffix, mask_, WeightTensor::Role::kMask});
    return states;
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return base_->Dequantize().masked_fill(mask_.logical_not(), 0);
  }
  at::Tensor Matrix() const override { return base_->Matrix().masked_fill(mask_.logical_not(), 0); }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Select(dim, index));
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      return std::make_unique<MaskedWeight>(std::move(base), SelectFrom(mask_, dim, index));
    });
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
    return std::make_unique<MaskedWeight>(std::move(base), mask_);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Merge() const override {
    return MergeDense(*this, *base_);
  }

 private:
  std::unique_ptr<LinearWeight> base_;
  at::Tensor mask_;  // bool [out, in]
};

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeMaskedWeight(std::unique_ptr<LinearWeight> base,
                                                               const at::Tensor& mask) {
  WANLITE_RETURN_IF_ERROR(CheckBase("masked", base.get(), {kMaskSuffix}));
  if (!mask.defined() || mask.scalar_type() != at::kBool || mask.dim() != 2 ||
      mask.size(0) != base->out_features() || mask.size(1) != base->in_features()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "weight_mask must be bool [", base->out_features(), ", ", base->in_features(), "], found ",
        mask.defined() ? absl::StrCat(DtypeName(mask.scalar_type()), " [",
                                      absl::StrJoin(mask.sizes(), ", "), "]")
                       : "nothing"));
  }
  return std::make_unique<MaskedWeight>(std::move(base), mask);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> MaskedWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse("attributes of a masked weight", attributes_json));
  WANLITE_RETURN_IF_ERROR(attributes.OnlyHas({"base"}));
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                           BaseFromState(attributes, state, {kMaskSuffix}, formats));
  return MakeMaskedWeight(std::move(base), state.at(kMaskSuffix));
}

}  // namespace wanlite
