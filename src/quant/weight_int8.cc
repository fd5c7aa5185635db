// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_int8.h"
#include "src/model/weight_state.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/json_fields.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/model/frozen_product.h"
#include "src/model/select_groups.h"
#include "src/model/tensor_text.h"
#include "src/ops/int8_math.h"
#include "src/ops/ops.h"
#include "src/quant/make_weight.h"
#include "src/quant/packed_matrix.h"
#include "src/quant/quantization_error.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Weights expanded to fp32 at a time while quantizing: 4 MiB, and about 20 MiB with the scratch of
// the error's sums.
constexpr int64_t kChunkWeights = int64_t{1} << 20;

LinearArithmetic Int8Arithmetic(int64_t rotation_group) {
  LinearArithmetic arithmetic{.weight_bits = 8, .activation_bits = 8, .integer = true};
  // Magnitude, maximum, division, rounding; a radix-4 step of the rotation costs 8 per 4
  // elements.
  arithmetic.input_ops = 4;
  if (rotation_group != 0) arithmetic.input_ops += std::log2(static_cast<double>(rotation_group));
  arithmetic.output_ops = 2;  // the token's scale times the row's, times the sum
  return arithmetic;
}

// An int8 weight whose codes lie as the kernels read them.
class PackedInt8Weight : public LinearWeight {
 public:
  PackedInt8Weight(at::Tensor packed, at::Tensor weight_scale, int64_t in_features,
                   int64_t rotation_group)
      : packed_(std::move(packed)),
        weight_scale_(std::move(weight_scale)),
        in_features_(in_features),
        rotation_group_(rotation_group) {}

  absl::string_view format() const override { return "int8"; }
  std::string attributes() const override { return Int8Attributes(rotation_group_); }
  int64_t in_features() const override { return in_features_; }
  int64_t out_features() const override { return weight_scale_.size(0); }
  const InputForm* input_form() const override { return &Int8TokenForm(rotation_group_); }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    TORCH_CHECK(!at::GradMode::is_enabled() || !x.requires_grad(),
                "a packed int8 weight is for running only, but its input requires a gradient");
    const QuantizedInput input = x.In(Int8TokenForm(rotation_group_));
    return ops::Int8GemmPacked(input.values, input.scale, packed_, weight_scale_, bias, x.dtype());
  }

  LinearArithmetic arithmetic() const override { return Int8Arithmetic(rotation_group_); }
  std::vector<WeightTensor> State() const override {
    return {{"packed_weight", packed_, WeightTensor::Role::kCode},
            {"weight_scale", weight_scale_, WeightTensor::Role::kScale}};
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    const at::Tensor dense = MatrixOfProduct(
        out_features(), in_features_, [&](const at::Tensor& q, const at::Tensor& scale) {
          return ops::Int8GemmPacked(q, scale, packed_, weight_scale_, std::nullopt, at::kFloat);
        });
    return rotation_group_ == 0 ? dense : ops::HadamardRotate(dense, rotation_group_);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("a packed int8 weight is for running only and cannot be cut");
  }

 private:
  at::Tensor packed_;        // of ops::Int8Pack()
  at::Tensor weight_scale_;  // fp32 [out, 1]
  int64_t in_features_;
  int64_t rotation_group_;  // 0: none
};

class Int8Weight : public LinearWeight {
 public:
  Int8Weight(at::Tensor weight, at::Tensor weight_scale, int64_t rotation_group)
      : weight_(std::move(weight)),
        weight_scale_(std::move(weight_scale)),
        rotation_group_(rotation_group) {}

  absl::string_view format() const override { return "int8"; }
  std::string attributes() const override { return Int8Attributes(rotation_group_); }
  int64_t in_features() const override { return weight_.size(1); }
  int64_t out_features() const override { return weight_.size(0); }

