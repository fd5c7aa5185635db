// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_fp8.h"
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
#include "src/model/tensor_text.h"
#include "src/model/wrap_weight.h"
#include "src/ops/fp8_math.h"
#include "src/ops/ops.h"
#include "src/proto/quant.pb.h"
#include "src/quant/make_weight.h"
#include "wanlite/nn.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kFp8Inputs[] = "{\"activations\":\"fp8\"}";
constexpr char kFloatInputs[] = "{\"activations\":\"float\"}";

class Fp8Form : public InputForm {
 public:
  absl::string_view key() const override { return "fp8_token"; }
  QuantizedInput Quantize(const at::Tensor& x) const override {
    const at::NoGradGuard no_grad;
    auto [q, scale] = ops::QuantizeFp8(x);
    return {std::move(q), std::move(scale)};
  }
};

const InputForm& Fp8TokenForm() {
  static const Fp8Form form;
  return form;
}

at::Tensor Fp8Matrix(const at::Tensor& weight, const at::Tensor& weight_scale) {
  return weight.to(at::kFloat).mul_(weight_scale);
}

class Fp8Weight : public LinearWeight {
 public:
  Fp8Weight(at::Tensor weight, at::Tensor weight_scale, bool quantized_inputs)
      : weight_(std::move(weight)),
        weight_scale_(std::move(weight_scale)),
        quantized_inputs_(quantized_inputs) {}

  absl::string_view format() const override { return "fp8"; }
  std::string attributes() const override { return quantized_inputs_ ? kFp8Inputs : kFloatInputs; }
  int64_t in_features() const override { return weight_.size(1); }
  int64_t out_features() const override { return weight_.size(0); }
  const InputForm* input_form() const override {
    return quantized_inputs_ ? &Fp8TokenForm() : nullptr;
  }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    return FrozenProduct(
        x, bias, [&] { return Product(x, bias); },
        [&] {
          return [weight = weight_, scale = weight_scale_] { return Fp8Matrix(weight, scale); };
        });
  }

  // Both sides are expanded to fp32 before the product.
  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic;
    if (quantized_inputs_) {
      arithmetic.input_ops = 4;   // magnitude, maximum, division, rounding
      arithmetic.output_ops = 2;  // the token's scale times the row's, times the sum
    }
    return arithmetic;
  }

  std::vector<WeightTensor> State() const override {
    return {{"weight", weight_, WeightTensor::Role::kCode, false},
            {"weight_scale", weight_scale_, WeightTensor::Role::kScale, false}};
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return Fp8Matrix(weight_, weight_scale_);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("fp8 weight has no dimension ", dim));
    }
    if (nn::IsHollow(weight_)) {
      return MakeHollowFp8Weight(dim == 0 ? index.numel() : out_features(),
                                 dim == 1 ? index.numel() : in_features(), quantized_inputs_);
    }
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      const at::NoGradGuard no_grad;
      const at::Tensor on_device = index.to(weight_.device());
      // Selecting bytes, which LibTorch does for every device.
      const at::Tensor codes =
          weight_.view(at::kByte).index_select(dim, on_device).view(at::kFloat8_e4m3fn);
      return std::make_unique<Fp8Weight>(
          codes, dim == 0 ? weight_scale_.index_select(0, on_device) : weight_scale_.clone(),
          quantized_inputs_);
    });
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    return std::make_unique<Fp8Weight>(weight_, weight_scale_, quantized_inputs_);
  }

 private:
  at::Tensor Product(const Activation& x, const std::optional<at::Tensor>& bias) const {
    if (!quantized_inputs_) return ops::Fp8Linear(x.dense(), weight_, weight_scale_, bias);
    const QuantizedInput input = x.In(Fp8TokenForm());
    return ops::Fp8Gemm(input.values, input.scale, weight_, weight_scale_, bias, x.dtype());
  }

  at::Tensor weight_;        // float8_e4m3fn [out, in]
  at::Tensor weight_scale_;  // fp32 [out, 1]
  bool quantized_inputs_;
};

class Fp8Grid : public WeightGrid {
 public:
  explicit Fp8Grid(bool quantized_inputs) : quantized_inputs_(quantized_inputs) {}
  int64_t group() const override { return 0; }
  at::Tensor RoundInput(const at::Tensor& inputs) const override {
    if (!quantized_inputs_) return inputs.to(at::kFloat);
    const auto [q, scale] = ops::QuantizeFp8(inputs);
    return Fp8Matrix(q, scale);
  }
  GroupScales Fit(const at::Tensor& columns, double clip) const override {
    return Nearest({columns.abs().amax(1, /*keepdim=*/true).mul_(clip).div_(ops::kE4m3Limit), {}});
  }
  GroupScales Nearest(const GroupScales& scales) const override {
    return {at::where(scales.scale > 0, scales.scale.clamp_min(std::numeric_limits<float>::min()),
                      scales.scale),
            {}};
  }
  at::Tensor Round(const at::Tensor& columns, const GroupScales& scales) const override {
    return Codes(columns, scales).to(at::kFloat).mul_(scales.scale);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Pack(const at::Tensor& rounded,
                                                     const GroupScales& scales,
                                                     const InputStatistics*) const override {
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      const at::NoGradGuard no_grad;
      const WeightState state = {{"weight", Codes(rounded, scales)},
                                 {"weight_scale", scales.scale}};
      return Fp8WeightFromState(state, quantized_inputs_ ? kFp8Inputs : kFloatInputs,
                                WeightFormatRegistry());
    });
  }

 private:
  static at::Tensor Codes(const at::Tensor& columns, const GroupScales& scales) {
    return (columns / DivisorOf(scales.scale))
        .clamp_(-ops::kE4m3Limit, ops::kE4m3Limit)
        .to(at::kFloat8_e4m3fn);
  }
  const bool quantized_inputs_;
};

