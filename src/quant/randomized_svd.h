// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_QUANT_RANDOMIZED_SVD_H_
#define WANLITE_SRC_QUANT_RANDOMIZED_SVD_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace wanlite {

struct LowRankFactors {
  at::Tensor left;             // fp32 [m, rank], orthonormal columns
  at::Tensor singular_values;  // fp32 [rank], falling
  at::Tensor right;            // fp32 [rank, n], orthonormal rows
};

// The leading singular triplets by a randomized range finder with power iterations (Halko,
// Martinsson and Tropp, arXiv 0909.4061, algorithms 4.4 and 5.1), whose test matrix holds signs
// drawn from a fixed seed: the same result for the same matrix. matrix: fp32 [m, n], finite; rank
// of at most min(m, n). Where singular values fall slowly, each iteration brings what is found
// nearer to the leading ones; two are enough for weights.
LowRankFactors RandomizedSvd(const at::Tensor& matrix, int64_t rank, int power_iterations = 2);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_RANDOMIZED_SVD_H_
