// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <array>
#include <cmath>
#include <limits>

#include "src/core/libtorch.h"
#include "src/ops/cpu/cpu_isa.h"
#include "src/ops/int8_math.h"
#include "src/ops/ops.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {
namespace {

// W8A8 in plain LibTorch calls, in double where sums are formed. x: fp32 [m, k].
at::Tensor ReferenceLinear(const at::Tensor& x, const at::Tensor& weight,
                           const at::Tensor& weight_scale, const at::Tensor& bias) {
  const at::Tensor scale = x.abs().amax(-1, true) / 127.0f;
  const at::Tensor q = (x / scale.where(scale > 0, at::ones_like(scale))).round().clamp(-127, 127);
  const at::Tensor sums = q.to(at::kDouble).matmul(weight.to(at::kDouble).t());
  return sums.to(at::kFloat) * (scale * weight_scale.t()) + bias;
}

// R of the definition: the Kronecker power of the regular 4x4 Hadamard matrix. [group, group]
at::Tensor RotationMatrix(int64_t group) {
  const at::Tensor h4 = 0.5f * at::tensor({1., 1., 1., -1., 1., 1., -1., 1.,  //
                                           1., -1., 1., 1., -1., 1., 1., 1.})
                                   .to(at::kFloat)
                                   .reshape({4, 4});
  at::Tensor matrix = at::ones({1, 1});
  for (int64_t size = 1; size < group; size *= 4) matrix = at::kron(matrix, h4);
  return matrix;
}

struct Case {
  at::Tensor x, weight, weight_scale, bias;
};
Case MakeCase(int64_t m, int64_t n, int64_t k, int64_t seed) {
  at::Generator random = at::detail::createCPUGenerator(seed);
  const auto floats = at::dtype(at::kFloat);
  return {at::randn({m, k}, random, floats) * 2,
          at::randint(-127, 128, {n, k}, random, at::dtype(at::kChar)),
          at::rand({n, 1}, random, floats) * 0.01, at::randn({n}, random, floats)};
}

}  // namespace

TEST_CASE("the operators are in the dispatcher under their names", "[int8_linear]") {
  for (const char* name :
       {"wanlite::int8_linear", "wanlite::int8_gemm", "wanlite::quantize_per_token",
        "wanlite::layer_norm", "wanlite::layer_norm_quantize", "wanlite::hadamard_rotate",
        "wanlite::int8_pack", "wanlite::int8_gemm_packed", "wanlite::rms_norm",
        "wanlite::rms_norm_quantize", "wanlite::gelu", "wanlite::gelu_quantize",
        "wanlite::rms_norm_rotary", "wanlite::attention", "wanlite::w4a8_pack",
        "wanlite::w4a8_gemm_packed"}) {
    INFO(name);
    CHECK(c10::Dispatcher::singleton().findSchema({name, ""}).has_value());
  }
}

TEST_CASE("int8_linear equals quantize, integer product, scale, to the bit", "[int8_linear]") {
  for (auto [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                         {1, 40, 64},
                         {3, 7, 5},
                         {12, 32, 256},
                         {13, 33, 100},
                         {65, 130, 768}}) {
    const Case c = MakeCase(m, n, k, m + n + k);
    const at::Tensor y = Int8Linear(c.x, c.weight, c.weight_scale, c.bias, 0);
    INFO(CpuIsaName(ActiveCpuIsa()) << " m=" << m << " n=" << n << " k=" << k);
    CHECK(at::equal(y, ReferenceLinear(c.x, c.weight, c.weight_scale, c.bias)));
    const at::Tensor no_bias = Int8Linear(c.x, c.weight, c.weight_scale, std::nullopt, 0);
    CHECK(at::equal(no_bias, ReferenceLinear(c.x, c.weight, c.weight_scale, at::zeros({n}))));
  }
}

TEST_CASE("int8_linear keeps leading dimensions and takes strided inputs", "[int8_linear]") {
  const Case c = MakeCase(24, 9, 16, 3);
  const at::Tensor expected = Int8Linear(c.x, c.weight, c.weight_scale, c.bias, 0);
  const at::Tensor y = Int8Linear(c.x.reshape({2, 3, 4, 16}), c.weight, c.weight_scale, c.bias, 0);
  CHECK(y.sizes() == at::IntArrayRef({2, 3, 4, 9}));
  CHECK(at::equal(y.reshape({24, 9}), expected));
  const at::Tensor strided = c.x.t().contiguous().t();
  const at::Tensor weight = c.weight.t().contiguous().t();
  CHECK(at::equal(Int8Linear(strided, weight, c.weight_scale, c.bias, 0), expected));
  CHECK(Int8Linear(c.x.slice(0, 0, 0), c.weight, c.weight_scale, c.bias, 0).sizes() ==
        at::IntArrayRef({0, 9}));
  CHECK(Int8Linear(c.x[0], c.weight, c.weight_scale, c.bias, 0).sizes() == at::IntArrayRef({9}));
}

TEST_CASE("int8_linear rounds half-precision results to nearest even", "[int8_linear]") {
  const Case c = MakeCase(20, 70, 128, 4);
  for (at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    const at::Tensor x = c.x.to(dtype);
    const at::Tensor y = Int8Linear(x, c.weight, c.weight_scale, c.bias, 0);
    CHECK(y.scalar_type() == dtype);
    const at::Tensor in_float = Int8Linear(x.to(at::kFloat), c.weight, c.weight_scale, c.bias, 0);
    CHECK(at::equal(y, in_float.to(dtype)));
  }
}

