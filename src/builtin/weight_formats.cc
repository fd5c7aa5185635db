// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The one list of weight formats. A new format adds a line.

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/quant/weight_int8.h"
#include "wanlite/linear_weight.h"

namespace wanlite {
namespace {

struct KnownFormat {
  absl::string_view name;
  absl::StatusOr<std::unique_ptr<LinearWeight>> (*make)(
      const std::map<std::string, at::Tensor>& state, absl::string_view attributes_json);
};

absl::StatusOr<std::unique_ptr<LinearWeight>> DenseWeightFromState(
    const std::map<std::string, at::Tensor>& state, absl::string_view attributes_json) {
  const auto weight = state.find("weight");
  if (state.size() != 1 || weight == state.end() || !weight->second.defined()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a dense weight has the one tensor weight, found {",
        absl::StrJoin(state, ", ",
                      [](std::string* out, const auto& entry) { out->append(entry.first); }),
        "}"));
  }
  const at::Tensor& tensor = weight->second;
  if (tensor.dim() != 2 || !tensor.is_floating_point()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a dense weight is a floating-point matrix [out, in], "
        "found ",
        c10::toString(tensor.scalar_type()), " [", absl::StrJoin(tensor.sizes(), ", "), "]"));
  }
  return MakeDenseWeight(tensor);
}

constexpr KnownFormat kFormats[] = {
    {"dense", DenseWeightFromState},
    {"int8", Int8WeightFromState},
};

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeLinearWeight(
    absl::string_view format, const std::map<std::string, at::Tensor>& state,
    absl::string_view attributes_json) {
  for (const KnownFormat& known : kFormats) {
    if (known.name == format) {
      return CatchTorch([&] { return known.make(state, attributes_json); });
    }
  }
  return absl::UnimplementedError(
      absl::StrCat("weight format '", format, "' is not known; this build has ",
                   absl::StrJoin(kFormats, ", ", [](std::string* out, const KnownFormat& known) {
                     absl::StrAppend(out, known.name);
                   })));
}

}  // namespace wanlite
