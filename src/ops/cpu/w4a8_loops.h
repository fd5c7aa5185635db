// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How strips and panels of W4A8 are laid out, and packing them: the same for all instruction sets
// but for the sizes of a tile.
//
// Strip, per group: int32 [rows] sums of the group's values, then bytes [group / 4][row][4]. Panel,
// per group: fp32 [columns] scales, int32 [columns] zeros, then bytes [group / 8][columns][4],
// where the low nibbles are the codes of four features and the high ones those of the next four;
// widened, bytes [group / 4][columns][4].
#ifndef WANLITE_SRC_OPS_CPU_W4A8_LOOPS_H_
#define WANLITE_SRC_OPS_CPU_W4A8_LOOPS_H_

#include <cstdint>
#include <cstring>

#include "src/ops/cpu/w4a8_kernels.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {

template <int kRows, int kColumns>
struct W4A8Layout {
  static constexpr int64_t kHead = 8 * kColumns;  // scales and zeros
  static constexpr int64_t StripPiece(int64_t group) { return 4 * kRows + group * kRows; }
  static constexpr int64_t PanelPiece(int64_t group) { return kHead + group / 2 * kColumns; }
  static constexpr int64_t WidePiece(int64_t group) { return kHead + group * kColumns; }
  static size_t StripBytes(int64_t k, int64_t group) {
    return (k / group * StripPiece(group) + 63) / 64 * 64;
  }
  static size_t PanelBytes(int64_t k, int64_t group) { return k / group * PanelPiece(group); }
  static size_t WideBytes(int64_t k, int64_t group) { return k / group * WidePiece(group); }

  WANLITE_HOST_DEVICE static void PackStrip(const int8_t* q, int64_t rows, int64_t k, int64_t group,
                                            uint8_t* strip) {
    for (int64_t start = 0; start < k; start += group, strip += StripPiece(group)) {
      int32_t* totals = reinterpret_cast<int32_t*>(strip);
      uint8_t* out = strip + 4 * kRows;
      for (int64_t r = 0; r < kRows; ++r) {
        const int8_t* in = q + r * k + start;
        int32_t total = 0;
        if (r < rows) {
          for (int64_t i = 0; i < group; ++i) total += in[i];
        }
        totals[r] = total;
        for (int64_t i = 0; i < group; i += 4) {
          if (r < rows) {
            std::memcpy(out + i * kRows + r * 4, in + i, 4);
          } else {
            std::memset(out + i * kRows + r * 4, 0, 4);
          }
        }
      }
    }
  }

  WANLITE_HOST_DEVICE static void PackPanel(const W4A8Rows& weight, int64_t columns, int64_t k,
                                            int64_t group, uint8_t* panel) {
    const int64_t groups = k / group;
    for (int64_t g = 0; g < groups; ++g, panel += PanelPiece(group)) {
      float* scales = reinterpret_cast<float*>(panel);
      int32_t* zeros = reinterpret_cast<int32_t*>(panel + 4 * kColumns);
      std::memset(panel, 0, PanelPiece(group));
      for (int64_t c = 0; c < columns; ++c) {
        scales[c] = weight.scales[c * groups + g];
        zeros[c] = weight.zeros == nullptr ? 8 : weight.zeros[c * groups + g];
        const uint8_t* in = weight.codes + (c * k + g * group) / 2;
        uint8_t* out = panel + kHead + c * 4;
        for (int64_t i = 0; i < group / 8; ++i, in += 4, out += kColumns * 4) {
          out[0] = (in[0] & 0x0f) | ((in[2] & 0x0f) << 4);
          out[1] = (in[0] >> 4) | (in[2] & 0xf0);
          out[2] = (in[1] & 0x0f) | ((in[3] & 0x0f) << 4);
          out[3] = (in[1] >> 4) | (in[3] & 0xf0);
        }
      }
    }
  }

  WANLITE_HOST_DEVICE static void Widen(const uint8_t* panel, int64_t k, int64_t group,
                                        uint8_t* wide) {
    for (int64_t start = 0; start < k; start += group) {
      std::memcpy(wide, panel, kHead);
      const uint8_t* in = panel + kHead;
      uint8_t* out = wide + kHead;
      for (int64_t i = 0; i < group / 8; ++i, in += 4 * kColumns, out += 8 * kColumns) {
        for (int64_t j = 0; j < 4 * kColumns; ++j) out[j] = in[j] & 0x0f;
        for (int64_t j = 0; j < 4 * kColumns; ++j) out[4 * kColumns + j] = in[j] >> 4;
      }
      panel += PanelPiece(group);
      wide += WidePiece(group);
    }
  }
};

WANLITE_HOST_DEVICE void W4A8FinishLoop(const float* __restrict__ sums, int64_t n, float scale,
                                        const float* __restrict__ bias, float* __restrict__ out) {
  for (int64_t i = 0; i < n; ++i) out[i] = sums[i] * scale + bias[i];
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_W4A8_LOOPS_H_
