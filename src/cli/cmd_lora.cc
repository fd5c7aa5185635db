// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/cli/options.h"
#include "wanlite/checkpoint.h"
#include "wanlite/lora.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct ExportLoraArgs {
  ModelOptions model;
  std::string out, naming = "peft", component, adapter;
};

struct ExtractLoraArgs {
  std::string original, tuned, out, naming = "comfy", component, dtype = "bf16";
  int64_t rank = 64;
  double tolerance = 0;
};

absl::StatusOr<ModelView> OpenView(Session& session, const std::string& dir,
                                   const std::string& config) {
  OpenOptions open;
  open.config_path = config;
  open.cancel = &session.cancel();
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(session.env(), dir, open, session.architectures()));
  return folder.BuildView();
}

absl::Status RunExportLora(const ExportLoraArgs& options, Session& session) {
  LoraExport what{{}, options.component, options.adapter};
  WANLITE_ASSIGN_OR_RETURN(what.naming, ParseLoraNaming(options.naming));
  WANLITE_ASSIGN_OR_RETURN(ModelView model,
                           OpenView(session, options.model.model, options.model.config));
  WANLITE_ASSIGN_OR_RETURN(const int64_t layers,
                           ExportLora(session.env(), model, options.out, what));
  session.Say(absl::StrCat(options.out, ": ", layers, " layers\n"));
  if (session.json) session.PrintJson(Json{{"out", options.out}, {"layers", layers}});
  return absl::OkStatus();
}

absl::Status RunExtractLora(const ExtractLoraArgs& options, Session& session) {
  LoraExtraction what;
  WANLITE_ASSIGN_OR_RETURN(what.naming, ParseLoraNaming(options.naming));
  what.component = options.component;
  what.rank = options.rank;
  what.tolerance = options.tolerance;
  if (options.dtype == "fp16") {
    what.dtype = at::kHalf;
  } else {
    WANLITE_ASSIGN_OR_RETURN(what.dtype, ParseComputeDtype(options.dtype));
  }
  what.cancel = &session.cancel();
  what.progress = &session.progress();
  WANLITE_ASSIGN_OR_RETURN(ModelView original, OpenView(session, options.original, ""));
  WANLITE_ASSIGN_OR_RETURN(ModelView tuned, OpenView(session, options.tuned, ""));
  WANLITE_ASSIGN_OR_RETURN(const LoraExtractionReport report,
                           ExtractLora(session.env(), original, tuned, options.out, what));
  session.Say(
      absl::StrFormat("%s: %d layers of rank up to %d, %d whole differences, %d layers "
                      "unchanged; relative error of the layers' differences %.3g\n",
                      options.out, report.layers, report.largest_rank, report.differences,
                      report.unchanged, report.error));
  if (session.json) {
    session.PrintJson(Json{{"out", options.out},
                           {"layers", report.layers},
                           {"largest_rank", report.largest_rank},
                           {"differences", report.differences},
                           {"unchanged", report.unchanged},
                           {"error", report.error}});
  }
  return absl::OkStatus();
}

}  // namespace

Command AddExportLora(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "export-lora", "Write an adapter of a model as a LoRA file",
      "wanlite export-lora --model tuned --naming peft --out adapter.safetensors\n\n"
      "Of what wanlite train --lora, load_lora or add_lora left unmerged. peft is read by\n"
      "diffusers, kohya and comfy by ComfyUI and others.");
  CLI::App* app = command.app;
  auto options = std::make_shared<ExportLoraArgs>();
  options->model.Add(app);
  app->add_option("--out", options->out, "safetensors to write")->required()->type_name("FILE");
  app->add_option("--naming", options->naming, "peft, kohya or comfy")->capture_default_str();
  app->add_option("--component", options->component,
                  "denoiser, where adapters are in several (one file each)")
      ->type_name("NAME");
  app->add_option("--adapter", options->adapter, "which, where there are several")
      ->type_name("NAME");
  command.run = [options](Session& session) { return RunExportLora(*options, session); };
  return command;
}

Command AddExtractLora(CLI::App& root) {
  Command command;
  command.app = AddCommand(
      root, "extract-lora", "Write the difference of two models as a LoRA file",
      "wanlite extract-lora --original DIR --tuned tuned --rank 32 --out tuned.safetensors");
  CLI::App* app = command.app;
  auto options = std::make_shared<ExtractLoraArgs>();
  app->add_option("--original", options->original, "model that the file will be loaded into")
      ->required()
      ->type_name("DIR");
  app->add_option("--tuned", options->tuned, "what it shall become")->required()->type_name("DIR");
  app->add_option("--out", options->out, "safetensors to write")->required()->type_name("FILE");
  app->add_option("--rank", options->rank, "of each layer, at most")->capture_default_str();
  app->add_option(
         "--tolerance", options->tolerance,
         "relative error of a layer's difference at which a smaller rank is taken; 0: none")
      ->capture_default_str();
  app->add_option("--naming", options->naming,
                  "peft, kohya or comfy; differences of biases and norms need comfy")
      ->capture_default_str();
  app->add_option("--component", options->component, "denoiser, where there are several")
      ->type_name("NAME");
  app->add_option("--dtype", options->dtype, "of the file: fp32, bf16 or fp16")
      ->capture_default_str();
  command.run = [options](Session& session) { return RunExtractLora(*options, session); };
  return command;
}

}  // namespace wanlite::cli
