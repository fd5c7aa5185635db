// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A folder of clips, read when asked for. A clip is a file, or a folder of frames.
#ifndef WANLITE_SRC_EVALUATE_CLIP_FOLDER_H_
#define WANLITE_SRC_EVALUATE_CLIP_FOLDER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/metrics/set_distance.h"
#include "wanlite/env.h"

namespace wanlite {

class ClipFolder {
 public:
  // Lists the folder, in the order of names: files of a known format by content, and folders that
  // hold still pictures of these formats (frame1.png, frame2.png, ... in the order of their
  // numbers). InvalidArgument for a file whose ending is that of a video and whose content is not,
  // Unimplemented for GIF.
  static absl::StatusOr<ClipFolder> Open(Env& env, const std::string& dir);

  const std::string& dir() const { return dir_; }
  int64_t size() const { return static_cast<int64_t>(names_.size()); }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<std::string>& skipped() const { return skipped_; }
  std::string path(int64_t index) const { return JoinPath(dir_, names_[index]); }
  // The name without the ending of a file: what pairs the clips of two folders.
  std::string stem(int64_t index) const;
  // Frames a second of a clip that was read; 0: it does not say.
  double fps(int64_t index) const { return fps_[index]; }

  // uint8 [F, H, W, 3]. Clips are kept as long as they are small together, and read again after.
  absl::StatusOr<at::Tensor> Clip(int64_t index);

  // Some of the clips as a set; the folder must live longer.
  ClipSet Subset(std::string name, std::vector<int64_t> indices);

 private:
  ClipFolder(Env& env, std::string dir) : env_(&env), dir_(std::move(dir)) {}

  Env* env_;
  std::string dir_;
  // Fills `pictures` with the paths of the frames in folder `path`; left empty when there are none.
  absl::Status ListFrames(const std::string& path, std::vector<std::string>& pictures) const;
  absl::StatusOr<at::Tensor> ReadFrames(int64_t index) const;

  std::vector<std::string> names_, skipped_;
  std::vector<std::vector<std::string>> frames_;  // paths of a folder's pictures; none for a file
  std::vector<double> fps_;
  std::vector<at::Tensor> kept_;
  int64_t kept_bytes_ = 0;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_CLIP_FOLDER_H_
