// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A tiny Wan model on a disk in memory, and inputs for its parts: for tests of calibrated passes.
#ifndef WANLITE_TESTS_TESTING_WAN_SAMPLES_H_
#define WANLITE_TESTS_TESTING_WAN_SAMPLES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/architecture.h"
#include "wanlite/block_program.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite::testing {

// One expert at /model.
inline std::unique_ptr<Env> DiskWithWan(bool text_encoder = false, int layers = 3) {
  std::unique_ptr<Env> env = NewMemEnv();
  TinyWanOptions options;
  options.layers = layers;
  options.two_experts = false;
  options.vae = false;
  options.text_encoder = text_encoder;
  REQUIRE_OK(WriteTinyWan(*env, "/model", options));
  return env;
}

// Inputs of the transformer, as many steps as there are samples: what is noise at the first is
// smooth at the last, as in a trajectory.
inline std::vector<Values> TransformerInputs(int64_t samples, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<Values> inputs;
  for (int64_t i = 0; i < samples; ++i) {
    const double noise = 1 - static_cast<double>(i) / static_cast<double>(samples);
    const at::Tensor flat = at::randn({1, 4, 1, 1, 1}, generator).expand({1, 4, 2, 4, 6});
    inputs.push_back(
        {{"hidden_states", noise * at::randn({1, 4, 2, 4, 6}, generator) + (1 - noise) * flat},
         {"timestep", at::full({1}, static_cast<int64_t>(999 * noise), at::kLong)},
         {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}});
  }
  return inputs;
}

// Weighted 1, 2, 3, ..., with their timesteps.
inline SampleSet WriteTransformerSamples(Env& env, const std::string& dir,
                                         const std::vector<Values>& inputs,
                                         const std::string& component = "transformer") {
  return WriteSampleSet(env, dir, component, inputs, [&](size_t i, SampleInfo& sample) {
    sample.weight = static_cast<double>(i + 1);
    const auto timestep = inputs[i].find("timestep");
    if (timestep != inputs[i].end()) sample.timestep = timestep->second.item<double>();
  });
}

inline ModelView WanView(Env& env, const std::string& dir, bool load = true) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(env, dir, {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  if (load) REQUIRE_OK(view.LoadAll());
  return view;
}

inline at::Tensor OutputOf(const ModelView& view, const std::string& component,
                           const Values& values) {
  const at::NoGradGuard no_grad;
  return ProgramOf(*view.FindComponent(component))->Run(values);
}

// The passes of a recipe, "gptq { format { int8 { } } }", one a line, on /model.
inline absl::StatusOr<RunReport> CompressWan(Env& env, const std::vector<std::string>& passes,
                                             const std::string& samples, const std::string& out,
                                             uint64_t seed = 0) {
  std::string text = absl::StrCat("seed: ", seed, "\n");
  for (const std::string& pass : passes) absl::StrAppend(&text, "passes { ", pass, " }\n");
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Parse(text, "recipe", BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(env, "/model", {}, BuiltinArchitectures()));
  CompressOptions options;
  options.out_dir = out;
  if (samples.empty()) return CompressFolder(env, recipe, folder, BuiltinArchitectures(), options);
  WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env, samples));
  options.samples = &set;
  return CompressFolder(env, recipe, folder, BuiltinArchitectures(), options);
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_WAN_SAMPLES_H_
