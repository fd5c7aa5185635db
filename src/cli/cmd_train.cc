// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/cli/options.h"
#include "src/cli/processes.h"
#include "src/core/libtorch.h"
#include "src/digits/digits_training.h"
#include "src/finetune/finetune.h"
#include "src/ops/cuda_loader.h"
#include "wanlite/process_group.h"
#include "wanlite/runner.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct TrainArgs {
  std::string config, out;  // of Wan-Digits
  std::vector<std::string> stages;
  std::string device = "cpu";
  int threads = 0;

  std::string model, clips, run_dir;  // of a user's model
  std::vector<std::string> components, include, exclude;
  bool restart = false, bf16 = false, recompute = false, muon = false;
  int64_t steps = 1000, batch = 1, warmup = 20, state_every = 100, skipped = 0;
  int64_t frames = 0, height = 0, width = 0;
  int32_t accumulate = 1, workers = 1;
  int64_t lora = 0;
  double lora_alpha = 0;
  double rate = 1e-5, final_rate = 0.1, decay = 0.01, norm = 1, ema = 0, dropout = 0.1, shift = 0;
  uint64_t seed = 0;
};

absl::Status TrainWanDigits(const TrainArgs& options, Session& session) {
  WANLITE_ASSIGN_OR_RETURN(const std::optional<RankAddress> address, AddressFromEnvironment());
  if (address.has_value() && address->size > 1) {
    return absl::UnimplementedError("Wan-Digits is trained by one process");
  }
  digits::DigitsTrainingRun run;
  run.env = &session.env();
  WANLITE_ASSIGN_OR_RETURN(run.options, digits::LoadDigitsOptions(session.env(), options.config));
  const std::string& scans = run.options.data().scans_file();
  run.scans_path = absl::StartsWith(scans, "/") ? scans : JoinPath(Dirname(options.config), scans);
  run.out_dir = options.out;
  run.stages = options.stages;
  WANLITE_ASSIGN_OR_RETURN(run.device, ParseDevice(options.device));
  if (run.device.is_cuda()) WANLITE_RETURN_IF_ERROR(ops::EnsureCuda());
  run.progress = &session.progress();
  run.cancel = &session.cancel();
  Json lines = Json::array();
  run.report = [&](const std::string& line) {
    lines.push_back(line);
    session.Say(line + "\n");
  };
  WANLITE_RETURN_IF_ERROR(digits::TrainDigits(run));
  if (session.json) session.PrintJson(Json{{"out", options.out}, {"report", lines}});
  return absl::OkStatus();
}

