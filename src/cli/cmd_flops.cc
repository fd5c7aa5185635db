// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "src/cli/options.h"
#include "src/runner/hollow_model.h"
#include "src/runner/text_table.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct Options {
  std::string config;
  ShapeOptions shape;
};

// The network one forward is counted of: a denoiser when there is one.
const Component& CountedComponent(const ModelView& view) {
  for (const Component& component : view.components()) {
    if (component.role == ComponentRole::kDenoiser) return component;
  }
  return view.components().front();
}

absl::Status Run(const Options& options, Session& session) {
  WANLITE_ASSIGN_OR_RETURN(const HollowModel model,
                           OpenHollow(session.env(), options.config, {}, session.architectures()));
  WANLITE_ASSIGN_OR_RETURN(const GenerateSettings defaults, DefaultSettings(model));
  const VideoShape shape = options.shape.Resolve(defaults, TextLength(model.view));
  WANLITE_ASSIGN_OR_RETURN(const ModelOps ops, CountOps(model.view, shape));
  const Component& counted = CountedComponent(model.view);
  const int64_t parameters = CountParameters(model.view, counted.name);
  ForwardOps forward;
  switch (counted.role) {
    case ComponentRole::kDenoiser:
      forward = ops.denoisers.at(counted.name);
      break;
    case ComponentRole::kTextEncoder:
      forward = ops.text_encoder;
      break;
    case ComponentRole::kAutoencoder:
      forward = ops.vae_decode;
      break;
    case ComponentRole::kOther:
      return absl::UnimplementedError(
          absl::StrCat("no operation count for ", counted.architecture));
  }
  if (session.json) {
    session.PrintJson(Json{{"component", counted.name},
                           {"architecture", counted.architecture},
                           {"parameters", parameters},
                           {"frames", shape.frames},
                           {"height", shape.height},
                           {"width", shape.width},
                           {"text_length", shape.text_tokens},
                           {"video_tokens", ops.video_tokens},
                           {"gflop", OpsJson(forward)}});
    return absl::OkStatus();
  }
  const double total = forward.total().dense;
  std::vector<std::vector<std::string>> rows{{"one forward", "operations", "share"}};
  const auto row = [&](const std::string& name, double count) {
    if (count > 0) {
      rows.push_back(
          {name, FormatOps(count), absl::StrCat(FormatFixed(100 * count / total, 1), " %")});
    }
  };
  row("linear", forward.linear.dense);
  row("self-attention", forward.self_attention.dense);
  row("cross-attention", forward.cross_attention.dense);
  row("convolution", forward.convolution.dense);
  row("total", total);
  session.Say(absl::StrCat(counted.name, " (", counted.architecture, "), ", FormatCount(parameters),
                           " parameters, ", shape.frames, " frames of ", shape.width, "x",
                           shape.height, ", ", ops.video_tokens, " video tokens, ",
                           shape.text_tokens, " text tokens\n\n", FormatTable(rows),
                           "\n2 operations per multiply-add; matrix products and convolutions.\n"));
  return absl::OkStatus();
}

}  // namespace

Command AddFlops(CLI::App& root) {
  Command command;
  command.app =
      AddCommand(root, "flops", "Count the operations of one forward pass, from shapes alone",
                 "wanlite flops --config transformer/config.json --height 720 --width 1280 "
                 "--frames 81");
  auto options = std::make_shared<Options>();
  command.app
      ->add_option("--config", options->config,
                   "config.json, a component's folder or a model folder; weights are not needed")
      ->required()
      ->type_name("PATH");
  options->shape.Add(command.app);
  command.run = [options](Session& session) { return Run(*options, session); };
  return command;
}

}  // namespace wanlite::cli
