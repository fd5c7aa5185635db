// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_weights.h"

#include <cmath>

#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/proto/quant.pb.h"
#include "src/quant/register.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::MakeToyModel;
using testing::MapSource;
using testing::PassResult;
using testing::RunBlockPass;
using testing::ToyComponent;
using testing::ToyModel;

std::unique_ptr<Pass> MakePass(const QuantizeInt8Options& options) {
  auto pass = MakeQuantizeInt8(options);
  REQUIRE_OK(pass);
  return *std::move(pass);
}

ModelView View(std::shared_ptr<ToyModel> model) {
  auto view = ModelView::Create({ToyComponent(std::move(model))});
  REQUIRE_OK(view);
  return *std::move(view);
}

std::shared_ptr<ToyModel> Hollow(int64_t width = 8, int64_t hidden = 12) {
  nn::HollowGuard hollow;
  return std::make_shared<ToyModel>(width, hidden);
}

QuantizeInt8Options ConvRot(std::optional<int64_t> group = std::nullopt) {
  QuantizeInt8Options options;
  options.set_rotation(QuantizeInt8Options::CONVROT);
  if (group.has_value()) options.set_rotation_group(*group);
  return options;
}

}  // namespace

TEST_CASE("quantize-int8 changes the blocks' linears and nothing else") {
  auto model = MakeToyModel();
  ModelView view = View(model);
  std::map<std::string, at::Tensor> before;
  for (const NamedTensor& named : view.Tensors()) before[named.name] = named.tensor.clone();
  const at::Tensor x = at::randn({5, 4}, at::detail::createCPUGenerator(3));
  at::NoGradGuard no_grad;
  const at::Tensor y = model->forward(x);
  ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*MakePass({}), view));
  for (const LinearInfo& linear : view.linears()) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear.path));
    INFO(linear.path);
    CHECK(std::string(weight->format()) == (linear.sensitive ? "dense" : "int8"));
  }
  for (const auto& [name, tensor] : result.tensors) {
    if (tensor.scalar_type() == at::kChar || name.ends_with("weight_scale")) continue;
    INFO(name);
    CHECK(at::equal(tensor, before.at(name)));
  }
  CHECK(result.metrics.at("quantized_layers") == 6);
  CHECK(result.metrics.at("quantized_weights") == 6 * 96);
  CHECK(result.metrics.at("mean_relative_error") > 0.001);
  CHECK(result.metrics.at("mean_relative_error") < 0.01);
  CHECK(result.metrics.count("sum_relative_error") == 0);
  const double error = (model->forward(x) - y).norm().item<double>() / y.norm().item<double>();
  CHECK(error < 0.03);
  CHECK(error > 0);
}

TEST_CASE("the plan of quantize-int8 equals its effect, on a hollow model too") {
  QuantizeInt8Options all = ConvRot(16);
  all.mutable_linears()->add_include("*");
  all.mutable_linears()->add_exclude("toy.head");
  for (const QuantizeInt8Options& options : {QuantizeInt8Options(), ConvRot(), all}) {
    const auto pass = MakePass(options);
    ModelView hollow = View(Hollow());
    REQUIRE_OK(pass->Plan(hollow));
    REQUIRE_OK(pass->ApplyPlan(hollow, nullptr));
    ModelView real = View(MakeToyModel());
    ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*pass, real));
    CHECK(DumpModel(hollow) == DumpModel(real));
    int64_t quantized = 0;
    for (const LinearInfo& linear : hollow.linears()) {
      quantized += (*hollow.Weight(linear.path))->format() == "int8";
    }
    CHECK(quantized == static_cast<int64_t>(result.metrics.at("quantized_layers")));
  }
}

