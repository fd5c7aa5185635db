// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/finetune/captioned_clips.h"

#include <set>

#include "tests/finetune/clips.h"

namespace wanlite::finetune {
namespace {

using testing::DiskWithClips;

absl::Status Refused(Env& env) { return CaptionedClips::Open(env, "/clips", nullptr).status(); }
bool Says(const absl::Status& status, const std::string& part) {
  INFO(status.ToString());
  CHECK(std::string(status.message()).find(part) != std::string::npos);
  return true;
}

TEST_CASE("Every clip needs a caption, and those without are named") {
  const std::unique_ptr<Env> env = DiskWithClips();
  ASSERT_OK_AND_ASSIGN(const CaptionedClips clips, CaptionedClips::Open(*env, "/clips", nullptr));
  REQUIRE(clips.size() == 3);
  CHECK(clips.caption(1) == "a red digit 1 moves right");
  REQUIRE_OK(env->RemoveFile("/clips/clip2.txt"));
  const absl::Status missing = Refused(*env);
  CHECK(absl::IsNotFound(missing));
  Says(missing, "1 of 3 clips have no caption");
  Says(missing, "/clips/clip2.txt");
  REQUIRE_OK(env->WriteFileAtomically("/clips/clip2.txt", " \n"));
  Says(Refused(*env), "/clips/clip2.txt: the caption is empty");
  REQUIRE_OK(env->WriteFileAtomically("/clips/clip2.txt", "caf\xE9"));
  Says(Refused(*env), "/clips/clip2.txt: the caption is not UTF-8");
  REQUIRE_OK(env->CreateFolders("/none"));
  CHECK(absl::IsNotFound(CaptionedClips::Open(*env, "/none", nullptr).status()));
}

TEST_CASE("The fingerprint is that of clips and captions") {
  const auto fingerprint = [](Env& env) {
    ASSERT_OK_AND_ASSIGN(const CaptionedClips clips, CaptionedClips::Open(env, "/clips", nullptr));
    return clips.fingerprint();
  };
  const std::unique_ptr<Env> env = DiskWithClips();
  const std::string first = fingerprint(*env);
  CHECK(first == fingerprint(*DiskWithClips()));
  REQUIRE_OK(env->WriteFileAtomically("/clips/clip0.txt", "another"));
  CHECK(first != fingerprint(*env));
  CHECK(first != fingerprint(*DiskWithClips(2)));
}

TEST_CASE("Clips are cut and resized to what the model takes, or refused by name") {
  const std::unique_ptr<Env> env = DiskWithClips();
  ASSERT_OK_AND_ASSIGN(CaptionedClips clips, CaptionedClips::Open(*env, "/clips", nullptr));
  ASSERT_OK_AND_ASSIGN(const at::Tensor whole, clips.Video(0, {}, 4, 16));
  CHECK(whole.sizes() == at::IntArrayRef({1, 3, 5, 32, 32}));
  CHECK(whole.min().item<float>() >= -1);
  ASSERT_OK_AND_ASSIGN(const at::Tensor small, clips.Video(0, {1, 16, 48}, 4, 16));
  CHECK(small.sizes() == at::IntArrayRef({1, 3, 1, 16, 48}));
  Says(clips.Video(0, {9, 0, 0}, 4, 16).status(), "the clip has 5 frames, 9 are wanted");
  Says(clips.Video(0, {4, 0, 0}, 4, 16).status(), "--frames is 4");
  Says(clips.Video(0, {0, 0, 0}, 4, 64).status(), "32x32 pixels, but this model takes multiples");
}

TEST_CASE("Encoded clips are noisy latents within the levels, with their velocity") {
  const std::unique_ptr<Env> env = DiskWithClips();
  ASSERT_OK_AND_ASSIGN(CaptionedClips clips, CaptionedClips::Open(*env, "/clips", nullptr));
  ASSERT_OK_AND_ASSIGN(const auto runner, Runner::Open(*env, "/model", BuiltinArchitectures(), {}));
  REQUIRE_OK(EncodeClips(*env, "/data", *runner, clips, {}, SilentProgress(), nullptr));
  ASSERT_OK_AND_ASSIGN(const std::string before, env->ReadFile("/data/clip-1.safetensors"));
  // What is there is not made again.
  REQUIRE_OK(env->RemoveFile("/data/clip-2.safetensors"));
  REQUIRE_OK(EncodeClips(*env, "/data", *runner, clips, {}, SilentProgress(), nullptr));
  CHECK(*env->ReadFile("/data/clip-1.safetensors") == before);

  NoiseLevels levels;
  levels.low = 0.6;
  levels.high = 0.9;
  levels.shift = 3;
  ASSERT_OK_AND_ASSIGN(const auto data, OpenEncodedClips(*env, "/data", 3, levels, 0.5, "clips"));
  REQUIRE(data->size() == 3);
  std::set<double> seen;
  int dropped = 0;
  ASSERT_OK_AND_ASSIGN(const auto file, OpenSafetensors(*env, "/data/clip-1.safetensors"));
  ASSERT_OK_AND_ASSIGN(const at::Tensor x0, file->Read("latents"));
  ASSERT_OK_AND_ASSIGN(const at::Tensor text, file->Read("text"));
  for (uint64_t seed = 0; seed < 60; ++seed) {
    ASSERT_OK_AND_ASSIGN(const Values sample, data->Read(1, seed));
    const double sigma = sample.at("timestep").item<double>() / 1000;
    CHECK(sigma >= 0.6 - 1e-6);
    CHECK(sigma <= 0.9 + 1e-6);
    seen.insert(sigma);
    // x_t - sigma v = x_0
    CHECK(
        at::allclose(sample.at("hidden_states") - sigma * sample.at(kTargetValue), x0, 1e-4, 1e-5));
    dropped += !at::equal(sample.at("encoder_hidden_states"), text);
    ASSERT_OK_AND_ASSIGN(const Values again, data->Read(1, seed));
    CHECK(at::equal(again.at("hidden_states"), sample.at("hidden_states")));
  }
  CHECK(seen.size() == 60);
  CHECK((dropped > 15 && dropped < 45));
  CHECK(absl::IsOutOfRange(data->Read(3, 0).status()));
}

}  // namespace
}  // namespace wanlite::finetune
