// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/network_gradients.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/search/gated_weight.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/tiny_wan.h"
#include "tests/testing/toy_model.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/sample_set.h"
#include "wanlite/select_linears.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using testing::MapSource;
using testing::ToyComponent;
using testing::ToyModel;

using GradientsOf = std::map<std::string, std::vector<at::Tensor>>;  // by layer, of each pass

std::set<std::string> AllLinears(const ModelView& view, const std::string& component) {
  std::set<std::string> linears;
  for (const LinearInfo& linear : view.linears()) {
    if (view.ComponentOf(linear.path).name == component) linears.insert(linear.path);
  }
  return linears;
}

at::Tensor LossOf(const at::Tensor& output) { return (output - 0.5).square().mean(); }

// By the gradients of the weights of the whole model, since a gate multiplies their columns.
GradientsOf WholeGradients(ModelView& view, const std::string& component,
                           const std::vector<Values>& inputs,
                           const NetworkGradients::Gates& gates) {
  GradientsOf found;
  const at::AutoGradMode with_gradients(true);
  for (size_t pass = 0; pass < inputs.size(); ++pass) {
    std::map<std::string, at::Tensor> originals, gated;
    for (const std::string& linear : AllLinears(view, component)) {
      ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, DenseWeightOf(view, linear));
      originals[linear] = weight->dense()->detach().clone();
      at::Tensor columns = originals[linear];
      if (gates) columns = columns * gates(pass, linear).to(at::kFloat);
      REQUIRE_OK(view.SetLinearWeight(linear, MakeDenseWeight(columns.clone())));
      ASSERT_OK_AND_ASSIGN(weight, DenseWeightOf(view, linear));
      gated[linear] = *weight->dense();
    }
    LossOf(ProgramOf(*view.FindComponent(component))->Run(inputs[pass])).backward();
    for (const auto& [linear, weight] : gated) {
      if (weight.grad().defined()) {
        found[linear].push_back((originals[linear] * weight.grad()).to(at::kDouble).sum(0));
      }
      REQUIRE_OK(view.SetLinearWeight(linear, MakeDenseWeight(originals[linear])));
    }
  }
  return found;
}

struct GradientSetUp {
  std::unique_ptr<Env> env = NewMemEnv();
  PassContext Context(const SampleSet& samples) const {
    PassContext context;
    context.env = env.get();
    context.samples = &samples;
    context.scratch = "/scratch";
    return context;
  }
};

absl::StatusOr<GradientsOf> BlockGradients(ModelView& view, const PassContext& context,
                                           const std::string& component,
                                           const NetworkGradients::Gates& gates,
                                           std::set<std::string> linears = {}) {
  std::vector<int64_t> passes;
  for (int64_t i = 0; i < context.samples->size(component); ++i) passes.push_back(i);
  if (linears.empty()) linears = AllLinears(view, component);
  WANLITE_ASSIGN_OR_RETURN(const auto network,
                           NetworkGradients::Create(view, context, component, passes, linears));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<at::Tensor> outputs, network->Forward(gates));
  std::vector<at::Tensor> into;
  for (const at::Tensor& output : outputs) {
    const at::Tensor leaf = output.detach().set_requires_grad(true);
    LossOf(leaf).backward();
    into.push_back(leaf.grad());
  }
  GradientsOf found;
  WANLITE_RETURN_IF_ERROR(network->Backward(
      gates, into, [&](size_t pass, const std::string& linear, const at::Tensor& gradient) {
        found[linear].resize(std::max(found[linear].size(), pass + 1));
        found[linear][pass] = gradient;
        return absl::OkStatus();
      }));
  WANLITE_RETURN_IF_ERROR(network->Remove());
  return found;
}

void CheckSame(const GradientsOf& found, const GradientsOf& wanted, double tolerance = 1e-5) {
  REQUIRE(found.size() == wanted.size());
  for (const auto& [linear, passes] : wanted) {
    INFO(linear);
    REQUIRE(found.count(linear) == 1);
    REQUIRE(found.at(linear).size() == passes.size());
    for (size_t i = 0; i < passes.size(); ++i) {
      const at::Tensor& own = found.at(linear)[i];
      REQUIRE(own.defined());
      CHECK((own - passes[i]).abs().max().item<double>() <=
            tolerance * (passes[i].abs().max().item<double>() + 1e-6));
    }
  }
}

