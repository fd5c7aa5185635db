// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// One block of the diffusion transformer: wanlite's in each format, against the same block written
// with LibTorch's operators alone. Every variant's error is against LibTorch's fp32 result.

#include <cmath>

#include "absl/strings/match.h"
#include "bench/harness.h"
#include "bench/torch_block.h"
#include "src/core/libtorch.h"
#include "src/model/wan/dit_block.h"
#include "src/model/wan/rope.h"
#include "src/quant/weight_int4.h"
#include "src/quant/weight_int8.h"

namespace wanlite::bench {
namespace {

constexpr double kEps = 1e-6;

struct Shape {
  std::string name;
  int64_t heads, head_dim, ffn_dim;
  std::array<int64_t, 3> grid;  // of video tokens: frames, rows, columns
  int64_t text_tokens;
  int64_t dim() const { return heads * head_dim; }
  int64_t tokens() const { return grid[0] * grid[1] * grid[2]; }
};

struct Operations {
  double linear = 0, attention = 0;
};

Operations Count(const Shape& shape) {
  const auto l = static_cast<double>(shape.tokens()), t = static_cast<double>(shape.text_tokens),
             d = static_cast<double>(shape.dim()), f = static_cast<double>(shape.ffn_dim);
  return {.linear = 2 * (6 * l * d * d + 2 * t * d * d + 2 * l * d * f),
          .attention = 4 * l * (l + t) * d};
}

struct Case {
  std::map<std::string, at::Tensor> tensors;  // of a wan::DitBlock, fp32
  BlockInput input;
  at::Tensor expected;
};
using CasePtr = std::shared_ptr<Lazy<Case>>;

std::shared_ptr<wan::DitBlock> EmptyBlock(const Shape& shape, at::ScalarType dtype) {
  wan::DitBlockOptions options;
  options.dim = shape.dim();
  options.head_dim = shape.head_dim;
  options.self_attn_heads = options.cross_attn_heads = shape.heads;
  options.ffn_dim = shape.ffn_dim;
  options.eps = kEps;
  options.dtype = dtype;
  return std::make_shared<wan::DitBlock>(options);
}

Case MakeCase(const Shape& shape) {
  const at::Device device = BenchDevice();
  const at::Generator generator = at::detail::createCPUGenerator(1);
  Case value;
  for (const auto& item : EmptyBlock(shape, at::kFloat)->named_parameters()) {
    const std::string& name = item.key();
    at::Tensor tensor = at::randn(item.value().sizes(), generator);
    // Matrices keep the variance of what passes through, norms are near one, the rest is small.
    if (absl::EndsWith(name, ".weight") && tensor.dim() == 2) {
      tensor /= std::sqrt(static_cast<double>(tensor.size(1)));
    } else if (absl::StrContains(name, "norm") && absl::EndsWith(name, ".weight")) {
      tensor = 1 + 0.1 * tensor;
    } else {
      tensor *= 0.1;
    }
    value.tensors[name] = tensor.to(device);
  }
  value.input.x = at::randn({1, shape.tokens(), shape.dim()}, generator).to(device);
  value.input.context = at::randn({1, shape.text_tokens, shape.dim()}, generator).to(device);
  value.input.time = at::randn({1, 1, 6, shape.dim()}, generator).to(device);
  value.input.rotary = wan::RotaryEmbedding(shape.head_dim, 1024).Table(shape.grid, device);
  value.expected = TorchBlock(value.tensors, shape.head_dim, kEps, at::kFloat).Forward(value.input);
  return value;
}

// A weight that keeps the form of its input to itself: nothing is shared, and the norms stay
// floating.
class SeparateWeight : public LinearWeight {
 public:
  explicit SeparateWeight(std::unique_ptr<LinearWeight> base) : base_(std::move(base)) {}
  absl::string_view format() const override { return "separate"; }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    return base_->Apply(Activation(x.dense()), bias);
  }
  LinearArithmetic arithmetic() const override { return base_->arithmetic(); }
  std::vector<WeightTensor> State() const override { return base_->State(); }
  at::Tensor Dequantize() const override { return base_->Dequantize(); }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("for measuring only");
  }

