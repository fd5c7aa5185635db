// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/digits_training.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <torch/torch.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/train/vae_training.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

enum StageSeed : uint64_t { kVaeInit = 11, kVaeData, kVaeEvaluation };

class Trainer {
 public:
  explicit Trainer(const DigitsTrainingRun& run) : run_(run), env_(*run.env) {}

  absl::Status Prepare() {
    WANLITE_ASSIGN_OR_RETURN(geometry_, CheckedGeometry(run_.options.data()));
    WANLITE_ASSIGN_OR_RETURN(scans_, DigitScans::Load(env_, run_.scans_path));
    return env_.CreateFolders(run_.out_dir);
  }

  absl::Status Vae() {
    const VaeTrainingOptions& options = run_.options.vae();
    WANLITE_ASSIGN_OR_RETURN(const auto vae, MakeVae(options));
    vae->InitParameters(Seed(kVaeInit));
    VaeObjective objective(*vae, scans_, geometry_, options, Seed(kVaeData));
    WANLITE_ASSIGN_OR_RETURN(const TrainReport report,
                             Train(options.loop(), objective, LoopRun("vae")));
    const double psnr =
        ReconstructionPsnr(*vae, scans_, geometry_, Split::kHeldOut, 16, Seed(kVaeEvaluation));
    Report(absl::StrFormat("vae: %d steps, %.0f s, loss %.5f, held-out PSNR %.2f dB", report.steps,
                           report.seconds, report.loss, psnr));
    return WriteSafetensors(env_, Path("vae.safetensors"), Weights(*vae)).status();
  }

 private:
  uint64_t Seed(StageSeed stage) const { return MixSeed(run_.options.seed(), {stage}); }
  std::string Path(absl::string_view name) const { return JoinPath(run_.out_dir, name); }
  void Report(const std::string& line) const {
    if (run_.report) run_.report(line);
  }

  TrainRun LoopRun(const std::string& what) const {
    TrainRun loop;
    loop.env = &env_;
    loop.what = what;
    loop.state_path = Path(absl::StrCat(what, ".state.safetensors"));
    loop.progress = run_.progress;
    loop.cancel = run_.cancel;
    return loop;
  }

  static std::vector<NamedTensor> Weights(const torch::nn::Module& module) {
    std::vector<NamedTensor> result;
    for (const auto& item : module.named_parameters()) {
      result.push_back({item.key(), item.value().detach()});
    }
    return result;
  }

  const DigitsTrainingRun& run_;
  Env& env_;
  ClipGeometry geometry_;
  DigitScans scans_;
};

// Keeps the first error with its place.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (text.empty()) text = absl::StrCat(line + 1, ":", column + 1, ": ", message);
  }
  std::string text;
};

}  // namespace

const std::vector<std::string>& DigitsStages() {
  static const auto* const stages = new std::vector<std::string>{"vae"};
  return *stages;
}

absl::StatusOr<TrainOptions> LoadTrainOptions(Env& env, absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(path, 1 << 20));
  TrainOptions options;
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(text, &options)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.text));
  }
  return options;
}

absl::Status TrainDigits(const DigitsTrainingRun& run) {
  const std::vector<std::string>& known = DigitsStages();
  for (const std::string& stage : run.stages) {
    if (std::find(known.begin(), known.end(), stage) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat("stage '", stage, "' is not one of ",
                                                     absl::StrJoin(known, ", ")));
    }
  }
  return CatchTorch([&]() -> absl::Status {
    Trainer trainer(run);
    WANLITE_RETURN_IF_ERROR(trainer.Prepare());
    for (const std::string& stage : run.stages.empty() ? known : run.stages) {
      absl::Status status;
      if (stage == "vae") status = trainer.Vae();
      if (!status.ok()) return Annotate(status, absl::StrCat("stage ", stage));
    }
    return absl::OkStatus();
  });
}

}  // namespace wanlite::train
