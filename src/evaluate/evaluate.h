// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// An original and any number of compressed models: what was gained and what was lost.
//
// Each compressed model is in memory together with the original, and they run in turns (A B, B A,
// ...) on the same noise and prompts, so that what the machine does beside hits both alike. The
// first run of each warms up and is not timed.
#ifndef WANLITE_SRC_EVALUATE_EVALUATE_H_
#define WANLITE_SRC_EVALUATE_EVALUATE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/evaluate/evaluation_set.h"
#include "src/metrics/flicker.h"
#include "src/metrics/machine.h"
#include "src/metrics/set_distance.h"
#include "wanlite/metrics.h"
#include "wanlite/runner.h"

namespace wanlite {

// One linear layer as it is stored.
struct LayerReport {
  std::string path;    // with the component: "transformer.blocks.0.self_attn.q"
  std::string format;  // "dense", "int8", ...
  int64_t out_features = 0, in_features = 0;
  int64_t bytes = 0;
  double nonzero = 1;         // fraction of its weights that is not zero
  double relative_error = 0;  // |W - W_original| / |W_original| (Frobenius); 0 in the original; NaN
                              // when shapes differ
};

// One pass of the lineage that a wanlite checkpoint carries.
struct LineageReport {
  std::string pass;     // "quantize-int8"
  std::string options;  // resolved, as textproto
  std::vector<std::pair<std::string, double>> metrics;
};

struct ModelReport {
  std::string dir;
  std::string name;  // last part of dir, made unique among the models of a report
  int64_t bytes = 0;
  int64_t parameters = 0;
  std::map<std::string, int64_t> component_parameters;
  ModelOps ops;
  // Mean over the steps as they ran, guidance branches and the choice of experts included.
  ForwardOps step;
  // Everything one generation ran: measured calls times one forward, text encoder and decoder too.
  ForwardOps generation;
  std::map<std::string, int64_t> calls;  // of one generation
  // Seconds of one generation: text, denoising, decoding. The original's runs beside all candidates
  // are pooled.
  Spread latency;
  Spread denoise_latency;  // seconds of the denoising loop
  Spread decode_latency;
  int64_t peak_rss_bytes = 0;    // 0: not measured
  std::string peak_rss_warning;  // why it could not be measured
  std::vector<LayerReport> layers;
  std::vector<LineageReport> lineage;  // empty for a model that no recipe made
};

// How far the velocity of a compressed model turns from that of the original, on the same input:
// the original's own trajectory of the first case, conditional branch.
struct VelocityAgreement {
  double timestep = 0;    // 1000 to 0
  std::string component;  // the expert in charge
  double cosine = 0;
  double relative_error = 0;  // |v - v_original| / |v_original|
};

// Against the original at the same seeds. Means over cases.
struct PairedReport {
  int64_t cases = 0;  // clips compared
  // Median over pairs of runs side by side of compressed latency to original latency, and
  // quartiles.
  Spread latency_ratio;
  double latent_mse = 0;
  // Absent (has_frames false) when the folders have no VAE.
  bool has_frames = false;
  double psnr_db = 0;  // identical clips count as kPsnrCap
  double ssim = 0;
  bool identical = false;  // every latent and every frame is the same
  std::vector<VelocityAgreement> velocity;
};

// What a set of generated clips shows, read against what its prompts say, for one language. What
// was not measured (has_… false) is 0.
struct LanguageQuality {
  std::string language;  // "English"
  int64_t clips = 0;
  bool has_alignment = false;
  double alignment = 0;  // mean cosine of video and prompt in the text-video encoder
  // Share of clips that no other prompt of the set in the same language fits better.
  double retrieval = 0;
  bool has_reading = false;  // by the classifier of the set: shares that are as the prompt says
  double digit = 0, direction = 0, colour = 0;
  // Share of clips whose first, middle and last third are read as the same digit, right or wrong.
  double digit_consistency = 0;
};

// One model over an evaluation set (see evaluation_set.h).
struct SetQuality {
  int64_t clips = 0;
  std::vector<LanguageQuality> languages;  // and one row "all" when there are several
  FlickerStatistics flicker;
  // One entry per extractor, in the order of EvaluateReport::extractors.
  std::vector<SetDistance> to_real;
  std::vector<SetDistance> to_original;  // empty for the original
  std::vector<DistanceChange> change;    // of to_real from the original's; empty for the original
};

struct ExampleClip {
  std::string prompt;
  uint64_t seed = 0;
  at::Tensor frames;  // uint8 [F, H, W, 3]; undefined without VAE
};

struct CandidateReport {
  ModelReport model;
  PairedReport paired;
  std::optional<SetQuality> quality;
  std::vector<ExampleClip> examples;  // of the same prompts and seeds as the original's
};

struct EvaluateReport {
  ModelReport original;
  std::optional<SetQuality> original_quality;
  std::vector<ExampleClip> original_examples;
  std::vector<CandidateReport> candidates;  // none: the original alone, over a set

  // With an evaluation set: what it was measured with, and how real clips score.
  std::string set_name;      // empty: no set
  std::string encoder_name;  // of alignment scores; empty: none
  std::vector<ExtractorReport> extractors;
  std::optional<SetQuality> real_quality;  // real clips read like generated ones; to_* empty

  GenerateSettings settings;
  std::vector<std::string> prompts;  // of the paired runs; with a set, the set's
  uint64_t first_seed = 0;
  int64_t seeds = 0;
  int threads = 1;
  MachineInfo machine;
  std::vector<std::string> warnings;  // of the runs: prompts that were cut
};

struct EvaluateOptions {
  std::string original;                 // model folders
  std::vector<std::string> candidates;  // compressed ones; may be empty with a set
  RunnerOptions runner;
  // Settings of every run; prompt and seed come from the lists below unless embeddings are given.
  GenerateRequest request;
  // Empty: the original folder's own, else a neutral one. Not used with a set, which brings its
  // own.
  std::vector<std::string> prompts;
  int64_t seeds = 1;                   // request.seed, +1, ... for each prompt
  int64_t repeats = 3;                 // timed runs of each model, at least
  int64_t examples = 3;                // clips kept for the report
  const EvaluationSet* set = nullptr;  // null: no distances, no reading
  DistanceOptions distance;
  // Folder that keeps the original's clips and the features of real ones for the next evaluation
  // (evaluate_cache.h); empty: nothing is kept. Runs that are timed are made all the same.
  std::string cache;
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

#endif  // WANLITE_SRC_EVALUATE_EVALUATE_H_
