// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Reads one JSON object of a file of ours, whose every field is known.
#ifndef WANLITE_SRC_CORE_OBJECT_READER_H_
#define WANLITE_SRC_CORE_OBJECT_READER_H_

#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// The first error stays: InvalidArgument that begins with `where`. `json` must outlive it.
class ObjectReader {
 public:
  ObjectReader(const nlohmann::json& json, std::string where);

  const std::string& where() const { return where_; }
  bool is_object() const;
  void Fail(const std::string& message);
  void Keep(const absl::Status& status);
  // Also refuses fields that nobody asked for.
  absl::Status Finish();

 protected:
  // Null when there is none.
  const nlohmann::json* Field(const char* field);
  void Wrong(const char* field, const nlohmann::json& found, absl::string_view wanted);
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json& json_;
  const std::string where_;
  std::set<std::string> known_;
  absl::Status status_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_OBJECT_READER_H_
