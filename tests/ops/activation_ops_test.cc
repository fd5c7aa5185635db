// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The steps of int8_linear as operators of their own, the norm that feeds them, and the gradient.
// Tagged [int8_linear]: run again under every instruction set.

#include <array>
#include <cmath>
#include <limits>

#include "src/core/libtorch.h"
#include "src/ops/cpu/cpu_isa.h"
#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/ops.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {
namespace {

using Catch::Contains;

at::Tensor Normal(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
}

struct Weight {
  at::Tensor codes, scale, bias;
};
Weight RandomWeight(int64_t n, int64_t k, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return {at::randint(-127, 128, {n, k}, generator, at::dtype(at::kChar)),
          at::rand({n, 1}, generator, at::dtype(at::kFloat)) * 0.01, Normal({n}, seed + 1)};
}

}  // namespace

TEST_CASE("quantizing once and multiplying often is int8_linear, to the bit", "[int8_linear]") {
  for (const int64_t group : {0, 4, 16, 64, 256, 1024}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const int64_t k = group == 0 ? 75 : 2 * group;
      at::Tensor x = Normal({2, 9, k}, group).to(dtype);
      x[1][3].zero_();
      x[0][2][1] = std::numeric_limits<float>::quiet_NaN();
      const auto [q, scale] = QuantizePerToken(x, group);
      CHECK(q.sizes() == x.sizes());
      CHECK(scale.sizes() == at::IntArrayRef({2, 9, 1}));
      for (const int64_t n : {1, 40, 65}) {
        const Weight w = RandomWeight(n, k, 7 * n);
        INFO(CpuIsaName(ActiveCpuIsa()) << " group " << group << " n " << n << " " << dtype);
        for (const std::optional<at::Tensor>& bias :
             {std::optional<at::Tensor>(w.bias), std::optional<at::Tensor>()}) {
          const at::Tensor one = Int8Linear(x, w.codes, w.scale, bias, group);
          const at::Tensor two = Int8Gemm(q, scale, w.codes, w.scale, bias, dtype);
          CHECK(two.scalar_type() == dtype);
          CHECK(at::equal(one.isnan(), two.isnan()));
          CHECK(at::equal(one.nan_to_num(0), two.nan_to_num(0)));
        }
      }
    }
  }
}

TEST_CASE("rotating within quantize_per_token is rotating before it", "[int8_linear]") {
  const at::Tensor x = Normal({5, 512}, 3);
  const auto [q, scale] = QuantizePerToken(x, 64);
  const auto [q2, scale2] = QuantizePerToken(HadamardRotate(x, 64));
  CHECK(at::equal(q, q2));
  CHECK(at::equal(scale, scale2));
}

TEST_CASE("int8_gemm says what does not fit", "[int8_linear]") {
  const Weight w = RandomWeight(3, 8, 1);
  const at::Tensor q = at::zeros({2, 8}, at::kChar), scale = at::ones({2, 1});
  const auto gemm = [&](const at::Tensor& a, const at::Tensor& s, const at::Tensor& codes,
                        at::ScalarType dtype) {
    return Int8Gemm(a, s, codes, w.scale, w.bias, dtype);
  };
  CHECK_THROWS_WITH(gemm(q.to(at::kFloat), scale, w.codes, at::kFloat),
                    Contains("q must be int8 [..., in], found Float"));
  CHECK_THROWS_WITH(gemm(q, at::ones({2}), w.codes, at::kFloat),
                    Contains("scale must be float32 [2, 1], found Float [2]"));
  CHECK_THROWS_WITH(gemm(at::zeros({2, 7}, at::kChar), scale, w.codes, at::kFloat),
                    Contains("int8_gemm: x has 7 features"));
  CHECK_THROWS_WITH(gemm(q, scale, w.codes, at::kDouble), Contains("wanted Double"));
  CHECK_THROWS_WITH(gemm(q, scale.clone().requires_grad_(true), w.codes, at::kFloat),
                    Contains("no gradient"));
  CHECK(gemm(q.slice(0, 0, 0), scale.slice(0, 0, 0), w.codes, at::kHalf).sizes() ==
        at::IntArrayRef({0, 3}));
}

