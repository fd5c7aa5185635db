// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <array>
#include <cmath>
#include <limits>

#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {
namespace {

struct Int4Case {
  at::Tensor weight, weight_scale, bias;
  std::optional<at::Tensor> zero;
  // code - zero, int64 [out, in]
  at::Tensor steps;
};

// Any codes, the unused 0 of symmetric weights too.
Int4Case MakeInt4Case(int64_t n, int64_t k, int64_t group, bool zero_point, uint64_t seed,
                      at::ScalarType scale_dtype = at::kBFloat16) {
  at::Generator random = at::detail::createCPUGenerator(seed);
  const at::Tensor codes = at::randint(0, 16, {n, k}, random, at::dtype(at::kLong));
  Int4Case c;
  c.weight = (codes.slice(1, 0, k, 2) + 16 * codes.slice(1, 1, k, 2)).to(at::kByte);
  c.weight_scale = (at::rand({n, k / group}, random, at::dtype(at::kFloat)) * 0.1).to(scale_dtype);
  c.bias = at::randn({n}, random, at::dtype(at::kFloat));
  c.steps = codes - 8;
  if (zero_point) {
    const at::Tensor zero = at::randint(0, 16, {n, k / group}, random, at::dtype(at::kLong));
    c.zero = zero.to(at::kByte);
    c.steps = codes - zero.repeat_interleave(group, 1);
  }
  return c;
}

at::Tensor MatrixOf(const Int4Case& c) {
  const int64_t group = c.steps.size(1) / c.weight_scale.size(1);
  return c.steps.to(at::kFloat) * c.weight_scale.to(at::kFloat).repeat_interleave(group, 1);
}

// The sums of ops.h, one by one. tokens: int64 [m, k]; token_scales: fp32 [m, groups].
at::Tensor GroupSums(const at::Tensor& tokens, const at::Tensor& token_scales, const Int4Case& c) {
  const int64_t m = tokens.size(0), n = c.steps.size(0), groups = c.weight_scale.size(1);
  const int64_t group = tokens.size(1) / groups;
  const at::Tensor scale = c.weight_scale.to(at::kFloat);
  at::Tensor y = at::zeros({m, n}, at::dtype(at::kFloat));
  for (int64_t g = 0; g < groups; ++g) {
    const auto part = [&](const at::Tensor& t) {
      return t.slice(1, g * group, (g + 1) * group).to(at::kDouble);
    };
    const at::Tensor sums = part(tokens).matmul(part(c.steps).t()).to(at::kFloat);
    y = y + sums * (scale.select(1, g).unsqueeze(0) * token_scales.select(1, g).unsqueeze(1));
  }
  return y;
}

constexpr std::array<int64_t, 4> kInt4Shapes[] = {  // m, n, k, group
    {1, 1, 2, 2},      {3, 5, 12, 4},   {13, 33, 64, 16}, {40, 70, 192, 64},
    {5, 37, 128, 128}, {29, 16, 96, 6}, {2, 3, 40, 20}};

}  // namespace

TEST_CASE("int4 codes expand to (code - zero) * scale, to the bit", "[codes]") {
  for (const auto& [m, n, k, group] : kInt4Shapes) {
    for (const bool zero_point : {false, true}) {
      for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
        const Int4Case c = MakeInt4Case(n, k, group, zero_point, 1 + k, dtype);
        CHECK(at::equal(Int4Dequantize(c.weight, c.weight_scale, c.zero), MatrixOf(c)));
      }
    }
  }
}

