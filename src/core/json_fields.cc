// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/core/json_fields.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/quote_name.h"
#include "src/core/strict_json.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

bool AsInt(const nlohmann::json& value, int64_t& out) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return false;
  }
  out = value.get<int64_t>();
  return true;
}

bool AsDouble(const nlohmann::json& value, double& out) {
  if (!value.is_number()) return false;
  out = value.get<double>();
  return true;
}

bool AsString(const nlohmann::json& value, std::string& out) {
  if (!value.is_string()) return false;
  out = value.get<std::string>();
  return true;
}

bool AsBool(const nlohmann::json& value, bool& out) {
  if (!value.is_boolean()) return false;
  out = value.get<bool>();
  return true;
}

template <typename T, typename Read>
bool AsList(const nlohmann::json& value, Read read, std::vector<T>& out) {
  if (!value.is_array()) return false;
  std::vector<T> list;
  for (const nlohmann::json& item : value) {
    T element{};
    if (!read(item, element)) return false;
    list.push_back(element);
  }
  out = std::move(list);
  return true;
}

}  // namespace

absl::StatusOr<JsonFields> JsonFields::Parse(absl::string_view what, absl::string_view text) {
  JsonFields fields;
  fields.what_ = std::string(what);
  WANLITE_ASSIGN_OR_RETURN(fields.json_, ParseStrictJson(text, what));
  return fields;
}

const nlohmann::json* JsonFields::Find(Names names, std::string& name) const {
  for (const char* candidate : names) {
    const auto it = json_.find(candidate);
    if (it == json_.end() || it->is_null()) continue;
    name = candidate;
    return &*it;
  }
  return nullptr;
}

absl::Status JsonFields::Wrong(const std::string& name, const nlohmann::json& found,
                               absl::string_view wanted) const {
  // Of a large value its kind says enough, and writing it out to show its beginning would not.
  const std::string text =
      found.is_structured() && found.size() > 16
          ? absl::StrCat(found.is_array() ? "a list of " : "an object of ", found.size())
          : CutText(found.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return absl::InvalidArgumentError(
      absl::StrCat(what_, ": ", name, " is ", text, ", must be ", wanted));
}

absl::Status JsonFields::OnlyHas(Names names) const {
  for (const auto& item : json_.items()) {
    if (std::find(names.begin(), names.end(), item.key()) != names.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(what_, ": unknown field ", QuoteName(item.key()),
                                                   ", known are ", absl::StrJoin(names, ", ")));
  }
  return absl::OkStatus();
}

bool JsonFields::Has(Names names) const {
  std::string name;
  return Find(names, name) != nullptr;
}

absl::Status JsonFields::Bool(Names names, bool& out) const {
  std::string name;
  const nlohmann::json* value = Find(names, name);
  if (value == nullptr || AsBool(*value, out)) return absl::OkStatus();
  return Wrong(name, *value, "true or false");
}

absl::Status JsonFields::Int(Names names, int64_t& out) const {
  std::string name;
  const nlohmann::json* value = Find(names, name);
  if (value == nullptr || AsInt(*value, out)) return absl::OkStatus();
  return Wrong(name, *value, "an integer");
}

absl::Status JsonFields::Double(Names names, double& out) const {
  std::string name;
  const nlohmann::json* value = Find(names, name);
  if (value == nullptr || AsDouble(*value, out)) return absl::OkStatus();
  return Wrong(name, *value, "a number");
}

absl::Status JsonFields::String(Names names, std::string& out) const {
  std::string name;
  const nlohmann::json* value = Find(names, name);
  if (value == nullptr || AsString(*value, out)) return absl::OkStatus();
  return Wrong(name, *value, "a string");
}

absl::Status JsonFields::Bools(Names names, std::vector<bool>& out) const {
  std::string name;
  const nlohmann::json* value = Find(names, name);
  if (value == nullptr || AsList(*value, AsBool, out)) return absl::OkStatus();
  return Wrong(name, *value, "a list of true or false");
}

absl::Status JsonFields::Strings(Names names, std::vector<std::string>& out) const {
  std::string name;
  const nlohmann::json* value = Find(names, name);
  if (value == nullptr || AsList(*value, AsString, out)) return absl::OkStatus();
  return Wrong(name, *value, "a list of strings");
}

absl::StatusOr<JsonFields> JsonFields::Object(const char* name) const {
  std::string found;
  const nlohmann::json* value = Find({name}, found);
  if (value != nullptr && !value->is_object()) return Wrong(name, *value, "an object");
  JsonFields fields;
  fields.what_ = absl::StrCat(what_, ": ", name);
  fields.json_ = value == nullptr ? nlohmann::json::object() : *value;
  return fields;
}

std::string JsonFields::Text() const {
  return json_.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::Status JsonFields::Ints(Names names, std::vector<int64_t>& out) const {
  std::string name;
  const nlohmann::json* value = Find(names, name);
  if (value == nullptr || AsList(*value, AsInt, out)) return absl::OkStatus();
  return Wrong(name, *value, "a list of integers");
}

absl::Status JsonFields::Doubles(Names names, std::vector<double>& out) const {
  std::string name;
  const nlohmann::json* value = Find(names, name);
  if (value == nullptr || AsList(*value, AsDouble, out)) return absl::OkStatus();
  return Wrong(name, *value, "a list of numbers");
}

}  // namespace wanlite
