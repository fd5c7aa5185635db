// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Reads typed fields of a JSON object (a config.json, the attributes of a weight) without ever
// throwing.
#ifndef WANLITE_SRC_CORE_JSON_FIELDS_H_
#define WANLITE_SRC_CORE_JSON_FIELDS_H_

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// Each reader takes the spellings of one field, the first one present wins. A field that is absent
// or null leaves `out` as it is; one of another type is InvalidArgument, naming it, its value and
// what was expected.
class JsonFields {
 public:
  // `what` starts every message ("VAE config"). InvalidArgument as of ParseStrictJson().
  static absl::StatusOr<JsonFields> Parse(absl::string_view what, absl::string_view text);

  using Names = std::initializer_list<const char*>;
  bool Has(Names names) const;
  // InvalidArgument for a field that is not among `names`.
  absl::Status OnlyHas(Names names) const;
  absl::Status Bool(Names names, bool& out) const;
  absl::Status Int(Names names, int64_t& out) const;
  absl::Status Double(Names names, double& out) const;
  absl::Status String(Names names, std::string& out) const;
  absl::Status Bools(Names names, std::vector<bool>& out) const;
  absl::Status Strings(Names names, std::vector<std::string>& out) const;
  absl::Status Ints(Names names, std::vector<int64_t>& out) const;
  absl::Status Doubles(Names names, std::vector<double>& out) const;
  // The fields of an object inside; none when it is absent or null.
  absl::StatusOr<JsonFields> Object(const char* name) const;
  // The object as compact JSON with sorted keys.
  std::string Text() const;

 private:
  // nullptr when absent or null; sets `name` to the spelling found.
  const nlohmann::json* Find(Names names, std::string& name) const;
  absl::Status Wrong(const std::string& name, const nlohmann::json& found,
                     absl::string_view wanted) const;

  std::string what_;
  nlohmann::json json_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_JSON_FIELDS_H_
