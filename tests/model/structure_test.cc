// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Structural edits, in memory and of views that stream.
#include <algorithm>

#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_model.h"
#include "wanlite/model_view.h"

namespace wanlite {
namespace {

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

}  // namespace
}  // namespace wanlite
