// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_nvfp4.h"
#include "src/model/weight_state.h"

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/frozen_product.h"
#include "src/model/select_groups.h"
#include "src/model/tensor_text.h"
#include "src/model/wrap_weight.h"
#include "src/ops/fp8_math.h"
#include "src/ops/ops.h"
#include "src/quant/make_weight.h"
#include "src/quant/weight_int4.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kNvfp4Inputs[] = "{\"activations\":\"nvfp4\"}";
constexpr char kNvfp4FloatInputs[] = "{\"activations\":\"float\"}";

absl::Status CheckNvfp4Shape(int64_t in_features) {
  if (in_features % ops::kNvfp4Group != 0) {
    return absl::InvalidArgumentError(absl::StrCat("NVFP4's groups of ", ops::kNvfp4Group,
                                                   " input features do not divide the ",
                                                   in_features, " there are"));
  }
  if (in_features > ops::kMaxInt8Features) {
    return absl::InvalidArgumentError(absl::StrCat(in_features, " input features; nvfp4 takes ",
                                                   ops::kMaxInt8Features, " at most"));
  }
  return absl::OkStatus();
}

class Nvfp4Form : public InputForm {
 public:
  absl::string_view key() const override { return "nvfp4_token"; }
  QuantizedInput Quantize(const at::Tensor& x) const override {
    const at::NoGradGuard no_grad;
    auto [q, scale] = ops::QuantizeNvfp4(x);
    return {std::move(q), std::move(scale)};
  }
};

const InputForm& Nvfp4TokenForm() {
  static const Nvfp4Form form;
  return form;
}

class Nvfp4Weight : public LinearWeight {
 public:
  Nvfp4Weight(at::Tensor weight, at::Tensor weight_scale, at::Tensor weight_scale_2,
              bool quantized_inputs)
      : weight_(std::move(weight)),
        weight_scale_(std::move(weight_scale)),
        weight_scale_2_(std::move(weight_scale_2)),
        quantized_inputs_(quantized_inputs) {}

  absl::string_view format() const override { return "nvfp4"; }
  std::string attributes() const override {
    return quantized_inputs_ ? kNvfp4Inputs : kNvfp4FloatInputs;
  }
  int64_t in_features() const override { return 2 * weight_.size(1); }
  int64_t out_features() const override { return weight_.size(0); }
  const InputForm* input_form() const override {
    return quantized_inputs_ ? &Nvfp4TokenForm() : nullptr;
  }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    return FrozenProduct(
        x, bias, [&] { return Product(x, bias); },
        [&] {
          return [weight = weight_, scale = weight_scale_, scale_2 = weight_scale_2_] {
            return ops::Nvfp4Dequantize(weight, scale, scale_2);
          };
        });
  }

  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic;
    if (!quantized_inputs_) return arithmetic;
    // Twice each code is a small integer, multiplied as a byte.
    arithmetic.weight_bits = arithmetic.activation_bits = 8;
    arithmetic.integer = true;
    arithmetic.input_ops = 4;  // magnitude, maximum, division, rounding
    arithmetic.output_ops = 3 * static_cast<double>(weight_scale_.size(1));
    return arithmetic;
  }

  std::vector<WeightTensor> State() const override {
    return {{"weight", weight_, WeightTensor::Role::kCode, false},
            {"weight_scale", weight_scale_, WeightTensor::Role::kCode, false},
            {"weight_scale_2", weight_scale_2_, WeightTensor::Role::kScale, false}};
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return ops::Nvfp4Dequantize(weight_, weight_scale_, weight_scale_2_);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("nvfp4 weight has no dimension ", dim));
    }
    at::Tensor groups;
    if (dim == 1) {
      WANLITE_ASSIGN_OR_RETURN(groups, WholeGroups("an nvfp4 weight", index, ops::kNvfp4Group));
    }
    if (nn::IsHollow(weight_)) {
      return MakeHollowNvfp4Weight(dim == 0 ? index.numel() : out_features(),
                                   dim == 1 ? index.numel() : in_features(), quantized_inputs_);
    }
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      const at::NoGradGuard no_grad;
      const at::Tensor kept = (dim == 0 ? index : groups).to(weight_.device());
      const at::Tensor scale = weight_scale_.view(at::kByte);
      const at::Tensor codes = dim == 0
                                   ? weight_.index_select(0, kept)
                                   : weight_.reshape({weight_.size(0), -1, ops::kNvfp4Group / 2})
                                         .index_select(1, kept)
                                         .flatten(1);
      return std::make_unique<Nvfp4Weight>(codes,
                                           scale.index_select(dim, kept).view(at::kFloat8_e4m3fn),
                                           weight_scale_2_.clone(), quantized_inputs_);
    });
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    return std::make_unique<Nvfp4Weight>(weight_, weight_scale_, weight_scale_2_,
                                         quantized_inputs_);
  }

 private:
  at::Tensor Product(const Activation& x, const std::optional<at::Tensor>& bias) const {
    if (!quantized_inputs_) {
      return ops::Nvfp4Linear(x.dense(), weight_, weight_scale_, weight_scale_2_, bias);
    }
    const QuantizedInput input = x.In(Nvfp4TokenForm());
    return ops::Nvfp4Gemm(input.values, input.scale, weight_, weight_scale_, weight_scale_2_, bias,
                          x.dtype());
  }

  at::Tensor weight_;          // uint8 [out, in / 2]
  at::Tensor weight_scale_;    // float8_e4m3fn [out, in / 16]
  at::Tensor weight_scale_2_;  // fp32 [1]
  bool quantized_inputs_;
};

