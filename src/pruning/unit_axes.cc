// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/unit_axes.h"

#include <algorithm>

#include "src/core/libtorch.h"

namespace wanlite {
namespace {

// Values that are summed at once: 1 MiB in fp32, which a core's cache holds.
constexpr int64_t kValuesAtOnce = int64_t{1} << 18;

}  // namespace

at::Tensor SumsAlong(const at::Tensor& values, int64_t dim, bool squares) {
  const int64_t n = values.size(dim);
  at::Tensor sums = at::zeros({n}, at::kDouble);
  if (values.numel() == 0) return sums;
  int64_t behind = 1;
  for (int64_t d = dim + 1; d < values.dim(); ++d) behind *= values.size(d);
  const at::Tensor parts = values.detach().contiguous().reshape({-1, n, behind});
  const auto sum = [&](const at::Tensor& part) {
    const at::Tensor wide = part.to(at::kFloat);
    return (squares ? wide.square() : wide.abs()).sum(at::IntArrayRef{0, 2}).to(at::kDouble);
  };
  const int64_t before = parts.size(0);
  if (before == 1) {
    const int64_t step = std::max<int64_t>(1, kValuesAtOnce / behind);
    for (int64_t i = 0; i < n; i += step) {
      const int64_t end = std::min(n, i + step);
      sums.slice(0, i, end).copy_(sum(parts.slice(1, i, end)));
    }
    return sums;
  }
  const int64_t step = std::max<int64_t>(1, kValuesAtOnce / (n * behind));
  for (int64_t i = 0; i < before; i += step) {
    sums += sum(parts.slice(0, i, std::min(before, i + step)));
  }
  return sums;
}

at::Tensor SumOfUnits(const AxisGroup& group, const AxisRef& ref, const at::Tensor& values) {
  return values.reshape({ref.outer, group.units, ref.repeat}).sum(at::IntArrayRef{0, 2});
}
at::Tensor AtUnits(const AxisGroup& group, const AxisRef& ref, const at::Tensor& values) {
  return values.reshape({1, group.units, 1})
      .expand({ref.outer, group.units, ref.repeat})
      .reshape({-1});
}

std::vector<AxisRef> ReadersOf(const ModelView& model, const AxisGroup& group) {
  std::vector<AxisRef> readers;
  for (const AxisRef& ref : group.refs) {
    if (ref.dim == 1 && model.FindLinear(ref.tensor) != nullptr) readers.push_back(ref);
  }
  return readers;
}

std::vector<AxisRef> NormalizedWritersOf(const ModelView& model, const AxisGroup& group) {
  std::vector<AxisRef> writers;
  const bool normalized = std::any_of(group.refs.begin(), group.refs.end(), [](const AxisRef& ref) {
    return ref.role == AxisRole::kRmsNormalized;
  });
  for (const AxisRef& ref : group.refs) {
    if (normalized && ref.dim == 0 && model.FindLinear(ref.tensor) != nullptr) {
      writers.push_back(ref);
    }
  }
  return writers;
}

}  // namespace wanlite
