// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The inside of a Runner: which components are in memory, and how they get there.
#ifndef WANLITE_SRC_RUNNER_RUNNER_REP_H_
#define WANLITE_SRC_RUNNER_RUNNER_REP_H_

#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/model/wan/dit.h"
#include "src/model/wan/tokenizer.h"
#include "src/model/wan/umt5.h"
#include "src/model/wan/vae.h"
#include "src/runner/generate_settings.h"
#include "wanlite/runner.h"
#include "wanlite/status.h"

namespace wanlite {

struct Runner::Rep {
  Rep(Env& env, const ArchitectureRegistry& architectures, RunnerOptions options,
      ModelFolder folder, ModelView shapes, std::optional<LoraSet> loras)
      : env(env),
        architectures(architectures),
        options(std::move(options)),
        folder(std::move(folder)),
        shapes(std::move(shapes)),
        loras(std::move(loras)) {}

  Env& env;
  const ArchitectureRegistry& architectures;
  RunnerOptions options;
  ModelFolder folder;
  ModelView shapes;              // hollow, of all opened components
  std::optional<LoraSet> loras;  // when there are any
  std::map<std::string, ModelView> loaded;
  std::optional<wan::Tokenizer> tokenizer;

  ProgressSink& progress() const {
    return options.progress != nullptr ? *options.progress : SilentProgress();
  }
  absl::Status CheckCancelled() const {
    return options.cancel != nullptr ? options.cancel->Check() : absl::OkStatus();
  }

  // The module of a component, its weights in memory, on the device and in the compute dtype.
  // NotFound when the folder has no such component.
  absl::StatusOr<std::shared_ptr<torch::nn::Module>> Load(const std::string& component);
  // The same as the network it should be; Unimplemented when it is another.
  template <typename Network>
  absl::StatusOr<std::shared_ptr<Network>> LoadAs(const std::string& component) {
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<torch::nn::Module> module, Load(component));
    std::shared_ptr<Network> network = std::dynamic_pointer_cast<Network>(module);
    if (network != nullptr) return network;
    return absl::UnimplementedError(absl::StrCat("the runner cannot run component '", component,
                                                 "' of architecture ",
                                                 shapes.FindComponent(component)->architecture));
  }
  absl::StatusOr<std::shared_ptr<wan::Dit>> LoadDenoiser(const std::string& component);

  absl::StatusOr<wan::TokenizedText> Tokenize(const std::string& prompt);
  // Adds a warning for a prompt that Tokenize() cut, with what was cut. After Tokenize().
  absl::Status WarnIfCut(absl::string_view what, const std::string& prompt,
                         std::vector<std::string>& warnings) const;

  absl::StatusOr<LatentGeometry> Geometry() const;
  absl::StatusOr<FolderDefaults> Defaults() const;
  // Padded length of the text the denoisers were trained with, and its width.
  absl::StatusOr<wan::DitConfig> DenoiserConfig() const;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_RUNNER_RUNNER_REP_H_
