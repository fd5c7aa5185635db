// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/dump.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"

namespace wanlite {

namespace {

// {"alpha":8,"base":{"attributes":{"group":64},"format":"int4"}} of "low_rank" ->
// low_rank (alpha 8) over int4 (group 64)
std::string FormatText(const std::string& format, const nlohmann::json& attributes) {
  std::vector<std::string> fields;
  std::string base;
  for (const auto& [name, value] : attributes.items()) {
    if (name == "base" && value.is_object() && value.contains("format")) {
      base = FormatText(value["format"].get<std::string>(),
                        value.value("attributes", nlohmann::json::object()));
      continue;
    }
    fields.push_back(absl::StrCat(name, " ",
                                  value.is_string()   ? value.get<std::string>()
                                  : value.is_number() ? absl::StrCat(value.get<double>())
                                                      : value.dump()));
  }
  return absl::StrCat(format,
                      fields.empty() ? "" : absl::StrCat(" (", absl::StrJoin(fields, ", "), ")"),
                      base.empty() ? "" : absl::StrCat(" over ", base));
}

}  // namespace

std::string FormatText(const LinearWeight& weight) {
  const nlohmann::json attributes =
      nlohmann::json::parse(weight.attributes(), nullptr, /*allow_exceptions=*/false);
  const std::string format(weight.format());
  return attributes.is_object() ? FormatText(format, attributes) : format;
}

std::string DtypeName(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "fp32";
    case at::kDouble:
      return "fp64";
    case at::kHalf:
      return "fp16";
    case at::kBFloat16:
      return "bf16";
    case at::kChar:
      return "int8";
    case at::kByte:
      return "uint8";
    case at::kShort:
      return "int16";
    case at::kInt:
      return "int32";
    case at::kLong:
      return "int64";
    case at::kBool:
      return "bool";
    case at::kFloat8_e4m3fn:
      return "fp8_e4m3";
    case at::kFloat8_e5m2:
      return "fp8_e5m2";
    default:
      return c10::toString(dtype);
  }
}

std::string DumpModel(const ModelView& model) {
  // The weight format stands behind the first tensor of its layer.
  std::map<std::string, std::string> formats;
  for (const LinearInfo& linear : model.weights()) {
    const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
    if (!weight.ok() || (*weight)->dense() != nullptr) continue;
    formats[absl::StrCat(linear.path, ".", (*weight)->State().front().name)] =
        absl::StrCat(" ", (*weight)->format(), " ", (*weight)->attributes());
  }
  std::string out;
  for (const NamedTensor& named : model.Tensors()) {
    const auto format = formats.find(named.name);
    absl::StrAppend(&out, named.name, " ", DtypeName(named.tensor.scalar_type()), " [",
                    absl::StrJoin(named.tensor.sizes(), ", "), "]",
                    format == formats.end() ? "" : format->second, "\n");
  }
  return out;
}

}  // namespace wanlite
