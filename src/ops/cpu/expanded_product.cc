// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/expanded_product.h"

#include <algorithm>
#include <vector>

#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"

namespace wanlite::ops {
namespace {

// Floats expanded at a time. For few tokens, what stays in a core's own cache until it is
// multiplied; for many, as wide a product as runs at full speed.
constexpr int64_t kFewTokens = 64;
constexpr int64_t kFewTokensFloats = int64_t{1} << 18;
constexpr int64_t kManyTokensFloats = int64_t{1} << 22;

void ExpandInto(int64_t begin, int64_t end, int64_t k, RowExpander expand, float* out) {
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, k));
  ParallelFor(begin, end, grain, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) expand(row, out + (row - begin) * k);
  });
}

}  // namespace

at::Tensor ExpandedProduct(const at::Tensor& x, int64_t n, RowExpander expand,
                           const std::optional<at::Tensor>& bias) {
  const int64_t k = x.size(-1);
  const at::Tensor tokens = x.to(at::kFloat).reshape({-1, k});
  const at::Tensor y = at::empty({tokens.size(0), n}, tokens.options());
  const int64_t floats = tokens.size(0) <= kFewTokens ? kFewTokensFloats : kManyTokensFloats;
  const int64_t rows = std::min(n, std::max<int64_t>(16, floats / k));
  const at::Tensor panel = at::empty({rows, k}, tokens.options());
  for (int64_t begin = 0; begin < n; begin += rows) {
    const int64_t end = std::min(n, begin + rows);
    ExpandInto(begin, end, k, expand, panel.mutable_data_ptr<float>());
    at::Tensor part = y.slice(1, begin, end);
    at::mm_out(part, tokens, panel.slice(0, 0, end - begin).t());
  }
  if (bias.has_value()) y.add_(bias->to(at::kFloat));
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = n;
  return y.to(x.scalar_type()).reshape(shape);
}

at::Tensor ExpandRows(int64_t n, int64_t k, RowExpander expand) {
  at::Tensor matrix = at::empty({n, k}, at::dtype(at::kFloat));
  ExpandInto(0, n, k, expand, matrix.mutable_data_ptr<float>());
  return matrix;
}

}  // namespace wanlite::ops