 private:
  std::unique_ptr<LinearWeight> base_;
};

enum class Format { kDense, kInt8, kInt8ConvRot, kInt8Separate, kInt8ConvRotSeparate, kW4A8 };

// The largest group of ConvRot that the width allows; 0 for none.
int64_t RotationGroup(int64_t width) {
  for (const int64_t group : {256, 64, 16, 4}) {
    if (width % group == 0) return group;
  }
  return 0;
}

// With its weights laid out for the machine, as the runner has them.
std::shared_ptr<wan::DitBlock> WanliteBlock(const Shape& shape, const Case& c, at::ScalarType dtype,
                                            Format format) {
  std::shared_ptr<wan::DitBlock> block = EmptyBlock(shape, dtype);
  for (auto& item : block->named_parameters()) item.value().copy_(c.tensors.at(item.key()));
  // As the runner has it there: laid out for a CPU, as it is for other devices.
  const auto laid_out = [](std::unique_ptr<LinearWeight> weight) {
    std::unique_ptr<LinearWeight> packed = BenchDevice().is_cpu() ? weight->Packed() : nullptr;
    return packed != nullptr ? std::move(packed) : std::move(weight);
  };
  for (const auto& module : block->modules()) {
    auto* linear = dynamic_cast<nn::Linear*>(module.get());
    if (linear == nullptr) continue;
    const bool rotated = format == Format::kInt8ConvRot || format == Format::kInt8ConvRotSeparate;
    const int64_t group = rotated ? RotationGroup(linear->in_features()) : 0;
    if (format == Format::kDense) {
      if (BenchDevice().is_cpu()) {
        if (auto packed = linear->weight().Packed()) linear->SetWeight(std::move(packed));
      }
      continue;
    }
    const at::Tensor dense = linear->weight().Dequantize();
    if (format == Format::kW4A8) {
      const Int4Options options{.group = linear->in_features() % 64 == 0 ? 64 : 32,
                                .inputs = Int4Options::Inputs::kInt8};
      linear->SetWeight(laid_out(ValueOrExit(MakeInt4Weight(dense, options))));
      continue;
    }
    std::unique_ptr<LinearWeight> weight = laid_out(ValueOrExit(MakeInt8Weight(dense, group)));
    if (format == Format::kInt8Separate || format == Format::kInt8ConvRotSeparate) {
      weight = std::make_unique<SeparateWeight>(std::move(weight));
    }
    linear->SetWeight(std::move(weight));
  }
  block->to(BenchDevice());
  return block;
}

// `make` gives the forward to be timed; it is called once. The input is in `dtype`.
using Forward = std::function<at::Tensor(const BlockInput&)>;
void AddVariant(const Shape& shape, const std::string& variant, const CasePtr& block_case,
                at::ScalarType dtype, const Work& work,
                const std::function<Forward(const Case&)>& make) {
  const auto forward = MakeLazy<Forward>([=] { return make(**block_case); });
  const auto input = MakeLazy<BlockInput>([=] { return (*block_case)->input.To(dtype); });
  const auto error = MakeLazy<double>(
      [=] { return RelativeError((**forward)(**input), (*block_case)->expected); });
  Add("block/" + shape.name, variant, [=](benchmark::State& state) {
    const Forward& run = **forward;
    const BlockInput& in = **input;
    Time(state, [&] { return run(in); });
    SetWork(state, work);
    SetError(state, **error);
  });
}

