// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/protocols.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "src/evaluate/vbench.h"
#include "tests/testing/catch.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

// From mlcommons/inference, text_to_video/wan2.2-t2v-14b/inference_config.yaml and README.md.
TEST_CASE("The MLPerf preset holds the published values") {
  ASSERT_OK_AND_ASSIGN(const Protocol protocol, FindProtocol("mlperf-t2v"));
  const GenerateRequest& request = protocol.request;
  CHECK(request.height == 720);
  CHECK(request.width == 1280);
  CHECK(request.frames == 81);
  CHECK(request.steps == 20);
  CHECK(request.seed == 42);
  CHECK(request.guidance == 4.0);
  CHECK(request.guidance_2 == 3.0);
  CHECK(request.boundary_ratio == 0.875);
  CHECK(protocol.fps == 16);
  REQUIRE(request.negative_prompt.has_value());
  CHECK(absl::StartsWith(*request.negative_prompt, "vivid colors, overexposed, static, blurry"));
  CHECK(absl::EndsWith(*request.negative_prompt, "background,\nwalking backwards"));
  CHECK(std::count(request.negative_prompt->begin(), request.negative_prompt->end(), ',') == 27);
  // Not in the file, so the folder's.
  CHECK_FALSE(request.shift.has_value());
  CHECK_FALSE(request.sampler.has_value());
  CHECK(protocol.reference_score == 70.48);
  CHECK(protocol.pass_score == Approx(0.99 * protocol.reference_score).epsilon(1e-12));
  CHECK(absl::StrContains(protocol.source, "mlcommons/inference"));
  CHECK(absl::StrContains(protocol.notes.front(), "fixed initial latent"));
}

TEST_CASE("An unknown protocol names those there are") {
  const auto protocol = FindProtocol("mlperf");
  REQUIRE(absl::IsNotFound(protocol.status()));
  CHECK(absl::StrContains(protocol.status().ToString(), "mlperf-t2v"));
}

TEST_CASE("VBench file names are the prompt and the index") {
  const auto name = [](const std::string& prompt, int64_t index = 0) {
    const auto made = VBenchFileName(prompt, index);
    return made.ok() ? *made : std::string(absl::StatusCodeToString(made.status().code()));
  };
  CHECK(name("A 3D model of a 1800s victorian house.", 4) ==
        "A 3D model of a 1800s victorian house.-4.mp4");
  CHECK(name("  the bund Shanghai, oil painting\n") == "the bund Shanghai, oil painting-0.mp4");
  CHECK(name("../../etc/passwd") == ".._.._etc_passwd-0.mp4");
  CHECK(name("a\nb") == "a_b-0.mp4");
  CHECK(name("一只红色的数字3") == "一只红色的数字3-0.mp4");
  CHECK(name(" ") == "INVALID_ARGUMENT");
  CHECK(name("a", -1) == "INVALID_ARGUMENT");
  CHECK(name(std::string(249, 'x')).size() == 255);
  CHECK(name(std::string(250, 'x')) == "INVALID_ARGUMENT");
}

TEST_CASE("The VBench export writes MP4, or says why it cannot and writes nothing") {
  const auto env = NewMemEnv();
  const at::Tensor frames = at::zeros({3, 16, 16, 3}, at::kByte);
  const auto path = ExportVBench(*env, "out/vbench", "a cat", 2, frames, 16);
  const std::vector<std::string> formats = VideoFormats();
  if (std::find(formats.begin(), formats.end(), ".mp4") != formats.end()) {
    REQUIRE_OK(path);
    CHECK(*path == "out/vbench/a cat-2.mp4");
    CHECK(env->FileExists(*path));
  } else {
    CHECK(absl::IsUnimplemented(path.status()));
    CHECK(absl::StartsWith(std::string(path.status().message()), "VBench export: MP4 needs"));
    CHECK_FALSE(env->FolderExists("out/vbench"));
  }
}

}  // namespace
}  // namespace wanlite
