// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/row_kernels.h"

namespace wanlite::ops {
namespace {

constexpr int kRows = 4;
constexpr int kColumns = 8;
constexpr int64_t kPad = 64;

int64_t Padded(int64_t k) { return (k + kPad - 1) / kPad * kPad; }

// Both sides: rows of k values, one after the other, padded with zeros.
void PackRows(const int8_t* source, int64_t stride, int64_t rows, int64_t all_rows, int64_t k,
              uint8_t* packed) {
  const int64_t padded = Padded(k);
  for (int64_t r = 0; r < all_rows; ++r) {
    uint8_t* row = packed + r * padded;
    const int64_t used = r < rows ? k : 0;
    if (used > 0) std::memcpy(row, source + r * stride, used);
    std::memset(row + used, 0, padded - used);
  }
}

size_t StripBytes(int64_t k) { return kRows * Padded(k); }
size_t PanelBytes(int64_t k) { return kColumns * Padded(k); }
void PackStrip(const int8_t* a, int64_t stride, int64_t rows, int64_t k, uint8_t* strip) {
  PackRows(a, stride, rows, kRows, k, strip);
}
void PackPanel(const int8_t* b, int64_t stride, int64_t columns, int64_t k, uint8_t* panel) {
  PackRows(b, stride, columns, kColumns, k, panel);
}

void Multiply(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k, int32_t* sums) {
  const int64_t padded = Padded(k);
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* a = reinterpret_cast<const int8_t*>(strip) + r * padded;
    for (int c = 0; c < kColumns; ++c) {
      const int8_t* b = reinterpret_cast<const int8_t*>(panel) + c * padded;
      int32_t sum = 0;
      for (int64_t i = 0; i < padded; ++i) sum += int32_t{a[i]} * int32_t{b[i]};
      sums[r * kColumns + c] = sum;
    }
  }
}

void Dequantize(const int32_t* sums, int64_t n, float scale, const float* weight_scale,
                const float* bias, float* out) {
  DequantizeLoop(sums, n, scale, weight_scale, bias, out);
}
int32_t MaxMagnitude(const float* x, int64_t n) { return MaxMagnitudeLoop(x, n); }
void Quantize(const float* x, int64_t n, float divisor, int8_t* q) {
  QuantizeLoop(x, n, divisor, q);
}
void Rotate(float* x, int64_t n, int64_t group) { RotateLoop(x, n, group); }
void LayerNorm(float* x, int64_t n, float eps, const float* weight, const float* bias) {
  LayerNormLoop(x, n, eps, weight, bias);
}
void RmsNorm(float* x, int64_t n, float eps, const float* weight) {
  RmsNormLoop(x, n, eps, weight);
}
void Rotary(float* x, int64_t n, const float* table, int64_t dim) { RotaryLoop(x, n, table, dim); }
void Gelu(float* x, int64_t n) { GeluLoop(x, n); }

}  // namespace

const Int8Kernels kInt8KernelsPortable = {
    .tile_rows = kRows,
    .tile_columns = kColumns,
    .strip_bytes = StripBytes,
    .panel_bytes = PanelBytes,
    .pack_strip = PackStrip,
    .pack_panel = PackPanel,
    .multiply = Multiply,
    .wide_bytes = nullptr,
    .widen = nullptr,
    .multiply_wide = nullptr,
    .dequantize = Dequantize,
    .max_magnitude = MaxMagnitude,
    .quantize = Quantize,
    .rotate = Rotate,
    .layer_norm = LayerNorm,
    .rms_norm = RmsNorm,
    .rotary = Rotary,
    .gelu = Gelu,
};

#if !defined(__x86_64__)
const Int8Kernels& Int8KernelsFor(CpuIsa) { return kInt8KernelsPortable; }
#else
const Int8Kernels& Int8KernelsFor(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx512Vnni:
      return kInt8KernelsAvx512Vnni;
    case CpuIsa::kAvx2:
      return kInt8KernelsAvx2;
    case CpuIsa::kPortable:
      break;
  }
  return kInt8KernelsPortable;
}
#endif

}  // namespace wanlite::ops
