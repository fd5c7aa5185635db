// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/packed_matrix.h"

#include <algorithm>

#include "src/core/libtorch.h"

namespace wanlite {
namespace {

// Tokens that ask for a column each at a time.
constexpr int64_t kAskedColumns = 256;

}  // namespace

at::Tensor MatrixOfProduct(
    int64_t out_features, int64_t in_features,
    absl::FunctionRef<at::Tensor(const at::Tensor& q, const at::Tensor& scale)> product) {
  const at::NoGradGuard no_grad;
  at::Tensor matrix = at::empty({out_features, in_features});
  for (int64_t begin = 0; begin < in_features; begin += kAskedColumns) {
    const int64_t end = std::min(in_features, begin + kAskedColumns);
    // What tokens with a single one give are the columns.
    at::Tensor one = at::zeros({end - begin, in_features}, at::dtype(at::kChar));
    one.diagonal(/*offset=*/begin).fill_(1);
    matrix.slice(1, begin, end).copy_(product(one, at::ones({end - begin, 1})).t());
  }
  return matrix;
}

}  // namespace wanlite
