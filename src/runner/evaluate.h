// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// One model against another: what was gained and what was lost.
//
// Both are in memory and run in turns (A B, B A, ...) on the same noise and prompts, so that what
// the machine does beside hits both alike. The first run of each warms up and is not timed.
#ifndef WANLITE_SRC_RUNNER_EVALUATE_H_
#define WANLITE_SRC_RUNNER_EVALUATE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/metrics.h"
#include "wanlite/runner.h"

namespace wanlite {

struct ModelReport {
  std::string dir;
  int64_t bytes = 0;
  int64_t parameters = 0;
  std::map<std::string, int64_t> component_parameters;
  ModelOps ops;
  // Mean over the steps as they ran, guidance branches and the choice of experts included.
  ForwardOps step;
  std::map<std::string, int64_t> calls;  // of one generation
  Spread latency;                        // seconds of one generation: text, denoising, decoding
  Spread denoise_latency;                // seconds of the denoising loop
  int64_t peak_rss_bytes = 0;            // 0: not measured
};

struct PairedReport {
  int64_t cases = 0;  // prompts times seeds
  double latent_mse = 0;
  // Means over cases; absent (has_frames false) when the folders have no VAE.
  bool has_frames = false;
  double psnr_db = 0;  // identical clips count as kPsnrCap
  double ssim = 0;
  bool identical = false;  // every latent and every frame is the same
};

struct EvaluateReport {
  ModelReport original, compressed;
  PairedReport paired;
  GenerateSettings settings;
  std::vector<std::string> prompts;
  uint64_t first_seed = 0;
  int64_t seeds = 0;
  // uint8 [F, H, W, 3] of the first case; undefined without VAE.
  at::Tensor original_frames, compressed_frames;
};

struct EvaluateOptions {
  std::string original, compressed;  // model folders
  RunnerOptions runner;
  // Settings of every run; prompt and seed come from the lists below unless embeddings are given.
  GenerateRequest request;
  std::vector<std::string> prompts;  // empty: the original folder's own, else a neutral one
  int64_t seeds = 1;                 // request.seed, +1, ... for each prompt
  int64_t repeats = 3;               // timed runs of each model, at least
  // Peak memory of one generation in a process of its own. Not measured when null.
  std::function<absl::StatusOr<int64_t>(const EvaluateReport& so_far, const std::string& dir)>
      peak_rss;
};

absl::StatusOr<EvaluateReport> Evaluate(Env& env, const ArchitectureRegistry& architectures,
                                        const EvaluateOptions& options);

// One JSON object (see the command line's help for its keys), and a table for people.
std::string EvaluationJson(const EvaluateReport& report);
std::string EvaluationTable(const EvaluateReport& report);

}  // namespace wanlite

#endif  // WANLITE_SRC_RUNNER_EVALUATE_H_