NetworkGradients::Gates SomeGates(const ModelView& view, uint64_t seed) {
  auto drawn = std::make_shared<std::map<std::pair<size_t, std::string>, at::Tensor>>();
  auto generator = std::make_shared<at::Generator>(at::detail::createCPUGenerator(seed));
  return [&view, drawn, generator](size_t pass, const std::string& linear) {
    at::Tensor& gate = (*drawn)[{pass, linear}];
    if (!gate.defined()) {
      ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear));
      gate = 1 + 0.2 * at::randn({weight->in_features()}, *generator, at::kDouble);
    }
    return gate;
  };
}

TEST_CASE("gradients of gates, block by block, are those of the whole model") {
  const auto [width, hidden, layers, streamed] =
      GENERATE(std::tuple(8, 12, 2, false), std::tuple(5, 3, 4, true), std::tuple(1, 7, 1, true));
  const GradientSetUp setup;
  auto model = std::make_shared<ToyModel>(width, hidden, layers);
  model->Randomize(static_cast<uint64_t>(width));
  ASSERT_OK_AND_ASSIGN(ModelView whole, ModelView::Create({ToyComponent(model)}));
  std::vector<Values> inputs;
  for (int64_t i = 0; i < 3; ++i) {
    inputs.push_back({{"input", at::randn({4 + i, 4}, at::detail::createCPUGenerator(i))}});
  }
  const SampleSet samples = testing::WriteSampleSet(*setup.env, "/samples", "toy", inputs);
  auto source = std::make_shared<MapSource>(whole.Tensors());
  std::shared_ptr<ToyModel> hollow = model;
  if (streamed) {
    const nn::HollowGuard guard;
    hollow = std::make_shared<ToyModel>(width, hidden, layers);
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(hollow)}));
  if (streamed) view.AttachSource(source);
  const bool gated = GENERATE(false, true);
  const NetworkGradients::Gates gates =
      gated ? SomeGates(whole, 7) : NetworkGradients::Gates(nullptr);

  ASSERT_OK_AND_ASSIGN(const GradientsOf found,
                       BlockGradients(view, setup.Context(samples), "toy", gates));
  CHECK_FALSE(setup.env->FolderExists("/scratch/gradients-toy"));
  if (streamed) CHECK(nn::IsHollow(hollow->head->weight().State().front().tensor));
  CheckSame(found, WholeGradients(whole, "toy", inputs, gates));

  // What is asked of some layers alone, in the middle.
  if (layers < 2) return;
  const std::string down = "toy.blocks.1.down";
  ASSERT_OK_AND_ASSIGN(const GradientsOf one,
                       BlockGradients(view, setup.Context(samples), "toy", nullptr, {down}));
  CheckSame(one, {{down, WholeGradients(whole, "toy", inputs, nullptr).at(down)}});
}

TEST_CASE("gradients of gates of a Wan model, in fp32 whatever it is stored in") {
  const GradientSetUp setup;
  testing::TinyWanOptions tiny;
  tiny.layers = 2;
  REQUIRE_OK(testing::WriteTinyWan(*setup.env, "/model", tiny));
  std::vector<Values> inputs;
  at::Generator generator = at::detail::createCPUGenerator(3);
  for (int64_t i = 0; i < 2; ++i) {
    inputs.push_back({{"hidden_states", at::randn({1, 4, 1 + i, 4, 6}, generator)},
                      {"timestep", at::full({1}, 900 - 300 * i, at::kLong)},
                      {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}});
  }
  const SampleSet samples = testing::WriteSampleSet(*setup.env, "/samples", "transformer", inputs);
  const auto open = [&] {
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*setup.env, "/model", {}, BuiltinArchitectures()));
    ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
    return view;
  };
  const bool bf16 = GENERATE(false, true);
  const bool whole_in_memory = bf16 || GENERATE(false, true);
  ModelView view = open(), whole = open();
  REQUIRE_OK(whole.LoadAll());
  if (whole_in_memory) REQUIRE_OK(view.LoadAll());
  if (bf16) {
    REQUIRE_OK(view.Cast(at::kBFloat16));
    REQUIRE_OK(whole.Cast(at::kBFloat16));
    REQUIRE_OK(whole.Cast(at::kFloat));
  }
  const NetworkGradients::Gates gates = SomeGates(whole, 11);
  ASSERT_OK_AND_ASSIGN(const GradientsOf found,
                       BlockGradients(view, setup.Context(samples), "transformer", gates));
  CheckSame(found, WholeGradients(whole, "transformer", inputs, gates));
  CHECK(found.count("transformer.head.head") == 1);
  CHECK(found.count("transformer.text_embedding.0") == 1);
  if (bf16) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight("transformer.blocks.0.ffn.0"));
    CHECK(weight->dense()->scalar_type() == at::kBFloat16);
  }
}

