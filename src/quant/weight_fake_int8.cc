// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/model/wrap_weight.h"
#include "src/ops/int8_math.h"
#include "src/ops/ops.h"
#include "src/quant/weight_int8.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

constexpr char kLearnedScale[] = "quant_scale";

// The rounded matrix in its two forms, both in the rotated basis.
struct RoundedMatrix {
  at::Tensor codes, scale;  // int8 [out, in], fp32 [out, 1]; no gradients
  at::Tensor values;  // fp32 [out, in], codes * scale, with the graph that goes round rounding
};

// y = Int8Linear(x, codes, scale, bias) with the gradients of y = x values^T + bias, where x stands
// for its quantized tokens.
class FakeInt8Product : public torch::autograd::Function<FakeInt8Product> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& values, const at::Tensor& codes,
                            const at::Tensor& scale, const std::optional<at::Tensor>& bias,
                            int64_t rotation_group) {
    const at::NoGradGuard no_grad;
    context->save_for_backward({x, values});
    context->saved_data["rotation_group"] = rotation_group;
    if (bias.has_value()) context->saved_data["bias_dtype"] = bias->scalar_type();
    return ops::Int8Linear(x, codes, scale, bias, rotation_group);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const at::NoGradGuard no_grad;
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& values = saved[1];
    const int64_t group = context->saved_data["rotation_group"].toInt();
    const at::Tensor dy = gradients[0].to(at::kFloat).reshape({-1, values.size(0)});
    at::Tensor dx, dvalues, dbias;
    if (context->needs_input_grad(0)) {
      dx = dy.matmul(values);
      if (group != 0) dx = ops::HadamardRotate(dx, group);
      dx = dx.reshape(x.sizes()).to(x.scalar_type());
    }
    if (context->needs_input_grad(1)) {
      const auto [q, scale] = ops::QuantizePerToken(x, group);
      dvalues = dy.t().matmul(q.to(at::kFloat).mul_(scale).reshape({-1, values.size(1)}));
    }
    const auto bias_dtype = context->saved_data.find("bias_dtype");
    if (bias_dtype != context->saved_data.end()) {
      dbias = dy.sum(0).to(bias_dtype->second.toScalarType());
    }
    return {dx, dvalues, {}, {}, dbias, {}};
  }
};

class FakeInt8Weight : public LinearWeight {
 public:
  // learned_scale: fp32 [out, 1], or undefined for scales that are computed.
  FakeInt8Weight(std::unique_ptr<LinearWeight> base, int64_t rotation_group,
                 at::Tensor learned_scale)
      : base_(std::move(base)),
        rotation_group_(rotation_group),
        learned_scale_(std::move(learned_scale)) {}

  absl::string_view format() const override { return "fake_int8"; }
  std::string attributes() const override {
    nlohmann::json json = WrapAttributes(*base_);
    if (learned_scale_.defined()) json["learned_scale"] = true;
    if (rotation_group_ != 0) {
      json["rotation"] = "convrot";
      json["rotation_group"] = rotation_group_;
    }
    return json.dump();
  }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

