// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// FP8, NVFP4, and INT8 weights whose inputs are not quantized per token.

#include "src/ops/fp8_math.h"

#include <array>
#include <cmath>
#include <limits>

#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {
namespace {

at::Tensor Floats(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
}

// fp32 values of all signs and exponents, those halfway between two codes among them.
at::Tensor ManyFloats() {
  // The upper 20 bits of all that matter, with the lower ones such that they tie or nearly tie.
  const at::Tensor upper = at::arange(int64_t{0x3a000} >> 2, int64_t{0x44000} >> 2) * (1 << 14);
  std::vector<at::Tensor> all;
  for (const int64_t low : {int64_t{0}, int64_t{1}, int64_t{0x1fff}, int64_t{0x3fff}}) {
    all.push_back((upper + low).to(at::kInt).view(at::kFloat));
  }
  all.push_back(at::tensor({0.0f, 1e-45f, 1e-20f, 3e38f, HUGE_VALF}, at::kFloat));
  const at::Tensor positive = at::cat(all);
  return at::cat({positive, -positive});
}

at::Tensor Bytes(const at::Tensor& fp8) { return fp8.view(at::kByte); }

double RelativeTo(const at::Tensor& exact, const at::Tensor& found) {
  return (found - exact).norm().item<double>() / exact.norm().item<double>();
}

// The e2m1 values, by code.
at::Tensor E2m1Values() {
  return at::tensor({0., .5, 1., 1.5, 2., 3., 4., 6., -0., -.5, -1., -1.5, -2., -3., -4., -6.})
      .to(at::kFloat);
}

at::Tensor Nibbles(const at::Tensor& packed) {
  const at::Tensor wide = packed.to(at::kLong);
  std::vector<int64_t> shape = packed.sizes().vec();
  shape.back() *= 2;
  return at::stack({wide.bitwise_and(15), wide.floor_divide(16)}, -1).reshape(shape);
}

}  // namespace

TEST_CASE("e4m3 codes are those of torch, for every kind of value", "[codes]") {
  const at::Tensor x = ManyFloats();
  REQUIRE(x.numel() > 80000);
  const at::Tensor theirs = Bytes(x.to(at::kFloat8_e4m3fn)).to(at::kLong);
  const at::Tensor values = x.contiguous();
  int64_t different = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const float value = values.const_data_ptr<float>()[i];
    const int64_t code = theirs.const_data_ptr<int64_t>()[i];
    // Any NaN is as good as another.
    if ((code & 0x7f) == 0x7f) {
      different += (E4m3Code(value) & 0x7f) != 0x7f;
    } else {
      different += E4m3Code(value) != code;
    }
  }
  CHECK(different == 0);
  CHECK((E4m3Code(std::nanf("")) & 0x7f) == 0x7f);
  CHECK(E4m3Code(464.0f) == 0x7e);
  CHECK(E4m3Code(464.1f) == 0x7f);
  const at::Tensor codes = at::arange(256).to(at::kByte);
  const at::Tensor decoded = codes.view(at::kFloat8_e4m3fn).to(at::kFloat);
  for (int code = 0; code < 256; ++code) {
    const float value = decoded[code].item<float>();
    INFO(code);
    CHECK((std::isnan(value) ? std::isnan(kE4m3Values[code]) : value == kE4m3Values[code]));
  }
}

TEST_CASE("quantize_fp8 gives what torch's cast gives, clamped", "[codes]") {
  for (const int64_t n : {1, 7, 64, 200}) {
    const at::Tensor x = Floats({5, n}, n) * 3;
    const auto [q, scale] = QuantizeFp8(x);
    const at::Tensor wanted = x.abs().amax(-1, true) / 448.0f;
    CHECK(at::equal(scale, wanted));
    CHECK(at::equal(Bytes(q), Bytes((x / wanted).clamp(-448, 448).to(at::kFloat8_e4m3fn))));
    CHECK(at::equal(Bytes(std::get<0>(QuantizeFp8(x.to(at::kBFloat16)))),
                    Bytes(std::get<0>(QuantizeFp8(x.to(at::kBFloat16).to(at::kFloat))))));
  }
  at::Tensor x = Floats({3, 16}, 1);
  x[0].zero_();
  x[1][3] = std::nanf("");
  x[2][3] = -HUGE_VALF;
  const auto [q, scale] = QuantizeFp8(x);
  CHECK(scale[0].item<float>() == 0);
  CHECK(Bytes(q)[0].count_nonzero().item<int64_t>() == 0);
  CHECK(std::isnan(scale[1].item<float>()));
  CHECK(std::isnan(scale[2].item<float>()));
}

