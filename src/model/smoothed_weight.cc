// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/model/tensor_text.h"
#include "src/model/wrap_weight.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

constexpr char kDivisor[] = "smooth_divisor";

at::Tensor Smooth(const at::Tensor& x, const at::Tensor& divisor) {
  return (x.to(at::kFloat) / divisor).to(x.scalar_type());
}

// The base's form of the divided input, or that input itself where the base reads floating ones.
class SmoothedForm : public InputForm {
 public:
  SmoothedForm(const InputForm* base, at::Tensor divisor)
      : base_(base), divisor_(std::move(divisor)) {}

  // Of the values, which are not there yet when a hollow weight is made.
  absl::string_view key() const override {
    const std::lock_guard lock(mutex_);
    if (key_.empty() && !nn::IsHollow(divisor_)) {
      const at::Tensor values = divisor_.detach().cpu().contiguous();
      Sha256 hash;
      hash.Update(
          absl::string_view(static_cast<const char*>(values.const_data_ptr()), values.nbytes()));
      key_ = absl::StrCat("smoothed/", hash.Finish().substr(0, 16), "/",
                          base_ == nullptr ? "" : base_->key());
    }
    return key_;
  }
  QuantizedInput Quantize(const at::Tensor& x) const override {
    const at::Tensor smooth = Smooth(x, divisor_);
    return base_ == nullptr ? QuantizedInput{smooth, {}} : base_->Quantize(smooth);
  }

 private:
  const InputForm* base_;
  const at::Tensor divisor_;
  mutable std::mutex mutex_;
  mutable std::string key_;
};

class SmoothedWeight : public LinearWeight {
 public:
  SmoothedWeight(std::unique_ptr<LinearWeight> base, at::Tensor divisor)
      : base_(std::move(base)),
        divisor_(std::move(divisor)),
        form_(base_->input_form(), divisor_) {}

  absl::string_view format() const override { return "smoothed"; }
  std::string attributes() const override { return WrapAttributes(*base_).dump(); }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

  const InputForm* input_form() const override { return &form_; }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    if (at::GradMode::is_enabled()) return base_->Apply(Smooth(x.dense(), divisor_), bias);
    const QuantizedInput input = x.In(form_);
    if (base_->input_form() == nullptr) return base_->Apply(input.values, bias);
    return base_->Apply(Activation(*base_->input_form(), input, x.dtype(),
                                   [&] { return Smooth(x.dense(), divisor_); }),
                        bias);
  }

  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic = base_->arithmetic();
    arithmetic.input_ops += 1;
    return arithmetic;
  }

  std::vector<WeightTensor> State() const override {
    std::vector<WeightTensor> states = base_->State();
    states.push_back({kDivisor, divisor_, WeightTensor::Role::kScale, /*trains=*/false});
    return states;
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return base_->Dequantize() / divisor_;
  }
  at::Tensor Matrix() const override { return base_->Matrix().to(at::kFloat) / divisor_; }
  double NonZero() const override { return base_->NonZero(); }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Select(dim, index));
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      return std::make_unique<SmoothedWeight>(
          std::move(base), dim == 1 ? SelectFrom(divisor_, 0, index) : CopyOf(divisor_));
    });
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
    return std::make_unique<SmoothedWeight>(std::move(base), divisor_);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Merge() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Merge());
    return std::make_unique<SmoothedWeight>(std::move(base), divisor_);
  }
  std::unique_ptr<LinearWeight> Packed() const override {
    std::unique_ptr<LinearWeight> base = base_->Packed();
    if (base == nullptr) return nullptr;
    return std::make_unique<SmoothedWeight>(std::move(base), divisor_);
  }

 private:
  std::unique_ptr<LinearWeight> base_;
  at::Tensor divisor_;  // fp32 [in]
  const SmoothedForm form_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeSmoothedWeight(std::unique_ptr<LinearWeight> base,
                                                                 const at::Tensor& divisor) {
  WANLITE_RETURN_IF_ERROR(CheckBase("smoothed", base.get(), {kDivisor}));
  if (!divisor.defined() || divisor.scalar_type() != at::kFloat || divisor.dim() != 1 ||
      divisor.size(0) != base->in_features()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kDivisor, " must be fp32 [", base->in_features(), "], found ",
                     divisor.defined() ? TensorText(divisor) : "nothing"));
  }
  if (!nn::IsHollow(divisor)) {
    const at::NoGradGuard no_grad;
    if (!(divisor > 0).logical_and(divisor.isfinite()).all().item<bool>()) {
      return absl::InvalidArgumentError(
          absl::StrCat(kDivisor, " holds a value that is not positive and finite"));
    }
  }
  return std::make_unique<SmoothedWeight>(std::move(base), divisor);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> SmoothedWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse("attributes of a smoothed weight", attributes_json));
  WANLITE_RETURN_IF_ERROR(attributes.OnlyHas({"base"}));
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                           BaseFromState(attributes, state, {kDivisor}, formats));
  return MakeSmoothedWeight(std::move(base), state.at(kDivisor));
}

}  // namespace wanlite
