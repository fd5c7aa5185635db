// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/model_view.h"

#include <torch/torch.h>

#include "src/model/dump.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

using testing::MakeToyModel;
using testing::MapSource;
using testing::ToyComponent;
using testing::ToyModel;

at::Tensor Input() {
  return at::randn({5, 4}, at::detail::createCPUGenerator(3));
}

}  // namespace

TEST_CASE("a view lists blocks, linears, groups and tensors by full path") {
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(MakeToyModel())}));
  std::vector<std::string> blocks;
  for (const BlockInfo& block : view.blocks()) blocks.push_back(block.path);
  CHECK(blocks == std::vector<std::string>{"toy", "toy.blocks.0", "toy.blocks.1"});
  REQUIRE(view.linears().size() == 8);
  CHECK(view.linears()[0].path == "toy.embed");
  CHECK(view.linears()[0].sensitive);
  CHECK(view.linears()[0].block == "toy");
  CHECK(view.FindLinear("toy.blocks.1.down")->kind == "mlp.down");
  CHECK(view.FindLinear("toy.blocks.1.down")->block == "toy.blocks.1");
  CHECK(view.FindLinear("toy.blocks.1.norm") == nullptr);
  CHECK(view.groups().size() == 2);
  CHECK(view.groups()[1].block == "toy.blocks.1");
  CHECK(view.BlockTensors("toy.blocks.0").size() == 6);
  CHECK(view.BlockTensors("toy").size() == 4);
  CHECK(DumpModel(view).find("toy.blocks.0.up.weight fp32 [12, 8]\n") != std::string::npos);
}

TEST_CASE("a lone component may have no name") {
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model, "")}));
  CHECK(view.blocks()[0].path == "root");
  CHECK(view.BlockTensors("root").size() == 4);
  CHECK(view.FindLinear("blocks.0.up") != nullptr);
  CHECK_FALSE(ModelView::Create({ToyComponent(model, ""), ToyComponent(model, "b")}).ok());
}

TEST_CASE("wrong declarations are refused by name") {
  struct Wrong : torch::nn::Module, nn::Describable {
    void Describe(TopologyBuilder& topology) const override {
      topology.Linear("ghost", "x", TokenStream::kVideo);
    }
  };
  const auto view =
      ModelView::Create({{"m", ComponentRole::kOther, "Wrong", "{}", std::make_shared<Wrong>()}});
  REQUIRE_FALSE(view.ok());
  CHECK(std::string(view.status().message()).find("m.ghost") != std::string::npos);
}

TEST_CASE("a pruned model equals the masked one") {
  const uint64_t seed = GENERATE(1, 2, 3, 4, 5);
  auto pruned = MakeToyModel(seed);
  auto masked = MakeToyModel(seed);
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(pruned)}));
  at::Generator generator = at::detail::createCPUGenerator(seed);
  for (size_t b = 0; b < 2; ++b) {
    const int64_t kept = 1 + static_cast<int64_t>(seed * (b + 1)) % 11;
    const at::Tensor keep =
        std::get<0>(at::randperm(12, generator, at::kLong).slice(0, 0, kept).sort());
    at::NoGradGuard no_grad;
    at::Tensor mask = at::zeros({12});
    mask.index_fill_(0, keep, 1);
    auto& block = *masked->blocks[b];
    block.up->weight().State()[0].tensor.mul_(mask.unsqueeze(1));
    block.up->bias()->mul_(mask);
    block.gate->weight().State()[0].tensor.mul_(mask.unsqueeze(1));
    block.down->weight().State()[0].tensor.mul_(mask.unsqueeze(0));
    REQUIRE_OK(view.KeepUnits(absl::StrCat("toy.blocks.", b, ".channels"), keep));
    CHECK(pruned->blocks[b]->up->out_features() == kept);
    CHECK(pruned->blocks[b]->down->in_features() == kept);
  }
  const at::Tensor want = masked->forward(Input());
  const at::Tensor got = pruned->forward(Input());
  CHECK((want - got).norm().item<double>() <= 1e-5 * want.norm().item<double>());
}

TEST_CASE("KeepUnits checks its input and changes nothing on an error") {
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(MakeToyModel())}));
  const std::string before = DumpModel(view);
  const auto keep = [](std::vector<int64_t> units) { return at::tensor(units, at::kLong); };
  CHECK_FALSE(view.KeepUnits("toy.blocks.0.ghost", keep({0})).ok());
  CHECK_FALSE(view.KeepUnits("toy.blocks.0.channels", keep({3, 2})).ok());
  CHECK_FALSE(view.KeepUnits("toy.blocks.0.channels", keep({2, 2})).ok());
  CHECK_FALSE(view.KeepUnits("toy.blocks.0.channels", keep({12})).ok());
  CHECK_FALSE(view.KeepUnits("toy.blocks.0.channels", at::empty({0}, at::kLong)).ok());
  CHECK_FALSE(view.KeepUnits("toy.blocks.0.channels", at::zeros({1})).ok());
  CHECK(DumpModel(view) == before);
}

