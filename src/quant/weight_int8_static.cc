// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_int8_static.h"

#include <cmath>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/json_fields.h"
#include "src/core/libtorch.h"
#include "src/model/frozen_product.h"
#include "src/model/tensor_text.h"
#include "src/model/wrap_weight.h"
#include "src/ops/int8_math.h"
#include "src/ops/ops.h"
#include "src/quant/weight_int8.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Inputs by a scale of the layer; layers of equal scales share them.
class Int8StaticForm : public InputForm {
 public:
  Int8StaticForm(at::Tensor scale, int64_t rotation_group)
      : scale_(std::move(scale)), rotation_group_(rotation_group) {}

  absl::string_view key() const override {
    // The scale comes when the weight is loaded.
    if (nn::IsHollow(scale_)) return "int8_static/hollow";
    std::call_once(named_, [&] {
      key_ = absl::StrCat("int8_static/", rotation_group_, "/",
                          absl::Hex(ops::FloatBits(scale_.item<float>())));
    });
    return key_;
  }
  QuantizedInput Quantize(const at::Tensor& x) const override {
    const at::NoGradGuard no_grad;
    auto [q, scale] = ops::QuantizeStatic(x, scale_, rotation_group_);
    return {std::move(q), std::move(scale)};
  }

 private:
  const at::Tensor scale_;
  const int64_t rotation_group_;
  mutable std::once_flag named_;
  mutable std::string key_;
};

// Inputs in the rotated basis, for weights that are.
class RotatedForm : public InputForm {
 public:
  explicit RotatedForm(int64_t group) : group_(group), key_(absl::StrCat("rotated/", group)) {}
  absl::string_view key() const override { return key_; }
  QuantizedInput Quantize(const at::Tensor& x) const override {
    return {ops::HadamardRotate(x.to(at::kFloat), group_), {}};
  }

 private:
  const int64_t group_;
  const std::string key_;
};

// What both are: an int8 weight whose inputs are others.
class Int8OtherInputs : public LinearWeight {
 public:
  explicit Int8OtherInputs(std::unique_ptr<LinearWeight> base) : base_(std::move(base)) {
    // The attributes are those of a weight that is there, so they parse.
    const auto fields = JsonFields::Parse("attributes of an int8 weight", base_->attributes());
    TORCH_INTERNAL_ASSERT(fields.ok());
    const auto group = ParseRotation(*fields);
    TORCH_INTERNAL_ASSERT(group.ok());
    rotation_group_ = *group;
  }
  std::string attributes() const override { return base_->attributes(); }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }
  std::vector<WeightTensor> State() const override { return base_->State(); }
  double NonZero() const override { return base_->NonZero(); }
  at::Tensor Dequantize() const override { return base_->Dequantize(); }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    return FrozenProduct(
        x, bias, [&] { return Product(x, bias); },
        [&] {
          return [base = std::shared_ptr<LinearWeight>(*base_->Share())] {
            return base->Dequantize();
          };
        });
  }

 protected:
  virtual at::Tensor Product(const Activation& x, const std::optional<at::Tensor>& bias) const = 0;

  std::unique_ptr<LinearWeight> base_;
  int64_t rotation_group_;
};

class Int8StaticWeight : public Int8OtherInputs {
 public:
  Int8StaticWeight(std::unique_ptr<LinearWeight> base, at::Tensor input_scale)
      : Int8OtherInputs(std::move(base)),
        input_scale_(std::move(input_scale)),
        form_(input_scale_, rotation_group_) {}