class Fp8Quantizer : public WeightQuantizer {
 public:
  explicit Fp8Quantizer(bool quantized_inputs) : quantized_inputs_(quantized_inputs) {}
  std::string name() const override { return quantized_inputs_ ? "fp8" : "fp8 weight-only"; }
  absl::Status CheckShape(int64_t, int64_t in_features) const override {
    if (in_features <= ops::kMaxInt8Features) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(in_features, " input features; fp8 takes ",
                                                   ops::kMaxInt8Features, " at most"));
  }
  std::unique_ptr<LinearWeight> Hollow(int64_t out_features, int64_t in_features) const override {
    return MakeHollowFp8Weight(out_features, in_features, quantized_inputs_);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Quantize(const at::Tensor& dense,
                                                         const InputStatistics*,
                                                         QuantizationError* error) const override {
    return MakeFp8Weight(dense, quantized_inputs_, error);
  }
  std::unique_ptr<WeightGrid> Grid(int64_t, double) const override {
    return std::make_unique<Fp8Grid>(quantized_inputs_);
  }
  std::string simulation() const override {
    if (!quantized_inputs_) return "";
    return "products of fp8 are simulated in speed: the CPU multiplies them in fp32";
  }

 private:
  const bool quantized_inputs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFp8Weight(const at::Tensor& dense,
                                                            bool quantized_inputs,
                                                            QuantizationError* error) {
  WANLITE_RETURN_IF_ERROR(CheckDense("an fp8 weight", dense));
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
    const at::NoGradGuard no_grad;
    // A row of weights is quantized by the same rule as a token.
    const auto [q, scale] = ops::QuantizeFp8(dense.detach());
    // Beyond the limit the weight that this one stands for would not be finite.
    const float largest_scale = std::numeric_limits<float>::max() / ops::kE4m3Limit;
    WANLITE_RETURN_IF_ERROR(CheckRows("an fp8 weight", dense, scale.le(largest_scale).flatten()));
    if (error != nullptr) {
      *error = MeasureError(dense, [&codes = q, &scales = scale](int64_t begin, int64_t end) {
        return Fp8Matrix(codes.slice(0, begin, end), scales.slice(0, begin, end));
      });
    }
    return std::make_unique<Fp8Weight>(q, scale, quantized_inputs);
  });
}

std::unique_ptr<LinearWeight> MakeHollowFp8Weight(int64_t out_features, int64_t in_features,
                                                  bool quantized_inputs) {
  const nn::HollowGuard hollow;
  return std::make_unique<Fp8Weight>(nn::NewTensor({out_features, in_features}, at::kFloat8_e4m3fn),
                                     nn::NewTensor({out_features, 1}, at::kFloat),
                                     quantized_inputs);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> Fp8WeightFromState(const WeightState& state,
                                                                 absl::string_view attributes_json,
                                                                 const WeightFormatRegistry&) {
  WANLITE_RETURN_IF_ERROR(CheckTensors("an fp8 weight", state, {"weight", "weight_scale"}));
  const at::Tensor& weight = state.at("weight");
  const at::Tensor& scale = state.at("weight_scale");
  if (weight.dim() != 2 || weight.scalar_type() != at::kFloat8_e4m3fn ||
      weight.size(1) > ops::kMaxInt8Features) {
    return absl::InvalidArgumentError(absl::StrCat("weight must be fp8_e4m3 [out, in], in at most ",
                                                   ops::kMaxInt8Features, ", found ",
                                                   TensorText(weight)));
  }
  if (scale.dim() != 2 || scale.size(0) != weight.size(0) || scale.size(1) != 1 ||
      scale.scalar_type() != at::kFloat) {
    return absl::InvalidArgumentError(absl::StrCat("weight_scale must be fp32 [", weight.size(0),
                                                   ", 1], found ", TensorText(scale)));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string activations,
                           ParseActivations("an fp8 weight", attributes_json, {"fp8", "float"}));
  return std::make_unique<Fp8Weight>(weight, scale, activations == "fp8");
}

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeFp8Quantizer(QuantizeFp8Options& options) {
  switch (options.activations()) {
    case QuantizeFp8Options::DYNAMIC:
      return std::make_unique<Fp8Quantizer>(true);
    case QuantizeFp8Options::FLOAT:
      return std::make_unique<Fp8Quantizer>(false);
    default:
      return OptionError("activations", absl::StrCat(static_cast<int>(options.activations()),
                                                     " is not DYNAMIC or FLOAT"));
  }
}

}  // namespace wanlite
