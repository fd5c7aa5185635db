// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_int4.h"
#include "src/model/weight_state.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/frozen_product.h"
#include "src/model/select_groups.h"
#include "src/model/tensor_text.h"
#include "src/ops/int4_math.h"
#include "src/ops/ops.h"
#include "src/quant/make_weight.h"
#include "src/quant/packed_int4_weight.h"
#include "src/quant/weight_int8.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Int4Inputs = Int4Options::Inputs;

// Inputs as int4 by groups.
class Int4Form : public InputForm {
 public:
  explicit Int4Form(int64_t group) : group_(group), key_(absl::StrCat("int4_group/", group)) {}
  absl::string_view key() const override { return key_; }
  QuantizedInput Quantize(const at::Tensor& x) const override {
    const at::NoGradGuard no_grad;
    auto [q, scale] = ops::QuantizeInt4(x, group_);
    return {std::move(q), std::move(scale)};
  }

 private:
  const int64_t group_;
  const std::string key_;
};

class Int4Weight : public LinearWeight {
 public:
  // zero: undefined for symmetric codes.
  Int4Weight(at::Tensor weight, at::Tensor weight_scale, at::Tensor zero, Int4Inputs inputs)
      : weight_(std::move(weight)),
        weight_scale_(std::move(weight_scale)),
        zero_(std::move(zero)),
        inputs_(inputs),
        form_(in_features() / std::max<int64_t>(1, weight_scale_.size(1))) {}

  absl::string_view format() const override { return "int4"; }
  std::string attributes() const override { return Int4Attributes(inputs_); }
  int64_t in_features() const override { return 2 * weight_.size(1); }
  int64_t out_features() const override { return weight_.size(0); }

  const InputForm* input_form() const override {
    switch (inputs_) {
      case Int4Inputs::kFloat:
        return nullptr;
      case Int4Inputs::kInt8:
        return &Int8TokenForm(0);
      case Int4Inputs::kInt4:
        break;
    }
    return &form_;
  }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    return FrozenProduct(
        x, bias, [&] { return Product(x, bias); },
        [&] {
          return [weight = weight_, scale = weight_scale_, zero = Zero()] {
            return ops::Int4Dequantize(weight, scale, zero);
          };
        });
  }

  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic;
    if (inputs_ == Int4Inputs::kFloat) return arithmetic;
    // Codes are widened to bytes before the product.
    arithmetic.weight_bits = arithmetic.activation_bits = 8;
    arithmetic.integer = true;
    arithmetic.input_ops = 4;  // magnitude, maximum, division, rounding
    // Scales of a group, multiplied where both sides have them, times its sum, added up.
    const auto groups = static_cast<double>(weight_scale_.size(1));
    arithmetic.output_ops = inputs_ == Int4Inputs::kInt8 ? 2 * groups + 1 : 3 * groups;
    return arithmetic;
  }

  std::vector<WeightTensor> State() const override {
    std::vector<WeightTensor> state = {
        {"weight", weight_, WeightTensor::Role::kCode, false},
        {"weight_scale", weight_scale_, WeightTensor::Role::kScale, false}};
    if (zero_.defined()) state.push_back({"weight_zero", zero_, WeightTensor::Role::kCode, false});
    return state;
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return ops::Int4Dequantize(weight_, weight_scale_, Zero());
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("int4 weight has no dimension ", dim));
    }
    const int64_t group = in_features() / weight_scale_.size(1);
    at::Tensor groups;
    if (dim == 1) {
      WANLITE_ASSIGN_OR_RETURN(groups, WholeGroups("an int4 weight", index, group));
    }
    if (nn::IsHollow(weight_)) {
      return MakeHollowInt4Weight(dim == 0 ? index.numel() : out_features(),
                                  dim == 1 ? index.numel() : in_features(),
                                  {group, zero_.defined(), inputs_});
    }
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      const at::NoGradGuard no_grad;
      const at::Tensor rows_or_groups = (dim == 0 ? index : groups).to(weight_.device());
      // Bytes of a group lie together.
      const auto cut = [&](const at::Tensor& t) {
        if (dim == 0) return t.index_select(0, rows_or_groups);
        return t.reshape({t.size(0), weight_scale_.size(1), -1})
            .index_select(1, rows_or_groups)
            .flatten(1);
      };
      return std::make_unique<Int4Weight>(cut(weight_), cut(weight_scale_),
                                          zero_.defined() ? cut(zero_) : at::Tensor(), inputs_);
    });
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    return std::make_unique<Int4Weight>(weight_, weight_scale_, zero_, inputs_);
  }

  std::unique_ptr<LinearWeight> Packed() const override {
    if (inputs_ != Int4Inputs::kInt8) return nullptr;
    return MakePackedInt4Weight(weight_, weight_scale_, zero_, *this);
  }

 private:
  std::optional<at::Tensor> Zero() const {
    return zero_.defined() ? std::optional<at::Tensor>(zero_) : std::nullopt;
  }

  at::Tensor Product(const Activation& x, const std::optional<at::Tensor>& bias) const {
    if (inputs_ == Int4Inputs::kFloat) {
      return ops::Int4Linear(x.dense(), weight_, weight_scale_, Zero(), bias);
    }
    const QuantizedInput input = x.In(*input_form());
    if (inputs_ == Int4Inputs::kInt8) {
      return ops::W4A8Gemm(input.values, input.scale, weight_, weight_scale_, Zero(), bias,
                           x.dtype());
    }
    return ops::W4A4Gemm(input.values, input.scale, weight_, weight_scale_, Zero(), bias,
                         x.dtype());
  }

  at::Tensor weight_;        // uint8 [out, in / 2]
  at::Tensor weight_scale_;  // bf16 [out, in / group]
  at::Tensor zero_;          // uint8 [out, in / group], or undefined
  Int4Inputs inputs_;
  Int4Form form_;
};

}  // namespace

