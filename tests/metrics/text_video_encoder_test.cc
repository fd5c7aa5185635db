// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/text_video_encoder.h"

#include <torch/script.h>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"

namespace wanlite {
namespace {

class TempFile {
 public:
  std::string path() const { return folder_ / "words.pt"; }
  void Save(const std::string& source) const {
    torch::jit::Module module("encoder");
    module.define(source);
    module.save(path());
  }

 private:
  testing::TempFolder folder_;
};

constexpr char kText[] =
    "def encode_text(self, text: str):\n  return torch.tensor([float(len(text)), 4.0])\n";
constexpr char kVideo[] =
    "def encode_video(self, video):\n"
    "  return torch.stack([video.mean(), torch.zeros_like(video.mean())]).reshape(1, 2)\n";

std::string Refused(const std::string& source) {
  const TempFile file;
  file.Save(source);
  const auto opened = OpenTextVideoEncoder(PosixEnv(), file.path());
  REQUIRE(opened.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(opened.status().message());
}

TEST_CASE("a TorchScript encoder gives unit vectors of text and clips") {
  const TempFile file;
  file.Save(std::string(kText) + kVideo);
  ASSERT_OK_AND_ASSIGN(const auto encoder, OpenTextVideoEncoder(PosixEnv(), file.path()));
  CHECK(encoder->name().find("CLIP-words, SHA-256 ") == 0);
  ASSERT_OK_AND_ASSIGN(const at::Tensor text, encoder->EmbedText("abc"));
  CHECK(at::allclose(text, at::tensor({0.6f, 0.8f})));
  ASSERT_OK_AND_ASSIGN(const at::Tensor clip,
                       encoder->EmbedClip(at::full({5, 8, 8, 3}, 255, at::kByte)));
  CHECK(at::allclose(clip, at::tensor({1.0f, 0.0f})));
  CHECK_FALSE(encoder->EmbedClip(at::zeros({5, 8, 8}, at::kByte)).ok());
}

TEST_CASE("an encoder for training passes gradients to the videos, one by one") {
  const TempFile file;
  file.Save(std::string(kText) +
            "def encode_video(self, video):\n"
            "  return torch.stack([video.mean(), video.square().mean()]).reshape(1, 2)\n");
  ASSERT_OK_AND_ASSIGN(const auto encoder, OpenTrainingEncoder(PosixEnv(), file.path()));
  CHECK(encoder->fingerprint().size() == 64);
  ASSERT_OK_AND_ASSIGN(const at::Tensor text, encoder->EmbedText({"abc", "abcdefgh"}));
  CHECK(at::allclose(text.norm(2, {1}), at::ones({2})));
  at::Tensor video = (0.1 + at::rand({2, 3, 5, 8, 8})).set_requires_grad(true);
  const at::Tensor seen = encoder->EmbedVideo(video);
  CHECK(at::allclose(seen.norm(2, {1}), at::ones({2})));
  CHECK(at::allclose(seen.narrow(0, 1, 1), encoder->EmbedVideo(video.narrow(0, 1, 1))));
  const at::Tensor gradient = torch::autograd::grad({(seen * text).sum()}, {video})[0];
  CHECK(gradient.norm().item<double>() > 0);
  const TempFile constant;
  constant.Save(std::string(kText) +
                "def encode_video(self, video):\n  return torch.ones([1, 2])\n");
  ASSERT_OK_AND_ASSIGN(const auto blind, OpenTrainingEncoder(PosixEnv(), constant.path()));
  CHECK_THROWS_AS(blind->EmbedVideo(video), c10::Error);
}

TEST_CASE("encoders of another signature or with other results are refused with what is wanted") {
  CHECK(Refused(kText).find("has no method encode_video; wanted encode_video(video: Tensor)") !=
        std::string::npos);
  CHECK(Refused(std::string(kVideo) + "def encode_text(self, ids):\n  return ids\n")
            .find("wanted encode_text(text: str) -> Tensor") != std::string::npos);
  const TempFile file;
  file.Save(std::string(kText) + "def encode_video(self, video):\n  return video\n");
  ASSERT_OK_AND_ASSIGN(const auto encoder, OpenTextVideoEncoder(PosixEnv(), file.path()));
  const absl::Status status = encoder->EmbedClip(at::full({5, 8, 8, 3}, 9, at::kByte)).status();
  INFO(status);
  CHECK(std::string(status.message()).find("wanted floating [dim] or [1, dim]") !=
        std::string::npos);
  const TempFile wide;
  wide.Save(std::string(kText) + "def encode_video(self, video):\n  return video.new_ones([3])\n");
  ASSERT_OK_AND_ASSIGN(const auto other, OpenTextVideoEncoder(PosixEnv(), wide.path()));
  REQUIRE_OK(other->EmbedText("abc"));
  CHECK_FALSE(other->EmbedClip(at::full({5, 8, 8, 3}, 9, at::kByte)).ok());
  const TempFile broken;
  REQUIRE_OK(PosixEnv().WriteFileAtomically(broken.path(), "no archive"));
  CHECK(OpenTextVideoEncoder(PosixEnv(), broken.path()).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace wanlite
