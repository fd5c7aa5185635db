// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/object_reader.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/quote_name.h"

namespace wanlite {

ObjectReader::ObjectReader(const nlohmann::json& json, std::string where)
    : json_(json), where_(std::move(where)) {
  if (!is_object()) Fail(absl::StrCat("is ", json_.type_name(), ", wanted an object"));
}

bool ObjectReader::is_object() const { return json_.is_object(); }

void ObjectReader::Fail(const std::string& message) {
  Keep(absl::InvalidArgumentError(absl::StrCat(where_, " ", message)));
}

void ObjectReader::Keep(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

absl::Status ObjectReader::Finish() {
  if (!status_.ok() || !is_object()) return status_;
  for (const auto& [key, unused] : json_.items()) {
    if (!known_.contains(key)) Fail(absl::StrCat("has the unknown field ", QuoteName(key)));
  }
  return status_;
}

const nlohmann::json* ObjectReader::Field(const char* field) {
  known_.insert(field);
  if (!is_object()) return nullptr;
  const auto found = json_.find(field);
  return found == json_.end() ? nullptr : &*found;
}

void ObjectReader::Wrong(const char* field, const nlohmann::json& found, absl::string_view wanted) {
  Fail(absl::StrCat("has ", field, " = ",
                    QuoteName(found.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)),
                    ", wanted ", wanted));
}

}  // namespace wanlite
