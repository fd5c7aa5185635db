// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A denoiser whose velocity is linear in latents and text, with coefficients that are polynomials
// of the noise level: its paths can be written down, and a student with other coefficients can make
// any few steps of them.
#ifndef WANLITE_TESTS_DISTILL_FLOW_TOY_H_
#define WANLITE_TESTS_DISTILL_FLOW_TOY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/architecture.h"
#include "wanlite/block_program.h"
#include "wanlite/checkpoint.h"
#include "wanlite/dataset.h"
#include "wanlite/model_view.h"
#include "wanlite/nn.h"
#include "wanlite/sample_set.h"
#include "wanlite/weight_formats.h"

namespace wanlite::testing {

inline constexpr int64_t kFlowPowers = 6;

// v = f(sigma) x + g(sigma) text, f and g polynomials of the degree kFlowPowers - 1. Latents
// [batch, 2, 1, 2, 2], text [batch, 1, 2].
class FlowToy : public torch::nn::Module, public nn::Describable, public BlockProgram {
 public:
  FlowToy() {
    flow = register_module("flow", std::make_shared<nn::Linear>(kFlowPowers, 2, /*bias=*/false));
  }
  std::vector<Step> Steps() const override { return {{"", {"output"}}}; }
  std::vector<std::string> Inputs() const override {
    return {"hidden_states", "timestep", "encoder_hidden_states"};
  }
  std::string Output() const override { return "output"; }
  void RunStep(size_t, Values& values) const override {
    const at::Tensor& x = ValueOf(values, "hidden_states");
    const at::Tensor sigma = ValueOf(values, "timestep").reshape({-1, 1}) / 1000;
    std::vector<at::Tensor> powers{at::ones_like(sigma)};
    for (int64_t i = 1; i < kFlowPowers; ++i) powers.push_back(powers.back() * sigma);
    const at::Tensor both = flow->forward(at::cat(powers, 1));  // [batch, 2]
    const at::Tensor text = ValueOf(values, "encoder_hidden_states").mean(1);
    values["output"] = both.select(1, 0).reshape({-1, 1, 1, 1, 1}) * x +
                       both.select(1, 1).reshape({-1, 1, 1, 1, 1}) * text.reshape({-1, 2, 1, 1, 1});
  }
  void Describe(TopologyBuilder& topology) const override {
    topology.Linear("flow", "flow", TokenStream::kVideo);
  }
  void Set(const std::vector<double>& f, const std::vector<double>& g) {
    const at::NoGradGuard no_grad;
    at::Tensor weight = flow->named_parameters()["weight"];
    weight.zero_();
    for (size_t i = 0; i < f.size(); ++i) weight[0][static_cast<int64_t>(i)] = f[i];
    for (size_t i = 0; i < g.size(); ++i) weight[1][static_cast<int64_t>(i)] = g[i];
  }
  std::shared_ptr<nn::Linear> flow;
};

inline const ArchitectureRegistry& FlowToys() {
  static const auto& registry = *[] {
    auto* list = new ArchitectureRegistry();
    Architecture toy;
    toy.name = "FlowToy";
    toy.role = ComponentRole::kDenoiser;
    toy.build = [](absl::string_view) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
      return std::make_shared<FlowToy>();
    };
    REQUIRE_OK(list->Register(toy));
    list->weight_formats() = BuiltinWeightFormats();
    return list;
  }();
  return registry;
}

inline std::string FlowIndex(int experts, double guidance, double guidance_2) {
  return absl::StrCat(
      R"({"_class_name": "WanPipeline", "scheduler": ["diffusers", "UniPCMultistepScheduler"], )",
      experts > 1 ? R"("boundary_ratio": 0.875, )" : "",
      R"("wanlite_defaults": {"num_inference_steps": 20, "fps": 12, "guidance_scale": )", guidance,
      R"(, "guidance_scale_2": )", guidance_2, "}}");
}