// fp32 [n, features] of packed codes [n, features / 2].
at::Tensor CodeValues(const at::Tensor& packed) {
  const at::Tensor values =
      at::tensor({0., 0.5, 1., 1.5, 2., 3., 4., 6., -0., -0.5, -1., -1.5, -2., -3., -4., -6.})
          .to(at::kFloat);
  const at::Tensor codes = packed.to(at::kInt);
  return values.index({at::stack({codes.bitwise_and(15), codes.bitwise_right_shift(4)}, -1)})
      .flatten(-2);
}

// Scales are the products weight_scale * weight_scale_2.
class Nvfp4Grid : public WeightGrid {
 public:
  Nvfp4Grid(double largest, bool quantized_inputs)
      : scale_2_(ops::Nvfp4Scale2(ops::MagnitudeBits(static_cast<float>(largest)))),
        quantized_inputs_(quantized_inputs) {}
  int64_t group() const override { return ops::kNvfp4Group; }
  at::Tensor RoundInput(const at::Tensor& inputs) const override {
    if (!quantized_inputs_) return inputs.to(at::kFloat);
    const auto [q, scale] = ops::QuantizeNvfp4(inputs);
    return CodeValues(q)
        .reshape({inputs.size(0), -1, ops::kNvfp4Group})
        .mul_(scale.unsqueeze(-1))
        .flatten(1);
  }
  // They are e4m3 under a scale of the matrix that the grid began with.
  bool free_scales() const override { return false; }

  GroupScales Fit(const at::Tensor& columns, double clip) const override {
    return Nearest({columns.abs().amax(1, /*keepdim=*/true).mul_(clip).div_(ops::kE2m1Limit), {}});
  }
  GroupScales Nearest(const GroupScales& scales) const override {
    return {ScaleCodes(scales).to(at::kFloat).mul_(scale_2_), {}};
  }
  at::Tensor Round(const at::Tensor& columns, const GroupScales& scales) const override {
    return Values(columns, scales).mul_(scales.scale);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Pack(const at::Tensor& rounded,
                                                     const GroupScales& scales,
                                                     const InputStatistics*) const override {
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      const at::NoGradGuard no_grad;
      const at::Tensor stored = ScaleCodes(scales);
      if (!at::equal(stored.to(at::kFloat).mul_(scale_2_), scales.scale)) {
        return absl::InvalidArgumentError(
            "scales that an nvfp4 weight cannot store: they are not e4m3 times the scale of the "
            "matrix");
      }
      const at::Tensor values =
          Values(rounded.reshape({-1, ops::kNvfp4Group}), {scales.scale.reshape({-1, 1}), {}});
      // 0 1/2 1 3/2 2 3 4 6 are codes 0 ... 7.
      const at::Tensor magnitude = values.abs();
      at::Tensor codes = at::where(magnitude <= 2, magnitude * 2,
                                   at::where(magnitude <= 4, magnitude + 2, magnitude / 2 + 4));
      codes = codes + at::signbit(values).to(at::kFloat) * 8;
      const WeightState state = {
          {"weight", PackNibbles(codes.to(at::kByte).reshape(rounded.sizes()))},
          {"weight_scale", stored},
          {"weight_scale_2", at::full({1}, scale_2_, at::dtype(at::kFloat))}};
      return Nvfp4WeightFromState(state, quantized_inputs_ ? kNvfp4Inputs : kNvfp4FloatInputs,
                                  WeightFormatRegistry());
    });
  }

 private:
  at::Tensor ScaleCodes(const GroupScales& scales) const {
    return (scales.scale / ops::Int8Divisor(scale_2_))
        .clamp_(0, ops::kE4m3Limit)
        .to(at::kFloat8_e4m3fn);
  }
  // The nearest e2m1 values of columns / scale, ties to even.
  static at::Tensor Values(const at::Tensor& columns, const GroupScales& scales) {
    const at::Tensor ratio = columns / DivisorOf(scales.scale);
    const at::Tensor magnitude = ratio.abs().clamp_max_(ops::kE2m1Limit);
    const at::Tensor rounded =
        at::where(magnitude < 2, (magnitude * 2).round_().div_(2),
                  at::where(magnitude < 4, magnitude.round(), (magnitude / 2).round_().mul_(2)));
    return at::copysign(rounded, ratio);
  }

  const float scale_2_;
  const bool quantized_inputs_;
};

