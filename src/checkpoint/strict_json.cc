// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/strict_json.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/checkpoint/safetensors_format.h"
#include "wanlite/status.h"

namespace wanlite {

absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, absl::string_view what) {
  using Json = nlohmann::json;
  constexpr int kMaxDepth = 64;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::string twice;
  bool too_deep = false;
  const Json::parser_callback_t watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) too_deep = true;
    // What is given up is not kept, so the depth of the tree is bounded.
    if (too_deep) return false;
    switch (event) {
      case Json::parse_event_t::object_start:
        keys.emplace_back();
        break;
      case Json::parse_event_t::object_end:
        keys.pop_back();
        break;
      case Json::parse_event_t::key:
        if (!keys.back().insert(parsed.get<std::string>()).second && twice.empty()) {
          twice = parsed.get<std::string>();
        }
        break;
      default:
        break;
    }
    return true;
  };
  const Json json = Json::parse(text.begin(), text.end(), watch, /*allow_exceptions=*/false);
  if (too_deep) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": nested deeper than ", kMaxDepth));
  }
  if (json.is_discarded())
    return absl::InvalidArgumentError(absl::StrCat(what, ": not valid JSON"));
  if (!twice.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": the key ", QuoteName(twice), " is there twice"));
  }
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": holds ", json.type_name(), ", wanted an object"));
  }
  return json;
}

absl::StatusOr<nlohmann::json> ReadStrictJson(Env& env, const std::string& path) {
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(path));
  return ParseStrictJson(text, path);
}

}  // namespace wanlite
