// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantization_error.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/cpu/row_io.h"

namespace wanlite {
namespace {

// Lanes of fp32 that compile to vector code, emptied before they lose digits.
constexpr int64_t kLanes = 16;
constexpr int64_t kPiece = 256;

struct Squares {
  double weight = 0, error = 0;
};

Squares SquaresOf(const float* wanted, const float* kept, int64_t n) {
  Squares sums;
  int64_t begin = 0;
  for (; begin + kPiece <= n; begin += kPiece) {
    float weight[kLanes] = {}, error[kLanes] = {};
    for (int64_t i = 0; i < kPiece; i += kLanes) {
      const float* w = wanted + begin + i;
      const float* k = kept + begin + i;
      for (int64_t j = 0; j < kLanes; ++j) {
        const float difference = w[j] - k[j];
        weight[j] += w[j] * w[j];
        error[j] += difference * difference;
      }
    }
    for (int64_t j = 0; j < kLanes; ++j) {
      sums.weight += static_cast<double>(weight[j]);
      sums.error += static_cast<double>(error[j]);
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
    at::parallel_for(0, rows.size(0), 16, [&](int64_t begin, int64_t end) {
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
      wanted,
      [&](int64_t row, float* out) {
        for (int64_t i = 0; i < n; ++i) {
          out[i] = static_cast<float>(code[row * n + i]) * row_scale[row];
        }
      },
      sums);
}

}  // namespace wanlite
