// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A linear layer whose input moves on a curve, as a product of two thin matrices that gives the
// same there.
#ifndef WANLITE_SRC_PRUNING_CURVE_FACTORS_H_
#define WANLITE_SRC_PRUNING_CURVE_FACTORS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace wanlite {

struct CurveFactors {
  at::Tensor a;                    // fp64 [rank, in]
  at::Tensor b;                    // fp64 [out, rank]
  std::optional<at::Tensor> bias;  // fp64 [out]; where there was one
};

// Outputs of a layer along a curve, with what a truncated singular value decomposition of them
// needs. Principal components of the outputs, not of the inputs: of all factors of one rank these
// give the least squared error along the curve (Eckart and Young 1936).
class OutputCurve {
 public:
  // x: fp64 [points, in], the curve; weight: floating [out, in]; bias: [out] or absent. Reads the
  // matrix in pieces of rows.
  OutputCurve(at::Tensor x, at::Tensor weight, std::optional<at::Tensor> bias);

  // The smallest rank with which no output is further away than `tolerance` of its length; the
  // largest that numbers of fp64 tell apart when none is.
  int64_t RankFor(double tolerance) const;
  // rank >= 1. Components that the curve does not have are zeros.
  CurveFactors Factors(int64_t rank) const;

 private:
  at::Tensor x_, mean_, weight_;
  std::optional<at::Tensor> bias_;
  at::Tensor values_;   // fp64 [points], falling: squares of singular values
  at::Tensor vectors_;  // fp64 [points, points]: left singular vectors, in columns
  at::Tensor sizes_;    // fp64 [points]: squared lengths of the outputs
  at::Tensor spreads_;  // fp64 [points]: squared lengths of what is decomposed
};

// Most that W x + bias and B (A y) + its bias are apart along two curves, as a part of the length
// of the first. x, y: fp64 [points, in].
double LargestCurveError(const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, const at::Tensor& y,
                         const at::Tensor& a, const at::Tensor& b,
                         const std::optional<at::Tensor>& factored_bias);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_CURVE_FACTORS_H_
