// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Operators against LibTorch's own, on the shapes of Wan's linear layers.

#include "absl/strings/str_cat.h"
#include "bench/harness.h"
#include "bench/torch_int8.h"
#include "src/core/libtorch.h"
#include "src/model/sparse_nm_weight.h"
#include "src/ops/ops.h"
#include "src/quant/weight_int4.h"
#include "src/quant/weight_int8.h"

namespace wanlite::bench {
namespace {

constexpr int64_t kRotationGroup = 256;

struct LinearCase {
  at::Tensor x;       // fp32 [m, k]
  at::Tensor weight;  // fp32 [n, k]
  at::Tensor bias;    // fp32 [n]
  at::Tensor expected;
};

using LinearCasePtr = std::shared_ptr<Lazy<LinearCase>>;

LinearCase MakeLinearCase(int64_t m, int64_t k, int64_t n) {
  const at::Generator generator = at::detail::createCPUGenerator(1);
  LinearCase value;
  value.x = at::randn({m, k}, generator);
  value.weight = at::randn({n, k}, generator) / std::sqrt(static_cast<double>(k));
  value.bias = at::randn({n}, generator);
  value.expected = at::linear(value.x, value.weight, value.bias);
  return value;
}

void AddDense(const std::string& group, const LinearCasePtr& linear, double ops) {
  Add(group, "LibTorch_fp32", [=](benchmark::State& state) {
    const LinearCase& c = **linear;
    Time(state, [&] { return at::linear(c.x, c.weight, c.bias); });
    SetWork(state, {.fp32_op = ops});
  });
  const auto bf16_error = MakeLazy<double>([=] {
    const LinearCase& c = **linear;
    return RelativeError(
        at::linear(c.x.to(at::kBFloat16), c.weight.to(at::kBFloat16), c.bias.to(at::kBFloat16)),
        c.expected);
  });
  Add(group, "LibTorch_bf16", [=](benchmark::State& state) {
    const LinearCase& c = **linear;
    const at::Tensor x = c.x.to(at::kBFloat16), weight = c.weight.to(at::kBFloat16),
                     bias = c.bias.to(at::kBFloat16);
    Time(state, [&] { return at::linear(x, weight, bias); });
    SetWork(state, {.bf16_op = ops});
    SetError(state, **bf16_error);
  });
}

// A format of weight over its own input dtype; `make` gets the dense case.
void AddFormat(const std::string& group, const std::string& variant, const LinearCasePtr& linear,
               double ops, at::ScalarType dtype,
               const std::function<std::unique_ptr<LinearWeight>(const LinearCase&)>& make) {
  auto weight = MakeLazy<std::unique_ptr<LinearWeight>>([=] { return make(**linear); });
  const auto error = MakeLazy<double>([=] {
    const LinearCase& c = **linear;
    return RelativeError((**weight)->Apply(c.x.to(dtype), c.bias), c.expected);
  });
  Add(group, variant, [=](benchmark::State& state) {
    const LinearCase& c = **linear;
    const LinearWeight& w = ***weight;
    const at::Tensor x = c.x.to(dtype);
    Time(state, [&] { return w.Apply(x, c.bias); });
    SetWork(state, {.int8_op = ops});
    SetError(state, **error);
  });
}

at::Tensor CallBoxed(const char* op, std::vector<c10::IValue> stack) {
  c10::Dispatcher::singleton().findSchemaOrThrow(op, "").callBoxed(stack);
  return stack.front().toTensor();
}

// LibTorch's fp32 product with the weight laid out for oneDNN beforehand.
void AddPrepacked(const std::string& group, const LinearCasePtr& linear, double ops) {
  const auto packed = MakeLazy<at::Tensor>([=] {
    const at::NoGradGuard no_grad;
    return CallBoxed("mkldnn::_reorder_linear_weight", {(*linear)->weight, (*linear)->x.size(0)});
  });
  Add(group, "LibTorch_fp32_prepacked", [=](benchmark::State& state) {
    const LinearCase& c = **linear;
    const at::Tensor& weight = **packed;
    const at::NoGradGuard no_grad;
    const c10::impl::GenericList scalars(c10::OptionalType::create(c10::NumberType::get()));
    Time(state, [&] {
      return CallBoxed("mkldnn::_linear_pointwise",
                       {c.x, weight, c.bias, std::string("none"), scalars, std::string()});
    });
    SetWork(state, {.fp32_op = ops});
  });
}

// Half of the weights, 2:4 by magnitude. The error is that of the sums, not of what is removed.
void AddSparse(const std::string& group, const LinearCasePtr& linear, double ops) {
  const auto weight = MakeLazy<std::unique_ptr<LinearWeight>>([=] {
    const at::Tensor& matrix = (*linear)->weight;
    const at::Tensor groups = matrix.reshape({matrix.size(0), -1, 4});
    const at::Tensor rank = groups.abs().argsort(-1, false).argsort(-1, false);
    return ValueOrExit(
        MakeSparseNmWeight(groups.masked_fill(rank.lt(2), 0).reshape_as(matrix), {2, 4}));
  });
  const auto error = MakeLazy<double>([=] {
    const LinearCase& c = **linear;
    const LinearWeight& w = ***weight;
    return RelativeError(w.Apply(c.x, c.bias), at::linear(c.x, w.Dequantize(), c.bias));
  });
  Add(group, "wanlite_sparse_2of4", [=](benchmark::State& state) {
    const LinearCase& c = **linear;
    const LinearWeight& w = ***weight;
    Time(state, [&] { return w.Apply(c.x, c.bias); });
    SetWork(state, {.fp32_op = ops * w.arithmetic().realised_fraction});
    SetError(state, **error);
  });
}

void AddLinears(int64_t m, int64_t k, int64_t n) {
  const std::string group = absl::StrCat("linear/", m, "x", k, "x", n);
  const double ops = 2.0 * static_cast<double>(m * k) * static_cast<double>(n);
  const auto linear = MakeLazy<LinearCase>([=] { return MakeLinearCase(m, k, n); });
  AddDense(group, linear, ops);
  AddPrepacked(group, linear, ops);
  AddFormat(group, "LibTorch_int8_dynamic", linear, ops, at::kFloat,
            [](const LinearCase& c) { return MakeTorchDynamicInt8(c.weight, c.bias); });
  const auto int8 = [](int64_t rotation) {
    return [=](const LinearCase& c) {
      return ValueOrExit(MakeInt8Weight(c.weight, rotation))->Packed();
    };
  };
  const auto w4a8 = [](const LinearCase& c) {
    const Int4Options options{.group = 64, .inputs = Int4Options::Inputs::kInt8};
    return ValueOrExit(MakeInt4Weight(c.weight, options))->Packed();
  };
  AddFormat(group, "wanlite_int8", linear, ops, at::kFloat, int8(0));
  AddFormat(group, "wanlite_int8_convrot", linear, ops, at::kFloat, int8(kRotationGroup));
  AddFormat(group, "wanlite_int8_bf16_input", linear, ops, at::kBFloat16, int8(0));
  AddFormat(group, "wanlite_w4a8_g64", linear, ops, at::kFloat, w4a8);
  AddSparse(group, linear, ops);
}

// Attention in fp32.
void AddAttention(int64_t queries, int64_t keys, int64_t heads, int64_t dim) {
  const std::string group = absl::StrCat("attention/", queries, "x", keys, "x", heads, "x", dim);
  const double ops = 4.0 * static_cast<double>(queries * keys * heads * dim);
  struct Inputs {
    at::Tensor q, k, v;
  };
  const auto inputs = MakeLazy<Inputs>([=] {
    return Inputs{at::randn({1, queries, heads * dim}), at::randn({1, keys, heads * dim}),
                  at::randn({1, keys, heads * dim})};
  });
  Add(group, "LibTorch", [=](benchmark::State& state) {
    const auto heads_of = [&](const at::Tensor& x) {
      return x.unflatten(-1, {heads, dim}).transpose(1, 2);
    };
    const at::Tensor q = heads_of((*inputs)->q), k = heads_of((*inputs)->k),
                     v = heads_of((*inputs)->v);
    Time(state,
         [&] { return at::scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2); });
    SetWork(state, {.fp32_op = ops});
  });
  if (!ops::AttentionFits(dim)) return;
  Add(group, "wanlite", [=](benchmark::State& state) {
    const Inputs& in = **inputs;
    Time(state, [&] { return ops::Attention(in.q, in.k, in.v, dim); });
    SetWork(state, {.fp32_op = ops});
  });
}

// The steps around the product, against the same made of LibTorch's element-wise operators.
void AddQuantize(int64_t m, int64_t k) {
  const std::string group = absl::StrCat("quantize_per_token/", m, "x", k);
  const double bytes = 4.0 * static_cast<double>(m * k);
  const auto input = MakeLazy<at::Tensor>([=] { return at::randn({m, k}); });
  Add(group, "LibTorch_composed", [=](benchmark::State& state) {
    const at::Tensor& x = **input;
    Time(state, [&] {
      const at::Tensor scale = at::amax(at::abs(x), 1, /*keepdim=*/true) / 127;
      return at::clamp(at::round(x / scale), -127, 127).to(at::kChar);
    });
    SetWork(state, {.bytes = bytes});
  });
  Add(group, "wanlite", [=](benchmark::State& state) {
    const at::Tensor& x = **input;
    Time(state, [&] { return ops::QuantizePerToken(x); });
    SetWork(state, {.bytes = bytes});
  });
}

void AddRotate(int64_t m, int64_t k) {
  const std::string group = absl::StrCat("rotate/", m, "x", k, "_by_", kRotationGroup);
  const double bytes = 4.0 * static_cast<double>(m * k);
  const auto input = MakeLazy<at::Tensor>([=] { return at::randn({m, k}); });
  // Its rows are those of the identity, rotated.
  const auto matrix = MakeLazy<at::Tensor>(
      [] { return ops::HadamardRotate(at::eye(kRotationGroup), kRotationGroup); });
  Add(group, "LibTorch_matmul", [=](benchmark::State& state) {
    const at::Tensor& x = **input;
    const at::Tensor& rotation = **matrix;
    Time(state, [&] { return at::matmul(x.view({m, -1, kRotationGroup}), rotation); });
    SetWork(state, {.bytes = bytes});
  });
  Add(group, "wanlite", [=](benchmark::State& state) {
    const at::Tensor& x = **input;
    Time(state, [&] { return ops::HadamardRotate(x, kRotationGroup); });
    SetWork(state, {.bytes = bytes});
  });
}

void AddAll() {
  // Widths of Wan2.1-1.3B and of Wan2.2 A14B; one token is the time's, 26 a short text's.
  for (const int64_t tokens : {1, 26, 1024, 4096}) {
    AddLinears(tokens, 1536, 1536);
    AddLinears(tokens, 1536, 8960);
    AddLinears(tokens, 8960, 1536);
    AddLinears(tokens, 5120, 5120);
  }
  AddAttention(1024, 1024, 12, 128);
  AddAttention(4096, 4096, 12, 128);
  AddAttention(1024, 512, 12, 128);
  AddQuantize(1024, 1536);
  AddRotate(1024, 1536);
}

}  // namespace
}  // namespace wanlite::bench

int main(int argc, char** argv) {
  wanlite::bench::AddAll();
  return wanlite::bench::Main(argc, argv,
                              "LibTorch_fp32,LibTorch,LibTorch_composed,LibTorch_matmul");
}
