// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// GPTQ (Frantar et al., arXiv 2210.17323) for the grid of any format: columns of a weight matrix
// are rounded one after the other, and what is still to come makes up for the error so far.
//
// Written as LDLQ, which gives the same result without an inverse (QuIP, arXiv 2307.13304, theorem
// 6): with second moments H = R R^T, R upper triangular, column j is rounded from
//   w_j + sum over i < j of (w_i - q_i) R_ij / R_jj.
#ifndef WANLITE_SRC_QUANT_GPTQ_H_
#define WANLITE_SRC_QUANT_GPTQ_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "src/calibration/input_moments.h"
#include "src/quant/weight_quantizer.h"

namespace wanlite {

struct GptqResult {
  at::Tensor rounded;  // fp32 [out, in], values of the grid
  GroupScales scales;  // [out, groups]
  QuantizationError weight_error;
  // Of the layer's outputs on the rows that the moments are of, damping included: |(W - Q) x|^2 and
  // |W x|^2.
  QuantizationError output_error;
};

// weight: fp32 [out, in] in the basis of the grid, as the moments are. Scales of a group are fitted
// to what its columns have become when the first of them is reached; with activation_order, before
// all. InvalidArgument for weights that are not finite.
absl::StatusOr<GptqResult> GptqRound(const at::Tensor& weight, const MomentFactor& moments,
                                     const WeightGrid& grid);

// Bytes that both take beside a dense layer [out, in], at most: for plans.
int64_t GptqScratchBytes(int64_t out, int64_t in);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_GPTQ_H_
