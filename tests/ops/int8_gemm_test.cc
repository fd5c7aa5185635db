// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/int8_gemm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/int8_math.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {
namespace {

std::vector<CpuIsa> SupportedIsas() {
  std::vector<CpuIsa> isas;
  for (CpuIsa isa : {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512Vnni}) {
    if (CpuIsaSupported(isa)) isas.push_back(isa);
  }
  return isas;
}

enum class Fill { kRandom, kExtremes, kAllLargest, kOppositeSigns };

void FillWith(Fill fill, int lowest, std::vector<int8_t>& values, std::mt19937& random) {
  std::uniform_int_distribution<int> uniform(lowest, 127);
  for (size_t i = 0; i < values.size(); ++i) {
    switch (fill) {
      case Fill::kRandom:
        values[i] = static_cast<int8_t>(uniform(random));
        break;
      case Fill::kExtremes:
        values[i] = static_cast<int8_t>(random() % 2 ? 127 : lowest);
        break;
      case Fill::kAllLargest:
        values[i] = 127;
        break;
      case Fill::kOppositeSigns:
        values[i] = static_cast<int8_t>(lowest);
        break;
    }
  }
}

// Weights may hold -128 (a foreign file can), activations cannot.
void CheckAgainstPlainLoop(CpuIsa isa, int64_t m, int64_t n, int64_t k, Fill fill,
                           bool pack = false) {
  std::mt19937 random(static_cast<unsigned>(m * 1000003 + n * 1009 + k));
  std::vector<int8_t> a(m * k), b(n * k);
  FillWith(fill == Fill::kOppositeSigns ? Fill::kAllLargest : fill, -127, a, random);
  FillWith(fill, -128, b, random);
  std::vector<int32_t> sums(m * n, 0x55555555);
  std::vector<int> read(m, 0);
  const int64_t packed_bytes = PackedInt8Bytes(isa, n, k);
  std::vector<uint8_t> memory(packed_bytes + 64, 0xa5);
  uint8_t* packed = memory.data();
  while (reinterpret_cast<uintptr_t>(packed) % 64 != 0) ++packed;
  if (pack) PackInt8Weights(isa, n, k, b.data(), packed);
  Int8Gemm(
      isa, m, n, k,
      [&](int64_t row, int8_t* out) {
        ++read[row];
        std::copy_n(a.data() + row * k, k, out);
      },
      pack ? Int8Weights{.packed = packed} : Int8Weights{.rows = b.data()},
      [&](int64_t row, int64_t first, int64_t columns, const int32_t* piece) {
        std::copy_n(piece, columns, sums.data() + row * n + first);
      });
  int64_t wrong = 0;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      int64_t sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += int64_t{a[i * k + l]} * b[j * k + l];
      wrong += sum != sums[i * n + j];
    }
  }
  INFO(CpuIsaName(isa) << " m=" << m << " n=" << n << " k=" << k << " fill "
                       << static_cast<int>(fill) << (pack ? " packed" : ""));
  CHECK(wrong == 0);
  const int expected_reads = n == 0 ? 0 : 1;
  CHECK(std::all_of(read.begin(), read.end(), [&](int count) { return count == expected_reads; }));
}

}  // namespace

TEST_CASE("int8 products equal a plain 64-bit loop on every instruction set") {
  const int64_t shapes[][3] = {{1, 1, 1},     {1, 33, 64},   {2, 5, 3},    {3, 17, 63},
                               {5, 31, 65},   {6, 32, 128},  {7, 64, 100}, {11, 15, 127},
                               {12, 16, 129}, {13, 48, 191}, {24, 97, 16}, {25, 40, 1000},
                               {40, 3, 257},  {1, 200, 511}, {64, 64, 64}};
  for (CpuIsa isa : SupportedIsas()) {
    for (const auto& shape : shapes) {
      for (Fill fill : {Fill::kRandom, Fill::kExtremes, Fill::kAllLargest, Fill::kOppositeSigns}) {
        for (const bool pack : {false, true}) {
          CheckAgainstPlainLoop(isa, shape[0], shape[1], shape[2], fill, pack);
        }
      }
    }
  }
}

TEST_CASE("int8 products stay exact at the largest number of features") {
  for (CpuIsa isa : SupportedIsas()) {
    CheckAgainstPlainLoop(isa, 2, 3, kMaxInt8Features, Fill::kAllLargest);
    CheckAgainstPlainLoop(isa, 2, 3, kMaxInt8Features, Fill::kOppositeSigns);
  }
  const auto nothing = [](int64_t, int8_t*) {};
  const auto ignore = [](int64_t, int64_t, int64_t, const int32_t*) {};
  const int8_t weight = 0;
  CHECK_THROWS_WITH(
      Int8Gemm(CpuIsa::kPortable, 1, 1, kMaxInt8Features + 1, nothing, {.rows = &weight}, ignore),
      Catch::Contains("131073 features"));
}

TEST_CASE("int8 products over several token blocks cover every sum") {
  // Packed tokens of more than 4 MiB are swept in blocks.
  for (const bool pack : {false, true}) {
    CheckAgainstPlainLoop(SupportedIsas().back(), 1500, 40, 4096, Fill::kRandom, pack);
  }
}

