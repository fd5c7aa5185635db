// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "src/cli/options.h"
#include "src/core/libtorch.h"
#include "src/doctor/doctor.h"
#include "src/doctor/doctor_inputs.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct DoctorArgs {
  std::string original, compressed, samples, prompt;
  std::vector<std::string> components;
  int threads = 0;
  RequestOptions request;
};

absl::StatusOr<std::vector<DoctorCase>> MakeCases(const DoctorArgs& options,
                                                  const ModelFolder& original,
                                                  std::vector<std::string>& notes,
                                                  Session& session) {
  if (!options.samples.empty()) {
    SampleSetOptions open;
    open.cancel = &session.cancel();
    WANLITE_ASSIGN_OR_RETURN(const SampleSet samples,
                             SampleSet::Open(session.env(), options.samples, open));
    return CasesOfSamples(samples, original.component_names());
  }
  WANLITE_ASSIGN_OR_RETURN(GenerateRequest request, options.request.Resolve(session));
  request.prompt = options.prompt;
  RunnerOptions runner_options;
  runner_options.cancel = &session.cancel();
  WANLITE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Runner> runner,
      Runner::Open(session.env(), options.original, session.architectures(), runner_options));
  return CasesOfRequest(*runner, request, notes);
}

absl::Status RunDoctor(const DoctorArgs& options, Session& session) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  const auto open = [&](const std::string& dir) {
    return ModelFolder::Open(session.env(), dir, OpenOptions(), session.architectures());
  };
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder original, open(options.original));
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder compressed, open(options.compressed));
  std::vector<std::string> notes;
  DoctorOptions doctor;
  WANLITE_ASSIGN_OR_RETURN(doctor.cases, MakeCases(options, original, notes, session));
  if (!options.components.empty()) {
    for (const std::string& name : options.components) {
      WANLITE_RETURN_IF_ERROR(original.CheckHas(name));
    }
    // A network that reads another's output needs it run.
    std::erase_if(doctor.cases, [&](const DoctorCase& given) {
      return std::find(options.components.begin(), options.components.end(), given.component) ==
             options.components.end();
    });
    const bool reads_text =
        std::any_of(doctor.cases.begin(), doctor.cases.end(),
                    [](const auto& given) { return !given.text_input.empty(); });
    const bool has_encoder = std::any_of(doctor.cases.begin(), doctor.cases.end(), [](auto& given) {
      return given.inputs.contains("input_ids");
    });
    if (reads_text && !has_encoder) {
      return absl::InvalidArgumentError(
          "the denoisers read what the text encoder makes of the prompt: name it too "
          "(--component text_encoder), or give --samples or --prompt-embeds");
    }
  }
  doctor.progress = &session.progress();
  doctor.cancel = &session.cancel();
  WANLITE_ASSIGN_OR_RETURN(DoctorReport report, Diagnose(original, compressed, doctor));
  report.notes.insert(report.notes.begin(), notes.begin(), notes.end());
  if (!report.healthy()) session.exit_code = kExitUnhealthy;
  if (session.json) {
    session.PrintJsonText(DoctorJson(report));
  } else {
    session.Say(DoctorText(report));
  }
  return absl::OkStatus();
}

}  // namespace

Command AddDoctor(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "doctor", "Say why a compressed model's output is noise: the first layer at fault",
      "wanlite doctor --original examples/digits/model --compressed small\n"
      "  wanlite doctor --original examples/digits/model --compressed small --samples SAMPLES\n\n"
      "Runs one forward pass of each network, the original and the compressed one, block by block, "
      "so\n"
      "that one block of each is in memory. Every layer is judged on the inputs that the "
      "original's "
      "layer\n"
      "gets, so that a fault is seen where it is and not where it shows: error is |compressed -\n"
      "original| / |original| of its product, and the band is what its format explains (0.1 for "
      "eight\n"
      "bits, 0.4 for four, more for pruned layers). The table has, for each block, the error of "
      "what "
      "it\n"
      "adds to the original's input (own) and of what flows on when all blocks before it are "
      "compressed\n"
      "too (so far). Blocks that were dropped are paired through the checkpoint's block_origin; "
      "layers\n"
      "of other sizes are looked at for zeros, NaN and scales alone.\n\n"
      "Ends with the first layer, tensor or block out of its band, what it is, and the usual "
      "cause: "
      "a\n"
      "scale that is wrong, zero or NaN, weights in the wrong place, a rotation that its "
      "attributes "
      "do\n"
      "not tell, static scales too small for the inputs, outliers, overflow, adapters merged "
      "twice.\n\n"
      "Without --samples the inputs are the prompt and noise of --seed at the middle of each "
      "expert's\n"
      "timesteps. Recorded ones (wanlite record) are what the model really gets: calibrated static "
      "scales\n"
      "should be judged on those.\n\n"
      "Exit code 0: healthy. 11: something is out of its band (see the output). Others: as "
      "everywhere.");
  CLI::App* app = command.app;
  auto options = std::make_shared<DoctorArgs>();
  app->add_option("--original", options->original, "model folder")->required()->type_name("DIR");
  app->add_option("--compressed", options->compressed, "model folder made of it")
      ->required()
      ->type_name("DIR");
  app->add_option("--samples", options->samples,
                  "recorded inputs (wanlite record): the middle pass of each network")
      ->type_name("DIR");
  app->add_option("--component", options->components, "only this network; may be repeated")
      ->type_name("NAME");
  app->add_option("--prompt", options->prompt, "without --samples (default: the folder's own)")
      ->type_name("TEXT");
  app->add_option("--threads", options->threads, "CPU threads (default: all cores)")
      ->check(CLI::Range(0, 4096))
      ->type_name("N");
  options->request.Add(app);
  command.run = [options](Session& session) { return RunDoctor(*options, session); };
  return command;
}

}  // namespace wanlite::cli
