// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/make_weight.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/core/json_fields.h"
#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/core/quote_name.h"
#include "src/model/tensor_text.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Weights that a thread compares with what they were at a time.
constexpr int64_t kMeasuredWeights = int64_t{1} << 17;

}  // namespace

absl::Status CheckDense(absl::string_view what, const at::Tensor& dense) {
  if (dense.defined() && dense.dim() == 2 && dense.is_floating_point() && dense.is_cpu()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is made from a floating-point CPU matrix [out, in], not from ",
                   dense.defined() ? TensorText(dense) : "nothing"));
}

absl::Status CheckRows(absl::string_view what, const at::Tensor& dense, const at::Tensor& rows_ok) {
  const at::Tensor bad = rows_ok.logical_not();
  if (!bad.any().item<bool>()) return absl::OkStatus();
  const int64_t row = bad.to(at::kInt).argmax().item<int64_t>();
  const at::Tensor values = dense.detach().select(0, row).to(at::kFloat);
  return absl::InvalidArgumentError(
      absl::StrCat("the weight ", TensorText(dense), " holds ",
                   values.isfinite().all().item<bool>()
                       ? absl::StrCat(values.abs().max().item<float>(), ", too large for ", what)
                       : "a NaN or an infinity",
                   " in row ", row));
}

QuantizationError MeasureError(const at::Tensor& dense,
                               absl::FunctionRef<at::Tensor(int64_t begin, int64_t end)> rounded) {
  const int64_t rows = dense.size(0);
  const int64_t chunk =
      std::max<int64_t>(1, kMeasuredWeights / std::max<int64_t>(1, dense.size(1)));
  const int64_t chunks = (rows + chunk - 1) / chunk;
  std::vector<QuantizationError> of_chunk(static_cast<size_t>(chunks));
  const auto sum_of_squares = [](const at::Tensor& t) {
    const at::Tensor flat = t.flatten();
    const double sum = at::dot(flat, flat).item<double>();
    if (std::isfinite(sum)) return sum;
    const at::Tensor wide = flat.to(at::kDouble);  // squares beyond fp32
    return at::dot(wide, wide).item<double>();
  };
  // One parallel loop over all of the matrix: threads that meet after each step of each chunk spend
  // their time waiting for each other.
  ParallelFor(0, chunks, 1, [&](int64_t first, int64_t last) {
    const at::NoGradGuard no_grad;
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = i * chunk, end = std::min(rows, begin + chunk);
      const at::Tensor values = dense.detach().slice(0, begin, end).to(at::kFloat);
      of_chunk[static_cast<size_t>(i)] = {
          .squared_error = sum_of_squares(values - rounded(begin, end)),
          .squared_weight = sum_of_squares(values)};
    }
  });
  QuantizationError sums;
  for (const QuantizationError& part : of_chunk) {
    sums.squared_weight += part.squared_weight;
    sums.squared_error += part.squared_error;
  }
  return sums;
}

absl::StatusOr<std::string> ParseActivations(absl::string_view what,
                                             absl::string_view attributes_json,
                                             const std::vector<std::string>& known) {
  const std::string attributes_of = absl::StrCat("attributes of ", what);
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse(attributes_of, attributes_json));
  WANLITE_RETURN_IF_ERROR(attributes.OnlyHas({"activations"}));
  std::string activations;
  WANLITE_RETURN_IF_ERROR(attributes.String({"activations"}, activations));
  if (std::find(known.begin(), known.end(), activations) != known.end()) return activations;
  std::string wanted;
  for (size_t i = 0; i < known.size(); ++i) {
    absl::StrAppend(&wanted,
                    i == 0                  ? ""
                    : i + 1 == known.size() ? " or "
                                            : ", ",
                    "\"", known[i], "\"");
  }
  return absl::InvalidArgumentError(
      absl::StrCat(attributes_of, ": activations ", QuoteName(activations), ", wanted ", wanted));
}

}  // namespace wanlite