TEST_CASE("fp8 products are those of the decoded values", "[codes]") {
  for (const auto& [m, n, k] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 5, 13}, {17, 40, 96}, {4, 300, 2048}}) {
    INFO(m << " " << n << " " << k);
    const auto [w, weight_scale] = QuantizeFp8(Floats({n, k}, 2));
    const at::Tensor x = Floats({m, k}, 3), bias = Floats({n}, 4);
    const at::Tensor matrix = w.to(at::kFloat) * weight_scale;
    const auto exact = [&](const at::Tensor& input) {
      return input.to(at::kDouble).matmul(matrix.to(at::kDouble).t()) + bias;
    };
    CHECK(RelativeTo(exact(x), Fp8Linear(x, w, weight_scale, bias)) < 1e-6);
    const auto [q, scale] = QuantizeFp8(x);
    const at::Tensor y = Fp8Gemm(q, scale, w, weight_scale, bias, at::kFloat);
    CHECK(RelativeTo(exact(q.to(at::kFloat) * scale), y) < 1e-6);
    CHECK(at::equal(Fp8Gemm(q, scale, w, weight_scale, bias, at::kBFloat16), y.to(at::kBFloat16)));
  }
}

TEST_CASE("fp8_gemm agrees with torch's _scaled_mm", "[codes]") {
  const auto [w, weight_scale] = QuantizeFp8(Floats({48, 64}, 5));
  const auto [q, scale] = QuantizeFp8(Floats({32, 64}, 6));
  // One scale for all tokens and one for all rows is what every build of LibTorch has.
  const at::Tensor one = at::full({1}, 0.5f), two = at::full({1}, 0.25f);
  const at::Tensor theirs =
      at::_scaled_mm(q, w.t(), one, two, std::nullopt, std::nullopt, at::kFloat);
  const at::Tensor ours =
      Fp8Gemm(q, at::full({32, 1}, 0.5f), w, at::full({48, 1}, 0.25f), std::nullopt, at::kFloat);
  CHECK(RelativeTo(theirs, ours) < 1e-5);
}

TEST_CASE("e2m1 codes are the nearest, ties to even", "[codes]") {
  const at::Tensor values = E2m1Values();
  for (int code = 0; code < 16; ++code) {
    CHECK(static_cast<float>(E2m1Twice(code)) == 2 * values[code].item<float>());
  }
  const float magnitudes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (int step = -2000; step <= 2000; ++step) {
    const float x = static_cast<float>(step) / 256;  // ties are hit exactly
    int best = 0;
    for (int code = 1; code < 8; ++code) {
      const float old = std::abs(std::abs(x) - magnitudes[best]);
      const float distance = std::abs(std::abs(x) - magnitudes[code]);
      if (distance < old || (distance == old && code % 2 == 0)) best = code;
    }
    INFO(x);
    CHECK(E2m1Code(x * 3, 3.0f) == static_cast<uint32_t>(best + (x < 0 ? 8 : 0)));
  }
}

TEST_CASE("NVFP4 weights have e4m3 scales of 16 under one of the matrix", "[codes]") {
  // The largest is 2688 = 6 * 448: the scale of the matrix is 1.
  at::Tensor w = at::zeros({2, 32});
  w[0][0] = 2688;
  w[0][1] = -1344;
  w[0][16] = 6;
  w[0][17] = -2.5f;
  w[0][18] = 0.75f;
  w[1][0] = 6.3f;  // 1.05 is 1 in e4m3, and 6.3 the largest code
  const Nvfp4Matrix q = QuantizeNvfp4Weight(w);
  CHECK(q.weight_scale_2.item<float>() == 1.0f);
  CHECK(at::equal(q.weight_scale.to(at::kFloat),
                  at::tensor({448., 1., 1., 0.}).to(at::kFloat).reshape({2, 2})));
  const at::Tensor matrix = Nvfp4Dequantize(q.weight, q.weight_scale, q.weight_scale_2);
  at::Tensor wanted = w.clone();
  wanted[0][17] = -2;
  wanted[0][18] = 1;
  wanted[1][0] = 6;
  CHECK(at::equal(matrix, wanted));
  CHECK(q.weight[0][0].item<int>() == (7 | ((8 | 5) << 4)));  // 6 and -3

  const at::Tensor random = Floats({33, 80}, 7);
  const Nvfp4Matrix r = QuantizeNvfp4Weight(random);
  const float scale_2 = random.abs().max().item<float>() / 2688.0f;
  CHECK(r.weight_scale_2.item<float>() == scale_2);
  const at::Tensor groups = random.reshape({33, 5, 16});
  CHECK(at::equal(Bytes(r.weight_scale),
                  Bytes((groups.abs().amax(-1) / 6.0f / scale_2).to(at::kFloat8_e4m3fn))));
  const at::Tensor scales = (r.weight_scale.to(at::kFloat) * scale_2).repeat_interleave(16, 1);
  CHECK(at::equal(Nvfp4Dequantize(r.weight, r.weight_scale, r.weight_scale_2),
                  E2m1Values().index({Nibbles(r.weight)}) * scales));
}

