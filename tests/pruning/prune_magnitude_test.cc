// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_magnitude.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/magnitude.h"
#include "src/pruning/register.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_model.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::MakeToyModel;
using testing::MapSource;
using testing::PassResult;
using testing::RunBlockPass;
using testing::ToyComponent;
using testing::ToyModel;

PruneMagnitudeOptions Options(double amount, PruneMagnitudeOptions::Scope scope) {
  PruneMagnitudeOptions options;
  options.set_amount(amount);
  options.set_scope(scope);
  return options;
}

std::unique_ptr<Pass> MakePass(const PruneMagnitudeOptions& options) {
  auto pass = MakePruneMagnitude(options);
  REQUIRE_OK(pass);
  return *std::move(pass);
}

ModelView View(std::shared_ptr<ToyModel> model, const std::string& name = "toy") {
  auto view = ModelView::Create({ToyComponent(std::move(model), name)});
  REQUIRE_OK(view);
  return *std::move(view);
}

std::shared_ptr<const TensorSource> Golden() {
  auto source = OpenSafetensors(PosixEnv(), "tests/pruning/golden/prune_magnitude.safetensors");
  REQUIRE_OK(source);
  return *source;
}

at::Tensor Read(const TensorSource& source, const std::string& name) {
  auto tensor = source.Read(name);
  REQUIRE_OK(tensor);
  return *tensor;
}

// A toy model whose block linears hold the golden weights.
ModelView GoldenView(const TensorSource& golden, at::ScalarType dtype = at::kFloat) {
  ModelView view = View(MakeToyModel(), "");
  for (const LinearInfo& linear : std::vector<LinearInfo>(view.linears())) {
    if (linear.sensitive) continue;
    REQUIRE_OK(view.SetLinearWeight(
        linear.path,
        MakeDenseWeight(Read(golden, absl::StrCat(linear.path, ".weight")).to(dtype).clone())));
  }
  return view;
}

}  // namespace

TEST_CASE("prune-magnitude equals torch.nn.utils.prune, local and global") {
  const auto golden = Golden();
  for (const char* amount : {"0.0", "0.1", "0.3", "0.5", "0.9", "1.0"}) {
    for (const auto scope : {PruneMagnitudeOptions::LOCAL, PruneMagnitudeOptions::GLOBAL}) {
      ModelView view = GoldenView(*golden);
      const auto pass = MakePass(Options(std::stod(amount), scope));
      ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*pass, view));
      const char* prefix = scope == PruneMagnitudeOptions::LOCAL ? "local" : "global";
      for (const char* name : {"blocks.0.up", "blocks.0.gate", "blocks.0.down", "blocks.1.up",
                               "blocks.1.gate", "blocks.1.down"}) {
        INFO(prefix << " " << amount << " " << name);
        CHECK(at::equal(result.tensors.at(absl::StrCat(name, ".weight")),
                        Read(*golden, absl::StrCat(prefix, ".", amount, ".", name))));
      }
    }
  }
}

TEST_CASE("the number of zeros is Python's round of amount times count") {
  const at::Tensor counts = Read(*Golden(), "counts");
  for (int64_t i = 0; i < counts.size(0); ++i) {
    const auto row = counts[i];
    CHECK(CountToPrune(row[0].item<double>(), static_cast<int64_t>(row[1].item<double>())) ==
          static_cast<int64_t>(row[2].item<double>()));
  }
}

TEST_CASE("prune-magnitude keeps dtypes, biases, norms and the layers it does not select") {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    ModelView view = View(MakeToyModel());
    REQUIRE_OK(view.Cast(dtype));
    std::map<std::string, at::Tensor> before;
    for (const NamedTensor& named : view.Tensors()) before[named.name] = named.tensor.clone();
    const std::string structure = DumpModel(view);
    auto options = Options(0.5, PruneMagnitudeOptions::LOCAL);
    options.mutable_linears()->add_exclude("*.gate");
    ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*MakePass(options), view));
    CHECK(DumpModel(view) == structure);
    for (const auto& [name, tensor] : result.tensors) {
      const bool pruned = name.ends_with("up.weight") || name.ends_with("down.weight");
      INFO(name);
      if (pruned) {
        CHECK((tensor == 0).sum().item<int64_t>() == tensor.numel() / 2);
        CHECK(at::equal(tensor, before[name] * (tensor != 0)));
      } else {
        CHECK(at::equal(tensor, before[name]));
      }
    }
    CHECK(result.metrics.at("weights") == 4 * 96);
    CHECK(result.metrics.at("zero_weights") == 2 * 96);
    CHECK(result.metrics.at("zero_fraction") == 0.5);
  }
}