TEST_CASE("gradients through other formats are those of the matrices they stand for") {
  const GradientSetUp setup;
  auto model = testing::MakeToyModel(4);
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  std::vector<Values> inputs{{{"input", at::randn({5, 4}, at::detail::createCPUGenerator(1))}}};
  const SampleSet samples = testing::WriteSampleSet(*setup.env, "/samples", "toy", inputs);
  ASSERT_OK_AND_ASSIGN(const GradientsOf wanted,
                       BlockGradients(view, setup.Context(samples), "toy", nullptr));
  // All layers with a mask that hides nothing.
  std::map<std::string, std::unique_ptr<LinearWeight>> masked;
  for (const std::string& linear : AllLinears(view, "toy")) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear));
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> base, weight->Share());
    ASSERT_OK_AND_ASSIGN(
        masked[linear],
        MakeMaskedWeight(std::move(base),
                         at::ones({weight->out_features(), weight->in_features()}, at::kBool)));
  }
  ASSERT_OK_AND_ASSIGN(const Trial::Undo unmask, ExchangeWeights(view, std::move(masked)));
  ASSERT_OK_AND_ASSIGN(const GradientsOf through,
                       BlockGradients(view, setup.Context(samples), "toy", nullptr));
  CheckSame(through, wanted);
  CHECK((*view.Weight("toy.head"))->format() == "masked");
  REQUIRE_OK(unmask());
  CHECK((*view.Weight("toy.head"))->dense() != nullptr);
  // The format of a trial cannot be wrapped.
  std::vector<std::string> linears = {"toy.blocks.0.up", "toy.blocks.1.down"};
  std::map<std::string, LayerGates> ones;
  for (const std::string& linear : linears) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear));
    ones[linear] = {std::make_shared<at::Tensor>(at::ones({weight->in_features()}))};
  }
  ASSERT_OK_AND_ASSIGN(const Trial::Undo undo, GateLayers(view, ones));
  CHECK((*view.Weight(linears[0]))->format() == "gated");
  // That is said of the layer, and nothing is left changed.
  const absl::Status refused =
      BlockGradients(view, setup.Context(samples), "toy", nullptr).status();
  CHECK(absl::IsInvalidArgument(refused));
  CHECK(std::string(refused.message()).find("toy.blocks.1.down") != std::string::npos);
  CHECK((*view.Weight(linears[0]))->format() == "gated");
  REQUIRE_OK(undo());
  CHECK((*view.Weight(linears[0]))->dense() != nullptr);
  ASSERT_OK_AND_ASSIGN(const GradientsOf again,
                       BlockGradients(view, setup.Context(samples), "toy", nullptr));
  CheckSame(again, wanted, 0);
}

TEST_CASE("gradients that are cancelled, or asked of a network without a program") {
  const GradientSetUp setup;
  auto model = testing::MakeToyModel(4);
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  const SampleSet samples =
      testing::WriteSampleSet(*setup.env, "/samples", "toy", {{{"input", at::ones({2, 4})}}});
  PassContext context = setup.Context(samples);
  CancellationToken cancel;
  context.cancel = &cancel;
  cancel.Cancel();
  CHECK(absl::IsCancelled(BlockGradients(view, context, "toy", nullptr).status()));
  // What it left is removed by the next one.
  context.cancel = nullptr;
  CHECK(setup.env->FolderExists("/scratch/gradients-toy"));
  REQUIRE_OK(BlockGradients(view, context, "toy", nullptr));
  CHECK_FALSE(setup.env->FolderExists("/scratch/gradients-toy"));
  CHECK(absl::IsFailedPrecondition(
      NetworkGradients::Create(view, context, "other", {}, {}).status()));
  context.scratch.clear();
  CHECK(
      absl::IsFailedPrecondition(NetworkGradients::Create(view, context, "toy", {}, {}).status()));
}

}  // namespace
}  // namespace wanlite
