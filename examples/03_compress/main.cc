// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs a recipe over a model folder, block by block, and writes a wanlite checkpoint. Interrupted
// by Ctrl-C it stops at the next safe point; run again with the same arguments it continues there.
//
//   example_compress MODEL_DIR RECIPE OUT_DIR
#include <csignal>
#include <iostream>
#include <string>

#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/progress.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace {

wanlite::CancellationToken cancel;

absl::Status Compress(const std::string& dir, const std::string& recipe_path,
                      const std::string& out_dir) {
  wanlite::Env& env = wanlite::PosixEnv();
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ParsedRecipe recipe,
                           wanlite::ParsedRecipe::Load(env, recipe_path, wanlite::BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(
      const wanlite::ModelFolder folder,
      wanlite::ModelFolder::Open(env, dir, {}, wanlite::BuiltinArchitectures()));

  const std::unique_ptr<wanlite::ProgressSink> progress = wanlite::NewTerminalProgress();
  wanlite::CompressOptions options;
  options.out_dir = out_dir;
  options.progress = progress.get();
  options.cancel = &cancel;
  WANLITE_ASSIGN_OR_RETURN(
      const wanlite::RunReport report,
      wanlite::CompressFolder(env, recipe, folder, wanlite::BuiltinArchitectures(), options));

  for (const wanlite::PassReport& pass : report.passes) {
    std::cout << pass.pass << ": " << pass.bytes_before << " -> " << pass.bytes_after << " bytes"
              << (pass.resumed ? " (continued an earlier run)" : "") << "\n";
    for (const auto& [name, value] : pass.metrics) {
      std::cout << "  " << name << " = " << value << "\n";
    }
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: example_compress MODEL_DIR RECIPE OUT_DIR\n";
    return 2;
  }
  std::signal(SIGINT, [](int) { cancel.Cancel(); });
  const absl::Status status = Compress(argv[1], argv[2], argv[3]);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