  const InputForm* input_form() const override { return &Int8TokenForm(rotation_group_); }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    // The gradient of x goes round its quantized form.
    if (WantsGradients(x, bias)) {
      return ops::Int8Linear(x.dense(), weight_, weight_scale_, bias, rotation_group_);
    }
    const QuantizedInput input = x.In(Int8TokenForm(rotation_group_));
    return ops::Int8Gemm(input.values, input.scale, weight_, weight_scale_, bias, x.dtype());
  }

  LinearArithmetic arithmetic() const override { return Int8Arithmetic(rotation_group_); }

  std::vector<WeightTensor> State() const override {
    return {{"weight", weight_, WeightTensor::Role::kCode},
            {"weight_scale", weight_scale_, WeightTensor::Role::kScale}};
  }

  // Of the codes: in the rotated basis where there is one.
  double NonZero() const override {
    if (weight_.numel() == 0) return 1;
    return static_cast<double>(at::count_nonzero(weight_).item<int64_t>()) /
           static_cast<double>(weight_.numel());
  }

  at::Tensor Dequantize() const override {
    at::NoGradGuard no_grad;
    at::Tensor dense = weight_.to(at::kFloat).mul_(weight_scale_);
    // The rotation is its own inverse.
    return rotation_group_ == 0 ? dense : ops::HadamardRotate(dense, rotation_group_);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("int8 weight has no dimension ", dim));
    }
    if (dim == 1 && rotation_group_ != 0) {
      WANLITE_RETURN_IF_ERROR(CheckKeepsGroups(index, rotation_group_));
    }
    if (nn::IsHollow(weight_)) {
      return MakeHollowInt8Weight(dim == 0 ? index.numel() : out_features(),
                                  dim == 1 ? index.numel() : in_features(), rotation_group_);
    }
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      at::NoGradGuard no_grad;
      const at::Tensor on_device = index.to(weight_.device());
      // The scale of a row stays when columns go: what is kept keeps its value.
      return std::make_unique<Int8Weight>(
          weight_.index_select(dim, on_device),
          dim == 0 ? weight_scale_.index_select(0, on_device) : weight_scale_.clone(),
          rotation_group_);
    });
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    return std::make_unique<Int8Weight>(weight_, weight_scale_, rotation_group_);
  }

  std::unique_ptr<LinearWeight> Packed() const override {
    if (nn::IsHollow(weight_) || !weight_.is_cpu()) return nullptr;
    return std::make_unique<PackedInt8Weight>(ops::Int8Pack(weight_.detach()), weight_scale_,
                                              in_features(), rotation_group_);
  }

 private:
  at::Tensor weight_;        // int8 [out, in], rotated when rotation_group_ != 0
  at::Tensor weight_scale_;  // fp32 [out, 1]
  int64_t rotation_group_;   // 0: none
};

class Int8Form : public InputForm {
 public:
  explicit Int8Form(int64_t rotation_group)
      : rotation_group_(rotation_group),
        key_(rotation_group == 0 ? "int8_token" : absl::StrCat("int8_token/", rotation_group)) {}
  absl::string_view key() const override { return key_; }

  QuantizedInput Quantize(const at::Tensor& x) const override {
    auto [q, scale] = ops::QuantizePerToken(x, rotation_group_);
    return {std::move(q), std::move(scale)};
  }

  std::optional<QuantizedInput> QuantizeLayerNorm(const LayerNormInput& norm) const override {
    auto [q, scale] = ops::LayerNormQuantize(norm.x, norm.weight, norm.bias, norm.eps, norm.dtype,
                                             rotation_group_);
    return QuantizedInput{std::move(q), std::move(scale)};
  }

  std::optional<QuantizedInput> QuantizeRmsNorm(const RmsNormInput& norm) const override {
    auto [q, scale] =
        ops::RmsNormQuantize(norm.x, norm.weight, norm.eps, norm.dtype, rotation_group_);
    return QuantizedInput{std::move(q), std::move(scale)};
  }

  std::optional<QuantizedInput> QuantizeGelu(const GeluInput& gelu) const override {
    auto [q, scale] = ops::GeluQuantize(
        gelu.x, gelu.gate.defined() ? std::optional(gelu.gate) : std::nullopt, rotation_group_);
    return QuantizedInput{std::move(q), std::move(scale)};
  }

 private:
  int64_t rotation_group_;
  std::string key_;
};

}  // namespace

const InputForm& Int8TokenForm(int64_t rotation_group) {
  static const Int8Form none(0), g4(4), g16(16), g64(64), g256(256), g1024(1024);
  for (const auto& [group, form] :
       {std::pair{4, &g4}, {16, &g16}, {64, &g64}, {256, &g256}, {1024, &g1024}}) {
    if (group == rotation_group) return *form;
  }
  TORCH_CHECK(rotation_group == 0, "no input form for the rotation group ", rotation_group);
  return none;
}

absl::Status CheckRotationGroup(int64_t group, int64_t in_features) {
  if (group == 0) return absl::OkStatus();
  if (!ops::IsRotationGroup(group)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rotation_group ", group, " is not one of 4, 16, 64, 256, 1024"));
  }
  if (in_features % group != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rotation_group ", group, " does not divide the ", in_features, " input features"));
  }
  return absl::OkStatus();
}

absl::Status CheckKeepsGroups(const at::Tensor& index, int64_t group) {
  return WholeGroups("an int8 weight rotated", index, group).status();
}

std::string Int8Attributes(int64_t rotation_group) {
  if (rotation_group == 0) return "{}";
  return absl::StrCat("{\"rotation\":\"convrot\",\"rotation_group\":", rotation_group, "}");
}

