// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/w4a8_gemm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/cpu/aligned_buffer.h"
#include "src/ops/ops.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {
namespace {

using Catch::Contains;

enum class W4A8Fill { kRandom, kLargest, kSmallest };

struct W4A8Case {
  int64_t m, n, k, group;
  std::vector<int8_t> q;
  std::vector<uint8_t> codes, zeros;
  std::vector<float> scales;
};

W4A8Case MakeW4A8Case(int64_t m, int64_t n, int64_t k, int64_t group, W4A8Fill fill) {
  std::mt19937 random(static_cast<unsigned>(m * 1009 + n * 31 + k + group));
  W4A8Case c{m, n, k, group, {}, {}, {}, {}};
  c.q.resize(m * k), c.codes.resize(n * k / 2);
  c.zeros.resize(n * k / group), c.scales.resize(n * k / group);
  for (int8_t& value : c.q) {
    value = static_cast<int8_t>(fill == W4A8Fill::kRandom ? static_cast<int>(random() % 255) - 127
                                : fill == W4A8Fill::kLargest ? 127
                                                             : -127);
  }
  for (uint8_t& value : c.codes) {
    value = fill == W4A8Fill::kRandom ? static_cast<uint8_t>(random()) : uint8_t{0xff};
  }
  for (uint8_t& value : c.zeros) {
    value = fill == W4A8Fill::kRandom ? static_cast<uint8_t>(random() % 16) : uint8_t{0};
  }
  for (float& value : c.scales) value = std::ldexp(static_cast<float>(random() % 1000), -14);
  return c;
}

// The definition, one step after the other.
std::vector<float> PlainW4A8(const W4A8Case& c, bool zeros) {
  std::vector<float> sums(c.m * c.n, 0.0f);
  const int64_t groups = c.k / c.group;
  for (int64_t i = 0; i < c.m; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      for (int64_t g = 0; g < groups; ++g) {
        const int zero = zeros ? c.zeros[j * groups + g] : 8;
        int64_t sum = 0;
        for (int64_t l = g * c.group; l < (g + 1) * c.group; ++l) {
          const int byte = c.codes[(j * c.k + l) / 2];
          sum += int64_t{c.q[i * c.k + l]} * ((l % 2 == 0 ? byte & 15 : byte >> 4) - zero);
        }
        sums[i * c.n + j] += static_cast<float>(sum) * c.scales[j * groups + g];
      }
    }
  }
  return sums;
}

void CheckW4A8(CpuIsa isa, const W4A8Case& c, bool zeros) {
  const AlignedBuffer packed = NewAlignedBuffer(PackedW4A8Bytes(isa, c.n, c.k, c.group));
  PackW4A8Weights(isa, c.n, c.k, c.group,
                  {c.codes.data(), c.scales.data(), zeros ? c.zeros.data() : nullptr},
                  packed.get());
  std::vector<float> found(c.m * c.n, -1.0f);
  W4A8Gemm(
      isa, c.m, c.n, c.k, c.group,
      [&](int64_t row, int8_t* out) { std::copy_n(c.q.data() + row * c.k, c.k, out); },
      packed.get(),
      [&](int64_t row, int64_t first, int64_t columns, const float* sums) {
        std::copy_n(sums, columns, found.data() + row * c.n + first);
      });
  INFO(CpuIsaName(isa) << " m=" << c.m << " n=" << c.n << " k=" << c.k << " group=" << c.group
                       << (zeros ? " zeros" : ""));
  CHECK(found == PlainW4A8(c, zeros));
}

}  // namespace

TEST_CASE("W4A8 products are the definition to the bit on every instruction set") {
  for (const CpuIsa isa : {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512Vnni}) {
    if (!CpuIsaSupported(isa)) continue;
    for (const bool zeros : {false, true}) {
      for (const W4A8Fill fill : {W4A8Fill::kRandom, W4A8Fill::kLargest, W4A8Fill::kSmallest}) {
        CheckW4A8(isa, MakeW4A8Case(1, 1, 32, 32, fill), zeros);
        CheckW4A8(isa, MakeW4A8Case(3, 33, 256, 64, fill), zeros);
        CheckW4A8(isa, MakeW4A8Case(13, 17, 384, 128, fill), zeros);
        CheckW4A8(isa, MakeW4A8Case(40, 50, 192, 96, fill), zeros);
        CheckW4A8(isa, MakeW4A8Case(5, 9, 1024, 1024, fill), zeros);
      }
    }
    for (int64_t m = 1; m <= 17; ++m) {
      CheckW4A8(isa, MakeW4A8Case(m, 40, 64, 32, W4A8Fill::kRandom), true);
    }
    CheckW4A8(isa, MakeW4A8Case(0, 4, 32, 32, W4A8Fill::kRandom), true);
  }
}

TEST_CASE("W4A8 with a packed weight is w4a8_gemm, in every dtype", "[int8_linear]") {
  auto generator = at::detail::createCPUGenerator(3);
  const int64_t n = 70, k = 256, group = 64;
  const at::Tensor codes = at::randint(0, 256, {n, k / 2}, generator, at::dtype(at::kByte));
  const at::Tensor zero = at::randint(0, 16, {n, k / group}, generator, at::dtype(at::kByte));
  const at::Tensor scale32 = at::rand({n, k / group}, generator, at::dtype(at::kFloat)) * 0.1;
  const at::Tensor bias = at::randn({n}, generator, at::dtype(at::kFloat));
  const auto [q, scale] =
      QuantizePerToken(at::randn({2, 9, k}, generator, at::dtype(at::kFloat)), 0);
  for (const at::Tensor& weight_scale : {scale32, scale32.to(at::kBFloat16)}) {
    for (const auto& zeros : {std::optional<at::Tensor>(zero), std::optional<at::Tensor>()}) {
      const at::Tensor packed = W4A8Pack(codes, weight_scale, zeros);
      const at::Tensor matrix = Int4Dequantize(codes, weight_scale, zeros);
      const at::Tensor expected =
          (q.to(at::kDouble).matmul(matrix.to(at::kDouble).t()) * scale + bias).to(at::kFloat);
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
        const at::Tensor y = W4A8GemmPacked(q, scale, packed, n, group, bias, dtype);
        CHECK(at::equal(y, W4A8Gemm(q, scale, codes, weight_scale, zeros, bias, dtype)));
        CHECK(y.scalar_type() == dtype);
        if (dtype != at::kFloat) continue;
        CHECK((y - expected).abs().max().item<double>() <
              1e-5 * expected.abs().max().item<double>());
      }
    }
  }
  const at::Tensor packed = W4A8Pack(codes, scale32, zero);
  CHECK_THROWS_WITH(W4A8GemmPacked(q, scale, packed, n, 32, bias, at::kFloat),
                    Contains("must be what w4a8_pack made of a weight [70, 256] in groups of 32"));
  CHECK_THROWS_WITH(W4A8GemmPacked(q, scale, packed, n, 20, bias, at::kFloat),
                    Contains("the kernels take multiples of 32"));
  CHECK_FALSE(W4A8Packs(256, 16));
  CHECK(W4A8Packs(256, 64));
}

}  // namespace wanlite::ops