TEST_CASE("layer_norm is LibTorch's up to rounding, in every broadcast", "[int8_linear]") {
  for (const int64_t n : {1, 5, 64, 100, 512}) {
    const at::Tensor x = Normal({2, 6, n}, n) * 3 + 1.5;
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{n}, {2, 1, n}, {2, 6, n}, {1, 1, n}}) {
      const at::Tensor weight = Normal(shape, 5), bias = Normal(shape, 6);
      const at::Tensor expected =
          at::layer_norm(x.to(at::kDouble), {n}, {}, {}, 1e-6) * weight + bias;
      INFO("n " << n << " shape " << at::IntArrayRef(shape));
      const at::Tensor y = LayerNorm(x, weight, bias, 1e-6, at::kFloat);
      CHECK((y - expected).abs().max().item<double>() < 1e-5);
      CHECK(at::equal(LayerNorm(x, weight, bias, 1e-6, at::kBFloat16), y.to(at::kBFloat16)));
      const at::Tensor half = x.to(at::kHalf);
      CHECK(at::equal(LayerNorm(half, weight, bias, 1e-6, at::kFloat),
                      LayerNorm(half.to(at::kFloat), weight, bias, 1e-6, at::kFloat)));
    }
  }
}

TEST_CASE("layer_norm gives the same bits on every instruction set", "[int8_linear]") {
  const Int8Kernels& reference = Int8KernelsFor(CpuIsa::kPortable);
  for (const CpuIsa isa : {CpuIsa::kAvx2, CpuIsa::kAvx512Vnni}) {
    if (!CpuIsaSupported(isa)) continue;
    for (const int64_t n : {1, 63, 64, 65, 200, 5120}) {
      const at::Tensor weight = Normal({n}, 1), bias = Normal({n}, 2);
      const at::Tensor a = Normal({n}, 3) * 10 + 3, b = a.clone();
      reference.layer_norm(a.data_ptr<float>(), n, 1e-6f, weight.data_ptr<float>(),
                           bias.data_ptr<float>());
      Int8KernelsFor(isa).layer_norm(b.data_ptr<float>(), n, 1e-6f, weight.data_ptr<float>(),
                                     bias.data_ptr<float>());
      INFO(CpuIsaName(isa) << " n " << n);
      CHECK(at::equal(a, b));
    }
  }
}

TEST_CASE("a norm that emits int8 equals the norm, then quantizing", "[int8_linear]") {
  const at::Tensor x = Normal({2, 7, 256}, 11);
  const at::Tensor weight = Normal({2, 1, 256}, 12), bias = Normal({256}, 13);
  for (const int64_t group : {0, 16, 256}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const auto [q, scale] = LayerNormQuantize(x, weight, bias, 1e-6, dtype, group);
      const auto [q2, scale2] = QuantizePerToken(LayerNorm(x, weight, bias, 1e-6, dtype), group);
      CHECK(at::equal(q, q2));
      CHECK(at::equal(scale, scale2));
    }
  }
}

TEST_CASE("a product with a packed weight is the product, to the bit", "[int8_linear]") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const auto& [m, n, k] :
         {std::array<int64_t, 3>{1, 40, 75}, {26, 33, 128}, {100, 70, 257}, {0, 5, 8}, {3, 1, 1}}) {
      const Weight w = RandomWeight(n, k, 3 * n);
      const auto [q, scale] = QuantizePerToken(Normal({m, k}, 4), 0);
      const at::Tensor packed = Int8Pack(w.codes);
      CHECK(packed.numel() <= (n + 31) / 32 * 32 * ((k + 63) / 64 * 64));
      const at::Tensor one = Int8Gemm(q, scale, w.codes, w.scale, w.bias, dtype);
      CHECK(at::equal(one, Int8GemmPacked(q, scale, packed, w.scale, w.bias, dtype)));
      CHECK(at::equal(Int8Pack(w.codes.t().contiguous().t()), packed));
    }
  }
  const Weight w = RandomWeight(40, 75, 1);
  const auto [q, scale] = QuantizePerToken(Normal({2, 75}, 4), 0);
  const at::Tensor packed = Int8Pack(w.codes);
  CHECK_THROWS_WITH(Int8GemmPacked(q, scale, packed.slice(0, 1), w.scale, w.bias, at::kFloat),
                    Contains("must be what int8_pack made of a weight [40, 75]"));
  CHECK_THROWS_WITH(Int8GemmPacked(q, scale, packed, w.scale, w.bias.slice(0, 1), at::kFloat),
                    Contains("bias must be floating [40]"));
  CHECK_THROWS_WITH(Int8Pack(at::zeros({2, 2})), Contains("must be int8 [out, in]"));
}