absl::StatusOr<int64_t> ParseRotation(const JsonFields& attributes) {
  std::string rotation;
  int64_t group = 0;
  WANLITE_RETURN_IF_ERROR(attributes.String({"rotation"}, rotation));
  WANLITE_RETURN_IF_ERROR(attributes.Int({"rotation_group"}, group));
  if (!attributes.Has({"rotation"}) && !attributes.Has({"rotation_group"})) return 0;
  if (rotation != "convrot" || group == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attributes of an int8 weight: rotation ", QuoteName(rotation), " with rotation_group ",
        group, ", wanted \"convrot\" with a group, or neither"));
  }
  return group;
}

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeInt8Weight(const at::Tensor& dense,
                                                             int64_t rotation_group,
                                                             QuantizationError* error) {
  WANLITE_RETURN_IF_ERROR(CheckDense("an int8 weight", dense));
  WANLITE_RETURN_IF_ERROR(CheckRotationGroup(rotation_group, dense.size(1)));
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
    at::NoGradGuard no_grad;
    const int64_t rows = dense.size(0);
    const int64_t columns = dense.size(1);
    QuantizationError sums;
    // Rotating back, a radix-4 step first adds four values, then at most doubles each.
    const float largest_scale =
        std::numeric_limits<float>::max() /
        (ops::kInt8Limit *
         (rotation_group == 0 ? 1.001f : 2.001f * std::sqrt(static_cast<float>(rotation_group))));
    // What has to be copied is so a few rows at a time, the rest is read where it is.
    const bool in_place = rotation_group == 0 && dense.scalar_type() != at::kDouble;
    const int64_t chunk = in_place
                              ? std::max<int64_t>(1, rows)
                              : std::max<int64_t>(1, kChunkWeights / std::max<int64_t>(1, columns));
    at::Tensor weight, weight_scale;
    if (rows == 0 || chunk < rows) {
      weight = at::empty({rows, columns}, at::dtype(at::kChar));
      weight_scale = at::empty({rows, 1}, at::dtype(at::kFloat));
    }
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t end = std::min(rows, begin + chunk);
      at::Tensor part = dense.slice(0, begin, end).detach();
      if (rotation_group != 0) part = ops::HadamardRotate(part.to(at::kFloat), rotation_group);
      if (part.scalar_type() == at::kDouble) part = part.to(at::kFloat);
      // A row of weights is quantized by the same rule as a token.
      const auto [q, scale] = ops::QuantizePerToken(part);
      if (weight.defined()) {
        weight.slice(0, begin, end).copy_(q);
        weight_scale.slice(0, begin, end).copy_(scale);
      } else {
        weight = q;
        weight_scale = scale;
      }
      if (error != nullptr) {
        // In the rotated basis, where squares are the same.
        AddErrors(part, q, scale, sums);
      }
    }
    // Beyond the limit the weight that this one stands for would not be finite.
    WANLITE_RETURN_IF_ERROR(
        CheckRows("int8 with scales in fp32,", dense, weight_scale.le(largest_scale).flatten()));
    if (error != nullptr) *error = sums;
    return std::make_unique<Int8Weight>(weight, weight_scale, rotation_group);
  });
}

std::unique_ptr<LinearWeight> MakeHollowInt8Weight(int64_t out_features, int64_t in_features,
                                                   int64_t rotation_group) {
  nn::HollowGuard hollow;
  return std::make_unique<Int8Weight>(nn::NewTensor({out_features, in_features}, at::kChar),
                                      nn::NewTensor({out_features, 1}, at::kFloat), rotation_group);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> Int8WeightFromState(const WeightState& state,
                                                                  absl::string_view attributes_json,
                                                                  const WeightFormatRegistry&) {
  WANLITE_RETURN_IF_ERROR(CheckTensors("an int8 weight", state, {"weight", "weight_scale"}));
  const at::Tensor& weight = state.at("weight");
  const at::Tensor& scale = state.at("weight_scale");
  if (weight.dim() != 2 || weight.scalar_type() != at::kChar) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight must be int8 [out, in], found ", TensorText(weight)));
  }
  if (scale.dim() != 2 || scale.size(0) != weight.size(0) || scale.size(1) != 1 ||
      scale.scalar_type() != at::kFloat) {
    return absl::InvalidArgumentError(absl::StrCat("weight_scale must be fp32 [", weight.size(0),
                                                   ", 1], found ", TensorText(scale)));
  }
  if (weight.size(1) > ops::kMaxInt8Features) {
    return absl::InvalidArgumentError(absl::StrCat("an int8 weight of ", weight.size(1),
                                                   " input features; at most ",
                                                   ops::kMaxInt8Features, " are supported"));
  }
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse("attributes of an int8 weight", attributes_json));
  WANLITE_RETURN_IF_ERROR(attributes.OnlyHas({"rotation", "rotation_group"}));
  WANLITE_ASSIGN_OR_RETURN(const int64_t group, ParseRotation(attributes));
  WANLITE_RETURN_IF_ERROR(CheckRotationGroup(group, weight.size(1)));
  return std::make_unique<Int8Weight>(weight, scale, group);
}

}  // namespace wanlite
