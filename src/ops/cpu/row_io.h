// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Rows of tensors of any floating dtype as fp32, and back.
#ifndef WANLITE_SRC_OPS_CPU_ROW_IO_H_
#define WANLITE_SRC_OPS_CPU_ROW_IO_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {

// bf16, in vectors of the machine's.
void ReadRow(const at::BFloat16* row, int64_t n, float* out);
template <typename T>
inline void ReadRow(const T* row, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(row[i]);
}

// Round half to even, without the branch of c10's conversion, so that the loop vectorises.
inline void WriteRow(const float* row, int64_t n, at::BFloat16* out) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = static_cast<uint32_t>(FloatBits(row[i]));
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const bool nan = (bits & 0x7fffffffu) > static_cast<uint32_t>(kInfinityBits);
    out[i].x = static_cast<uint16_t>(nan ? 0x7fc0u : rounded);
  }
}
inline void WriteRow(const float* row, int64_t n, at::Half* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<at::Half>(row[i]);
}
inline void WriteRow(const float* row, int64_t n, float* out) { std::copy_n(row, n, out); }

// A row-sized buffer of each thread, kept between calls.
inline float* ThreadRow(int64_t n) {
  thread_local std::vector<float> row;
  if (static_cast<int64_t>(row.size()) < n) row.resize(n);
  return row.data();
}

// Calls function(T{}) for the C++ type of a dtype that CheckFloating() takes.
template <typename Function>
void DispatchFloating(at::ScalarType dtype, Function function) {
  switch (dtype) {
    case at::kBFloat16:
      return function(at::BFloat16{});
    case at::kHalf:
      return function(at::Half{});
    default:
      return function(float{});
  }
}

inline int64_t RowsOf(const at::Tensor& x) {
  return c10::multiply_integers(x.sizes().slice(0, x.dim() - 1));
}

// work(row, values) for every row of a floating tensor [..., n], fp32 [n] that may be changed; from
// several threads.
template <typename Work>
void ForEachRow(const at::Tensor& x, Work work) {
  const int64_t n = x.size(-1);
  const at::Tensor source = x.contiguous();
  DispatchFloating(x.scalar_type(), [&](auto tag) {
    const auto* data = source.const_data_ptr<decltype(tag)>();
    ParallelFor(0, RowsOf(x), 16, [&](int64_t begin, int64_t end) {
      float* values = ThreadRow(n);
      for (int64_t row = begin; row < end; ++row) {
        ReadRow(data + row * n, n, values);
        work(row, values);
      }
    });
  });
}

// fp32 [n]; zeros where there is no bias: adding +0 changes no value but the sign of -0.
inline at::Tensor BiasOrZeros(const std::optional<at::Tensor>& bias, int64_t n) {
  return bias.has_value() ? bias->to(at::kFloat).contiguous()
                          : at::zeros({n}, at::dtype(at::kFloat));
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_ROW_IO_H_
