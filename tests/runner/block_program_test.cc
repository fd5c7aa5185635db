// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/block_program.h"

#include <algorithm>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"

namespace wanlite {
namespace {

struct Sample {
  std::string component;
  Values values;
};

// Inputs for the diffusion transformer and the text encoder of the tiny model.
std::vector<Sample> Samples() {
  const at::Tensor ids = at::arange(1, 9, at::kLong).reshape({1, 8});
  at::Tensor mask = at::ones({1, 8}, at::kLong);
  mask.narrow(1, 5, 3).zero_();
  return {{"transformer",
           {{"hidden_states", at::randn({1, 4, 2, 4, 4})},
            {"timestep", at::full({1}, 640.0)},
            {"encoder_hidden_states", at::randn({1, 16, 16})}}},
          {"text_encoder", {{"input_ids", ids}, {"attention_mask", mask}}}};
}

ModelView TinyView(Env& env) {
  REQUIRE_OK(testing::WriteTinyWan(env, "model"));
  auto folder = ModelFolder::Open(env, "model", {}, BuiltinArchitectures());
  REQUIRE_OK(folder);
  auto view = folder->BuildView();
  REQUIRE_OK(view);
  return *std::move(view);
}

TEST_CASE("A program run with one block in memory at a time gives what the whole model gives") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  ModelView whole = TinyView(*env);
  REQUIRE_OK(whole.LoadAll());
  ModelView streamed = TinyView(*env);
  REQUIRE(streamed.streaming());
  for (Sample& sample : Samples()) {
    CAPTURE(sample.component);
    const BlockProgram* program = ProgramOf(*whole.FindComponent(sample.component));
    REQUIRE(program != nullptr);
    const at::Tensor want = program->Run(sample.values);
    REQUIRE(want.isfinite().all().item<bool>());

    const Component& component = *streamed.FindComponent(sample.component);
    const BlockProgram* steps = ProgramOf(component);
    for (size_t i = 0; i < steps->Steps().size(); ++i) {
      ASSERT_OK_AND_ASSIGN(const BlockLease lease,
                           streamed.Lease(BlockPath(component, steps->Steps()[i])));
      steps->RunStep(i, sample.values);
    }
    REQUIRE(at::equal(ValueOf(sample.values, steps->Output().c_str()), want));
  }
}

TEST_CASE("A step of a program changes the values that it names and no others") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  ModelView view = TinyView(*env);
  REQUIRE_OK(view.LoadAll());
  for (Sample& sample : Samples()) {
    const BlockProgram* program = ProgramOf(*view.FindComponent(sample.component));
    for (std::string input : program->Inputs()) {
      if (input.back() == '?') input.pop_back();
      REQUIRE(sample.values.count(input) == 1);
    }
    size_t residual = 0;
    for (size_t i = 0; i < program->Steps().size(); ++i) {
      const BlockProgram::Step step = program->Steps()[i];
      CAPTURE(sample.component, i);
      const Values before = sample.values;
      program->RunStep(i, sample.values);
      for (const auto& [name, value] : sample.values) {
        const bool named =
            std::find(step.changes.begin(), step.changes.end(), name) != step.changes.end();
        const auto old = before.find(name);
        const bool changed = old == before.end() || !old->second.is_same(value);
        CAPTURE(name);
        REQUIRE(changed == named);
      }
      if (!step.residual) continue;
      ++residual;
      REQUIRE(sample.values.at("x").sizes() == before.at("x").sizes());
    }
    // Every block, once.
    size_t blocks = 0;
    for (const BlockInfo& block : view.blocks()) {
      blocks += block.path.rfind(sample.component + ".", 0) == 0 ? 1 : 0;
    }
    REQUIRE(residual == blocks);
  }
}

TEST_CASE("A program names the value that is missing") {
  const auto env = NewMemEnv();
  ModelView view = TinyView(*env);
  REQUIRE_OK(view.LoadAll());
  const BlockProgram* program = ProgramOf(*view.FindComponent("transformer"));
  REQUIRE_THROWS_WITH(program->Run({{"hidden_states", at::zeros({1, 4, 1, 2, 2})}}),
                      Catch::Contains("'timestep'"));
  Values nothing;
  REQUIRE_THROWS_WITH(program->RunStep(1, nothing), Catch::Contains("'x'"));
}

TEST_CASE("A component that declares no program has none") {
  Component plain;
  plain.module = std::make_shared<torch::nn::Module>("plain");
  REQUIRE(ProgramOf(plain) == nullptr);
}

}  // namespace
}  // namespace wanlite
