// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// samples.json, the manifest of a sample set, and its journal while it is written.
#ifndef WANLITE_SRC_CALIBRATION_SAMPLE_SET_JSON_H_
#define WANLITE_SRC_CALIBRATION_SAMPLE_SET_JSON_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/sample_set.h"

namespace wanlite {

inline constexpr char kSampleSetManifest[] = "samples.json";
inline constexpr char kSampleSetJournal[] = "recording.json";
inline constexpr char kSampleFileEnding[] = ".safetensors";

struct SampleSetFile {
  std::string path;  // in the set's folder
  int64_t bytes = 0;
  std::string sha256;
};

struct SampleSetManifest {
  std::string writer;
  SampleSetInfo info;
  std::vector<SampleSetFile> files;
  std::vector<SampleInfo> samples;
};

// The fingerprint is computed and written along. InvalidArgument for settings that are no JSON
// object and for numbers that are not finite.
absl::StatusOr<std::string> SampleSetToJson(const SampleSetManifest& manifest);
// InvalidArgument, beginning with `what`, for anything but what SampleSetToJson() gives; a
// fingerprint that does not fit is DataLoss.
absl::StatusOr<SampleSetManifest> SampleSetFromJson(absl::string_view text, absl::string_view what,
                                                    std::string* fingerprint);

// Of an unfinished set: whose it is, and the files so far.
std::string JournalToJson(const std::string& identity, const std::vector<SampleSetFile>& files);
absl::StatusOr<std::vector<SampleSetFile>> JournalFromJson(absl::string_view text,
                                                           absl::string_view what,
                                                           std::string* identity);

}  // namespace wanlite

#endif  // WANLITE_SRC_CALIBRATION_SAMPLE_SET_JSON_H_
