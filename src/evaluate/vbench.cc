// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/vbench.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

constexpr size_t kMaxFileName = 255;

}  // namespace

absl::StatusOr<std::string> VBenchFileName(absl::string_view prompt, int64_t index) {
  std::string name(absl::StripAsciiWhitespace(prompt));
  if (name.empty()) return absl::InvalidArgumentError("VBench names clips by prompt; it is empty");
  if (index < 0) {
    return absl::InvalidArgumentError(absl::StrCat("VBench index ", index, " is negative"));
  }
  for (char& c : name) {
    if (c == '/' || absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '_';
  }
  absl::StrAppend(&name, "-", index, ".mp4");
  if (name.size() > kMaxFileName) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the VBench file name of prompt '", prompt.substr(0, 60), "...' has ", name.size(),
        " bytes, at most ", kMaxFileName, " are possible; name the clip by VBench's short prompt"));
  }
  return name;
}

absl::StatusOr<std::string> ExportVBench(Env& env, absl::string_view dir, absl::string_view prompt,
                                         int64_t index, const at::Tensor& frames, double fps) {
  WANLITE_ASSIGN_OR_RETURN(const std::string name, VBenchFileName(prompt, index));
  VideoOptions options;
  options.fps = fps;
  const std::string path = JoinPath(dir, name);
  if (const absl::Status possible = CheckVideoPath(path, options); !possible.ok()) {
    return Annotate(possible, "VBench export");
  }
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  WANLITE_RETURN_IF_ERROR(WriteVideo(env, path, frames, options));
  return path;
}

}  // namespace wanlite
