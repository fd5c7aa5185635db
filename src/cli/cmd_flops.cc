// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "src/cli/options.h"
#include "src/core/text_table.h"
#include "src/runner/hollow_model.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

constexpr double kGiga = 1e9;

struct FlopsArgs {
  std::string config;
  bool read_weights = false;
  ShapeOptions shape;
};

// One forward of one network; a VAE has two.
struct Part {
  std::string name;  // as GenerateResult::calls names it: "transformer", "vae.decode"
  const Component* component = nullptr;
  ForwardOps ops;
};

// In the order of the components; empty for networks that are not counted.
std::vector<Part> PartsOf(const ModelView& view, const ModelOps& ops) {
  std::vector<Part> parts;
  for (const Component& component : view.components()) {
    switch (component.role) {
      case ComponentRole::kDenoiser:
        parts.push_back({component.name, &component, ops.denoisers.at(component.name)});
        break;
      case ComponentRole::kTextEncoder:
        parts.push_back({component.name, &component, ops.text_encoder});
        break;
      case ComponentRole::kAutoencoder:
        parts.push_back({component.name + ".decode", &component, ops.vae_decode});
        parts.push_back({component.name + ".encode", &component, ops.vae_encode});
        break;
      case ComponentRole::kOther:
        break;
    }
  }
  return parts;
}

// The one forward that is counted first: a denoiser's where there is one.
const Part& MainPart(const std::vector<Part>& parts) {
  for (const Part& part : parts) {
    if (part.component->role == ComponentRole::kDenoiser) return part;
  }
  return parts.front();
}

Json ConventionJson() {
  return Json{
      {"gflop", "1e9 operations, 2 per multiply-add; matrix products and convolutions"},
      {"gmac", "1e9 multiply-adds, half of gflop"},
      {"giop", "1e9 operations of gflop.total that multiply integers, 2 per multiply-add"},
      {"bops",
       "multiply-adds * bits of the weight * bits of the activation, as multiplied: 16 x 16 "
       "for bf16, 32 x 32 for fp32, 8 x 8 for INT8 W8A8; attention: activations on both sides"},
      {"effective",
       "1e9 operations without those with zero weights, which only --read-weights sees"},
      {"realised",
       "1e9 operations that this machine's kernels execute: they skip zeros of packed N:M layers"},
      {"other",
       "1e9 element-wise operations (norms, softmax, activations, modulation, rotary "
       "embedding, residuals, biases, quantization), in no total"},
      {"weight_bytes", "bytes of the weights that one forward reads, each once"}};
}

// The numbers of one forward, to be merged into the object that names it.
Json CountsJson(const ForwardOps& ops) {
  const OpCount total = ops.total();
  return Json{{"gflop", OpsJson(ops)},
              {"gmac",
               {{"linear", ops.linear.macs() / kGiga},
                {"self_attention", ops.self_attention.macs() / kGiga},
                {"cross_attention", ops.cross_attention.macs() / kGiga},
                {"convolution", ops.convolution.macs() / kGiga},
                {"total", total.macs() / kGiga}}},
              {"giop", total.int8 / kGiga},
              {"bops", total.bops},
              {"effective", total.effective / kGiga},
              {"realised", total.realised / kGiga},
              {"other", ops.other / kGiga},
              {"weight_bytes", ops.weight_bytes}};
}

std::string ForwardTable(const ForwardOps& ops) {
  const OpCount total = ops.total();
  std::vector<std::vector<std::string>> rows{
      {"one forward", "multiply-adds", "operations", "share", "bit operations"}};
  const auto row = [&](const std::string& name, const OpCount& count) {
    if (count.dense == 0) return;
    rows.push_back({name, FormatOps(count.macs(), "MAC"), FormatOps(count.dense),
                    absl::StrCat(FormatFixed(100 * count.dense / total.dense, 1), " %"),
                    FormatOps(count.bops, "BOP")});
  };
  row("linear", ops.linear);
  row("self-attention", ops.self_attention);
  row("cross-attention", ops.cross_attention);
  row("convolution", ops.convolution);
  row("total", total);
  const auto note = [&](const std::string& name, double macs, const std::string& value) {
    rows.push_back({name, macs > 0 ? FormatOps(macs, "MAC") : "", value, "", ""});
  };
  if (total.int8 > 0) note("  of it integer", total.int8 / 2, FormatOps(total.int8, "IOP"));
  if (total.effective != total.dense) {
    note("  without zero weights", total.effective / 2, FormatOps(total.effective));
    note("  realised", total.realised / 2, FormatOps(total.realised));
  }
  note("other, element-wise", 0, FormatOps(ops.other, "OP"));
  note("weights read", 0, FormatBytes(static_cast<int64_t>(ops.weight_bytes)));
  return FormatTable(rows);
}