TEST_CASE("exchanged weights are used by forward and seen by parameters()") {
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  REQUIRE_OK(view.SetLinearWeight("toy.head", MakeDenseWeight(at::zeros({3, 8}))));
  const at::Tensor out = model->forward(Input());
  CHECK(out.allclose(model->head->bias()->detach().expand({5, 3})));
  CHECK(model->named_parameters()["head.weight"].abs().sum().item<double>() == 0);
  const auto wrong = view.SetLinearWeight("toy.head", MakeDenseWeight(at::zeros({3, 7})));
  CHECK_FALSE(wrong.ok());
  CHECK(std::string(wrong.message()).find("toy.head") != std::string::npos);
  CHECK(model->head->in_features() == 8);
}

TEST_CASE("a hollow model has shapes but no memory, and a lease fills one block") {
  auto full = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView full_view, ModelView::Create({ToyComponent(full)}));
  std::shared_ptr<ToyModel> hollow;
  {
    nn::HollowGuard guard;
    hollow = std::make_shared<ToyModel>();
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(hollow)}));
  CHECK(DumpModel(view) == DumpModel(full_view));
  CHECK(view.Fingerprint() == full_view.Fingerprint());
  for (const NamedTensor& named : view.Tensors()) CHECK(nn::IsHollow(named.tensor));
  view.AttachSource(std::make_shared<MapSource>(full_view.Tensors()));
  CHECK(view.streaming());
  {
    ASSERT_OK_AND_ASSIGN(BlockLease lease, view.Lease("toy.blocks.1"));
    CHECK_FALSE(view.Lease("toy.blocks.1").ok());
    for (const NamedTensor& named : lease.State()) {
      CHECK(named.tensor.equal(*full_view.FindTensor(named.name)));
    }
    CHECK(nn::IsHollow(*view.FindTensor("toy.blocks.0.up.weight")));
    REQUIRE_OK(view.KeepUnits("toy.blocks.1.channels", at::arange(5, at::kLong)));
  }
  CHECK(nn::IsHollow(*view.FindTensor("toy.blocks.1.up.weight")));
  CHECK(view.FindTensor("toy.blocks.1.up.weight")->size(0) == 5);
}

TEST_CASE("LoadAll makes a hollow model the one its source holds") {
  auto full = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView full_view, ModelView::Create({ToyComponent(full)}));
  std::shared_ptr<ToyModel> hollow;
  {
    nn::HollowGuard guard;
    hollow = std::make_shared<ToyModel>();
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(hollow)}));
  view.AttachSource(std::make_shared<MapSource>(full_view.Tensors()));
  REQUIRE_OK(view.LoadAll());
  CHECK_FALSE(view.streaming());
  CHECK(hollow->forward(Input()).equal(full->forward(Input())));
}

TEST_CASE("structural edits of a hollow model give the shapes of the real ones") {
  ASSERT_OK_AND_ASSIGN(ModelView real, ModelView::Create({ToyComponent(MakeToyModel())}));
  std::shared_ptr<ToyModel> model;
  {
    nn::HollowGuard guard;
    model = std::make_shared<ToyModel>();
  }
  ASSERT_OK_AND_ASSIGN(ModelView hollow, ModelView::Create({ToyComponent(model)}));
  const at::Tensor keep = at::tensor(std::vector<int64_t>{0, 3, 11}, at::kLong);
  for (ModelView* view : {&real, &hollow}) REQUIRE_OK(view->KeepUnits("toy.blocks.0.channels", keep));
  CHECK(DumpModel(real) == DumpModel(hollow));
}

TEST_CASE("Cast spares declared fp32 tensors") {
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  REQUIRE_OK(view.Cast(at::kBFloat16));
  CHECK(view.FindTensor("toy.blocks.0.up.weight")->scalar_type() == at::kBFloat16);
  CHECK(view.FindTensor("toy.head.weight")->scalar_type() == at::kFloat);
  CHECK_FALSE(view.Cast(at::kInt).ok());
}

TEST_CASE("SetTensor keeps shape and dtype") {
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  REQUIRE_OK(view.SetTensor("toy.blocks.0.norm", at::ones({12})));
  CHECK(model->blocks[0]->norm.equal(at::ones({12})));
  CHECK_FALSE(view.SetTensor("toy.blocks.0.norm", at::ones({11})).ok());
  CHECK_FALSE(view.SetTensor("toy.blocks.0.norm", at::ones({12}, at::kDouble)).ok());
  CHECK(view.SetTensor("toy.ghost", at::ones({1})).code() == absl::StatusCode::kNotFound);
}

}  // namespace wanlite
