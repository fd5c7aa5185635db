// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Structural edits, in memory and of views that stream.
#include <algorithm>
#include <cmath>

#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_architecture.h"
#include "tests/testing/toy_model.h"
#include "wanlite/model_view.h"

namespace wanlite {
namespace {

using testing::EditableToy;
using testing::MakeToyModel;
using testing::MapSource;
using testing::ToyComponent;
using testing::ToyModel;

at::Tensor Units(std::vector<int64_t> units) { return at::tensor(units, at::kLong); }

std::shared_ptr<ToyModel> HollowToy() {
  const nn::HollowGuard hollow;
  return std::make_shared<ToyModel>();
}

// Quantizes every linear of the toy's blocks; hollow layers get hollow weights.
void QuantizeBlocks(ModelView& view, const std::string& block) {
  for (const LinearInfo& linear : std::vector<LinearInfo>(view.linears())) {
    if (linear.block != block) continue;
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear.path));
    if (nn::IsHollow(weight->State()[0].tensor)) {
      REQUIRE_OK(view.SetLinearWeight(
          linear.path, MakeHollowInt8Weight(weight->out_features(), weight->in_features(), 0)));
    } else {
      ASSERT_OK_AND_ASSIGN(auto int8, MakeInt8Weight(weight->Dequantize(), 0));
      REQUIRE_OK(view.SetLinearWeight(linear.path, std::move(int8)));
    }
  }
}

// Values by path; of a streaming view block by block.
std::map<std::string, at::Tensor> ValuesOf(ModelView& view) {
  std::map<std::string, at::Tensor> values;
  for (const BlockInfo& block : std::vector<BlockInfo>(view.blocks())) {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease(block.path));
    for (const NamedTensor& named : lease.State()) {
      values[named.name] = named.tensor.detach().clone();
    }
  }
  return values;
}

void CheckSame(const std::map<std::string, at::Tensor>& got,
               const std::map<std::string, at::Tensor>& want) {
  REQUIRE(got.size() == want.size());
  for (const auto& [name, value] : want) {
    CAPTURE(name);
    REQUIRE(got.contains(name));
    CHECK(got.at(name).scalar_type() == value.scalar_type());
    CHECK(got.at(name).equal(value));
  }
}

TEST_CASE("a block that was edited and written is leased again with the edited values") {
  ASSERT_OK_AND_ASSIGN(ModelView full, ModelView::Create({ToyComponent(MakeToyModel())}));
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(HollowToy())}));
  view.AttachSource(std::make_shared<MapSource>(full.Tensors()));
  const std::string block = "toy.blocks.1";
  std::shared_ptr<MapSource> written;
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease(block));
    REQUIRE_OK(view.KeepUnits("toy.blocks.1.channels", Units({0, 2, 5, 11})));
    QuantizeBlocks(view, block);
    REQUIRE_OK(view.SetTensor("toy.blocks.1.norm", at::full({4}, 3.f)));
    written = std::make_shared<MapSource>(lease.State());
  }
  // Its old source no longer fits, and says so.
  const absl::Status stale = view.Lease(block).status();
  CHECK_FALSE(stale.ok());
  CHECK(std::string(stale.message()).find("toy.blocks.1.up.weight") != std::string::npos);
  CHECK_FALSE(view.Rebase(block, std::make_shared<MapSource>(full.Tensors())).ok());
  CHECK_FALSE(view.Rebase(block, nullptr).ok());
  CHECK(view.Rebase("toy.ghost", written).code() == absl::StatusCode::kNotFound);

  REQUIRE_OK(view.Rebase(block, written));
  for (int again = 0; again < 2; ++again) {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease(block));
    REQUIRE(lease.State().size() == written->tensors().size());
    for (const NamedTensor& named : lease.State()) {
      CHECK(named.tensor.equal(*written->Read(named.name)));
    }
  }
  // The other blocks are still those of the model.
  ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease("toy.blocks.0"));
  CHECK(
      view.FindTensor("toy.blocks.0.up.weight")->equal(*full.FindTensor("toy.blocks.0.up.weight")));
}

TEST_CASE("a rebased view is loaded with the edited values") {
  ASSERT_OK_AND_ASSIGN(ModelView full, ModelView::Create({ToyComponent(MakeToyModel())}));
  auto model = HollowToy();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  view.AttachSource(std::make_shared<MapSource>(full.Tensors()));
  QuantizeBlocks(view, "toy.blocks.0");
  QuantizeBlocks(full, "toy.blocks.0");
  CHECK_FALSE(view.LoadAll().ok());
  REQUIRE_OK(view.Rebase("toy.blocks.0", std::make_shared<MapSource>(full.Tensors())));
  REQUIRE_OK(view.LoadAll());
  const at::Tensor x = at::randn({5, 4}, at::detail::createCPUGenerator(3));
  auto* want = dynamic_cast<ToyModel*>(full.components()[0].module.get());
  const at::NoGradGuard no_grad;
  CHECK(model->forward(x).equal(want->forward(x)));
}