  const InputForm* input_form() const override { return &Int8TokenForm(rotation_group_); }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    const RoundedMatrix matrix = Rounded();
    if (at::GradMode::is_enabled() && (x.requires_grad() || matrix.values.requires_grad() ||
                                       (bias.has_value() && bias->requires_grad()))) {
      return FakeInt8Product::apply(x.dense(), matrix.values, matrix.codes, matrix.scale, bias,
                                    rotation_group_);
    }
    const QuantizedInput input = x.In(Int8TokenForm(rotation_group_));
    return ops::Int8Gemm(input.values, input.scale, matrix.codes, matrix.scale, bias, x.dtype());
  }

  LinearArithmetic arithmetic() const override {
    return MakeHollowInt8Weight(out_features(), in_features(), rotation_group_)->arithmetic();
  }

  std::vector<WeightTensor> State() const override {
    std::vector<WeightTensor> states = base_->State();
    if (learned_scale_.defined()) {
      states.push_back(
          {kLearnedScale, learned_scale_, WeightTensor::Role::kScale, /*trains=*/true});
    }
    return states;
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return Matrix();
  }
  at::Tensor Matrix() const override {
    const at::Tensor values = Rounded().values;
    return rotation_group_ == 0 ? values : ops::HadamardRotate(values, rotation_group_);
  }
  double NonZero() const override {
    const at::NoGradGuard no_grad;
    const at::Tensor codes = Rounded().codes;
    if (codes.numel() == 0) return 1;
    return static_cast<double>(at::count_nonzero(codes).item<int64_t>()) /
           static_cast<double>(codes.numel());
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim == 1 && rotation_group_ != 0) {
      WANLITE_RETURN_IF_ERROR(CheckKeepsGroups(index, rotation_group_));
    }
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Select(dim, index));
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      at::Tensor scale;
      if (learned_scale_.defined()) {
        scale = dim == 0 ? SelectFrom(learned_scale_, 0, index) : CopyOf(learned_scale_);
      }
      return std::make_unique<FakeInt8Weight>(std::move(base), rotation_group_, std::move(scale));
    });
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
    return std::make_unique<FakeInt8Weight>(std::move(base), rotation_group_, learned_scale_);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Merge() const override {
    if (IsHollowWeight(*this)) {
      return MakeHollowInt8Weight(out_features(), in_features(), rotation_group_);
    }
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      const at::NoGradGuard no_grad;
      const RoundedMatrix matrix = Rounded();
      if (!matrix.scale.isfinite().all().item<bool>()) {
        return absl::InvalidArgumentError(
            "the trained weight holds a NaN or an infinity, or a scale that is one");
      }
      const WeightState state = {{"weight", matrix.codes}, {"weight_scale", matrix.scale}};
      return Int8WeightFromState(state, Int8Attributes(rotation_group_), WeightFormatRegistry());
    });
  }

 private:
  RoundedMatrix Rounded() const {
    at::Tensor wanted = base_->Matrix().to(at::kFloat);
    if (rotation_group_ != 0) wanted = ops::HadamardRotate(wanted, rotation_group_);
    RoundedMatrix rounded;
    if (!learned_scale_.defined()) {
      std::tie(rounded.codes, rounded.scale) = ops::QuantizePerToken(wanted.detach());
      const at::Tensor values = rounded.codes.to(at::kFloat).mul_(rounded.scale);
      rounded.values = wanted + (values - wanted.detach());
      if (!rounded.values.requires_grad()) rounded.values = values;
      return rounded;
    }
    // LSQ: the gradient of a row's scale is that of round(w / s) s, made smaller by the number of
    // weights that share it.
    const double damping =
        1 / std::sqrt(static_cast<double>(wanted.size(1)) * static_cast<double>(ops::kInt8Limit));
    const at::Tensor magnitude = learned_scale_.abs();
    rounded.scale = magnitude.detach().clone();
    const at::Tensor scale = magnitude.requires_grad()
                                 ? magnitude * damping + (magnitude - magnitude * damping).detach()
                                 : magnitude;
    // Where the scale is zero nothing is divided by it.
    const auto divided_by = [&](const at::Tensor& w, const at::Tensor& s) {
      const double limit = ops::kInt8Limit;
      return (w / at::where(rounded.scale > 0, s, at::ones_like(s))).clamp(-limit, limit);
    };
    rounded.codes = divided_by(wanted.detach(), rounded.scale).round().to(at::kChar);
    const at::Tensor ratio = divided_by(wanted, scale);
    const at::Tensor nearest = ratio.detach().round();
    rounded.values = (ratio + (nearest - ratio.detach())) * scale;
    if (!rounded.values.requires_grad()) {
      rounded.values = rounded.codes.to(at::kFloat).mul_(rounded.scale);
    }
    return rounded;
  }

  std::unique_ptr<LinearWeight> base_;
  int64_t rotation_group_;    // 0: none
  at::Tensor learned_scale_;  // its magnitude counts
};

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFakeInt8(std::unique_ptr<LinearWeight> base,
                                                           int64_t rotation_group,
                                                           at::Tensor learned_scale) {
  WANLITE_RETURN_IF_ERROR(CheckBase("fake_int8", base.get(), {kLearnedScale}));
  WANLITE_RETURN_IF_ERROR(CheckRotationGroup(rotation_group, base->in_features()));
  if (base->in_features() > ops::kMaxInt8Features) {
    return absl::InvalidArgumentError(absl::StrCat("an int8 weight of ", base->in_features(),
                                                   " input features; at most ",
                                                   ops::kMaxInt8Features, " are supported"));
  }
  if (learned_scale.defined() &&
      (learned_scale.scalar_type() != at::kFloat || learned_scale.dim() != 2 ||
       learned_scale.size(0) != base->out_features() || learned_scale.size(1) != 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kLearnedScale, " must be fp32 [", base->out_features(), ", 1], found ",
                     DtypeName(learned_scale.scalar_type()), " [",
                     absl::StrJoin(learned_scale.sizes(), ", "), "]"));
  }
  return std::make_unique<FakeInt8Weight>(std::move(base), rotation_group,
                                          std::move(learned_scale));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFakeInt8Weight(std::unique_ptr<LinearWeight> base,
                                                                 int64_t rotation_group,
                                                                 bool learned_scale) {
  if (base == nullptr || !learned_scale) {
    return MakeFakeInt8(std::move(base), rotation_group, {});
  }
  WANLITE_RETURN_IF_ERROR(CheckRotationGroup(rotation_group, base->in_features()));
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor scale, CatchTorch([&]() -> at::Tensor {
                             const at::NoGradGuard no_grad;
                             if (IsHollowWeight(*base)) {
                               const nn::HollowGuard hollow;
                               return nn::NewTensor({base->out_features(), 1});
                             }
                             const at::Tensor matrix = base->Matrix().to(at::kFloat);
                             return std::get<1>(ops::QuantizePerToken(matrix, rotation_group));
                           }));
  return MakeFakeInt8(std::move(base), rotation_group, scale);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> FakeInt8WeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse("attributes of a fake_int8 weight", attributes_json));
  WANLITE_RETURN_IF_ERROR(
      attributes.OnlyHas({"base", "learned_scale", "rotation", "rotation_group"}));
  WANLITE_ASSIGN_OR_RETURN(const int64_t group, ParseRotation(attributes));
  bool learned = false;
  WANLITE_RETURN_IF_ERROR(attributes.Bool({"learned_scale"}, learned));
  if (!learned) {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                             BaseFromState(attributes, state, {}, formats));
    return MakeFakeInt8(std::move(base), group, {});
  }
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                           BaseFromState(attributes, state, {kLearnedScale}, formats));
  return MakeFakeInt8(std::move(base), group, state.at(kLearnedScale));
}

}  // namespace wanlite