TEST_CASE("int4_linear is the product with the expanded matrix", "[codes]") {
  for (const auto& [m, n, k, group] : kInt4Shapes) {
    for (const bool zero_point : {false, true}) {
      INFO(m << " " << n << " " << k << " " << group << " " << zero_point);
      const Int4Case c = MakeInt4Case(n, k, group, zero_point, 2 + k);
      const at::Tensor x = at::randn({m, k}, at::detail::createCPUGenerator(3));
      const at::Tensor exact = x.to(at::kDouble).matmul(MatrixOf(c).to(at::kDouble).t()) + c.bias;
      const at::Tensor y = Int4Linear(x, c.weight, c.weight_scale, c.zero, c.bias);
      CHECK((y - exact).norm().item<double>() <= 1e-6 * exact.norm().item<double>());
      CHECK(at::equal(Int4Linear(x, c.weight, c.weight_scale, c.zero, std::nullopt),
                      Int4Linear(x, c.weight, c.weight_scale, c.zero, at::zeros({n}))));
      const at::Tensor half =
          Int4Linear(x.to(at::kBFloat16), c.weight, c.weight_scale, c.zero, c.bias);
      CHECK(half.scalar_type() == at::kBFloat16);
      CHECK(at::equal(half, Int4Linear(x.to(at::kBFloat16).to(at::kFloat), c.weight, c.weight_scale,
                                       c.zero, c.bias)
                                .to(at::kBFloat16)));
    }
  }
  // More rows than are expanded at once, and leading axes.
  const Int4Case c = MakeInt4Case(300, 2048, 64, false, 4);
  const at::Tensor x = at::randn({2, 3, 2048}, at::detail::createCPUGenerator(5));
  const at::Tensor y = Int4Linear(x, c.weight, c.weight_scale, c.zero, c.bias);
  CHECK(at::allclose(y, at::linear(x, MatrixOf(c), c.bias), 1e-4, 1e-4));
}

TEST_CASE("w4a8_gemm equals exact sums of groups, to the bit", "[codes]") {
  for (const auto& [m, n, k, group] : kInt4Shapes) {
    for (const bool zero_point : {false, true}) {
      INFO(m << " " << n << " " << k << " " << group << " " << zero_point);
      const Int4Case c = MakeInt4Case(n, k, group, zero_point, 6 + k);
      const auto [q, scale] =
          QuantizePerToken(at::randn({m, k}, at::detail::createCPUGenerator(7)));
      const at::Tensor sums =
          GroupSums(q.to(at::kLong), at::ones({m, k / group}, at::dtype(at::kFloat)), c);
      const at::Tensor y = W4A8Gemm(q, scale, c.weight, c.weight_scale, c.zero, c.bias, at::kFloat);
      CHECK(at::equal(y, sums * scale + c.bias));
      CHECK(at::equal(W4A8Gemm(q, scale, c.weight, c.weight_scale, c.zero, c.bias, at::kBFloat16),
                      y.to(at::kBFloat16)));
      CHECK(
          at::equal(W4A8Gemm(q, scale, c.weight, c.weight_scale, c.zero, std::nullopt, at::kFloat),
                    sums * scale));
    }
  }
}

TEST_CASE("w4a4_gemm equals exact sums of groups, to the bit", "[codes]") {
  for (const auto& [m, n, k, group] : kInt4Shapes) {
    const Int4Case c = MakeInt4Case(n, k, group, true, 8 + k);
    const Int4Case tokens = MakeInt4Case(m, k, group, false, 9 + k, at::kFloat);
    const at::Tensor y = W4A4Gemm(tokens.weight, tokens.weight_scale, c.weight, c.weight_scale,
                                  c.zero, c.bias, at::kFloat);
    CHECK(at::equal(y, GroupSums(tokens.steps, tokens.weight_scale, c) + c.bias));
  }
}

TEST_CASE("tokens that do not fit the cache at once give the same sums", "[codes]") {
  const Int4Case c = MakeInt4Case(70, 1024, 64, false, 10);
  const auto [q, scale] =
      QuantizePerToken(at::randn({6000, 1024}, at::detail::createCPUGenerator(11)));
  const at::Tensor all = W4A8Gemm(q, scale, c.weight, c.weight_scale, c.zero, c.bias, at::kFloat);
  for (const int64_t row : {int64_t{0}, int64_t{3999}, int64_t{4096}, int64_t{5999}}) {
    const auto one = [&](const at::Tensor& t) { return t.slice(0, row, row + 1); };
    CHECK(at::equal(one(all), W4A8Gemm(one(q), one(scale), c.weight, c.weight_scale, c.zero, c.bias,
                                       at::kFloat)));
  }
}