absl::Status FinetuneModel(const TrainArgs& options, Session& session) {
  finetune::FinetuneRun run;
  run.env = &session.env();
  run.architectures = &session.architectures();
  run.model = options.model;
  run.clips = options.clips;
  run.out_dir = options.out;
  run.run_dir = options.run_dir;
  run.restart = options.restart;
  run.lora_rank = options.lora;
  run.lora_alpha = options.lora_alpha;
  run.seed = options.seed;
  run.progress = &session.progress();
  run.cancel = &session.cancel();
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<ProcessGroup> group, JoinProcesses(session));
  run.group = group.get();
  FinetuneOptions& what = run.options;
  for (const std::string& name : options.components) what.add_components(name);
  for (const std::string& pattern : options.include) what.add_include(pattern);
  for (const std::string& pattern : options.exclude) what.add_exclude(pattern);
  what.set_caption_dropout(options.dropout);
  what.set_shift(options.shift);
  what.set_recompute(options.recompute);
  what.set_frames(options.frames);
  what.set_height(options.height);
  what.set_width(options.width);
  TrainLoop& loop = *what.mutable_loop();
  loop.set_steps(options.steps);
  loop.set_batch(options.batch);
  loop.set_learning_rate(options.rate);
  loop.set_warmup_steps(options.warmup);
  loop.set_final_rate_ratio(options.final_rate);
  loop.set_weight_decay(options.decay);
  loop.set_max_gradient_norm(options.norm);
  loop.set_ema_decay(options.ema);
  loop.set_state_every(options.state_every);
  loop.set_accumulate(options.accumulate);
  loop.set_workers(options.workers);
  loop.set_bf16(options.bf16);
  loop.set_muon(options.muon);
  loop.set_max_skipped_steps(options.skipped);
  WANLITE_ASSIGN_OR_RETURN(const std::vector<finetune::FinetuneReport> reports,
                           finetune::Finetune(run));
  if (group != nullptr && group->rank() > 0) return absl::OkStatus();  // rank 0 tells
  Json lines = Json::array();
  for (const finetune::FinetuneReport& report : reports) {
    lines.push_back(Json{{"component", report.component},
                         {"first_step", report.first_step},
                         {"steps", report.steps},
                         {"first_loss", report.first_loss},
                         {"last_loss", report.last_loss},
                         {"seconds", report.seconds}});
    session.Say(absl::StrFormat(
        "%s: %d steps%s, loss %.4f -> %.4f, %.0f s\n", report.component, report.steps,
        report.first_step > 0 ? absl::StrCat(" (the first ", report.first_step, " earlier)") : "",
        report.first_loss, report.last_loss, report.seconds));
  }
  session.Say(absl::StrCat(options.out, "\n"));
  if (session.json) session.PrintJson(Json{{"out", options.out}, {"components", lines}});
  return absl::OkStatus();
}

absl::Status RunTrain(const TrainArgs& options, const CLI::App& app, Session& session) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  if (options.config.empty() == options.model.empty()) {
    return absl::InvalidArgumentError(
        "give --model and --clips to fine-tune a model, or --config to train Wan-Digits");
  }
  const bool digits = !options.config.empty();
  if (!digits && options.clips.empty()) {
    return absl::InvalidArgumentError("--model needs --clips: a folder of clips with captions");
  }
  // An option that means nothing here was meant for something.
  for (const CLI::Option* option : app.get_options()) {
    const bool of_digits = option->get_group() == "Wan-Digits";
    const bool of_clips = option->get_group() == "Fine-tuning";
    if (option->count() > 0 && (digits ? of_clips : of_digits)) {
      return absl::InvalidArgumentError(absl::StrCat(
          option->get_name(), " is not for ", digits ? "training Wan-Digits" : "fine-tuning"));
    }
  }
  return digits ? TrainWanDigits(options, session) : FinetuneModel(options, session);
}