TEST_CASE("a streamed model is pruned to the same weights as one in memory") {
  for (const auto scope : {PruneMagnitudeOptions::LOCAL, PruneMagnitudeOptions::GLOBAL}) {
    const auto pass = MakePass(Options(0.37, scope));
    ModelView in_memory = View(MakeToyModel(9));
    const auto source = std::make_shared<MapSource>(in_memory.Tensors());
    ASSERT_OK_AND_ASSIGN(const PassResult expected, RunBlockPass(*pass, in_memory));

    std::shared_ptr<ToyModel> hollow_model;
    {
      nn::HollowGuard hollow;
      hollow_model = std::make_shared<ToyModel>();
    }
    ModelView streamed = View(hollow_model);
    streamed.AttachSource(source);
    ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*pass, streamed));
    REQUIRE(result.tensors.size() == expected.tensors.size());
    for (const auto& [name, tensor] : expected.tensors) {
      INFO(name);
      CHECK(at::equal(tensor, result.tensors.at(name)));
    }
    CHECK(result.metrics == expected.metrics);
  }
}

TEST_CASE("global pruning counts exactly, ties included, for each component on its own") {
  // Weights of few distinct values, bf16: the threshold is a tie that crosses layers.
  auto first = MakeToyModel(1), second = MakeToyModel(2);
  {
    at::NoGradGuard no_grad;
    for (auto& p : first->parameters()) p.mul_(4).round_();
    for (auto& p : second->parameters()) p.mul_(40).round_();
  }
  auto view = ModelView::Create({ToyComponent(first, "a"), ToyComponent(second, "b")});
  REQUIRE_OK(view);
  REQUIRE_OK(view->Cast(at::kBFloat16));
  std::map<std::string, int64_t> zeros_before, zeros;
  ASSERT_OK_AND_ASSIGN(const PassResult result,
                       RunBlockPass(*MakePass(Options(0.6, PruneMagnitudeOptions::GLOBAL)), *view));
  for (const auto& [name, tensor] : result.tensors) {
    if (name.find("blocks") == std::string::npos || !name.ends_with("weight")) continue;
    zeros[name.substr(0, 1)] += (tensor == 0).sum().item<int64_t>();
  }
  const int64_t expected = CountToPrune(0.6, 6 * 96);
  CHECK(zeros["a"] == expected);
  CHECK(zeros["b"] == expected);
  CHECK(result.metrics.at("zero_weights") == 2 * expected);
}

TEST_CASE("the plan of prune-magnitude comes from shapes and equals its effect") {
  std::shared_ptr<ToyModel> hollow_model;
  {
    nn::HollowGuard hollow;
    hollow_model = std::make_shared<ToyModel>();
  }
  const ModelView hollow = View(hollow_model);
  auto options = Options(0.3, PruneMagnitudeOptions::LOCAL);
  options.mutable_linears()->add_include("toy.blocks.*");
  const auto pass = MakePass(options);
  ASSERT_OK_AND_ASSIGN(const PassNotes plan, pass->Plan(hollow));
  REQUIRE(plan.value_changes.size() == 6);
  CHECK(plan.value_changes[0].second == "29 of 96 weights to zero (30 %)");
  CHECK(plan.exact);
  REQUIRE(plan.notes.size() == 1);
  CHECK_THAT(plan.notes[0], Contains("save no time"));

  ModelView real = View(MakeToyModel());
  ASSERT_OK_AND_ASSIGN(const PassResult result, RunBlockPass(*pass, real));
  for (const auto& [path, what] : plan.value_changes) {
    const at::Tensor weight = result.tensors.at(path + ".weight");
    CHECK((weight == 0).sum().item<int64_t>() == 29);
  }
  CHECK(DumpModel(real) == DumpModel(hollow));
}