class Nvfp4Quantizer : public WeightQuantizer {
 public:
  explicit Nvfp4Quantizer(bool quantized_inputs) : quantized_inputs_(quantized_inputs) {}
  std::string name() const override { return quantized_inputs_ ? "nvfp4 w4a4" : "nvfp4"; }
  absl::Status CheckShape(int64_t, int64_t in_features) const override {
    return CheckNvfp4Shape(in_features);
  }
  std::unique_ptr<LinearWeight> Hollow(int64_t out_features, int64_t in_features) const override {
    return MakeHollowNvfp4Weight(out_features, in_features, quantized_inputs_);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Quantize(const at::Tensor& dense,
                                                         const InputStatistics*,
                                                         QuantizationError* error) const override {
    return MakeNvfp4Weight(dense, quantized_inputs_, error);
  }
  std::unique_ptr<WeightGrid> Grid(int64_t, double largest) const override {
    if (largest < 0) return nullptr;
    return std::make_unique<Nvfp4Grid>(largest, quantized_inputs_);
  }
  std::string simulation() const override {
    if (!quantized_inputs_) return "";
    return "products of NVFP4 are simulated in speed: the CPU multiplies them as INT8, group by "
           "group";
  }

 private:
  const bool quantized_inputs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeNvfp4Weight(const at::Tensor& dense,
                                                              bool quantized_inputs,
                                                              QuantizationError* error) {
  WANLITE_RETURN_IF_ERROR(CheckDense("an nvfp4 weight", dense));
  WANLITE_RETURN_IF_ERROR(CheckNvfp4Shape(dense.size(1)));
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
    const at::NoGradGuard no_grad;
    const ops::Nvfp4Matrix q = ops::QuantizeNvfp4Weight(dense.detach());
    // The largest code times the largest scale.
    const float largest = q.weight_scale_2.item<float>() * ops::kE2m1Limit * ops::kE4m3Limit;
    if (!std::isfinite(largest)) {
      const at::Tensor magnitude = dense.detach().abs().amax(1).to(at::kFloat);
      WANLITE_RETURN_IF_ERROR(CheckRows("an nvfp4 weight", dense,
                                        magnitude.lt(std::numeric_limits<float>::max() * 0.999f)));
      return absl::InternalError("an nvfp4 weight whose scale is not finite, of finite values");
    }
    if (error != nullptr) {
      *error = MeasureError(dense, [&](int64_t begin, int64_t end) {
        return ops::Nvfp4Dequantize(q.weight.slice(0, begin, end),
                                    q.weight_scale.slice(0, begin, end), q.weight_scale_2);
      });
    }
    return std::make_unique<Nvfp4Weight>(q.weight, q.weight_scale, q.weight_scale_2,
                                         quantized_inputs);
  });
}

std::unique_ptr<LinearWeight> MakeHollowNvfp4Weight(int64_t out_features, int64_t in_features,
                                                    bool quantized_inputs) {
  const nn::HollowGuard hollow;
  return std::make_unique<Nvfp4Weight>(
      nn::NewTensor({out_features, in_features / 2}, at::kByte),
      nn::NewTensor({out_features, in_features / ops::kNvfp4Group}, at::kFloat8_e4m3fn),
      nn::NewTensor({1}, at::kFloat), quantized_inputs);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> Nvfp4WeightFromState(
    const WeightState& state, absl::string_view attributes_json, const WeightFormatRegistry&) {
  WANLITE_RETURN_IF_ERROR(
      CheckTensors("an nvfp4 weight", state, {"weight", "weight_scale", "weight_scale_2"}));
  const at::Tensor& weight = state.at("weight");
  const at::Tensor& scale = state.at("weight_scale");
  const at::Tensor& scale_2 = state.at("weight_scale_2");
  if (weight.dim() != 2 || weight.scalar_type() != at::kByte) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight must be uint8 [out, in / 2], found ", TensorText(weight)));
  }
  const int64_t in_features = 2 * weight.size(1);
  WANLITE_RETURN_IF_ERROR(CheckNvfp4Shape(in_features));
  if (scale.dim() != 2 || scale.size(0) != weight.size(0) ||
      scale.size(1) != in_features / ops::kNvfp4Group ||
      scale.scalar_type() != at::kFloat8_e4m3fn) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_scale must be fp8_e4m3 [", weight.size(0), ", ",
                     in_features / ops::kNvfp4Group, "], found ", TensorText(scale)));
  }
  if (scale_2.sizes() != at::IntArrayRef({1}) || scale_2.scalar_type() != at::kFloat) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_scale_2 must be fp32 [1], found ", TensorText(scale_2)));
  }
  WANLITE_ASSIGN_OR_RETURN(
      const std::string activations,
      ParseActivations("an nvfp4 weight", attributes_json, {"nvfp4", "float"}));
  return std::make_unique<Nvfp4Weight>(weight, scale, scale_2, activations == "nvfp4");
}

std::unique_ptr<WeightQuantizer> MakeNvfp4Quantizer(bool quantized_inputs) {
  return std::make_unique<Nvfp4Quantizer>(quantized_inputs);
}

}  // namespace wanlite