void AddFinetuneOptions(CLI::App* app, TrainArgs& options) {
  const auto add = [&](const std::string& name, auto& value, const std::string& what,
                       const std::string& type) {
    return app->add_option(name, value, what)->group("Fine-tuning")->type_name(type);
  };
  const auto number = [&](const std::string& name, auto& value, const std::string& what) {
    return add(name, value, what, "N")->capture_default_str();
  };
  const auto flag = [&](const std::string& name, bool& value, const std::string& what) {
    app->add_flag(name, value, what)->group("Fine-tuning");
  };
  add("--model", options.model, "model folder to fine-tune", "DIR");
  add("--clips", options.clips,
      "folder of clips (PNG, WebP, Y4M; MP4 where libav is) or folders of frames, each with its "
      "caption in a .txt of the same name",
      "DIR");
  add("--component", options.components,
      "denoiser to train, may be repeated (default: all; each on the noise levels it is for)",
      "NAME");
  add("--include", options.include,
      "only tensors whose path fits, may be repeated: '*.self_attn.*'", "GLOB");
  add("--exclude", options.exclude, "but not these, may be repeated", "GLOB");
  number("--lora", options.lora,
         "train low-rank adapters of this rank in place of the model, and leave them unmerged "
         "(wanlite export-lora writes them as a file; a rate of 1e-4 is usual); 0: none")
      ->check(CLI::Range(0, 1 << 20));
  number("--lora-alpha", options.lora_alpha,
         "adapters are multiplied by alpha / rank; 0: alpha is the rank");
  number("--steps", options.steps, "updates of the weights, for each component");
  number("--batch", options.batch, "clips per update");
  number("--accumulate", options.accumulate,
         "pieces that a batch is computed in, one after the other: memory for one piece");
  number("--workers", options.workers, "threads that share a piece");
  number("--rate", options.rate, "learning rate, of AdamW");
  number("--warmup", options.warmup, "steps over which the rate rises");
  number("--final-rate", options.final_rate, "share of the rate at the end, after a cosine");
  number("--weight-decay", options.decay, "of matrices");
  number("--max-gradient-norm", options.norm, "gradients are scaled down to it; 0: no limit");
  number("--ema", options.ema, "decay of the moving average that is kept; 0: the last weights");
  flag("--muon", options.muon, "Muon in place of AdamW for the matrices inside the network");
  flag("--bf16", options.bf16, "products in bf16; weights and optimizer stay in fp32");
  flag("--recompute", options.recompute,
       "compute blocks again in the backward pass: memory for one block's activations");
  number("--skip-broken-steps", options.skipped,
         "leave out so many steps whose loss is not finite, in all");
  number("--caption-dropout", options.dropout,
         "share of clips shown without their caption, which guidance needs");
  number("--shift", options.shift, "of noise levels; 0: the model's own");
  number("--frames", options.frames, "of each clip, from its start; 0: all");
  number("--height", options.height, "to resize clips to; 0: their own");
  number("--width", options.width, "to resize clips to; 0: their own");
  number("--state-every", options.state_every, "steps between two durable states");
  number("--seed", options.seed, "of noise, noise levels and order")->check(FitsUint64());
  add("--run-dir", options.run_dir,
      "where unfinished work lives, encoded clips too (default: OUT.run)", "DIR");
  flag("--restart", options.restart, "discard an unfinished run");
}

}  // namespace

Command AddTrain(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "train", "Fine-tune a model on clips with captions, or train Wan-Digits",
      "wanlite train --model examples/digits/model --clips clips --out tuned --steps 200 "
      "--rate 1e-4\n"
      "  wanlite train --config examples/digits/train.textproto --out digits\n\n"
      "Fine-tuning: clips/walk.mp4 has its caption in clips/walk.txt. Clips go through the "
      "model's\n"
      "VAE and captions through its text encoder once; then each denoiser learns the velocity\n"
      "noise - latent on its own noise levels. Weights are fp32 while they are trained, and come\n"
      "back in the dtype they are stored in; quantized ones stay as they are. The output is a\n"
      "checkpoint as of wanlite compress. As a rule of thumb, a rate of 1e-5 for large models and\n"
      "1e-4 for small ones; look at the loss of the last line.\n"
      "Wan-Digits: stages, in order: " +
          absl::StrJoin(digits::DigitsStages(), ", ") +
          ".\nInterrupted or killed, the same command continues where it was.");
  CLI::App* app = command.app;
  auto options = std::make_shared<TrainArgs>();
  app->add_option("--out", options->out,
                  "folder of the finished model (of Wan-Digits: for states too)")
      ->required()
      ->type_name("DIR");
  app->add_option("--threads", options->threads, "CPU threads (default: all cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  AddFinetuneOptions(app, *options);
  app->add_option("--config", options->config, "how to train, as textproto")
      ->group("Wan-Digits")
      ->type_name("FILE");
  app->add_option("--device", options->device,
                  "where networks are trained: cpu, cuda or cuda:N (in minutes)")
      ->group("Wan-Digits")
      ->capture_default_str();
  app->add_option("--stage", options->stages, "only this stage; may be repeated")
      ->group("Wan-Digits")
      ->type_name("NAME");
  command.run = [options, app](Session& session) { return RunTrain(*options, *app, session); };
  command.resume = "the last state is kept, run the same command again to continue";
  return command;
}

}  // namespace wanlite::cli
