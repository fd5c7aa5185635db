// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_TESTS_FINETUNE_CLIPS_H_
#define WANLITE_TESTS_FINETUNE_CLIPS_H_

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/env.h"
#include "wanlite/video.h"

namespace wanlite::testing {

// A disk with /model, a tiny Wan, and /clips: `count` clips of 5 frames of 32x32 with captions.
inline std::unique_ptr<Env> DiskWithClips(int count = 3) {
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(WriteTinyWan(*env, "/model"));
  REQUIRE_OK(env->CreateFolders("/clips"));
  for (int i = 0; i < count; ++i) {
    const at::Tensor frames = at::randint(0, 256, {5, 32, 32, 3}, at::detail::createCPUGenerator(i),
                                          at::TensorOptions(at::kByte));
    REQUIRE_OK(WriteVideo(*env, absl::StrCat("/clips/clip", i, ".png"), frames, {}));
    REQUIRE_OK(env->WriteFileAtomically(absl::StrCat("/clips/clip", i, ".txt"),
                                        absl::StrCat("a red digit ", i, " moves right\n")));
  }
  return env;
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_FINETUNE_CLIPS_H_