absl::Status CheckInt4Shape(int64_t in_features, const Int4Options& options) {
  if (in_features % options.group != 0) {
    return absl::InvalidArgumentError(absl::StrCat("the group of ", options.group,
                                                   " input features does not divide the ",
                                                   in_features, " there are"));
  }
  if (in_features > ops::kMaxInt8Features) {
    return absl::InvalidArgumentError(absl::StrCat(in_features, " input features; int4 takes ",
                                                   ops::kMaxInt8Features, " at most"));
  }
  return absl::OkStatus();
}

std::string Int4Attributes(Int4Inputs inputs) {
  switch (inputs) {
    case Int4Inputs::kInt8:
      return "{\"activations\":\"int8\"}";
    case Int4Inputs::kInt4:
      return "{\"activations\":\"int4\"}";
    case Int4Inputs::kFloat:
      break;
  }
  return "{\"activations\":\"float\"}";
}

at::Tensor PackNibbles(const at::Tensor& codes) {
  const at::Tensor pairs = codes.reshape({codes.size(0), -1, 2});
  return pairs.select(2, 0).bitwise_or(pairs.select(2, 1).bitwise_left_shift(4));
}

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeInt4Weight(const at::Tensor& dense,
                                                             const Int4Options& options,
                                                             QuantizationError* error) {
  WANLITE_RETURN_IF_ERROR(CheckDense("an int4 weight", dense));
  WANLITE_RETURN_IF_ERROR(CheckInt4Shape(dense.size(1), options));
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
    const at::NoGradGuard no_grad;
    const at::Tensor matrix = dense.detach();
    const ops::Int4Matrix q = ops::QuantizeInt4Weight(matrix, options.group, options.zero_point);
    // Beyond the limit the weight that this one stands for would not be finite.
    const float largest_scale =
        std::numeric_limits<float>::max() /
        static_cast<float>(options.zero_point ? ops::kInt4Codes : ops::kInt4Limit);
    WANLITE_RETURN_IF_ERROR(
        CheckRows("an int4 weight", dense, q.weight_scale.to(at::kFloat).le(largest_scale).all(1)));
    if (error != nullptr) {
      *error = MeasureError(dense, [&](int64_t begin, int64_t end) {
        const auto part = [&](const at::Tensor& t) { return t.slice(0, begin, end); };
        return ops::Int4Dequantize(
            part(q.weight), part(q.weight_scale),
            q.zero.defined() ? std::optional<at::Tensor>(part(q.zero)) : std::nullopt);
      });
    }
    return std::make_unique<Int4Weight>(q.weight, q.weight_scale, q.zero, options.inputs);
  });
}

std::unique_ptr<LinearWeight> MakeHollowInt4Weight(int64_t out_features, int64_t in_features,
                                                   const Int4Options& options) {
  const nn::HollowGuard hollow;
  const int64_t groups = in_features / options.group;
  at::Tensor zero;
  if (options.zero_point) zero = nn::NewTensor({out_features, groups}, at::kByte);
  return std::make_unique<Int4Weight>(nn::NewTensor({out_features, in_features / 2}, at::kByte),
                                      nn::NewTensor({out_features, groups}, at::kBFloat16),
                                      std::move(zero), options.inputs);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> Int4WeightFromState(const WeightState& state,
                                                                  absl::string_view attributes_json,
                                                                  const WeightFormatRegistry&) {
  WANLITE_RETURN_IF_ERROR(
      CheckTensors("an int4 weight", state, {"weight", "weight_scale"}, {"weight_zero"}));
  const at::Tensor& weight = state.at("weight");
  const at::Tensor& scale = state.at("weight_scale");
  if (weight.dim() != 2 || weight.scalar_type() != at::kByte || weight.size(1) < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight must be uint8 [out, in / 2], found ", TensorText(weight)));
  }
  const int64_t in_features = 2 * weight.size(1);
  if (scale.dim() != 2 || scale.size(0) != weight.size(0) || scale.size(1) < 1 ||
      in_features % (2 * scale.size(1)) != 0 || scale.scalar_type() != at::kBFloat16) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_scale must be bf16 [", weight.size(0), ", ", in_features,
                     " / group] for an even group, found ", TensorText(scale)));
  }
  at::Tensor zero;
  if (const auto found = state.find("weight_zero"); found != state.end()) {
    zero = found->second;
    if (zero.scalar_type() != at::kByte || zero.sizes() != scale.sizes()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "weight_zero must be uint8 ", ShapeText(scale.sizes()), ", found ", TensorText(zero)));
    }
  }
  WANLITE_RETURN_IF_ERROR(CheckInt4Shape(in_features, {in_features / scale.size(1)}));
  WANLITE_ASSIGN_OR_RETURN(
      const std::string activations,
      ParseActivations("an int4 weight", attributes_json, {"float", "int8", "int4"}));
  const Int4Inputs inputs = activations == "int8"   ? Int4Inputs::kInt8
                            : activations == "int4" ? Int4Inputs::kInt4
                                                    : Int4Inputs::kFloat;
  return std::make_unique<Int4Weight>(weight, scale, std::move(zero), inputs);
}

}  // namespace wanlite
