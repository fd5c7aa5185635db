// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Groups of options that several commands take, so that one name means one thing everywhere.
#ifndef WANLITE_SRC_CLI_OPTIONS_H_
#define WANLITE_SRC_CLI_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "src/cli/session.h"
#include "wanlite/metrics.h"
#include "wanlite/runner.h"

namespace wanlite::cli {

// A command below `root`; `example` is shown at the end of its help.
CLI::App* AddCommand(CLI::App& root, const std::string& name, const std::string& description,
                     const std::string& example);

// --model, --config
struct ModelOptions {
  std::string model, config;
  void Add(CLI::App* app);
};

// --device, --dtype, --numerics, --threads
struct DeviceOptions {
  std::string device = "cpu", dtype = "fp32", numerics = "diffusers";
  int threads = 0;
  void Add(CLI::App* app);
  // Sets the number of threads too.
  absl::StatusOr<RunnerOptions> Resolve(Session& session) const;
};

// For options of 64 bits without a sign, whose larger values CLI11 cuts off without a word.
CLI::Validator FitsUint64();

// Appends an option and its value to arguments of the command line.
void AppendArgument(const std::string& name, const std::string& value,
                    std::vector<std::string>& arguments);

// Everything that decides what is generated.
struct RequestOptions {
  std::string protocol;
  std::optional<std::string> negative_prompt;
  std::optional<int64_t> steps, frames, height, width;
  std::optional<double> guidance, guidance_2, shift, boundary;
  std::optional<int64_t> boundary_step;
  std::vector<double> timesteps;
  std::optional<std::string> sampler;
  std::optional<uint64_t> seed;
  std::string prompt_embeds, initial_latents;
  void Add(CLI::App* app);
  // Reads the files that are named.
  absl::StatusOr<GenerateRequest> Resolve(Session& session) const;
  // The same as arguments of the command line, for a process that does the same.
  std::vector<std::string> Arguments() const;
};

// --height, --width, --frames, --text-length for counts; what is not given comes from `defaults`.
struct ShapeOptions {
  std::optional<int64_t> frames, height, width, text_length;
  void Add(CLI::App* app);
  VideoShape Resolve(const GenerateSettings& defaults, int64_t default_text_length) const;
};

// "[COMPONENT=]FILE[:STRENGTH]"
absl::StatusOr<LoraSpec> ParseLoraSpec(const std::string& text);

// All tensors of a safetensors file by name.
absl::StatusOr<std::map<std::string, at::Tensor>> ReadTensors(Env& env, const std::string& path);

// Prompts that were given one by one, and those of a text file, one in each line; its name may be
// empty. InvalidArgument when it holds none.
absl::StatusOr<std::vector<std::string>> AllPrompts(Session& session,
                                                    std::vector<std::string> prompts,
                                                    const std::string& file);

// One forward in GFLOP.
Json OpsJson(const ForwardOps& ops);
Json AllSettingsJson(const GenerateSettings& settings);

}  // namespace wanlite::cli

#endif  // WANLITE_SRC_CLI_OPTIONS_H_