TEST_CASE("the largest integers of a W4A8 product are exact", "[codes]") {
  const int64_t k = 131072;
  const at::Tensor q = at::full({1, k}, -127, at::dtype(at::kChar));
  const at::Tensor y =
      W4A8Gemm(q, at::ones({1, 1}), at::full({1, k / 2}, 0, at::dtype(at::kByte)), at::ones({1, 1}),
               at::full({1, 1}, 15, at::dtype(at::kByte)), std::nullopt, at::kFloat);
  CHECK(y.item<float>() == 127.0f * 15.0f * static_cast<float>(k));
}

TEST_CASE("quantize_int4 rounds to the nearest of 15 steps of max / 7", "[codes]") {
  const at::Tensor x = at::tensor({7., -3.5, 1., 0.49, 0., 0., -0., 0., 2.5, -6.5, 3.5, -7.})
                           .to(at::kFloat)
                           .reshape({1, 12});
  const auto [q, scale] = QuantizeInt4(x, 4);
  // 15 4 | 9 8, 8 8 | 8 8, ties to even: 2.5 -> 2, -6.5 -> -6, 3.5 -> 4, -7
  CHECK(at::equal(q, at::tensor({0x4f, 0x89, 0x88, 0x88, 0x2a, 0x1c}, at::kByte).unsqueeze(0)));
  CHECK(at::equal(scale, at::tensor({1., 0., 1.}).to(at::kFloat).unsqueeze(0)));

  for (const auto& [m, n, k, group] : kInt4Shapes) {
    const at::Tensor tokens = at::randn({m, k}, at::detail::createCPUGenerator(12));
    const at::Tensor grouped = tokens.reshape({m, -1, group});
    const at::Tensor wanted = grouped.abs().amax(-1) / 7.0f;
    const at::Tensor codes =
        ((grouped / wanted.unsqueeze(-1)).round().clamp(-7, 7) + 8).to(at::kLong).reshape({m, k});
    const auto [packed, scales] = QuantizeInt4(tokens, group);
    CHECK(at::equal(scales, wanted));
    CHECK(
        at::equal(packed, (codes.slice(1, 0, k, 2) + 16 * codes.slice(1, 1, k, 2)).to(at::kByte)));
    CHECK(at::equal(std::get<0>(QuantizeInt4(tokens.to(at::kHalf), group)),
                    std::get<0>(QuantizeInt4(tokens.to(at::kHalf).to(at::kFloat), group))));
  }
}

TEST_CASE("weights get scales in bf16 and zero points", "[codes]") {
  const at::Tensor w =
      at::tensor({0., 15., 3.4, 7.5, -3., 12., 0., 1., 5., 6., 5.5, 7.5, -30., -15., -29., -1.})
          .to(at::kFloat)
          .reshape({1, 16});
  const Int4Matrix z = QuantizeInt4Weight(w, 4, true);
  CHECK(z.weight_scale.scalar_type() == at::kBFloat16);
  CHECK(at::equal(z.weight_scale.to(at::kFloat),
                  at::tensor({1., 1., 0.5, 2.}).to(at::kFloat).unsqueeze(0)));
  CHECK(at::equal(z.zero, at::tensor({0, 3, 0, 15}, at::kByte).unsqueeze(0)));
  // 0 15 3 8 | 0 15 3 4 | 10 12 11 15 | 0 7 1 15, ties to even
  CHECK(at::equal(
      z.weight,
      at::tensor({0xf0, 0x83, 0xf0, 0x43, 0xca, 0xfb, 0x70, 0xf1}, at::kByte).unsqueeze(0)));
  // 1.001 is 1 in bf16, and the codes are those of the scale that is stored.
  const at::Tensor near = at::tensor({7.007, 1.5005}).to(at::kFloat).reshape({1, 2});
  const Int4Matrix s = QuantizeInt4Weight(near, 2, false);
  CHECK_FALSE(s.zero.defined());
  CHECK(s.weight_scale.to(at::kFloat).item<float>() == 1.0f);
  CHECK(s.weight.item<int>() == (15 | (10 << 4)));
}

