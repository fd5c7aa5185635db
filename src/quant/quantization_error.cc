// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantization_error.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/ops/cpu/row_io.h"

namespace wanlite {
namespace {

// Sums in fp32, emptied into fp64 before they lose digits. As arrays, compilers keep them in
// memory.
constexpr int64_t kLanes = 8;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));
constexpr int64_t kPiece = 256;

// Nothing here contracts or reorders, so every instruction set gives the same bits.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WANLITE_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WANLITE_WIDE
#endif

struct Squares {
  double weight = 0, error = 0;
};

WANLITE_WIDE void Expand(const int8_t* codes, float scale, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(codes[i]) * scale;
}

WANLITE_WIDE Squares SquaresOf(const float* wanted, const float* kept, int64_t n) {
  Squares sums;
  int64_t begin = 0;
  for (; begin + kPiece <= n; begin += kPiece) {
    Lanes weight0 = {}, weight1 = {}, error0 = {}, error1 = {};
    for (int64_t i = begin; i < begin + kPiece; i += 2 * kLanes) {
      Lanes w0, w1, k0, k1;
      std::memcpy(&w0, wanted + i, sizeof(w0));
      std::memcpy(&w1, wanted + i + kLanes, sizeof(w1));
      std::memcpy(&k0, kept + i, sizeof(k0));
      std::memcpy(&k1, kept + i + kLanes, sizeof(k1));
      const Lanes d0 = w0 - k0, d1 = w1 - k1;
      weight0 += w0 * w0;
      weight1 += w1 * w1;
      error0 += d0 * d0;
      error1 += d1 * d1;
    }
    for (int64_t j = 0; j < kLanes; ++j) {
      sums.weight += static_cast<double>(weight0[j]) + static_cast<double>(weight1[j]);
      sums.error += static_cast<double>(error0[j]) + static_cast<double>(error1[j]);
    }
  }
  const bool overflow = !std::isfinite(sums.weight) || !std::isfinite(sums.error);
  if (overflow) sums = {};
  for (int64_t i = overflow ? 0 : begin; i < n; ++i) {
    const double w = static_cast<double>(wanted[i]);
    const double difference = w - static_cast<double>(kept[i]);
    sums.weight += w * w;
    sums.error += difference * difference;
  }
  return sums;
}

}  // namespace

void AddErrors(const at::Tensor& wanted, absl::FunctionRef<void(int64_t row, float* out)> kept,
               QuantizationError& sums) {
  TORCH_CHECK(wanted.dim() == 2 && wanted.is_cpu() && wanted.is_floating_point(),
              "AddErrors: wanted must be a floating CPU matrix, found ", wanted.scalar_type(), " ",
              wanted.sizes());
  const bool narrow = wanted.scalar_type() == at::kBFloat16 || wanted.scalar_type() == at::kHalf;
  const at::Tensor rows = (narrow ? wanted : wanted.to(at::kFloat)).contiguous();
  const int64_t n = rows.size(1);
  std::vector<Squares> of_row(static_cast<size_t>(rows.size(0)));
  ops::DispatchFloating(rows.scalar_type(), [&](auto tag) {
    const auto* data = rows.const_data_ptr<decltype(tag)>();
    ParallelFor(0, rows.size(0), 16, [&](int64_t begin, int64_t end) {
      std::vector<float> row(static_cast<size_t>(2 * n));
      for (int64_t i = begin; i < end; ++i) {
        ops::ReadRow(data + i * n, n, row.data());
        kept(i, row.data() + n);
        of_row[static_cast<size_t>(i)] = SquaresOf(row.data(), row.data() + n, n);
      }
    });
  });
  for (const Squares& row : of_row) {
    sums.squared_weight += row.weight;
    sums.squared_error += row.error;
  }
}

void AddErrors(const at::Tensor& wanted, const at::Tensor& codes, const at::Tensor& scale,
               QuantizationError& sums) {
  const at::Tensor dense_codes = codes.contiguous(), dense_scale = scale.contiguous();
  const int8_t* code = dense_codes.const_data_ptr<int8_t>();
  const float* row_scale = dense_scale.const_data_ptr<float>();
  const int64_t n = codes.size(1);
  AddErrors(
      wanted, [&](int64_t row, float* out) { Expand(code + row * n, row_scale[row], n, out); },
      sums);
}

}  // namespace wanlite
