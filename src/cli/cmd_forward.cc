// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/cli/options.h"
#include "src/core/libtorch.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct ForwardArgs {
  ModelOptions model;
  DeviceOptions device;
  std::string component, inputs, output;
};

absl::Status RunForward(const ForwardArgs& options, Session& session) {
  WANLITE_RETURN_IF_ERROR(session.env().CheckOutputFile(options.output));
  WANLITE_ASSIGN_OR_RETURN(const auto inputs, ReadTensors(session.env(), options.inputs));
  WANLITE_ASSIGN_OR_RETURN(RunnerOptions runner_options, options.device.Resolve(session));
  runner_options.config_path = options.model.config;
  // Only what is run is opened: "vae.decode" is a part of "vae".
  runner_options.components = {options.component.substr(0, options.component.find('.'))};
  WANLITE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Runner> runner,
      Runner::Open(session.env(), options.model.model, session.architectures(), runner_options));
  WANLITE_ASSIGN_OR_RETURN(const auto outputs, runner->Forward(options.component, inputs));
  std::vector<NamedTensor> tensors;
  Json json = Json::object();
  std::string text;
  for (const auto& [name, tensor] : outputs) {
    tensors.push_back({name, tensor});
    json[name] = tensor.sizes().vec();
    absl::StrAppend(&text, options.output, ": ", name, " [", absl::StrJoin(tensor.sizes(), ", "),
                    "]\n");
  }
  WANLITE_RETURN_IF_ERROR(WriteSafetensors(session.env(), options.output, tensors).status());
  if (session.json) {
    session.PrintJson(Json{{"output", options.output}, {"tensors", json}});
  } else {
    session.Say(text);
  }
  return absl::OkStatus();
}

}  // namespace

Command AddForward(CLI::App& root) {
  Command command;
  command.app =
      AddCommand(root, "forward", "Run one component on given tensors",
                 "wanlite forward --model DIR --component transformer --inputs in.safetensors "
                 "--output out.safetensors\n\n"
                 "Tensors in and out (fp32), named as in diffusers and transformers:\n"
                 "  transformer, transformer_2  hidden_states, timestep, encoder_hidden_states "
                 "-> sample\n"
                 "  text_encoder                input_ids, attention_mask -> last_hidden_state\n"
                 "  vae.encode                  sample -> mean\n"
                 "  vae.decode                  latents -> sample");
  CLI::App* app = command.app;
  auto options = std::make_shared<ForwardArgs>();
  options->model.Add(app);
  app->add_option("--component", options->component,
                  "transformer, transformer_2, text_encoder, vae.encode or vae.decode")
      ->required()
      ->type_name("NAME");
  app->add_option("--inputs", options->inputs, "safetensors to read")
      ->required()
      ->type_name("FILE");
  app->add_option("--output", options->output, "safetensors to write")
      ->required()
      ->type_name("FILE");
  options->device.Add(app);
  command.run = [options](Session& session) { return RunForward(*options, session); };
  return command;
}

}  // namespace wanlite::cli
