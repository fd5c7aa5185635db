// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The products of A14B's layers on a GPU, and what surrounds them: wanlite's INT8 against cuBLAS in
// bf16 and INT8. WANLITE_BENCH_DEVICE=cuda.

#include "absl/strings/str_cat.h"
#include "bench/harness.h"
#include "src/core/libtorch.h"
#include "src/ops/ops.h"

namespace wanlite::bench {
namespace {

struct Product {
  at::Tensor x, weight, bias;      // bf16
  at::Tensor q, scale;             // of x
  at::Tensor codes, weight_scale;  // of the weight
};

void AddProduct(int64_t m, int64_t k, int64_t n) {
  const auto value = MakeLazy<Product>([=] {
    const auto options = at::TensorOptions().device(BenchDevice()).dtype(at::kBFloat16);
    Product p;
    p.x = at::randn({m, k}, options);
    p.weight = at::randn({n, k}, options) * 0.02;
    p.bias = at::randn({n}, options);
    std::tie(p.q, p.scale) = ops::QuantizePerToken(p.x);
    std::tie(p.codes, p.weight_scale) = ops::QuantizePerToken(p.weight);
    return p;
  });
  const std::string group = absl::StrCat("linear/m", m, "_k", k, "_n", n);
  const double operations = 2.0 * static_cast<double>(m) * static_cast<double>(k * n);
  const auto add = [&](const std::string& variant, const Work& work,
                       const std::function<at::Tensor(const Product&)>& run) {
    const auto error = MakeLazy<double>([=] {
      const Product& p = **value;
      const at::Tensor x = p.x.slice(0, 0, 256).to(at::kFloat);
      const at::Tensor want = at::linear(x, p.weight.to(at::kFloat), p.bias.to(at::kFloat));
      const at::Tensor found = run(p);
      return found.size(-1) == n ? RelativeError(found.slice(0, 0, 256), want) : 0;
    });
    Add(group, variant, [=](benchmark::State& state) {
      const Product& p = **value;
      run(p);
      Synchronize();
      Time(state, [&] { return run(p); });
      SetWork(state, work);
      SetError(state, **error);
    });
  };
  add("cuBLAS_bf16", {.bf16_op = operations},
      [](const Product& p) { return at::linear(p.x, p.weight, p.bias); });
  add("wanlite_int8_linear", {.int8_op = operations},
      [](const Product& p) { return ops::Int8Linear(p.x, p.codes, p.weight_scale, p.bias, 0); });
  add("wanlite_int8_gemm", {.int8_op = operations}, [](const Product& p) {
    return ops::Int8Gemm(p.q, p.scale, p.codes, p.weight_scale, p.bias, at::kBFloat16);
  });
  // Sums as int32, and with what makes bf16 of them.
  add("cuBLAS_int8_scaled", {.int8_op = operations}, [](const Product& p) {
    return (at::_int_mm(p.q, p.codes.t()) * p.scale * p.weight_scale.t() + p.bias)
        .to(at::kBFloat16);
  });
  add("cuBLAS_int8_sums", {.int8_op = operations},
      [](const Product& p) { return at::_int_mm(p.q, p.codes.t()).slice(1, 0, 1); });
}

void AddRows(int64_t tokens, int64_t n) {
  const auto x = MakeLazy<at::Tensor>([=] {
    return at::randn({tokens, n}, at::TensorOptions().device(BenchDevice()).dtype(at::kBFloat16));
  });
  const auto factor = MakeLazy<at::Tensor>(
      [=] { return at::randn({n}, at::TensorOptions().device(BenchDevice())); });
  const std::string group = absl::StrCat("rows/tokens", tokens, "_n", n);
  const double bytes = static_cast<double>(tokens * n) * 3;  // bf16 in, int8 out
  const auto add = [&](const std::string& variant, const std::function<void()>& run) {
    Add(group, variant, [=](benchmark::State& state) {
      run();
      Synchronize();
      Time(state, [&] {
        run();
        return 0;
      });
      SetWork(state, {.bytes = bytes});
    });
  };
  add("quantize", [=] { ops::QuantizePerToken(**x); });
  add("quantize_convrot", [=] { ops::QuantizePerToken(**x, n % 256 == 0 ? 256 : 64); });
  add("layer_norm_quantize",
      [=] { ops::LayerNormQuantize(**x, **factor, **factor, 1e-6, at::kBFloat16, 0); });
  add("layer_norm_then_quantize", [=] {
    const at::Tensor y = at::layer_norm((*x)->to(at::kFloat), {n}, {}, {}, 1e-6);
    ops::QuantizePerToken(at::addcmul(**factor, y, **factor).to(at::kBFloat16));
  });
  add("gelu_quantize", [=] { ops::GeluQuantize(**x, std::nullopt, 0); });
  add("gelu_then_quantize", [=] { ops::QuantizePerToken(at::gelu(**x, "tanh")); });
}

}  // namespace
}  // namespace wanlite::bench

int main(int argc, char** argv) {
  using wanlite::bench::AddProduct;
  if (wanlite::bench::BenchDevice().is_cuda()) {
    for (const int64_t tokens : {1024, 4096, 32760}) {
      AddProduct(tokens, 5120, 5120);
      AddProduct(tokens, 5120, 13824);
      AddProduct(tokens, 13824, 5120);
    }
    wanlite::bench::AddRows(32760, 5120);
    wanlite::bench::AddRows(32760, 13824);
  }
  return wanlite::bench::Main(argc, argv, "cuBLAS_bf16,layer_norm_then_quantize");
}