void AddShape(const Shape& shape) {
  const auto block_case = MakeLazy<Case>([=] { return MakeCase(shape); });
  const Operations ops = Count(shape);
  const Work fp32{.fp32_op = ops.linear + ops.attention};
  const Work bf16{.bf16_op = ops.linear + ops.attention};
  const Work int8{.fp32_op = ops.attention, .int8_op = ops.linear};
  const Work int8_bf16{.bf16_op = ops.attention, .int8_op = ops.linear};

  const auto torch = [=](at::ScalarType dtype, bool quantize) {
    return [=](const Case& c) -> Forward {
      auto block = std::make_shared<TorchBlock>(c.tensors, shape.head_dim, kEps, dtype);
      if (quantize) block->QuantizeLinears();
      return [=](const BlockInput& in) { return block->Forward(in); };
    };
  };
  AddVariant(shape, "LibTorch_fp32", block_case, at::kFloat, fp32, torch(at::kFloat, false));
  AddVariant(shape, "LibTorch_bf16", block_case, at::kBFloat16, bf16, torch(at::kBFloat16, false));
  if (BenchDevice().is_cpu()) {
    AddVariant(shape, "LibTorch_int8_dynamic", block_case, at::kFloat, int8,
               torch(at::kFloat, true));
  }

  const auto wanlite = [=](at::ScalarType dtype, Format format) {
    return [=](const Case& c) -> Forward {
      const auto block = WanliteBlock(shape, c, dtype, format);
      return [=](const BlockInput& in) {
        return block->forward(in.x, in.context, in.time, in.rotary);
      };
    };
  };
  const auto add = [&](const std::string& variant, at::ScalarType dtype, Format format,
                       const Work& work) {
    AddVariant(shape, variant, block_case, dtype, work, wanlite(dtype, format));
  };
  add("wanlite_fp32", at::kFloat, Format::kDense, fp32);
  add("wanlite_bf16", at::kBFloat16, Format::kDense, bf16);
  add("wanlite_int8", at::kFloat, Format::kInt8, int8);
  add("wanlite_int8_convrot", at::kFloat, Format::kInt8ConvRot, int8);
  add("wanlite_int8_separate", at::kFloat, Format::kInt8Separate, int8);
  add("wanlite_int8_convrot_separate", at::kFloat, Format::kInt8ConvRotSeparate, int8);
  if (BenchDevice().is_cpu()) add("wanlite_w4a8_g64", at::kFloat, Format::kW4A8, int8);
  add("wanlite_int8_bf16", at::kBFloat16, Format::kInt8, int8_bf16);
  if (BenchDevice().is_cpu()) return;
  add("wanlite_int8_convrot_bf16", at::kBFloat16, Format::kInt8ConvRot, int8_bf16);
  add("wanlite_int8_separate_bf16", at::kBFloat16, Format::kInt8Separate, int8_bf16);
}

}  // namespace
}  // namespace wanlite::bench

int main(int argc, char** argv) {
  // Wan-Digits at its own clip size, and Wan2.1-T2V-1.3B on few tokens (a clip of 480p has 32,760).
  wanlite::bench::AddShape({"wan_digits_80_tokens", 4, 32, 512, {5, 4, 4}, 26});
  wanlite::bench::AddShape({"wan_1.3b_1024_tokens", 12, 128, 8960, {4, 16, 16}, 512});
  wanlite::bench::AddShape({"wan_1.3b_4096_tokens", 12, 128, 8960, {4, 32, 32}, 512});
  // Wan2.2 A14B.
  wanlite::bench::AddShape({"wan_a14b_1024_tokens", 40, 128, 13824, {4, 16, 16}, 512});
  if (!wanlite::bench::BenchDevice().is_cpu()) {
    // Clips of 81 frames in 480p and 720p.
    wanlite::bench::AddShape({"wan_a14b_32760_tokens", 40, 128, 13824, {21, 30, 52}, 512});
    wanlite::bench::AddShape({"wan_a14b_75600_tokens", 40, 128, 13824, {21, 45, 80}, 512});
  }
  // A narrow block, for what sharing quantized inputs saves.
  wanlite::bench::AddShape({"dim_512_1024_tokens", 4, 128, 2048, {4, 16, 16}, 512});
  return wanlite::bench::Main(argc, argv, "LibTorch_fp32");
}