TEST_CASE(
    "layers that the rotation group does not divide take a smaller one, and the plan says so") {
  // up and gate take 64 features, down takes 24, embed 4.
  const auto pass = MakePass(ConvRot());
  ModelView view = View(Hollow(64, 24));
  ASSERT_OK_AND_ASSIGN(const PassNotes plan, pass->Plan(view));
  REQUIRE(plan.notes.size() == 1);
  CHECK_THAT(plan.notes[0], Contains("6 layers are rotated in smaller groups"));
  REQUIRE_OK(pass->ApplyPlan(view, nullptr));
  CHECK_THAT((*view.Weight("toy.blocks.0.up"))->attributes(), Contains(":64"));
  CHECK_THAT((*view.Weight("toy.blocks.0.down"))->attributes(), Contains(":4"));
  ModelView odd = View(Hollow(7, 16));
  ASSERT_OK_AND_ASSIGN(const PassNotes odd_plan, pass->Plan(odd));
  CHECK_THAT(odd_plan.notes[1], Contains("4 layers are not rotated"));
  REQUIRE_OK(pass->ApplyPlan(odd, nullptr));
  CHECK((*odd.Weight("toy.blocks.0.up"))->attributes() == "{}");
}

TEST_CASE("a streamed model is quantized to the same bytes, one block at a time") {
  const auto pass = MakePass(ConvRot(4));
  ModelView in_memory = View(MakeToyModel(4));
  const auto source = std::make_shared<MapSource>(in_memory.Tensors());
  ASSERT_OK_AND_ASSIGN(const PassResult expected, RunBlockPass(*pass, in_memory));
  ModelView streamed = View(Hollow());
  streamed.AttachSource(source);
  ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*pass, streamed));
  CHECK(result.metrics == expected.metrics);
  for (const auto& [name, tensor] : expected.tensors) {
    INFO(name);
    CHECK(at::equal(tensor, result.tensors.at(name)));
  }
  CHECK(DumpModel(streamed) == DumpModel(in_memory));
  // Every tensor was read once, and nothing stays behind.
  CHECK(source->reads == static_cast<int64_t>(source->tensors().size()));
  for (const NamedTensor& named : streamed.Tensors()) CHECK(nn::IsHollow(named.tensor));
}

TEST_CASE("options of quantize-int8 are resolved, and bad ones refused by field") {
  const auto resolved = MakePass(ConvRot());
  CHECK(static_cast<const QuantizeInt8Options&>(resolved->options()).rotation_group() == 256);
  CHECK_FALSE(
      static_cast<const QuantizeInt8Options&>(MakePass({})->options()).has_rotation_group());
  for (int64_t group : {0, -4, 8, 2, 4096}) {
    const auto pass = MakeQuantizeInt8(ConvRot(group));
    CHECK(pass.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(pass.status().message()),
               Contains("rotation_group") && Contains(std::to_string(group)));
  }
  QuantizeInt8Options options;
  options.set_rotation_group(256);
  CHECK_THAT(std::string(MakeQuantizeInt8(options).status().message()),
             Contains("set rotation: CONVROT"));
  PassRegistry registry;
  REQUIRE_OK(RegisterQuantPasses(registry));
  ASSERT_OK_AND_ASSIGN(const auto pass, registry.Build(ConvRot()));
  CHECK(std::string(pass->name()) == "quantize-int8");
}

TEST_CASE("layers that cannot be quantized are refused by name") {
  auto model = MakeToyModel();
  {
    at::NoGradGuard no_grad;
    model->blocks[1]->gate->weight().State()[0].tensor[2][5] = std::nan("");
  }
  ModelView view = View(model);
  const auto nan = RunBlockPass(*MakePass({}), view);
  CHECK(nan.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(nan.status().message()),
             Contains("toy.blocks.1.gate.weight") && Contains("row 2"));

  ModelView twice = View(MakeToyModel());
  REQUIRE_OK(RunBlockPass(*MakePass({}), twice));
  CHECK_THAT(std::string(MakePass({})->Plan(twice).status().message()),
             Contains("toy.blocks.0.up") && Contains("format int8"));
  QuantizeInt8Options options;
  options.mutable_linears()->add_include("*.ffn.*");
  CHECK_THAT(std::string(MakePass(options)->Plan(twice).status().message()),
             Contains("linears.include[0]") && Contains("*.ffn.*"));
}

}  // namespace wanlite
