// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/runner/clip_folder.h"

#include <torch/torch.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

constexpr int64_t kMaxKeptBytes = int64_t{1} << 30;

bool HasVideoEnding(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  for (const absl::string_view ending : {".png", ".apng", ".webp", ".y4m", ".mp4"}) {
    if (absl::EndsWith(lower, ending)) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<ClipFolder> ClipFolder::Open(Env& env, const std::string& dir) {
  if (!env.FolderExists(dir)) {
    return absl::NotFoundError(absl::StrCat("'", dir, "' is not a folder"));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
  ClipFolder folder(env, dir);
  for (const std::string& name : names) {
    const std::string path = JoinPath(dir, name);
    if (absl::StartsWith(name, ".") || env.FolderExists(path)) continue;
    WANLITE_ASSIGN_OR_RETURN(const bool video, IsVideo(env, path));
    if (video) {
      folder.names_.push_back(name);
    } else if (HasVideoEnding(name)) {
      // Says what is wrong with it. A clip that drops out silently would change the score.
      WANLITE_RETURN_IF_ERROR(ReadVideo(env, path).status());
    } else {
      folder.skipped_.push_back(name);
    }
  }
  folder.fps_.assign(folder.names_.size(), 0);
  folder.kept_.resize(folder.names_.size());
  return folder;
}

absl::StatusOr<at::Tensor> ClipFolder::Clip(int64_t index) {
  at::Tensor& kept = kept_[index];
  if (kept.defined()) return kept;
  WANLITE_ASSIGN_OR_RETURN(const VideoClip clip, ReadVideo(*env_, path(index)));
  fps_[index] = clip.fps;
  if (kept_bytes_ + clip.frames.numel() <= kMaxKeptBytes) {
    kept = clip.frames;
    kept_bytes_ += kept.numel();
  }
  return clip.frames;
}

ClipSet ClipFolder::Subset(std::string name, std::vector<int64_t> indices) {
  ClipSet set;
  set.name = std::move(name);
  set.count = static_cast<int64_t>(indices.size());
  set.clip = [this, indices = std::move(indices)](int64_t index) { return Clip(indices[index]); };
  return set;
}

}  // namespace wanlite