TEST_CASE("units removed from a view that streams are removed from what its leases read") {
  const bool int8 = GENERATE(false, true);
  const bool leased = GENERATE(false, true);
  CAPTURE(int8, leased);
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView full, ModelView::Create({ToyComponent(model)}));
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(HollowToy())}));
  if (int8) {
    QuantizeBlocks(full, "toy.blocks.1");
    QuantizeBlocks(view, "toy.blocks.1");
  }
  view.AttachSource(std::make_shared<MapSource>(full.Tensors()));
  // Twice, so that the second cut is one of what the first left.
  for (const auto& keep : {Units({1, 2, 3, 5, 8, 9}), Units({0, 2, 5})}) {
    REQUIRE_OK(full.KeepUnits("toy.blocks.1.channels", keep));
    std::optional<BlockLease> lease;
    if (leased) {
      ASSERT_OK_AND_ASSIGN(BlockLease taken, view.Lease("toy.blocks.1"));
      lease.emplace(std::move(taken));
    }
    REQUIRE_OK(view.KeepUnits("toy.blocks.1.channels", keep));
  }
  CHECK(DumpModel(view) == DumpModel(full));
  CheckSame(ValuesOf(view), ValuesOf(full));
  REQUIRE_OK(view.LoadAll());
  CheckSame(ValuesOf(view), ValuesOf(full));
}

// A fused projection of queries, keys and values, and a tensor that doubles: rows stand three times
// or twice, one after the other.
struct Fused : torch::nn::Module, nn::Describable {
  Fused() {
    qkv = register_module("qkv", std::make_shared<nn::Linear>(5, 3 * 4 * 2));
    twice = register_parameter("twice", nn::NewTensor({2 * 4, 3}));
    out = register_module("out", std::make_shared<nn::Linear>(4 * 2, 5));
  }
  void Describe(TopologyBuilder& topology) const override {
    topology.Group({"heads",
                    "heads",
                    "",
                    out->in_features() / 2,
                    {{"qkv", 0, 2, AxisRole::kSliced, /*outer=*/3},
                     {"twice", 0, 1, AxisRole::kSliced, /*outer=*/2},
                     {"out", 1, 2}}});
  }
  // [n, 5] -> [n, 5]
  at::Tensor forward(const at::Tensor& x) const {
    const auto parts = qkv->forward(x).chunk(3, -1);
    const at::Tensor scale = twice.chunk(2, 0)[1].sum(1).repeat_interleave(2);
    return out->forward(parts[0] * parts[1] * parts[2].tanh() * scale);
  }
  std::shared_ptr<nn::Linear> qkv, out;
  at::Tensor twice;
};

std::shared_ptr<Fused> MakeFused() {
  auto fused = std::make_shared<Fused>();
  at::Generator generator = at::detail::createCPUGenerator(7);
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : fused->parameters()) parameter.normal_(0, 1, generator);
  return fused;
}

TEST_CASE("units that stand several times along an axis are removed at each place") {
  const at::NoGradGuard no_grad;
  auto pruned = MakeFused(), masked = MakeFused();
  ASSERT_OK_AND_ASSIGN(ModelView view,
                       ModelView::Create({{"m", ComponentRole::kOther, "Fused", "{}", pruned}}));
  REQUIRE_OK(view.KeepUnits("m.heads", Units({0, 3})));
  CHECK(pruned->qkv->out_features() == 12);
  CHECK(pruned->twice.sizes() == at::IntArrayRef({4, 3}));
  at::Tensor weight = masked->out->weight().State()[0].tensor;
  weight.slice(1, 2, 6).zero_();
  const at::Tensor x = at::randn({4, 5}, at::detail::createCPUGenerator(9));
  CHECK((pruned->forward(x) - masked->forward(x)).abs().max().item<double>() < 1e-4);
  CHECK(pruned->qkv->bias()->size(0) == 12);
}

// Four blocks of different widths.
std::shared_ptr<ToyModel> DeepToy(bool hollow = false) {
  const std::vector<int64_t> hidden{12, 10, 8, 14};
  if (hollow) {
    const nn::HollowGuard guard;
    return std::make_shared<ToyModel>(8, hidden);
  }
  auto model = std::make_shared<ToyModel>(8, hidden);
  model->Randomize(5);
  return model;
}

