// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Linear layers fitted again to what they should give, from sums over recorded rows.
#ifndef WANLITE_SRC_PRUNING_LEAST_SQUARES_H_
#define WANLITE_SRC_PRUNING_LEAST_SQUARES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace wanlite {

// Sums over rows x that a layer reads, of which each counts `weight` times, and rows y that it
// should give. With a bias x has a 1 at its end, so k = in + 1, else k = in.
class FitSums {
 public:
  // in, out: features of the layer.
  FitSums(int64_t in, int64_t out, bool bias);
  // x: fp32 [n, in]; y: fp32 [n, out]. Throws c10::Error for other shapes.
  void Add(const at::Tensor& x, const at::Tensor& y, double weight);

  bool bias() const { return bias_; }
  double rows() const { return rows_; }                     // weighted
  const at::Tensor& inputs() const { return inputs_; }      // sum of x^T x: fp32 [k, k]
  const at::Tensor& products() const { return products_; }  // sum of y^T x: fp32 [out, k]
  double outputs() const { return outputs_; }               // sum of |y|^2

  // |W x - y| / |y| over all rows. weight: fp32 [out, k], the bias its last column. Exact to the
  // rounding of the sums: about 1e-3 of what is wanted is seen, no less.
  double RelativeError(const at::Tensor& weight) const;

 private:
  bool bias_;
  double rows_ = 0, outputs_ = 0;
  at::Tensor inputs_, products_;
};

struct Fit {
  at::Tensor weight;  // fp32 [out, k]
  double error_before = 0, error_after = 0;
};

// W = argmin sum |W x - y|^2 + damping * m * |W - now|^2, m the mean of the diagonal of x^T x over
// the input features; the bias is not damped. now: fp32 [out, k]. mask: bool [out, k], the entries
// that may be other than zero, or undefined: all. Without a mask by one Cholesky factorization;
// with one by conjugate gradients, as each row has unknowns of its own, until the gradient has
// fallen to 1e-4 of what it was, 100 steps at most. InvalidArgument for inputs that are all zero or
// not finite.
absl::StatusOr<Fit> FitLeastSquares(const FitSums& sums, const at::Tensor& now,
                                    const at::Tensor& mask, double damping);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_LEAST_SQUARES_H_
