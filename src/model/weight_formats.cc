// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/weight_formats.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"

namespace wanlite {
namespace {

absl::StatusOr<std::unique_ptr<LinearWeight>> DenseWeightFromState(
    const WeightState& state, absl::string_view attributes_json, const WeightFormatRegistry&) {
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
  if (attributes_json != "{}" && !attributes_json.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a dense weight has no attributes, found ", attributes_json.substr(0, 100)));
  }
  return MakeDenseWeight(tensor);
}

}  // namespace

WeightFormatRegistry::WeightFormatRegistry() { factories_["dense"] = DenseWeightFromState; }

absl::Status WeightFormatRegistry::Register(const std::string& format,
                                            LinearWeightFactory factory) {
  if (format.empty() || factory == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight format '", format, "' needs a name and a factory"));
  }
  if (!factories_.emplace(format, std::move(factory)).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("weight format '", format, "' is registered already"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LinearWeight>> WeightFormatRegistry::Build(
    absl::string_view format, const WeightState& state, absl::string_view attributes_json) const {
  const auto factory = factories_.find(std::string(format));
  if (factory == factories_.end()) {
    return absl::UnimplementedError(absl::StrCat(
        "weight format '", format, "' is not known; known are ", absl::StrJoin(formats(), ", ")));
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> weight =
      CatchTorch([&] { return factory->second(state, attributes_json, *this); });
  if (weight.ok() && *weight == nullptr) {
    return absl::InternalError(
        absl::StrCat("the factory of the weight format '", format, "' made nothing"));
  }
  return weight;
}

std::vector<std::string> WeightFormatRegistry::formats() const {
  std::vector<std::string> names;
  for (const auto& [name, factory] : factories_) names.push_back(name);
  return names;
}

}  // namespace wanlite