ToyModel& ToyOf(ModelView& view) { return dynamic_cast<ToyModel&>(*view.components()[0].module); }

at::Tensor RunBlocksOf(ToyModel& model, const std::vector<size_t>& blocks, at::Tensor x) {
  const at::NoGradGuard no_grad;
  x = model.embed->forward(x);
  for (const size_t block : blocks) x = model.blocks[block]->forward(x);
  return model.head->forward(x);
}

at::Tensor ToyInput() { return at::randn({5, 4}, at::detail::createCPUGenerator(3)); }

TEST_CASE("a model without some blocks computes what the whole one does when they are skipped") {
  const bool int8 = GENERATE(false, true);
  const bool streamed = GENERATE(false, true);
  CAPTURE(int8, streamed);
  auto whole = DeepToy();
  ASSERT_OK_AND_ASSIGN(ModelView full, ModelView::Create({EditableToy(whole)}));
  if (int8) {
    for (const char* block : {"toy.blocks.0", "toy.blocks.3"}) QuantizeBlocks(full, block);
  }
  const at::Tensor want = RunBlocksOf(*whole, {0, 3}, ToyInput());
  const std::map<std::string, at::Tensor> before = ValuesOf(full);

  std::optional<ModelView> view;
  if (streamed) {
    ASSERT_OK_AND_ASSIGN(ModelView hollow, ModelView::Create({EditableToy(DeepToy(true))}));
    if (int8) {
      for (const char* block : {"toy.blocks.0", "toy.blocks.3"}) QuantizeBlocks(hollow, block);
    }
    hollow.AttachSource(std::make_shared<MapSource>(full.Tensors()));
    view.emplace(std::move(hollow));
  } else {
    view.emplace(std::move(full));
  }
  REQUIRE_OK(view->DropBlocks({"toy.blocks.2", "toy.blocks.1"}));
  CHECK(view->streaming() == streamed);

  std::vector<std::pair<std::string, std::string>> blocks;
  for (const BlockInfo& block : view->blocks()) blocks.emplace_back(block.path, block.origin);
  CHECK(blocks ==
        std::vector<std::pair<std::string, std::string>>{
            {"toy", "toy"}, {"toy.blocks.0", "toy.blocks.0"}, {"toy.blocks.1", "toy.blocks.3"}});
  CHECK(view->components()[0].config_json == testing::ToyConfig({12, 14}));
  CHECK(view->linears().size() == 8);
  REQUIRE(view->groups().size() == 2);
  CHECK(view->groups()[1].units == 14);
  CHECK(view->groups()[1].block == "toy.blocks.1");

  const std::map<std::string, at::Tensor> values = ValuesOf(*view);
  for (const auto& [name, value] : values) {
    std::string old = name;
    if (name.starts_with("toy.blocks.1.")) old.replace(0, 12, "toy.blocks.3");
    CAPTURE(name, old);
    CHECK(value.equal(before.at(old)));
  }
  REQUIRE_OK(view->LoadAll());
  CHECK(RunBlocksOf(ToyOf(*view), {0, 1}, ToyInput()).equal(want));
  CHECK((*view->Weight("toy.blocks.1.up"))->format() == (int8 ? "int8" : "dense"));

  // What was edited can be edited again, and still knows where it came from.
  REQUIRE_OK(view->KeepUnits("toy.blocks.1.channels", Units({0, 1, 2, 5, 9})));
  REQUIRE_OK(view->DropBlocks({"toy.blocks.0"}));
  CHECK(view->components()[0].config_json == testing::ToyConfig({5}));
  REQUIRE(view->blocks().size() == 2);
  CHECK(view->blocks()[1].origin == "toy.blocks.3");
  CHECK(view->components()[0].block_origin ==
        std::map<std::string, std::string>{{"blocks.0", "blocks.3"}});
}

TEST_CASE("blocks are dropped from several components, or from none") {
  const auto component = [](const std::string& name) { return EditableToy(DeepToy(), name); };
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({component("a"), component("b")}));
  const std::string before = DumpModel(view);
  const auto module = view.components()[0].module;
  CHECK_FALSE(view.DropBlocks({"a.blocks.1", "b.blocks.4"}).ok());
  CHECK(DumpModel(view) == before);
  CHECK(view.components()[0].module == module);
  REQUIRE_OK(view.DropBlocks({"a.blocks.1", "b.blocks.0", "b.blocks.3"}));
  CHECK(view.blocks().size() == 1 + 3 + 1 + 2);
  CHECK(view.BlockOf("b.blocks.1.up.weight") == "b.blocks.1");
  REQUIRE_OK(view.DropBlocks({}));
}