TEST_CASE("a token of zeros gives the bias, a token with NaN or infinity a row of NaN",
          "[int8_linear]") {
  Case c = MakeCase(6, 37, 96, 5);
  c.x[1].zero_();
  c.x[2][7] = std::numeric_limits<float>::quiet_NaN();
  c.x[3][0] = std::numeric_limits<float>::infinity();
  c.x[4][95] = -std::numeric_limits<float>::infinity();
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor y = Int8Linear(c.x.to(dtype), c.weight, c.weight_scale, c.bias, 0);
    CHECK(at::equal(y[1], c.bias.to(dtype)));
    for (int64_t row : {2, 3, 4}) CHECK(y[row].isnan().all().item<bool>());
    for (int64_t row : {0, 1, 5}) CHECK(y[row].isfinite().all().item<bool>());
  }
  const auto [q, scale] = QuantizePerToken(c.x);
  CHECK(scale[1].item<float>() == 0.0f);
  CHECK(q[1].count_nonzero().item<int64_t>() == 0);
  for (int64_t row : {2, 3, 4}) CHECK(std::isnan(scale[row].item<float>()));
  CHECK(Int8Linear(at::full({1, 96}, 1e-44f), c.weight, c.weight_scale, c.bias, 0)
            .isfinite()
            .all()
            .item<bool>());
}

TEST_CASE("quantize_per_token uses max|x| / 127 and the nearest integer", "[int8_linear]") {
  const Case c = MakeCase(50, 1, 333, 6);
  const auto [q, scale] = QuantizePerToken(c.x.reshape({5, 10, 333}));
  CHECK(q.sizes() == at::IntArrayRef({5, 10, 333}));
  CHECK(scale.sizes() == at::IntArrayRef({5, 10, 1}));
  const at::Tensor flat_scale = scale.reshape({50, 1});
  CHECK(at::equal(flat_scale, c.x.abs().amax(-1, true) / 127.0f));
  CHECK(at::equal(q.reshape({50, 333}).to(at::kFloat), (c.x / flat_scale).round()));
}

TEST_CASE("hadamard_rotate is the product with the Kronecker power of H4 and its own inverse",
          "[int8_linear]") {
  for (int64_t group : {4, 16, 64, 256, 1024}) {
    const Case c = MakeCase(3, 1, 2 * group, group);
    const at::Tensor rotated = HadamardRotate(c.x, group);
    const at::Tensor expected =
        c.x.reshape({-1, group}).matmul(RotationMatrix(group)).reshape({3, 2 * group});
    INFO("group " << group);
    CHECK((rotated - expected).abs().max().item<float>() < 1e-5f * c.x.abs().max().item<float>());
    CHECK((HadamardRotate(rotated, group) - c.x).abs().max().item<float>() < 2e-6f * 8);
  }
}

TEST_CASE("int8_linear with a rotation equals rotating first", "[int8_linear]") {
  for (int64_t group : {4, 64, 256}) {
    const Case c = MakeCase(10, 21, 512, group);
    CHECK(at::equal(Int8Linear(c.x, c.weight, c.weight_scale, c.bias, group),
                    Int8Linear(HadamardRotate(c.x, group), c.weight, c.weight_scale, c.bias, 0)));
  }
}

TEST_CASE("misuse of the operators names what was found and what was wanted", "[int8_linear]") {
  const Case c = MakeCase(2, 3, 8, 8);
  using Catch::Contains;
  const auto linear = [&](const at::Tensor& x, const at::Tensor& w, const at::Tensor& s,
                          std::optional<at::Tensor> b,
                          int64_t group) { return Int8Linear(x, w, s, b, group); };
  CHECK_THROWS_WITH(linear(at::randn({2, 7}), c.weight, c.weight_scale, c.bias, 0),
                    Contains("x has 7 features") && Contains("takes 8"));
  CHECK_THROWS_WITH(linear(c.x, c.weight.to(at::kInt), c.weight_scale, c.bias, 0),
                    Contains("weight must be int8"));
  CHECK_THROWS_WITH(linear(c.x, c.weight, c.weight_scale[0], c.bias, 0),
                    Contains("weight_scale must be float32 [3, 1]"));
  CHECK_THROWS_WITH(linear(c.x, c.weight, c.weight_scale, at::randn({4}), 0),
                    Contains("bias must be floating [3]"));
  CHECK_THROWS_WITH(linear(c.x, c.weight, c.weight_scale, c.bias, 16),
                    Contains("rotation group 16 does not divide the 8 features"));
  CHECK_THROWS_WITH(linear(c.x, c.weight, c.weight_scale, c.bias, 8), Contains("found 8"));
  CHECK_THROWS_WITH(linear(c.x.to(at::kDouble), c.weight, c.weight_scale, c.bias, 0),
                    Contains("found Double"));
  CHECK_THROWS_WITH(HadamardRotate(c.x, -4), Contains("found -4"));
}

TEST_CASE("the operators refuse to lose a gradient", "[int8_linear]") {
  Case c = MakeCase(2, 3, 8, 9);
  c.x.requires_grad_(true);
  CHECK_THROWS_WITH(Int8Linear(c.x, c.weight, c.weight_scale.requires_grad_(true), c.bias, 0),
                    Catch::Contains("wanlite::int8_linear has no gradient"));
  CHECK_THROWS_WITH(QuantizePerToken(c.x), Catch::Contains("no gradient"));
  at::NoGradGuard no_grad;
  CHECK(Int8Linear(c.x, c.weight, c.weight_scale, c.bias, 0).size(1) == 3);
}

}  // namespace wanlite::ops
