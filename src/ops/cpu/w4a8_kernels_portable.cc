// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/w4a8_kernels.h"
#include "src/ops/cpu/w4a8_loops.h"

namespace wanlite::ops {
namespace {

constexpr int kRows = 4;
constexpr int kColumns = 8;
using Layout = W4A8Layout<kRows, kColumns>;

void PackStrip(const int8_t* q, int64_t rows, int64_t k, int64_t group, uint8_t* strip) {
  Layout::PackStrip(q, rows, k, group, strip);
}
void PackPanel(const W4A8Rows& weight, int64_t columns, int64_t k, int64_t group, uint8_t* panel) {
  Layout::PackPanel(weight, columns, k, group, panel);
}

void Multiply(const uint8_t* strip, int64_t rows, const uint8_t* panel, int64_t k, int64_t group,
              float* sums) {
  std::memset(sums, 0, rows * kColumns * sizeof(float));
  for (int64_t start = 0; start < k; start += group) {
    const int32_t* totals = reinterpret_cast<const int32_t*>(strip);
    const float* scales = reinterpret_cast<const float*>(panel);
    const int32_t* zeros = reinterpret_cast<const int32_t*>(panel + 4 * kColumns);
    const int8_t* q = reinterpret_cast<const int8_t*>(strip + 4 * kRows);
    const uint8_t* codes = panel + Layout::kHead;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < kColumns; ++c) {
        int32_t sum = -zeros[c] * totals[r];
        for (int64_t i = 0; i < group / 8; ++i) {
          for (int64_t j = 0; j < 4; ++j) {
            const int32_t code = codes[(i * kColumns + c) * 4 + j];
            sum += (code & 0x0f) * q[(2 * i * kRows + r) * 4 + j] +
                   (code >> 4) * q[((2 * i + 1) * kRows + r) * 4 + j];
          }
        }
        sums[r * kColumns + c] += static_cast<float>(sum) * scales[c];
      }
    }
    strip += Layout::StripPiece(group);
    panel += Layout::PanelPiece(group);
  }
}

void Finish(const float* sums, int64_t n, float scale, const float* bias, float* out) {
  W4A8FinishLoop(sums, n, scale, bias, out);
}

}  // namespace

const W4A8Kernels kW4A8KernelsPortable = {
    .tile_rows = kRows,
    .tile_columns = kColumns,
    .strip_bytes = Layout::StripBytes,
    .panel_bytes = Layout::PanelBytes,
    .pack_strip = PackStrip,
    .pack_panel = PackPanel,
    .multiply = Multiply,
    .wide_bytes = nullptr,
    .widen = nullptr,
    .multiply_wide = nullptr,
    .finish = Finish,
};

#if !defined(__x86_64__)
const W4A8Kernels& W4A8KernelsFor(CpuIsa) { return kW4A8KernelsPortable; }
#else
const W4A8Kernels& W4A8KernelsFor(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx512Vnni:
      return kW4A8KernelsAvx512Vnni;
    case CpuIsa::kAvx2:
      return kW4A8KernelsAvx2;
    case CpuIsa::kPortable:
      break;
  }
  return kW4A8KernelsPortable;
}
#endif

}  // namespace wanlite::ops
