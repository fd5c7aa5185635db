// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/folder_set.h"

#include "absl/strings/str_cat.h"
#include "src/evaluate/clip_folder.h"
#include "wanlite/status.h"

namespace wanlite {

absl::StatusOr<EvaluationSet> MakeFolderSet(Env& env, const std::string& dir,
                                            const std::vector<std::string>& prompts, int64_t seeds,
                                            uint64_t seed) {
  constexpr int64_t kFewest = 4;
  WANLITE_ASSIGN_OR_RETURN(ClipFolder opened, ClipFolder::Open(env, dir));
  const auto folder = std::make_shared<ClipFolder>(std::move(opened));
  if (folder->size() < kFewest) {
    return absl::InvalidArgumentError(absl::StrCat("'", dir, "' holds ", folder->size(),
                                                   " clips, at least ", kFewest, " are needed"));
  }
  EvaluationSet set;
  set.name = dir;
  for (const std::string& prompt : prompts) {
    for (int64_t i = 0; i < seeds; ++i) {
      set.prompts.push_back({prompt, "all", seed + static_cast<uint64_t>(i)});
    }
  }
  const int64_t half = folder->size() / 2;
  const auto part = [&](const char* name, int64_t first) {
    return ClipSet{name, half,
                   [folder, first](int64_t index) { return folder->Clip(2 * index + first); }};
  };
  set.real = part("real clips", 0);
  set.other_real = part("other real clips", 1);
  return set;
}

}  // namespace wanlite