TEST_CASE("what is not finite in int4 tokens stays so, group by group", "[codes]") {
  const Int4Case c = MakeInt4Case(9, 32, 16, false, 13);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), HUGE_VALF, -HUGE_VALF}) {
    at::Tensor x = at::randn({3, 32}, at::detail::createCPUGenerator(14));
    x[1][20] = bad;
    const auto [q4, scale4] = QuantizeInt4(x, 16);
    CHECK(at::isnan(scale4).to(at::kInt).sum().item<int>() == 1);
    const auto [q8, scale8] = QuantizePerToken(x);
    for (const at::Tensor& y :
         {W4A4Gemm(q4, scale4, c.weight, c.weight_scale, c.zero, c.bias, at::kFloat),
          W4A8Gemm(q8, scale8, c.weight, c.weight_scale, c.zero, c.bias, at::kFloat)}) {
      CHECK(at::isnan(y[1]).all().item<bool>());
      CHECK(y[0].isfinite().all().item<bool>());
      CHECK(y[2].isfinite().all().item<bool>());
    }
  }
  const at::Tensor nothing = at::zeros({2, 32});
  const auto [q, scale] = QuantizeInt4(nothing, 16);
  CHECK(at::equal(W4A4Gemm(q, scale, c.weight, c.weight_scale, c.zero, c.bias, at::kFloat),
                  c.bias.expand({2, 9})));
}

TEST_CASE("no tokens give no rows, and what does not fit is refused", "[codes]") {
  const Int4Case c = MakeInt4Case(6, 32, 16, true, 15);
  const auto [q, scale] = QuantizePerToken(at::zeros({0, 32}));
  CHECK(W4A8Gemm(q, scale, c.weight, c.weight_scale, c.zero, c.bias, at::kFloat).sizes() ==
        at::IntArrayRef({0, 6}));
  CHECK(Int4Linear(at::zeros({0, 32}), c.weight, c.weight_scale, c.zero, c.bias).sizes() ==
        at::IntArrayRef({0, 6}));
  const at::Tensor x = at::ones({2, 32});
  CHECK_THROWS(Int4Linear(at::ones({2, 30}), c.weight, c.weight_scale, c.zero, c.bias));
  CHECK_THROWS(Int4Linear(x, c.steps, c.weight_scale, c.zero, c.bias));
  CHECK_THROWS(Int4Linear(x, c.weight, at::ones({6, 3}), std::nullopt, c.bias));
  CHECK_THROWS(Int4Linear(x, c.weight, at::ones({6, 32}), std::nullopt, c.bias));
  CHECK_THROWS(Int4Linear(x, c.weight, c.weight_scale, at::ones({6, 1}), c.bias));
  CHECK_THROWS(Int4Linear(x, c.weight, c.weight_scale, c.zero, at::ones({5})));
  CHECK_THROWS(QuantizeInt4(x, 3));
  CHECK_THROWS(QuantizeInt4(x, 12));
  CHECK_THROWS(
      W4A4Gemm(c.weight, at::ones({6, 4}), c.weight, c.weight_scale, c.zero, c.bias, at::kFloat));
  at::Tensor wanted = at::ones({2, 32}).requires_grad_(true);
  CHECK_THROWS(Int4Linear(wanted, c.weight, c.weight_scale, c.zero, c.bias));
  CHECK_THROWS(QuantizeInt4(wanted, 16));
}

}  // namespace wanlite::ops
