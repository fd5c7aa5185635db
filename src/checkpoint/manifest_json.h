// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// wanlite.json: the Manifest message as JSON with the message's field names. Written here rather
// than by protobuf's printer, whose map order is not fixed: the same manifest must give the same
// bytes.
#ifndef WANLITE_SRC_CHECKPOINT_MANIFEST_JSON_H_
#define WANLITE_SRC_CHECKPOINT_MANIFEST_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/proto/manifest.pb.h"

namespace wanlite {

inline constexpr int kManifestFormatVersion = 1;
inline constexpr char kManifestFile[] = "wanlite.json";
// The manifest of a checkpoint that is being written. It becomes wanlite.json by a rename, so there
// is never both, and a folder that holds it is never opened.
inline constexpr char kJournalFile[] = "wanlite.partial.json";

std::string ManifestToJson(const Manifest& manifest);

// InvalidArgument, beginning with `what`, for an unknown field or version, a wrong type, a path
// that leaves the folder, a hash that is none, or something listed twice.
absl::StatusOr<Manifest> ManifestFromJson(absl::string_view json, absl::string_view what);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_MANIFEST_JSON_H_
