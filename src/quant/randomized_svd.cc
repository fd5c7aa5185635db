// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/randomized_svd.h"

#include <algorithm>

#include "src/core/libtorch.h"
#include "src/core/random.h"

namespace wanlite {
namespace {

// Columns sampled beyond the rank.
constexpr int64_t kOversampling = 8;
constexpr uint64_t kSignSeed = 0x5eed;

// fp32 [rows, columns] of 1 and -1.
at::Tensor Signs(int64_t rows, int64_t columns) {
  const at::Tensor signs = at::empty({rows, columns}, at::kFloat);
  float* out = signs.mutable_data_ptr<float>();
  Random random(kSignSeed);
  uint64_t bits = 0;
  for (int64_t i = 0; i < rows * columns; ++i, bits >>= 1) {
    if (i % 64 == 0) bits = random.Next();
    out[i] = (bits & 1) != 0 ? 1.0f : -1.0f;
  }
  return signs;
}

at::Tensor Orthonormal(const at::Tensor& columns) { return std::get<0>(at::linalg_qr(columns)); }

}  // namespace

LowRankFactors RandomizedSvd(const at::Tensor& matrix, int64_t rank, int power_iterations) {
  const at::NoGradGuard no_grad;
  const int64_t smaller = std::min(matrix.size(0), matrix.size(1));
  TORCH_CHECK(matrix.dim() == 2 && matrix.scalar_type() == at::kFloat && rank >= 1 &&
                  rank <= smaller && power_iterations >= 0,
              "a randomized SVD of rank ", rank, " of ", matrix.sizes());
  const int64_t samples = std::min(smaller, rank + kOversampling);
  at::Tensor range = Orthonormal(matrix.matmul(Signs(matrix.size(1), samples)));
  for (int i = 0; i < power_iterations; ++i) {
    range = Orthonormal(matrix.matmul(Orthonormal(matrix.t().matmul(range))));
  }
  const auto [u, s, v] = at::linalg_svd(range.t().matmul(matrix), /*full_matrices=*/false);
  return {range.matmul(u.slice(1, 0, rank)), s.slice(0, 0, rank).contiguous(),
          v.slice(0, 0, rank).contiguous()};
}

}  // namespace wanlite
