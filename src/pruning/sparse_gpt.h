// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// SparseGPT (Frantar and Alistarh, arXiv 2301.00774): columns of a weight matrix are pruned one
// after the other, and what is still to come makes up for the error so far. A weight costs
// w^2 / [H^-1]_jj^2, with what the columns before ask of it.
//
// Written as GPTQ is in wanlite, without an inverse (LDLQ, arXiv 2307.13304, theorem 6): with
// second moments H = R R^T, R upper triangular, H^-1 = U^T U for U = R^-1, so that the cost is
// (w R_jj)^2, and column j is pruned from w_j + sum over i < j of (w_i - q_i) R_ij / R_jj.
#ifndef WANLITE_SRC_PRUNING_SPARSE_GPT_H_
#define WANLITE_SRC_PRUNING_SPARSE_GPT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "src/calibration/input_moments.h"

namespace wanlite {

struct SparseGptSettings {
  // Of all weights of `columns` neighbouring columns; used where m is 0.
  double amount = 0;
  int64_t columns = 128;
  // N:M: of each m neighbouring columns of a row n stay.
  int64_t n = 0, m = 0;
};

struct SparseGptResult {
  at::Tensor pruned;  // of the weight's shape and dtype
  // Of the layer's outputs on the rows that the moments are of, damping included: |(W - Q) x|^2 and
  // |W x|^2.
  double squared_error = 0, squared_output = 0;
};

// weight: fp32, bf16 or fp16 [out, in], finite, with zeros that stay: they count first, and weights
// of features that are never read come next. With `amount` exactly CountToPrune(amount, numel)
// become zero, but for zeros beyond that many in neighbouring columns. moments: without activation
// order. m divides `in`.
absl::StatusOr<SparseGptResult> SparseGptPrune(const at::Tensor& weight,
                                               const MomentFactor& moments,
                                               const SparseGptSettings& settings);

// Bytes that moments and this take beside a layer [out, in], at most: for plans.
int64_t SparseGptScratchBytes(int64_t out, int64_t in);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_SPARSE_GPT_H_