TEST_CASE("rms_norm is x over its root mean square, up to rounding", "[int8_linear]") {
  for (const int64_t n : {1, 5, 64, 100, 512}) {
    const at::Tensor x = Normal({2, 6, n}, n) * 3 + 1.5, weight = Normal({n}, 5);
    const at::Tensor wide = x.to(at::kDouble);
    const at::Tensor expected = wide * (wide.square().mean(-1, true) + 1e-6).rsqrt() * weight;
    const at::Tensor y = RmsNorm(x, weight, 1e-6, at::kFloat);
    CHECK((y - expected).abs().max().item<double>() < 1e-5);
    CHECK(at::equal(RmsNorm(x, weight, 1e-6, at::kBFloat16), y.to(at::kBFloat16)));
  }
  CHECK_THROWS_WITH(RmsNorm(at::ones({2, 8}), at::ones({7}), 1e-6, at::kFloat),
                    Contains("weight must be float32 of x's shape [2, 8]"));
}

TEST_CASE("gelu is its formula, up to rounding, at every magnitude", "[int8_linear]") {
  const at::Tensor x =
      at::cat({at::linspace(-30, 30, 20001), at::tensor({1e30, 1e-30, -1e-30, 0.0, 3e38})})
          .to(at::kFloat);
  const at::Tensor wide = x.to(at::kDouble);
  // Without the cancellation that 1 + tanh has.
  const at::Tensor inner = 1.5957691216057308 * (wide + 0.044715 * wide.pow(3));
  const at::Tensor expected = wide * at::sigmoid(inner);
  const at::Tensor y = Gelu(x, {});
  const at::Tensor error = (y - expected).abs();
  // The exponent of a far tail, a hundred, has an error of 1e-5.
  CHECK((error <= 1e-30 + 3e-5 * expected.abs()).all().item<bool>());
  // Where it counts, from -1 on, it is fp32's own rounding.
  CHECK((error <= 1e-37 + 8e-7 * expected.abs()).slice(0, 9667).all().item<bool>());
  CHECK((y - at::gelu(x, "tanh")).slice(0, 0, 20001).abs().max().item<double>() < 2e-6);
  const double infinity = std::numeric_limits<double>::infinity();
  const at::Tensor odd = Gelu(at::tensor({infinity, std::nan("")}).to(at::kFloat), {});
  CHECK(odd[0].item<double>() == infinity);
  CHECK(std::isnan(odd[1].item<double>()));
  const at::Tensor half = x.slice(0, 0, 20001).to(at::kBFloat16);
  CHECK(at::equal(Gelu(half, {}), Gelu(half.to(at::kFloat), {}).to(at::kBFloat16)));
  const at::Tensor gate = Normal({20001}, 8).to(at::kBFloat16);
  CHECK(at::equal(Gelu(half, gate), Gelu(half, {}) * gate));
  CHECK_THROWS_WITH(Gelu(half, gate.slice(0, 1)), Contains("gate must be like x"));
  CHECK_THROWS_WITH(Gelu(x.clone().requires_grad_(true), {}), Contains("no gradient"));
}

TEST_CASE("rms_norm and gelu give the same bits on every instruction set", "[int8_linear]") {
  const Int8Kernels& reference = Int8KernelsFor(CpuIsa::kPortable);
  for (const CpuIsa isa : {CpuIsa::kAvx2, CpuIsa::kAvx512Vnni}) {
    if (!CpuIsaSupported(isa)) continue;
    for (const int64_t n : {1, 63, 64, 65, 200, 5120}) {
      INFO(CpuIsaName(isa) << " n " << n);
      const at::Tensor weight = Normal({n}, 1), x = Normal({n}, 3) * 4;
      at::Tensor a = x.clone(), b = x.clone();
      reference.rms_norm(a.data_ptr<float>(), n, 1e-6f, weight.data_ptr<float>());
      Int8KernelsFor(isa).rms_norm(b.data_ptr<float>(), n, 1e-6f, weight.data_ptr<float>());
      CHECK(at::equal(a, b));
      a = x.clone(), b = x.clone();
      reference.gelu(a.data_ptr<float>(), n);
      Int8KernelsFor(isa).gelu(b.data_ptr<float>(), n);
      CHECK(at::equal(a, b));
    }
  }
}

TEST_CASE("what emits int8 equals its floating twin, then quantizing", "[int8_linear]") {
  const at::Tensor weight = Normal({256}, 12);
  for (const int64_t group : {0, 16, 256}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const at::Tensor x = Normal({2, 7, 256}, 11).to(dtype),
                       gate = Normal({2, 7, 256}, 14).to(dtype);
      const auto check = [&](const std::tuple<at::Tensor, at::Tensor>& fused, const at::Tensor& y) {
        const auto [q, scale] = QuantizePerToken(y, group);
        CHECK(at::equal(std::get<0>(fused), q));
        CHECK(at::equal(std::get<1>(fused), scale));
      };
      check(RmsNormQuantize(x, weight, 1e-6, dtype, group), RmsNorm(x, weight, 1e-6, dtype));
      check(GeluQuantize(x, {}, group), Gelu(x, {}));
      check(GeluQuantize(x, gate, group), Gelu(x, gate));
    }
  }
  CHECK(std::get<0>(GeluQuantize(at::zeros({0, 8}), {}, 0)).sizes() == at::IntArrayRef({0, 8}));
}

