// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/strings/str_cat.h"
#include "src/cli/options.h"
#include "src/core/libtorch.h"
#include "src/core/text_table.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::cli {
namespace {

struct ConvertArgs {
  ModelOptions model;
  std::string out, layout = "diffusers", dtype;
  double max_shard_gb = 5;
  bool pad = false;
  int64_t pad_multiple = 1;
};

absl::StatusOr<FolderLayout> ParseLayout(const std::string& name) {
  for (const FolderLayout layout :
       {FolderLayout::kDiffusers, FolderLayout::kOriginal, FolderLayout::kWanlite}) {
    if (FolderLayoutName(layout) == name) return layout;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown layout '", name, "', there are: diffusers, original, wanlite"));
}

absl::Status RunConvert(const ConvertArgs& options, Session& session) {
  ExportOptions out;
  WANLITE_ASSIGN_OR_RETURN(out.layout, ParseLayout(options.layout));
  if (options.dtype == "fp16") {
    out.dtype = at::kHalf;
  } else if (!options.dtype.empty()) {
    WANLITE_ASSIGN_OR_RETURN(out.dtype, ParseComputeDtype(options.dtype));
  }
  if (!(options.max_shard_gb >= 0.001 && options.max_shard_gb <= 1e6)) {
    return absl::InvalidArgumentError(absl::StrCat("--max-shard-gb is ", options.max_shard_gb,
                                                   ", it must lie in [0.001, 1000000]"));
  }
  out.max_shard_bytes = static_cast<int64_t>(options.max_shard_gb * 1e9);
  out.pad = options.pad;
  out.pad_multiple = options.pad_multiple;
  OpenOptions open;
  open.config_path = options.model.config;
  open.cancel = out.cancel = &session.cancel();
  WANLITE_ASSIGN_OR_RETURN(
      const ModelFolder folder,
      ModelFolder::Open(session.env(), options.model.model, open, session.architectures()));
  session.SayNotes(folder.notes());
  std::vector<std::string> notes;
  out.note = [&](absl::string_view note) { notes.emplace_back(note); };
  constexpr int64_t kMega = 1000000;
  session.progress().Begin("convert (MB)", folder.bytes() / kMega);
  out.progress = [&](int64_t done, int64_t) { session.progress().Update(done / kMega, ""); };
  const absl::Status status = ExportFolder(session.env(), folder, options.out, out);
  session.progress().End();
  WANLITE_RETURN_IF_ERROR(status);
  session.SayNotes(notes);
  if (session.json) {
    session.PrintJson(Json{{"out", options.out}, {"layout", options.layout}, {"notes", notes}});
  } else {
    session.Say(
        absl::StrCat(options.out, ": ", options.layout, " layout of ", options.model.model, "\n"));
  }
  return absl::OkStatus();
}

}  // namespace

Command AddConvert(CLI::App& root) {
  Command command;
  command.app =
      AddCommand(root, "convert", "Write a model in another layout; quantized weights become dense",
                 "wanlite convert --model small --layout diffusers --dtype bf16 --out exported");
  CLI::App* app = command.app;
  auto options = std::make_shared<ConvertArgs>();
  options->model.Add(app);
  app->add_option("--out", options->out, "folder to make; appears when it is complete")
      ->required()
      ->type_name("DIR");
  app->add_option("--layout,--to", options->layout, "diffusers, original or wanlite")
      ->capture_default_str();
  app->add_option("--dtype", options->dtype, "fp32, bf16 or fp16 (default: each tensor's own)");
  app->add_option("--max-shard-gb", options->max_shard_gb, "largest file")->capture_default_str();
  CLI::Option* pad = app->add_flag(
      "--pad", options->pad,
      "fill pruned networks with zeros where other programs want one size in all blocks");
  app->add_option("--pad-multiple", options->pad_multiple,
                  "feed-forward widths become multiples of it (256 fits the tiles of GPUs)")
      ->needs(pad)
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command.run = [options](Session& session) { return RunConvert(*options, session); };
  return command;
}

}  // namespace wanlite::cli
