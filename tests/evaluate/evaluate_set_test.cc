// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// What evaluation sets promise, and what is kept between two evaluations.

#include "src/core/libtorch.h"
#include "src/evaluate/evaluate_cache.h"
#include "src/evaluate/folder_set.h"
#include "tests/testing/catch.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

TEST_CASE("A folder of real clips is dealt out in turns, since names are sorted by content") {
  const auto env = NewMemEnv();
  REQUIRE_OK(env->CreateFolders("real"));
  for (int i = 0; i < 6; ++i) {
    REQUIRE_OK(WriteVideo(*env, "real/" + std::to_string(i) + ".png",
                          at::full({2, 4, 4, 3}, 10 * i, at::kByte), {}));
  }
  ASSERT_OK_AND_ASSIGN(const EvaluationSet set, MakeFolderSet(*env, "real", {"a"}, 1, 0));
  for (int64_t i = 0; i < 3; ++i) {
    CHECK((*set.real.clip(i))[0][0][0][0].item<int64_t>() == 20 * i);
    CHECK((*set.other_real.clip(i))[0][0][0][0].item<int64_t>() == 20 * i + 10);
  }
}

TEST_CASE("Kept clips and features come back as they were, under their key alone") {
  const auto env = NewMemEnv();
  const EvaluateCache cache(*env, "kept");
  CHECK_FALSE(cache.ReadClip("key", "7 a").has_value());
  const KeptClip clip{at::arange(16).reshape({1, 1, 4, 2, 2}).to(at::kFloat),
                      at::full({2, 4, 4, 3}, 9, at::kByte)};
  REQUIRE_OK(cache.WriteClip("key", "7 a", clip));
  const std::optional<KeptClip> found = cache.ReadClip("key", "7 a");
  REQUIRE(found.has_value());
  CHECK(at::equal(found->latents, clip.latents));
  CHECK(at::equal(found->frames, clip.frames));
  CHECK_FALSE(cache.ReadClip("key", "8 a").has_value());
  CHECK_FALSE(cache.ReadClip("another key", "7 a").has_value());

  RealFeatures features;
  double value = 0;
  for (FeatureSet* set : {&features.real, &features.other, &features.shuffled, &features.frozen}) {
    *set = FeatureSet{at::full({3, 2}, ++value, at::kFloat), 17, 64, 48};
  }
  REQUIRE_OK(cache.WriteFeatures("key", features));
  const std::optional<RealFeatures> read = cache.ReadFeatures("key");
  REQUIRE(read.has_value());
  CHECK(at::equal(read->real.features, features.real.features));
  CHECK(at::equal(read->frozen.features, features.frozen.features));
  CHECK((read->other.frames == 17 && read->other.height == 64 && read->other.width == 48));
  CHECK_FALSE(EvaluateCache(*env, "").ReadFeatures("key").has_value());
  REQUIRE_OK(EvaluateCache(*env, "").WriteFeatures("key", features));
}

TEST_CASE("A kept file that is broken is made again, not an error") {
  const auto env = NewMemEnv();
  const EvaluateCache cache(*env, "kept");
  const KeptClip clip{at::zeros({1, 1, 1, 2, 2}), at::Tensor()};
  REQUIRE_OK(cache.WriteClip("key", "a", clip));
  ASSERT_OK_AND_ASSIGN(const auto keys, env->ListFolder("kept"));
  REQUIRE(keys.size() == 1);
  ASSERT_OK_AND_ASSIGN(const auto files, env->ListFolder(JoinPath("kept", keys[0])));
  REQUIRE(files.size() == 1);
  const std::string path = JoinPath(JoinPath("kept", keys[0]), files[0]);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile(path));
  REQUIRE_OK(env->WriteFileAtomically(path, bytes.substr(0, bytes.size() / 2)));
  CHECK_FALSE(cache.ReadClip("key", "a").has_value());
  REQUIRE_OK(cache.WriteClip("key", "a", clip));
  CHECK(cache.ReadClip("key", "a").has_value());
}

TEST_CASE("The digest of a folder is that of its bytes, its names and what lies below") {
  const auto env = NewMemEnv();
  REQUIRE_OK(env->CreateFolders("m/vae"));
  REQUIRE_OK(env->WriteFileAtomically("m/vae/w", "1234"));
  const auto digest = [&] {
    ASSERT_OK_AND_ASSIGN(const std::string hash, FolderDigest(*env, "m", nullptr));
    return hash;
  };
  const std::string before = digest();
  CHECK(before == digest());
  REQUIRE_OK(env->WriteFileAtomically("m/vae/w", "1235"));  // of the same size
  const std::string changed = digest();
  CHECK(changed != before);
  REQUIRE_OK(env->WriteFileAtomically("m/vae/w", "1234"));
  CHECK(digest() == before);
  REQUIRE_OK(env->Rename("m/vae/w", "m/vae/v"));
  CHECK(digest() != before);
}

}  // namespace
}  // namespace wanlite