TEST_CASE("edits that fit no network are refused and change nothing") {
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({EditableToy(DeepToy())}));
  const std::string before = DumpModel(view);
  const auto refused = [&](const absl::Status& status, absl::StatusCode code,
                           const std::string& text) {
    INFO(status.ToString());
    CHECK(status.code() == code);
    CHECK(std::string(status.message()).find(text) != std::string::npos);
    CHECK(DumpModel(view) == before);
    CHECK(view.blocks().size() == 5);
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  refused(view.DropBlocks({"toy.blocks.4"}), absl::StatusCode::kNotFound, "toy.blocks.4");
  refused(view.DropBlocks({"toy"}), invalid, "no block 'toy'");
  refused(view.DropBlocks({"toy.blocks.1", "toy.blocks.1"}), invalid, "twice");
  refused(view.DropBlocks({"toy.blocks.0", "toy.blocks.1", "toy.blocks.2", "toy.blocks.3"}),
          invalid, "all blocks");
  refused(view.Rebuild("ghost", {}), absl::StatusCode::kNotFound, "ghost");
  refused(view.Rebuild("toy", {.drop_blocks = {"blocks.9"}}), invalid, "blocks.9");
  refused(view.Rebuild("toy", {.units = {{"blocks.1.heads", 2}}}), invalid, "blocks.1.heads");
  refused(view.Rebuild("toy", {.units = {{"blocks.1.channels", 0}}}), invalid, "0 units");
  refused(view.Rebuild("toy", {.drop_blocks = {"blocks.1"}, .units = {{"blocks.1.channels", 2}}}),
          invalid, "dropped");
  // A narrower block, and nothing says what is left of its tensors.
  refused(view.Rebuild("toy", {.units = {{"blocks.1.channels", 2}}}), invalid, "blocks.1.norm");
  refused(view.Rebuild("toy", {}, {{"blocks.0.up.weight", {{"blocks.0.ghost"}}}}), invalid,
          "blocks.0.ghost");
  refused(view.Rebuild("toy", {}, {{"blocks.7.norm", {{"blocks.0.norm"}}}}), invalid,
          "blocks.7.norm");
  refused(view.Rebuild("toy", {}, {{"head.bias", {{"head.bias"}}}, {"head.bias", {{"head.bias"}}}}),
          invalid, "twice");
  refused(view.Rebuild("toy", {}, {{"head.bias", {}}}), invalid, "made of nothing");
  refused(view.Rebuild("toy", {}, {{"head.bias", {{"head.bias", {{0, Units({0, 1, 3})}}}}}}),
          invalid, "no index 3");
  refused(view.Rebuild("toy", {}, {{"head", {{"head"}, {"head"}}}}), invalid, "as a whole");
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease("toy.blocks.2"));
    refused(view.DropBlocks({"toy.blocks.1"}), absl::StatusCode::kFailedPrecondition,
            "toy.blocks.2 is leased");
  }
  ASSERT_OK_AND_ASSIGN(ModelView plain, ModelView::Create({ToyComponent(DeepToy())}));
  CHECK(plain.DropBlocks({"toy.blocks.1"}).code() == absl::StatusCode::kFailedPrecondition);

  struct Fixed : torch::nn::Module, nn::Describable {
    Fixed() { register_module("only", std::make_shared<nn::Linear>(2, 3)); }
    void Describe(TopologyBuilder& topology) const override {
      topology.Block("only", /*removable=*/false);
    }
  };
  Component fixed = ToyComponent(nullptr);
  fixed.module = std::make_shared<Fixed>();
  fixed.definition = std::make_shared<const Architecture>(testing::ToyArchitecture());
  ASSERT_OK_AND_ASSIGN(ModelView rigid, ModelView::Create({fixed}));
  CHECK(rigid.DropBlocks({"toy.only"}).code() == absl::StatusCode::kInvalidArgument);
}

// What KeepUnits does to the channels of a toy block, said tensor by tensor.
std::vector<DerivedTensor> CutChannels(const std::string& block, const at::Tensor& keep,
                                       double norm_scale) {
  return {{block + ".up", {{block + ".up", {{0, keep}}}}},
          {block + ".gate", {{block + ".gate", {{0, keep}}}}},
          {block + ".norm", {{block + ".norm", {{0, keep}}, norm_scale}}},
          {block + ".down", {{block + ".down", {{1, keep}}}}}};
}

