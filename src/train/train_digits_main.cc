// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// wanlite_train_digits CONFIG OUT_DIR [STAGE…]: `wanlite train` as a program of its own, which
// links only what training needs.
#include <torch/torch.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "src/train/digits_training.h"

namespace {
wanlite::CancellationToken cancellation;
void Cancel(int) { cancellation.Cancel(); }
}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: wanlite_train_digits CONFIG.textproto OUT_DIR [STAGE...]\n");
    return 2;
  }
  std::signal(SIGINT, Cancel);
  std::signal(SIGTERM, Cancel);
  wanlite::Env& env = wanlite::PosixEnv();
  auto options = wanlite::train::LoadTrainOptions(env, argv[1]);
  if (!options.ok()) {
    std::fprintf(stderr, "%s\n", options.status().ToString().c_str());
    return 1;
  }
  const auto progress = wanlite::NewTerminalProgress();
  wanlite::train::DigitsTrainingRun run;
  run.env = &env;
  run.options = *options;
  run.scans_path = wanlite::JoinPath(wanlite::Dirname(argv[1]), options->data().scans_file());
  run.out_dir = argv[2];
  for (int i = 3; i < argc; ++i) run.stages.push_back(argv[i]);
  run.progress = progress.get();
  run.cancel = &cancellation;
  run.report = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  const absl::Status status = wanlite::train::TrainDigits(run);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}