TEST_CASE("int8 products of nothing call nobody, and of no features give zeros") {
  for (CpuIsa isa : SupportedIsas()) {
    CheckAgainstPlainLoop(isa, 0, 4, 8, Fill::kRandom);
    CheckAgainstPlainLoop(isa, 4, 0, 8, Fill::kRandom);
    CheckAgainstPlainLoop(isa, 3, 4, 0, Fill::kRandom);
  }
}

TEST_CASE("every number of tokens in a strip has its own loop, all exact") {
  for (CpuIsa isa : SupportedIsas()) {
    for (int64_t m = 1; m <= 26; ++m) {
      CheckAgainstPlainLoop(isa, m, 40, 70, Fill::kExtremes, /*pack=*/true);
    }
  }
}

TEST_CASE("every instruction set scales sums back to the same bits") {
  std::mt19937 random(9);
  std::uniform_int_distribution<int32_t> any(-2000000000, 2000000000);
  std::normal_distribution<float> normal;
  for (int64_t n : {1, 7, 16, 31, 32}) {
    std::vector<int32_t> sums(n);
    std::vector<float> scale(n), bias(n), found(n);
    for (int64_t i = 0; i < n; ++i) {
      sums[i] = any(random), scale[i] = normal(random) * 1e-3f, bias[i] = normal(random);
    }
    for (CpuIsa isa : SupportedIsas()) {
      Int8KernelsFor(isa).dequantize(sums.data(), n, 0.01f, scale.data(), bias.data(),
                                     found.data());
      for (int64_t i = 0; i < n; ++i) {
        CHECK(found[i] == DequantizeSum(sums[i], 0.01f, scale[i], bias[i]));
      }
    }
  }
}

TEST_CASE("every instruction set quantizes and rotates to the same bits") {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  const Int8Kernels& portable = Int8KernelsFor(CpuIsa::kPortable);
  for (int64_t n : {4, 64, 100, 1024, 2048}) {
    std::vector<float> x(n);
    for (float& value : x) value = normal(random) * 3.0f;
    for (CpuIsa isa : SupportedIsas()) {
      const Int8Kernels& kernels = Int8KernelsFor(isa);
      const int32_t bits = portable.max_magnitude(x.data(), n);
      CHECK(kernels.max_magnitude(x.data(), n) == bits);
      std::vector<int8_t> q(n), q_portable(n);
      kernels.quantize(x.data(), n, Int8Divisor(Int8Scale(bits)), q.data());
      portable.quantize(x.data(), n, Int8Divisor(Int8Scale(bits)), q_portable.data());
      CHECK(q == q_portable);
      for (int64_t group : {4, 16, 64, 256, 1024}) {
        if (n % group != 0) continue;
        std::vector<float> y = x, y_portable = x;
        kernels.rotate(y.data(), n, group);
        portable.rotate(y_portable.data(), n, group);
        CHECK(y == y_portable);
      }
    }
  }
}

TEST_CASE("quantizing rounds halves to even and clamps") {
  const float pairs[][2] = {{0.5f, 0},    {1.5f, 2},     {2.5f, 2},     {-0.5f, 0},
                            {-1.5f, -2},  {-2.5f, -2},   {126.5f, 126}, {127.4f, 127},
                            {200.f, 127}, {-1e30f, -127}};
  for (const auto& pair : pairs) CHECK(QuantizeInt8(pair[0], 1.0f) == static_cast<int>(pair[1]));
  for (int i = -40000; i <= 40000; ++i) {
    const float value = static_cast<float>(i) / 300.0f;
    const int expected = std::clamp(static_cast<int>(std::nearbyint(value)), -127, 127);
    REQUIRE(QuantizeInt8(value, 1.0f) == expected);
  }
}

TEST_CASE("the scale of a token is safe at every magnitude") {
  CHECK(Int8Scale(MagnitudeBits(-254.0f)) == 2.0f);
  CHECK(Int8Scale(MagnitudeBits(-0.0f)) == 0.0f);
  CHECK(Int8Scale(MagnitudeBits(1e-44f)) == std::numeric_limits<float>::min());
  CHECK(std::isnan(Int8Scale(MagnitudeBits(std::numeric_limits<float>::infinity()))));
  CHECK(std::isnan(Int8Scale(MagnitudeBits(-std::numeric_limits<float>::quiet_NaN()))));
  CHECK(QuantizeInt8(1e-44f, Int8Divisor(Int8Scale(MagnitudeBits(1e-44f)))) == 0);
  const float largest = std::numeric_limits<float>::max();
  CHECK(QuantizeInt8(largest, Int8Divisor(Int8Scale(MagnitudeBits(largest)))) == 127);
}

TEST_CASE("the butterflies of a rotation stage touch every element once") {
  for (int32_t stride : {1, 4, 16, 64, 256}) {
    std::vector<int> touched(1024, 0);
    for (int32_t index = 0; index < 256; ++index) {
      for (int32_t r = 0; r < 4; ++r) ++touched[HadamardBase(index, stride) + r * stride];
    }
    CHECK(std::all_of(touched.begin(), touched.end(), [](int count) { return count == 1; }));
  }
}

}  // namespace wanlite::ops
