// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// JSON from files that nobody vouches for.
#ifndef WANLITE_SRC_CHECKPOINT_STRICT_JSON_H_
#define WANLITE_SRC_CHECKPOINT_STRICT_JSON_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite {

// A JSON object. InvalidArgument, beginning with `what`, when the text is not JSON, not an object,
// nested deeper than 64, or has a key twice in one object (which parsers resolve differently).
absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, absl::string_view what);

// The object in a file of at most 64 MiB.
absl::StatusOr<nlohmann::json> ReadStrictJson(Env& env, const std::string& path);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_STRICT_JSON_H_
