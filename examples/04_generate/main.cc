// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A prompt in, a video out. Works on any folder that wanlite reads, compressed or not. Sizes, steps
// and guidance are the folder's own defaults unless the request says otherwise.
//
//   example_generate MODEL_DIR PROMPT OUT_FILE [STEPS]
#include <iostream>
#include <string>

#include "absl/strings/numbers.h"
#include "wanlite/architecture.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"
#include "wanlite/runner.h"
#include "wanlite/status.h"
#include "wanlite/video.h"

namespace {

absl::Status Generate(const std::string& dir, const wanlite::GenerateRequest& request,
                      const std::string& out_file) {
  wanlite::Env& env = wanlite::PosixEnv();
  // A wrong file name should cost a second, not a whole run.
  WANLITE_RETURN_IF_ERROR(wanlite::CheckVideoPath(out_file, {}));

  const std::unique_ptr<wanlite::ProgressSink> progress = wanlite::NewTerminalProgress();
  wanlite::RunnerOptions options;
  options.progress = progress.get();
  WANLITE_ASSIGN_OR_RETURN(
      const std::unique_ptr<wanlite::Runner> runner,
      wanlite::Runner::Open(env, dir, wanlite::BuiltinArchitectures(), options));
  WANLITE_ASSIGN_OR_RETURN(const wanlite::GenerateResult result, runner->Generate(request));

  const wanlite::GenerateSettings& settings = result.settings;
  WANLITE_RETURN_IF_ERROR(
      wanlite::WriteVideo(env, out_file, result.frames, {.fps = settings.fps, .upscale = 4}));
  std::cout << settings.frames << " frames of " << settings.width << "x" << settings.height
            << " in " << settings.steps << " steps of " << wanlite::SamplerName(settings.sampler)
            << "\n";
  for (const auto& [component, calls] : result.calls) {
    std::cout << "  " << component << ": " << calls << " forward passes\n";
  }
  std::cout << "written to " << out_file << "\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  wanlite::GenerateRequest request;
  absl::Status status =
      absl::InvalidArgumentError("usage: example_generate MODEL_DIR PROMPT OUT_FILE [STEPS]");
  int64_t steps = 0;
  if (argc == 4 || (argc == 5 && absl::SimpleAtoi(argv[4], &steps))) {
    request.prompt = argv[2];
    request.seed = 7;
    if (argc == 5) request.steps = steps;
    status = Generate(argv[1], request, argv[3]);
  }
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