TEST_CASE("an edit that says where tensors come from does what KeepUnits does") {
  const bool int8 = GENERATE(false, true);
  const bool streamed = GENERATE(false, true);
  CAPTURE(int8, streamed);
  ASSERT_OK_AND_ASSIGN(ModelView want, ModelView::Create({EditableToy(DeepToy())}));
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({EditableToy(DeepToy(streamed))}));
  if (int8) {
    QuantizeBlocks(want, "toy.blocks.2");
    QuantizeBlocks(view, "toy.blocks.2");
  }
  if (streamed) view.AttachSource(std::make_shared<MapSource>(want.Tensors()));
  const at::Tensor keep = Units({1, 3, 4, 7});
  REQUIRE_OK(view.Rebuild("toy", {.units = {{"blocks.2.channels", 4}}},
                          CutChannels("blocks.2", keep, std::sqrt(8.0 / 4.0))));
  REQUIRE_OK(want.KeepUnits("toy.blocks.2.channels", keep));
  CHECK(DumpModel(view) == DumpModel(want));
  CheckSame(ValuesOf(view), ValuesOf(want));
  CHECK(view.components()[0].config_json == testing::ToyConfig({12, 10, 4, 14}));
  CHECK(view.groups()[2].units == 4);
}

TEST_CASE("channels are reordered, split over blocks and put together again") {
  auto model = DeepToy();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({EditableToy(model)}));
  const at::Tensor want = RunBlocksOf(*model, {0, 1, 2, 3}, ToyInput());
  const at::Tensor order = Units({9, 8, 7, 6, 5, 4, 3, 2, 1, 0});
  REQUIRE_OK(view.Rebuild("toy", {}, CutChannels("blocks.1", order, 1)));
  CHECK(ToyOf(view).blocks[1]->norm[0].item<float>() == model->blocks[1]->norm[9].item<float>());
  CHECK(RunBlocksOf(ToyOf(view), {0, 1, 2, 3}, ToyInput()).allclose(want, 1e-4, 1e-5));

  // The first block gets the channels of the first two.
  const auto both = [](const std::string& leaf, int64_t dim) {
    return DerivedTensor{"blocks.0." + leaf, {{"blocks.0." + leaf}, {"blocks.1." + leaf}}, dim};
  };
  REQUIRE_OK(view.Rebuild("toy", {.units = {{"blocks.0.channels", 22}}},
                          {both("up.weight", 0),
                           both("up.bias", 0),
                           both("gate.weight", 0),
                           both("norm", 0),
                           both("down.weight", 1),
                           {"head.bias", {}, 0, at::full({3}, 2.f)}}));
  CHECK(ToyOf(view).blocks[0]->up->out_features() == 22);
  CHECK(ToyOf(view).blocks[0]->norm.slice(0, 12).equal(ToyOf(view).blocks[1]->norm));
  CHECK(ToyOf(view).head->bias()->equal(at::full({3}, 2.f)));
}

TEST_CASE("a hollow model without a source is edited too, for plans") {
  ASSERT_OK_AND_ASSIGN(ModelView full, ModelView::Create({EditableToy(DeepToy())}));
  ASSERT_OK_AND_ASSIGN(ModelView hollow, ModelView::Create({EditableToy(DeepToy(true))}));
  for (ModelView* view : {&full, &hollow}) {
    QuantizeBlocks(*view, "toy.blocks.1");
    REQUIRE_OK(view->DropBlocks({"toy.blocks.0"}));
    REQUIRE_OK(view->KeepUnits("toy.blocks.0.channels", Units({0, 2})));
  }
  CHECK(DumpModel(hollow) == DumpModel(full));
  for (const NamedTensor& named : hollow.Tensors()) CHECK(nn::IsHollow(named.tensor));
}

TEST_CASE("blocks whose edited values were not kept are planned with, and refused by leases") {
  ASSERT_OK_AND_ASSIGN(ModelView full, ModelView::Create({EditableToy(DeepToy())}));
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({EditableToy(DeepToy(true))}));
  view.AttachSource(std::make_shared<MapSource>(full.Tensors()));
  for (ModelView* edited : {&full, &view}) {
    QuantizeBlocks(*edited, "toy.blocks.3");
    REQUIRE_OK(edited->DropBlocks({"toy.blocks.1"}));
  }
  CHECK(DumpModel(view) == DumpModel(full));
  const absl::Status refused = view.Lease("toy.blocks.2").status();
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(refused.message()).find("toy.blocks.3 was edited") != std::string::npos);
  REQUIRE_OK(view.Rebase("toy.blocks.2", std::make_shared<MapSource>(full.Tensors())));
  CheckSame(ValuesOf(view), ValuesOf(full));
}

}  // namespace
}  // namespace wanlite