  absl::string_view format() const override { return "int8_static"; }
  const InputForm* input_form() const override { return &form_; }
  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic = base_->arithmetic();
    arithmetic.input_ops -= 1;  // no maximum, but finite or not
    return arithmetic;
  }
  std::vector<WeightTensor> State() const override {
    std::vector<WeightTensor> state = base_->State();
    state.push_back({"input_scale", input_scale_, WeightTensor::Role::kScale, false});
    return state;
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Select(dim, index));
    return std::make_unique<Int8StaticWeight>(std::move(base), CopyOf(input_scale_));
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
    return std::make_unique<Int8StaticWeight>(std::move(base), input_scale_);
  }
  std::unique_ptr<LinearWeight> Packed() const override {
    std::unique_ptr<LinearWeight> base = base_->Packed();
    if (base == nullptr) return nullptr;
    return std::make_unique<Int8StaticWeight>(std::move(base), input_scale_);
  }

 private:
  at::Tensor Product(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    // The base multiplies what it takes for its own form.
    const Activation quantized(*base_->input_form(), x.In(form_), x.dtype(),
                               [&x] { return x.dense(); });
    return base_->Apply(quantized, bias);
  }

  at::Tensor input_scale_;  // fp32 [1]
  Int8StaticForm form_;
};

class Int8WeightOnly : public Int8OtherInputs {
 public:
  explicit Int8WeightOnly(std::unique_ptr<LinearWeight> base)
      : Int8OtherInputs(std::move(base)), form_(rotation_group_) {}

  absl::string_view format() const override { return "int8_weight_only"; }
  const InputForm* input_form() const override { return rotation_group_ == 0 ? nullptr : &form_; }
  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic;
    if (rotation_group_ != 0) {
      arithmetic.input_ops = std::log2(static_cast<double>(rotation_group_));
    }
    return arithmetic;
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Select(dim, index));
    return std::make_unique<Int8WeightOnly>(std::move(base));
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
    return std::make_unique<Int8WeightOnly>(std::move(base));
  }

 private:
  at::Tensor Product(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    const std::vector<WeightTensor> state = base_->State();
    const at::Tensor input = rotation_group_ == 0 ? x.dense() : x.In(form_).values;
    return ops::Int8WeightLinear(input, state[0].tensor, state[1].tensor, bias).to(x.dtype());
  }

  RotatedForm form_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeInt8StaticWeight(
    std::unique_ptr<LinearWeight> int8, double input_scale) {
  const auto scale = static_cast<float>(input_scale);
  if (!std::isnormal(scale) || scale < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a scale of inputs must be positive and finite, found ", input_scale,
                     "; the recorded inputs of this layer are all zeros, or not finite"));
  }
  return std::make_unique<Int8StaticWeight>(std::move(int8),
                                            at::full({1}, scale, at::dtype(at::kFloat)));
}

std::unique_ptr<LinearWeight> MakeHollowInt8StaticWeight(std::unique_ptr<LinearWeight> int8) {
  const nn::HollowGuard hollow;
  return std::make_unique<Int8StaticWeight>(std::move(int8), nn::NewTensor({1}, at::kFloat));
}

std::unique_ptr<LinearWeight> MakeInt8WeightOnly(std::unique_ptr<LinearWeight> int8) {
  return std::make_unique<Int8WeightOnly>(std::move(int8));
}

absl::StatusOr<std::unique_ptr<LinearWeight>> Int8StaticFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats) {
  WeightState base_state = state;
  const auto scale = base_state.find("input_scale");
  if (scale == base_state.end() || !scale->second.defined()) {
    return absl::InvalidArgumentError(
        "an int8_static weight needs the tensor input_scale, which is missing");
  }
  const at::Tensor input_scale = scale->second;
  if (input_scale.scalar_type() != at::kFloat || input_scale.sizes() != at::IntArrayRef({1})) {
    return absl::InvalidArgumentError(
        absl::StrCat("input_scale must be fp32 [1], found ", TensorText(input_scale)));
  }
  base_state.erase(scale);
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                           Int8WeightFromState(base_state, attributes_json, formats));
  return std::make_unique<Int8StaticWeight>(std::move(base), input_scale);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> Int8WeightOnlyFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats) {
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                           Int8WeightFromState(state, attributes_json, formats));
  return std::make_unique<Int8WeightOnly>(std::move(base));
}

}  // namespace wanlite
