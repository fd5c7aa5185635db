// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Rotary position embedding over a (frame, row, column) grid of tokens.
#ifndef WANLITE_SRC_MODEL_WAN_ROPE_H_
#define WANLITE_SRC_MODEL_WAN_ROPE_H_

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

namespace wanlite::wan {

// The rotation of each token of a grid. A head's channels are adjacent pairs, each one complex
// number; of d channels the last 2*(d/6) turn with the column, the 2*(d/6) before them with the
// row, the rest with the frame. Pair i of an axis with n pairs turns by position * theta^(-i/n), so
// each axis starts again at frequency 1. Thread-safe.
class RotaryEmbedding {
 public:
  // head_dim: even. max_positions: positions per axis the model was built for.
  RotaryEmbedding(int64_t head_dim, int64_t max_positions, double theta = 10000.0);

  // cos + i sin for the tokens of a grid, frame-major: complex64 [frames*rows*columns, head_dim/2].
  // Built in float64; the last few grids are kept. Throws c10::Error when an axis is longer than
  // max_positions.
  at::Tensor Table(const std::array<int64_t, 3>& grid, at::Device device) const;

 private:
  struct Entry {
    std::array<int64_t, 3> grid;
    at::Tensor table;
  };
  int64_t head_dim_;
  int64_t max_positions_;
  double theta_;
  mutable std::mutex mutex_;
  mutable std::vector<Entry> cache_;  // most recently built last
};

// Turns every pair of channels. x: floating [batch, tokens, heads, head_dim]; table: complex64
// [tokens, head_dim/2]. Computed in fp32, rounded once to x's dtype.
at::Tensor ApplyRotary(const at::Tensor& x, const at::Tensor& table);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_ROPE_H_