TEST_CASE("NVFP4 products are exact sums of groups, to the bit", "[codes]") {
  for (const auto& [m, n, k] :
       {std::array<int64_t, 3>{1, 1, 16}, {3, 5, 48}, {29, 70, 192}, {40, 33, 32}}) {
    INFO(m << " " << n << " " << k);
    const Nvfp4Matrix w = QuantizeNvfp4Weight(Floats({n, k}, 8));
    const at::Tensor x = Floats({m, k}, 9), bias = Floats({n}, 10);
    const at::Tensor matrix = Nvfp4Dequantize(w.weight, w.weight_scale, w.weight_scale_2);
    const at::Tensor y = Nvfp4Linear(x, w.weight, w.weight_scale, w.weight_scale_2, bias);
    CHECK(RelativeTo(x.to(at::kDouble).matmul(matrix.to(at::kDouble).t()) + bias, y) < 1e-6);

    const auto [q, scale] = QuantizeNvfp4(x);
    // A token is quantized as a matrix of one row.
    const Nvfp4Matrix first = QuantizeNvfp4Weight(x.slice(0, 0, 1));
    CHECK(at::equal(first.weight, q.slice(0, 0, 1)));
    CHECK(
        at::equal(first.weight_scale.to(at::kFloat) * first.weight_scale_2, scale.slice(0, 0, 1)));
    at::Tensor sums = at::zeros({m, n});
    const at::Tensor step = w.weight_scale.to(at::kFloat) * w.weight_scale_2;
    for (int64_t g = 0; g < k / 16; ++g) {
      const auto part = [&](const at::Tensor& codes) {
        return E2m1Values().index({Nibbles(codes)}).slice(1, 16 * g, 16 * g + 16).to(at::kDouble);
      };
      // Twice both values are integers; halves of both scales change no bit.
      sums = sums + part(q).matmul(part(w.weight).t()).to(at::kFloat) *
                        (step.select(1, g).unsqueeze(0) * scale.select(1, g).unsqueeze(1));
    }
    CHECK(
        at::equal(Nvfp4Gemm(q, scale, w.weight, w.weight_scale, w.weight_scale_2, bias, at::kFloat),
                  sums + bias));
  }
  at::Tensor x = Floats({3, 32}, 11);
  x[1][20] = std::nanf("");
  x[2].zero_();
  const Nvfp4Matrix w = QuantizeNvfp4Weight(Floats({9, 32}, 12));
  const auto [q, scale] = QuantizeNvfp4(x);
  const at::Tensor y =
      Nvfp4Gemm(q, scale, w.weight, w.weight_scale, w.weight_scale_2, std::nullopt, at::kFloat);
  CHECK(y[0].isfinite().all().item<bool>());
  CHECK(y[1].isnan().all().item<bool>());
  CHECK(y[2].count_nonzero().item<int64_t>() == 0);
  CHECK_THROWS(QuantizeNvfp4(at::ones({2, 24})));
  CHECK_THROWS(Nvfp4Linear(at::ones({2, 48}), w.weight, w.weight_scale, w.weight_scale_2, {}));
}

TEST_CASE("int8 weights multiply floating inputs, and inputs by a given scale", "[codes]") {
  const auto [w, weight_scale] = QuantizePerToken(Floats({70, 160}, 13));
  const at::Tensor x = Floats({2, 9, 160}, 14), bias = Floats({70}, 15);
  const at::Tensor matrix = w.to(at::kDouble) * weight_scale;
  CHECK(RelativeTo(x.to(at::kDouble).matmul(matrix.t()) + bias,
                   Int8WeightLinear(x, w, weight_scale, bias)) < 1e-6);
  for (const int64_t group : {0, 16}) {
    const at::Tensor scale = at::full({1}, 0.02f);
    const auto [q, scales] = QuantizeStatic(x, scale, group);
    const at::Tensor rotated = group == 0 ? x : HadamardRotate(x, group);
    CHECK(at::equal(q, (rotated / 0.02f).round().clamp(-127, 127).to(at::kChar)));
    CHECK(at::equal(scales, at::full({2, 9, 1}, 0.02f)));
  }
  at::Tensor bad = at::zeros({3, 16});
  bad[0][1] = std::nanf("");
  bad[1][1] = HUGE_VALF;
  const auto [q, scales] = QuantizeStatic(bad, at::ones({1}));
  CHECK(std::isnan(scales[0].item<float>()));
  CHECK(std::isnan(scales[1].item<float>()));
  CHECK(scales[2].item<float>() == 1.0f);
  for (const float wrong : {0.0f, -1.0f, HUGE_VALF, std::nanf(""), 1e-45f}) {
    CHECK_THROWS(QuantizeStatic(bad, at::full({1}, wrong)));
  }
  CHECK_THROWS(QuantizeStatic(bad, at::ones({2})));
  CHECK_THROWS(Int8WeightLinear(x, w, weight_scale, at::ones({3})));
}

}  // namespace wanlite::ops
