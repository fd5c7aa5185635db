// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/rope.h"

#include "src/core/libtorch.h"

#include <utility>

namespace wanlite::wan {
namespace {

// Enough for a few resolutions in turn; a table of 75,600 tokens and 64 pairs takes 39 MB.
constexpr size_t kCachedGrids = 4;

// Angles of one axis: float64 [positions, channels/2].
at::Tensor AxisAngles(int64_t positions, int64_t channels, double theta) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor exponents = at::arange(0, channels, 2, options) / static_cast<double>(channels);
  const at::Tensor frequencies = at::pow(at::Scalar(theta), exponents).reciprocal();
  return at::outer(at::arange(positions, options), frequencies);
}

}  // namespace

RotaryEmbedding::RotaryEmbedding(int64_t head_dim, int64_t max_positions, double theta)
    : head_dim_(head_dim), max_positions_(max_positions), theta_(theta) {
  TORCH_CHECK(head_dim > 0 && head_dim % 2 == 0, "rotary embedding: head_dim is ", head_dim,
              ", wanted a positive even number");
}

at::Tensor RotaryEmbedding::Table(const std::array<int64_t, 3>& grid, at::Device device) const {
  static constexpr const char* kAxisNames[] = {"frames", "rows", "columns"};
  for (size_t axis = 0; axis < 3; ++axis) {
    TORCH_CHECK_VALUE(grid[axis] >= 1 && grid[axis] <= max_positions_,
                      "rotary embedding: ", grid[axis], " token ", kAxisNames[axis],
                      ", the model has positions for 1 to ", max_positions_, " (rope_max_seq_len)");
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Entry& entry : cache_) {
    if (entry.grid == grid && entry.table.device() == device) return entry.table;
  }
  // The table outlives this call: one built inside inference mode could not serve a training step.
  const c10::InferenceMode normal_mode(false);
  const at::NoGradGuard no_grad;
  const int64_t side = 2 * (head_dim_ / 6);
  const std::array<int64_t, 3> channels{head_dim_ - 2 * side, side, side};
  std::vector<at::Tensor> angles;
  for (size_t axis = 0; axis < 3; ++axis) {
    std::array<int64_t, 4> shape{1, 1, 1, -1};
    shape[axis] = grid[axis];
    shape[3] = channels[axis] / 2;
    angles.push_back(AxisAngles(grid[axis], channels[axis], theta_)
                         .view(shape)
                         .expand({grid[0], grid[1], grid[2], channels[axis] / 2}));
  }
  const at::Tensor angle = at::cat(angles, -1).flatten(0, 2);  // [tokens, head_dim/2]
  const at::Tensor table =
      at::complex(angle.cos().to(at::kFloat), angle.sin().to(at::kFloat)).to(device);
  if (cache_.size() == kCachedGrids) cache_.erase(cache_.begin());
  cache_.push_back({grid, table});
  return table;
}

at::Tensor ApplyRotary(const at::Tensor& x, const at::Tensor& table) {
  TORCH_CHECK(x.dim() == 4 && table.dim() == 2 && x.size(1) == table.size(0) &&
                  x.size(3) == 2 * table.size(1),
              "rotary embedding: x is ", x.sizes(), ", the table of rotations ", table.sizes());
  const at::Tensor pairs = at::view_as_complex(x.to(at::kFloat).unflatten(-1, {-1, 2}));
  return at::view_as_real(pairs * table.unsqueeze(1)).flatten(-2).to(x.scalar_type());
}

}  // namespace wanlite::wan
