// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/protocols.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace wanlite {
namespace {

// MLPerf Inference, text-to-video.
Protocol MlperfTextToVideo() {
  Protocol protocol;
  protocol.name = "mlperf-t2v";
  protocol.description =
      "MLPerf Inference text-to-video: Wan2.2-T2V-A14B, 1280x720, 81 frames, 20 steps, scored by "
      "VBench";
  protocol.source =
      "mlcommons/inference, text_to_video/wan2.2-t2v-14b: inference_config.yaml (e93f59d), "
      "README.md (d8854a8), run_inference.py (bcffba9)";
  protocol.model = "Wan-AI/Wan2.2-T2V-A14B-Diffusers at 5be7df9619b54f4e2667b2755bc6a756675b5cd7";
  GenerateRequest& request = protocol.request;
  request.height = 720;
  request.width = 1280;
  request.frames = 81;
  request.steps = 20;
  request.seed = 42;
  request.guidance = 4.0;
  request.guidance_2 = 3.0;
  request.boundary_ratio = 0.875;
  // Line ends as in the file; the prompt cleaning of Wan turns them into spaces.
  request.negative_prompt =
      "vivid colors, overexposed, static, blurry details, subtitles, style,\n"
      "work of art, painting, picture, still, overall grayish, worst quality,\n"
      "low quality, JPEG artifacts, ugly, deformed, extra fingers, poorly drawn hands,\n"
      "poorly drawn face, deformed, disfigured, deformed limbs, fused fingers,\n"
      "static image, cluttered background, three legs, many people in the background,\n"
      "walking backwards";
  protocol.fps = 16;
  protocol.reference_score = 70.48;
  protocol.pass_score = 69.7752;
  protocol.notes = {
      "needs the fixed initial latent that MLCommons publishes (data/fixed_latent.pt), the same "
      "for "
      "every prompt: convert it to safetensors and give it as initial latents; noise of seed 42 is "
      "not the same protocol",
      "needs the 248 VBench prompts that MLCommons publishes (data/vbench_prompts.txt), one sample "
      "each, named <prompt>-0.mp4",
      "the score is the mean of six VBench dimensions in percent: subject_consistency, "
      "dynamic_degree, motion_smoothness, appearance_style, scene, background_consistency",
      "to pass: 69.7752, which is 99 % of the BF16 reference's 70.48",
      "denoisers and text encoder run in bf16, the VAE in fp32; sampler and shift are those of the "
      "model folder",
      "the reference's run_inference.py stores its videos at 25 frames a second, although its "
      "config "
      "says 16",
  };
  return protocol;
}

}  // namespace

const std::vector<Protocol>& Protocols() {
  static const auto& protocols = *new std::vector<Protocol>{MlperfTextToVideo()};
  return protocols;
}

absl::StatusOr<Protocol> FindProtocol(absl::string_view name) {
  std::vector<std::string> names;
  for (const Protocol& protocol : Protocols()) {
    if (protocol.name == name) return protocol;
    names.push_back(protocol.name);
  }
  return absl::NotFoundError(
      absl::StrCat("no protocol '", name, "'; there are: ", absl::StrJoin(names, ", ")));
}

}  // namespace wanlite