std::string ComponentsTable(const ModelView& view, const std::vector<Part>& parts) {
  std::vector<std::vector<std::string>> rows{
      {"one forward of", "parameters", "linear", "self-attention", "cross-attention", "convolution",
       "total", "of it integer", "bit operations", "other", "weights"}};
  const auto ops = [](double count, const std::string& unit = "FLOP") {
    return count > 0 ? FormatOps(count, unit) : std::string("-");
  };
  for (const Part& part : parts) {
    const OpCount total = part.ops.total();
    rows.push_back({part.name, FormatCount(CountParameters(view, part.component->name)),
                    ops(part.ops.linear.dense), ops(part.ops.self_attention.dense),
                    ops(part.ops.cross_attention.dense), ops(part.ops.convolution.dense),
                    ops(total.dense), ops(total.int8, "IOP"), ops(total.bops, "BOP"),
                    ops(part.ops.other, "OP"),
                    FormatBytes(static_cast<int64_t>(part.ops.weight_bytes))});
  }
  return FormatTable(rows);
}

absl::Status RunFlops(const FlopsArgs& options, Session& session) {
  WANLITE_ASSIGN_OR_RETURN(HollowModel model,
                           OpenHollow(session.env(), options.config, {}, session.architectures()));
  WANLITE_ASSIGN_OR_RETURN(const GenerateSettings defaults, DefaultSettings(model));
  const VideoShape shape = options.shape.Resolve(defaults, TextLength(model.view));
  std::map<std::string, double> nonzero;
  if (options.read_weights) {
    if (!model.folder) {
      return absl::InvalidArgumentError(
          absl::StrCat("--read-weights: '", options.config, "' holds configs and no weights"));
    }
    // Sizes first: reading a large model takes minutes.
    WANLITE_RETURN_IF_ERROR(CountOps(model.view, shape).status());
    WANLITE_ASSIGN_OR_RETURN(nonzero, NonZeroFractions(model.view, &session.cancel()));
  }
  WANLITE_ASSIGN_OR_RETURN(const ModelOps ops, CountOps(model.view, shape, nonzero));
  const std::vector<Part> parts = PartsOf(model.view, ops);
  if (parts.empty()) {
    return absl::UnimplementedError(
        absl::StrCat("no operation count for ", model.view.components().front().architecture));
  }
  const Part& counted = MainPart(parts);
  const Component& component = *counted.component;
  const int64_t parameters = CountParameters(model.view, component.name);
  if (session.json) {
    Json json{{"component", component.name},
              {"forward", counted.name},
              {"architecture", component.architecture},
              {"parameters", parameters},
              {"frames", shape.frames},
              {"height", shape.height},
              {"width", shape.width},
              {"text_length", shape.text_tokens},
              {"video_tokens", ops.video_tokens}};
    json.update(CountsJson(counted.ops));
    json["convention"] = ConventionJson();
    for (const Part& part : parts) {
      Json one{{"component", part.component->name},
               {"architecture", part.component->architecture},
               {"parameters", CountParameters(model.view, part.component->name)}};
      one.update(CountsJson(part.ops));
      json["components"][part.name] = std::move(one);
    }
    session.PrintJson(json);
    return absl::OkStatus();
  }
  session.Say(absl::StrCat(
      counted.name, " (", component.architecture, "), ", FormatCount(parameters), " parameters, ",
      shape.frames, " frames of ", shape.width, "x", shape.height, ", ", ops.video_tokens,
      " video tokens, ", shape.text_tokens, " text tokens\n\n", ForwardTable(counted.ops)));
  if (parts.size() > 1) session.Say("\n" + ComponentsTable(model.view, parts));
  session.Say(
      "\nOperations are 2 per multiply-add, of matrix products and convolutions; INT8 counts the "
      "same.\nBit operations are multiply-adds times the bits of both operands. Element-wise work "
      "is in no total.\n");
  return absl::OkStatus();
}

}  // namespace

Command AddFlops(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "flops",
      "Count the operations of one forward pass (one expert, one guidance branch), from shapes "
      "alone; of a model folder every network's",
      "wanlite flops --config transformer/config.json --height 720 --width 1280 "
      "--frames 81");
  auto options = std::make_shared<FlopsArgs>();
  command.app
      ->add_option("--config", options->config,
                   "config.json, a component's folder or a model folder; weights are not needed")
      ->required()
      ->type_name("PATH");
  command.app->add_flag("--read-weights", options->read_weights,
                        "read all weights to count the operations that zeros would save");
  options->shape.Add(command.app);
  command.run = [options](Session& session) { return RunFlops(*options, session); };
  return command;
}

}  // namespace wanlite::cli