TEST_CASE("bad options of prune-magnitude name the field and the value") {
  for (const double amount : {-0.1, 1.5, std::nan(""), HUGE_VAL}) {
    const auto pass = MakePruneMagnitude(Options(amount, PruneMagnitudeOptions::LOCAL));
    CHECK(pass.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(pass.status().message()),
               Contains("amount") && Contains("is not in [0, 1]"));
  }
  CHECK_THAT(std::string(MakePruneMagnitude({}).status().message()),
             Contains("amount: is missing"));
  PassRegistry registry;
  REQUIRE_OK(RegisterPruningPasses(registry));
  REQUIRE_OK(registry.Build(Options(0.1, PruneMagnitudeOptions::GLOBAL)));
}

TEST_CASE("patterns that fit nothing, quantized layers and NaN are refused by name") {
  auto options = Options(0.5, PruneMagnitudeOptions::LOCAL);
  options.mutable_linears()->add_include("toy.blocks.*");
  options.mutable_linears()->add_include("toy.block.0.*");
  ModelView view = View(MakeToyModel());
  auto plan = MakePass(options)->Plan(view);
  CHECK(plan.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(plan.status().message()),
             Contains("linears.include[1]") && Contains("\"toy.block.0.*\" fits no linear layer"));

  options = Options(0.5, PruneMagnitudeOptions::LOCAL);
  options.mutable_linears()->add_exclude("*");
  CHECK_THAT(std::string(MakePass(options)->Plan(view).status().message()),
             Contains("no linear layer is selected"));

  for (const auto scope : {PruneMagnitudeOptions::LOCAL, PruneMagnitudeOptions::GLOBAL}) {
    auto model = MakeToyModel();
    {
      at::NoGradGuard no_grad;
      model->blocks[1]->down->weight().State()[0].tensor[3][4] = std::nan("");
    }
    ModelView nan_view = View(model);
    const auto result = RunBlockPass(*MakePass(Options(0.5, scope)), nan_view);
    CHECK(result.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(result.status().message()),
               Contains("toy.blocks.1.down.weight holds a NaN"));
  }

  ASSERT_OK_AND_ASSIGN(auto quantized, MakeInt8Weight(at::randn({12, 8}), 0));
  REQUIRE_OK(view.SetLinearWeight("toy.blocks.0.up", std::move(quantized)));
  plan = MakePass(Options(0.5, PruneMagnitudeOptions::LOCAL))->Plan(view);
  CHECK(plan.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(plan.status().message()), Contains("toy.blocks.0.up") && Contains("int8"));
}

TEST_CASE("prune-magnitude stops when it is cancelled") {
  CancellationToken cancel;
  cancel.Cancel();
  for (const auto scope : {PruneMagnitudeOptions::LOCAL, PruneMagnitudeOptions::GLOBAL}) {
    ModelView view = View(MakeToyModel());
    CHECK(RunBlockPass(*MakePass(Options(0.5, scope)), view, &cancel).status().code() ==
          absl::StatusCode::kCancelled);
  }
}

TEST_CASE("GLOBAL reads the weights for its decision and no more when it is there") {
  const auto pass = MakePass(Options(0.4, PruneMagnitudeOptions::GLOBAL));
  ModelView in_memory = View(MakeToyModel(9));
  const auto source = std::make_shared<MapSource>(in_memory.Tensors());
  std::shared_ptr<ToyModel> hollow_model;
  {
    nn::HollowGuard hollow;
    hollow_model = std::make_shared<ToyModel>();
  }
  ModelView streamed = View(hollow_model);
  streamed.AttachSource(source);
  PassContext context;
  ASSERT_OK_AND_ASSIGN(const auto decision, pass->Decide(streamed, context));
  REQUIRE(decision != nullptr);
  CHECK(static_cast<const PruneMagnitudeDecision&>(*decision).rules_size() == 6);
  // Two blocks of six tensors, twice.
  CHECK(source->reads == 2 * 2 * 6);
  const auto& block_pass = dynamic_cast<const BlockPass&>(*pass);
  CHECK_FALSE(block_pass.Touches(streamed, "toy"));
  CHECK(block_pass.Touches(streamed, "toy.blocks.1"));
  ASSERT_OK_AND_ASSIGN(const BlockLease lease, streamed.Lease("toy.blocks.1"));
  REQUIRE_OK(block_pass.RunBlock(streamed, lease, decision.get(), context));
  CHECK(source->reads == 2 * 2 * 6 + 6);
  CHECK(block_pass.RunBlock(streamed, lease, nullptr, context).code() ==
        absl::StatusCode::kInternal);
}

}  // namespace wanlite