// A model of one or two experts with these coefficients, sampled with guidance, as the folder dir.
inline void WriteFlow(Env& env, const std::string& dir, int experts, const std::vector<double>& f,
                      const std::vector<double>& g, double guidance = 3, double guidance_2 = 2) {
  std::vector<Component> components;
  for (int i = 0; i < experts; ++i) {
    auto toy = std::make_shared<FlowToy>();
    toy->Set(f, g);
    components.push_back({i == 0 ? "transformer" : "transformer_2", ComponentRole::kDenoiser,
                          "FlowToy", R"({"_class_name": "FlowToy"})", toy});
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  view.SetPipeline({FlowIndex(experts, guidance, guidance_2),
                    R"({"_class_name": "UniPCMultistepScheduler", "flow_shift": 5.0,
                        "prediction_type": "flow_prediction", "use_flow_sigmas": true})"});
  REQUIRE_OK(SaveCheckpoint(env, dir, view));
}

inline at::Tensor FlowText(int64_t prompt) {
  return at::randn({1, 1, 2}, at::detail::createCPUGenerator(500 + prompt)) * 0.5 + 1;
}

// Samples of both branches at many noise levels, for one or two experts; the negative text is 0.
// clips: with targets, of clips that are the prompt's text under a noise of `spread`.
inline SampleSet WriteFlowSamples(Env& env, const std::string& dir, int experts, bool clips,
                                  double spread = 0) {
  SampleSetInfo info;
  constexpr int64_t kPrompts = 10;
  for (int64_t i = 0; i < kPrompts; ++i) info.prompts.push_back(absl::StrCat("prompt ", i));
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(env, dir, info));
  std::vector<NamedTensor> tensors{{"text.negative", at::zeros({1, 1, 2})}};
  for (int64_t i = 0; i < kPrompts; ++i) {
    tensors.push_back({absl::StrCat("text.", i), FlowText(i)});
  }
  std::vector<SampleInfo> samples;
  for (int e = 0; e < experts; ++e) {
    for (int64_t i = 0; i < 60; ++i) {
      const double place = (static_cast<double>(i) + 0.5) / 60;
      const double sigma = experts == 1 ? place : e == 0 ? 0.85 + 0.15 * place : 0.87 * place;
      const at::Tensor noise =
          at::randn({1, 2, 1, 2, 2}, at::detail::createCPUGenerator(1000 * e + i));
      const at::Tensor clip =
          FlowText(i % kPrompts).reshape({1, 2, 1, 1, 1}) +
          spread * at::randn({1, 2, 1, 2, 2}, at::detail::createCPUGenerator(9000 + 1000 * e + i));
      SampleInfo sample;
      sample.component = e == 0 ? "transformer" : "transformer_2";
      sample.prompt = i % kPrompts;
      sample.branch = "conditional";
      sample.timestep = 1000 * sigma;
      const std::string name = absl::StrCat(e, ".", i, ".");
      const auto put = [&](const char* value, const at::Tensor& tensor) {
        sample.values[value] = name + value;
        tensors.push_back({name + value, tensor});
      };
      put("hidden_states", (1 - sigma) * clip + sigma * noise);
      put("timestep", at::full({1}, 1000 * sigma, at::kFloat));
      if (clips) put(kTargetValue, noise - clip);
      sample.values["encoder_hidden_states"] = absl::StrCat("text.", i % kPrompts);
      samples.push_back(sample);
      if (i >= 5) continue;
      sample.branch = "negative";
      sample.values["encoder_hidden_states"] = "text.negative";
      sample.values.erase(kTargetValue);
      samples.push_back(sample);
    }
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(env, dir));
  return set;
}

inline ModelView LoadFlow(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(env, dir, {}, FlowToys()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

// A component's velocity at one noise level.
inline at::Tensor FlowVelocity(const ModelView& view, const std::string& component,
                               const at::Tensor& x, double sigma, const at::Tensor& text) {
  const at::NoGradGuard no_grad;
  return ProgramOf(*view.FindComponent(component))
      ->Run({{"hidden_states", x},
             {"timestep", at::full({x.size(0)}, 1000 * sigma, at::kFloat)},
             {"encoder_hidden_states", text}});
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_DISTILL_FLOW_TOY_H_