TEST_CASE("a norm's weight that does not fit is refused", "[int8_linear]") {
  const at::Tensor x = Normal({2, 3, 8}, 1), good = at::ones({8});
  const auto norm = [&](const at::Tensor& weight) {
    return LayerNorm(x, weight, good, 1e-6, at::kFloat);
  };
  for (const at::Tensor& weight :
       {at::ones({7}), at::ones({3, 8}).to(at::kHalf), at::ones({1, 3, 8}), at::ones({3, 1, 8}),
        at::ones({1, 2, 3, 8})}) {
    INFO(weight.sizes());
    CHECK_THROWS_WITH(norm(weight), Contains("weight must be float32 of x's shape [2, 3, 8]"));
  }
  CHECK_THROWS_WITH(LayerNorm(x.clone().requires_grad_(true), good, good, 1e-6, at::kFloat),
                    Contains("no gradient"));
}

TEST_CASE("int8_linear passes the gradient of its dequantized matrix", "[int8_linear]") {
  for (const int64_t group : {0, 16}) {
    const int64_t n = 37, k = 64;
    const Weight w = RandomWeight(n, k, 21);
    at::Tensor matrix = w.codes.to(at::kFloat) * w.scale;
    if (group != 0) matrix = HadamardRotate(matrix, group);
    const at::Tensor dy = Normal({2, 5, n}, 22);
    at::Tensor x = Normal({2, 5, k}, 23).requires_grad_(true);
    at::Tensor bias = w.bias.clone().requires_grad_(true);
    const at::Tensor y = Int8Linear(x, w.codes, w.scale, bias, group);
    {
      at::NoGradGuard no_grad;
      CHECK(at::equal(y, Int8Linear(x, w.codes, w.scale, bias, group)));
    }
    const auto found = torch::autograd::grad({y}, {x, bias}, {dy});
    at::Tensor x2 = x.detach().clone().requires_grad_(true);
    at::Tensor bias2 = w.bias.clone().requires_grad_(true);
    const auto wanted = torch::autograd::grad({at::linear(x2, matrix, bias2)}, {x2, bias2}, {dy});
    for (size_t i = 0; i < 2; ++i) {
      CHECK(found[i].sizes() == wanted[i].sizes());
      CHECK((found[i] - wanted[i]).norm().item<double>() < 1e-5 * wanted[i].norm().item<double>());
    }
    // Of one of them alone, and in the input's dtype.
    at::Tensor half = x.detach().to(at::kBFloat16).requires_grad_(true);
    const at::Tensor y_half = Int8Linear(half, w.codes, w.scale, w.bias, group);
    const auto alone = torch::autograd::grad({y_half}, {half}, {dy.to(at::kBFloat16)});
    CHECK(alone[0].scalar_type() == at::kBFloat16);
    CHECK((alone[0].to(at::kFloat) - wanted[0]).norm().item<double>() <
          0.02 * wanted[0].norm().item<double>());
    CHECK_THROWS_WITH(Int8Linear(x, w.codes, w.scale.clone().requires_grad_(true), w.bias, group),
                      Contains("its input weight_scale"));
  }
}

TEST_CASE("the rotation passes gradients through itself", "[int8_linear]") {
  at::Tensor x = Normal({3, 64}, 41).requires_grad_(true);
  const at::Tensor dy = Normal({3, 64}, 42);
  const at::Tensor dx = torch::autograd::grad({HadamardRotate(x, 16)}, {x}, {dy})[0];
  CHECK(at::equal(dx, HadamardRotate(dy, 16)));
}

TEST_CASE("the gradient of a wide int8 layer is summed in pieces of rows", "[int8_linear]") {
  // A piece is a million weights.
  const int64_t n = 40, k = 65536;
  const Weight w = RandomWeight(n, k, 31);
  at::Tensor x = Normal({2, k}, 32).requires_grad_(true);
  const at::Tensor dy = Normal({2, n}, 33);
  const auto found = torch::autograd::grad({Int8Linear(x, w.codes, w.scale, {}, 0)}, {x}, {dy});
  const at::Tensor wanted =
      dy.to(at::kDouble).matmul((w.codes.to(at::kFloat) * w.scale).to(at::kDouble));
  CHECK((found[0] - wanted).norm().item<double>() < 1e-5 * wanted.norm().item<double>());
}

}  // namespace wanlite::ops
