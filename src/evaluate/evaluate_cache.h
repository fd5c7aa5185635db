// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What an evaluation need not make twice: the original's clips, and the features of real ones. A
// folder that may be deleted at any time, with one folder for each fingerprint of all that decides
// what is in it.
#ifndef WANLITE_SRC_EVALUATE_EVALUATE_CACHE_H_
#define WANLITE_SRC_EVALUATE_EVALUATE_CACHE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/metrics/set_distance.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"

namespace wanlite {

// A generated clip.
struct KeptClip {
  at::Tensor latents;  // fp32 [1, channels, f, h, w]
  at::Tensor frames;   // uint8 [F, H, W, 3]; undefined without VAE
};

// The hash of the names and bytes of all files below `dir`, as a key.
absl::StatusOr<std::string> FolderDigest(Env& env, const std::string& dir,
                                         const CancellationToken* cancel);

class EvaluateCache {
 public:
  // `dir` is created when something is written. Empty: nothing is kept, and nothing found.
  EvaluateCache(Env& env, std::string dir) : env_(env), dir_(std::move(dir)) {}
  bool enabled() const { return !dir_.empty(); }

  // Nothing for what is not there, or not whole: it is made again. `key` and
  // `name`, of a clip under it, are any text.
  std::optional<KeptClip> ReadClip(absl::string_view key, absl::string_view name) const;
  absl::Status WriteClip(absl::string_view key, absl::string_view name, const KeptClip& clip) const;
  std::optional<RealFeatures> ReadFeatures(absl::string_view key) const;
  absl::Status WriteFeatures(absl::string_view key, const RealFeatures& features) const;

 private:
  std::string FolderOf(absl::string_view key) const;

  Env& env_;
  std::string dir_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_EVALUATE_CACHE_H_
