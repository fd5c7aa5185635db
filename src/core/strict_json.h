// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// JSON from files that nobody vouches for: the one parser for all of it.
#ifndef WANLITE_SRC_CORE_STRICT_JSON_H_
#define WANLITE_SRC_CORE_STRICT_JSON_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite {

// A JSON object. InvalidArgument, beginning with `what`, when the text is not JSON, not an object,
// beyond the limits of input_limits.h, or has a key twice in one object (which parsers resolve
// differently). Takes time and memory in proportion to the text.
absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, absl::string_view what);

// The object in a file.
absl::StatusOr<nlohmann::json> ReadStrictJson(Env& env, const std::string& path);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_STRICT_JSON_H_
