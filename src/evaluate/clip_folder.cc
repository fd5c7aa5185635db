// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/clip_folder.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/video/video_decoders.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

constexpr int64_t kMaxKeptBytes = int64_t{1} << 30;

bool HasVideoEnding(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  for (const absl::string_view ending : {".png", ".apng", ".webp", ".y4m", ".mp4", ".gif"}) {
    if (absl::EndsWith(lower, ending)) return true;
  }
  return false;
}

// frame2 before frame10: runs of digits compare as numbers.
bool NaturalLess(absl::string_view a, absl::string_view b) {
  const absl::string_view whole_a = a, whole_b = b;
  const auto take_number = [](absl::string_view& text) {
    const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
    absl::string_view number = text.substr(0, end);
    text.remove_prefix(end);
    number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
    return number;
  };
  while (!a.empty() && !b.empty()) {
    if (absl::ascii_isdigit(a[0]) && absl::ascii_isdigit(b[0])) {
      const absl::string_view first = take_number(a), second = take_number(b);
      if (first.size() != second.size()) return first.size() < second.size();
      if (first != second) return first < second;
      continue;
    }
    if (a[0] != b[0]) return a[0] < b[0];
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // the same but for zeros in front
}

}  // namespace

absl::StatusOr<ClipFolder> ClipFolder::Open(Env& env, const std::string& dir) {
  if (!env.FolderExists(dir)) {
    return absl::NotFoundError(absl::StrCat("'", dir, "' is not a folder"));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
  ClipFolder folder(env, dir);
  for (const std::string& name : names) {
    if (absl::StartsWith(name, ".")) continue;
    const std::string path = JoinPath(dir, name);
    if (env.FolderExists(path)) {
      std::vector<std::string> pictures;
      WANLITE_RETURN_IF_ERROR(folder.ListFrames(path, pictures));
      if (pictures.empty()) {
        folder.skipped_.push_back(name + "/");
      } else {
        folder.names_.push_back(name);
        folder.frames_.push_back(std::move(pictures));
      }
      continue;
    }
    WANLITE_ASSIGN_OR_RETURN(const bool video, IsVideo(env, path));
    if (video) {
      folder.names_.push_back(name);
      folder.frames_.emplace_back();
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

absl::Status ClipFolder::ListFrames(const std::string& path,
                                    std::vector<std::string>& pictures) const {
  WANLITE_ASSIGN_OR_RETURN(std::vector<std::string> names, env_->ListFolder(path));
  std::sort(names.begin(), names.end(), NaturalLess);
  for (const std::string& name : names) {
    const std::string picture = JoinPath(path, name);
    if (absl::StartsWith(name, ".") || env_->FolderExists(picture)) continue;
    WANLITE_ASSIGN_OR_RETURN(const bool read, IsVideo(*env_, picture));
    if (read) {
      pictures.push_back(picture);
    } else if (HasVideoEnding(name)) {
      WANLITE_RETURN_IF_ERROR(ReadVideo(*env_, picture).status());
    }
  }
  return absl::OkStatus();
}

std::string ClipFolder::stem(int64_t index) const {
  const std::string& name = names_[index];
  return frames_[index].empty() ? name.substr(0, name.rfind('.')) : name;
}

absl::StatusOr<at::Tensor> ClipFolder::ReadFrames(int64_t index) const {
  const std::vector<std::string>& paths = frames_[index];
  at::Tensor clip;
  for (size_t i = 0; i < paths.size(); ++i) {
    WANLITE_ASSIGN_OR_RETURN(const VideoClip picture, ReadVideo(*env_, paths[i]));
    const at::Tensor& frame = picture.frames;
    if (frame.size(0) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(paths[i], " has ", frame.size(0),
                       " frames; a folder of frames holds still pictures, and clips lie beside "
                       "each other in the folder above"));
    }
    if (i == 0) {
      const absl::Status fits =
          CheckClipSize(static_cast<int64_t>(paths.size()), frame.size(1), frame.size(2));
      if (!fits.ok()) return Annotate(fits, path(index));
      clip = at::empty({static_cast<int64_t>(paths.size()), frame.size(1), frame.size(2), 3},
                       at::kByte);
    }
    if (frame.sizes().slice(1) != clip.sizes().slice(1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("frames of different sizes: ", paths[0], " has ", clip.size(2), "x",
                       clip.size(1), ", ", paths[i], " has ", frame.size(2), "x", frame.size(1)));
    }
    clip[static_cast<int64_t>(i)].copy_(frame[0]);
  }
  return clip;
}

absl::StatusOr<at::Tensor> ClipFolder::Clip(int64_t index) {
  if (kept_[index].defined()) return kept_[index];
  VideoClip clip;
  if (frames_[index].empty()) {
    WANLITE_ASSIGN_OR_RETURN(clip, ReadVideo(*env_, path(index)));
  } else {
    WANLITE_ASSIGN_OR_RETURN(clip.frames, CatchTorch([&] { return ReadFrames(index); }));
  }
  fps_[index] = clip.fps;
  if (kept_bytes_ + clip.frames.numel() <= kMaxKeptBytes) {
    kept_[index] = clip.frames;
    kept_bytes_ += clip.frames.numel();
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
