// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "bench/torch_int8.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <utility>

#include "src/core/libtorch.h"

namespace wanlite::bench {
namespace {

c10::IValue Call(const char* name, torch::jit::Stack stack) {
  const c10::OperatorHandle op = c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
  op.callBoxed(&stack);
  return stack.at(0);
}

class TorchDynamicInt8 : public LinearWeight {
 public:
  TorchDynamicInt8(const at::Tensor& dense, const std::optional<at::Tensor>& bias)
      : out_(dense.size(0)), in_(dense.size(1)) {
    const at::Tensor scale = (dense.abs().amax(1).to(at::kDouble) / 127).clamp_min(1e-12);  // [out]
    quantized_ =
        at::quantize_per_channel(dense, scale, at::zeros({out_}, at::kLong), 0, at::kQInt8);
    packed_ = Call("quantized::linear_prepack",
                   {quantized_, bias.has_value() ? c10::IValue(*bias) : c10::IValue()});
  }

  absl::string_view format() const override { return "torch_dynamic_int8"; }
  int64_t in_features() const override { return in_; }
  int64_t out_features() const override { return out_; }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>&) const override {
    return Call("quantized::linear_dynamic", {x.dense().contiguous(), packed_, false}).toTensor();
  }
  LinearArithmetic arithmetic() const override {
    return {
        .weight_bits = 8, .activation_bits = 8, .integer = true, .input_ops = 4, .output_ops = 2};
  }
  std::vector<WeightTensor> State() const override {
    return {{"weight", quantized_.int_repr(), WeightTensor::Role::kCode},
            {"weight_scale", quantized_.q_per_channel_scales().to(at::kFloat),
             WeightTensor::Role::kScale}};
  }
  at::Tensor Dequantize() const override { return quantized_.dequantize(); }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("torch_dynamic_int8 is for measuring only");
  }

 private:
  int64_t out_, in_;
  at::Tensor quantized_;
  c10::IValue packed_;
};

}  // namespace

std::unique_ptr<LinearWeight> MakeTorchDynamicInt8(const at::Tensor& dense,
                                                   const std::optional<at::Tensor>& bias) {
  return std::make_unique<TorchDynamicInt8>(dense, bias);
}

}  // namespace wanlite::bench
