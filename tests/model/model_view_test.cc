// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/model_view.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

using testing::MakeToyModel;
using testing::MapSource;
using testing::ToyComponent;
using testing::ToyModel;

at::Tensor Input() { return at::randn({5, 4}, at::detail::createCPUGenerator(3)); }

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

// A square matrix that mixes channels, with both of its dimensions in one group.
struct Mixer : torch::nn::Module, nn::Describable {
  Mixer() {
    mix = register_parameter("mix", at::arange(16, at::kFloat).reshape({4, 4}));
    gain = register_parameter("gain", at::ones({4}, at::kHalf));
    in = register_module("in", std::make_shared<nn::Linear>(3, 4));
    out = register_module("out", std::make_shared<nn::Linear>(4, 3));
    at::NoGradGuard no_grad;
    for (at::Tensor& parameter : parameters()) {
      if (parameter.dim() == 2 && parameter.size(0) != parameter.size(1)) parameter.fill_(1);
    }
  }
  void Describe(TopologyBuilder& topology) const override {
    topology.Group({"channels",
                    "mix.channels",
                    "",
                    4,
                    {{"in", 0},
                     {"mix", 0},
                     {"gain", 0, 1, AxisRole::kRmsNormalized},
                     {"mix", 1},
                     {"out", 1}}});
  }
  at::Tensor mix, gain;
  std::shared_ptr<nn::Linear> in, out;
};

TEST_CASE("a tensor that two refs of one group name is cut along both dimensions") {
  for (const bool hollow : {false, true}) {
    auto mixer = std::make_shared<Mixer>();
    if (hollow) {
      for (at::Tensor& parameter : mixer->parameters()) {
        parameter.set_data(nn::HollowLike(parameter));
      }
    }
    ASSERT_OK_AND_ASSIGN(ModelView view,
                         ModelView::Create({{"m", ComponentRole::kOther, "Mixer", "{}", mixer}}));
    REQUIRE_OK(view.KeepUnits("m.channels", at::tensor(std::vector<int64_t>{1, 3}, at::kLong)));
    REQUIRE(mixer->mix.sizes() == at::IntArrayRef({2, 2}));
    CHECK(mixer->in->out_features() == 2);
    CHECK(mixer->out->in_features() == 2);
    CHECK(nn::IsHollow(mixer->mix) == hollow);
    if (!hollow) CHECK(at::equal(mixer->mix.flatten(), at::tensor({5.f, 7.f, 13.f, 15.f})));
  }
}

// What a foreign format may do: its state cannot be had, or cannot be registered.
class Unwilling : public LinearWeight {
 public:
  enum class Fault { kStateThrows, kTrainableBool, kNamedBias, kNamedTwice, kNone };
  Unwilling(int64_t out, int64_t in, Fault now, Fault when_cut)
      : weight_(at::ones({out, in}, at::kBool)), now_(now), when_cut_(when_cut) {}
  absl::string_view format() const override { return "unwilling"; }
  int64_t in_features() const override { return weight_.size(1); }
  int64_t out_features() const override { return weight_.size(0); }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>&) const override {
    return x.dense();
  }
  LinearArithmetic arithmetic() const override { return {}; }
  std::vector<WeightTensor> State() const override {
    TORCH_CHECK(now_ != Fault::kStateThrows, "no state to be had");
    const WeightTensor mask{"mask", weight_, WeightTensor::Role::kMask};
    if (now_ == Fault::kNamedBias) return {{"bias", weight_, WeightTensor::Role::kMask}};
    if (now_ == Fault::kNamedTwice) return {mask, mask};
    if (now_ == Fault::kTrainableBool) return {{"mask", weight_}};
    return {mask};
  }
  at::Tensor Dequantize() const override { return weight_.to(at::kFloat); }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    const int64_t n = index.numel();
    return std::make_unique<Unwilling>(dim == 0 ? n : out_features(), dim == 1 ? n : in_features(),
                                       when_cut_, when_cut_);
  }

 private:
  at::Tensor weight_;
  Fault now_, when_cut_;
};

TEST_CASE("a weight that cannot be registered leaves the layer as it was") {
  using Fault = Unwilling::Fault;
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  const std::string before = DumpModel(view);
  const at::Tensor out = model->forward(Input());
  for (const Fault fault :
       {Fault::kStateThrows, Fault::kTrainableBool, Fault::kNamedBias, Fault::kNamedTwice}) {
    const absl::Status refused = view.SetLinearWeight(
        "toy.blocks.0.up", std::make_unique<Unwilling>(12, 8, fault, Fault::kNone));
    CHECK_FALSE(refused.ok());
    CHECK(std::string(refused.message()).find("toy.blocks.0.up") != std::string::npos);
    CHECK(DumpModel(view) == before);
    CHECK(model->named_parameters().contains("blocks.0.up.bias"));
    CHECK(model->forward(Input()).equal(out));
  }
  REQUIRE_OK(view.SetLinearWeight("toy.blocks.0.up",
                                  std::make_unique<Unwilling>(12, 8, Fault::kNone, Fault::kNone)));
  CHECK(model->named_parameters().contains("blocks.0.up.mask"));
  CHECK_FALSE(model->named_parameters().contains("blocks.0.up.weight"));
}

TEST_CASE("KeepUnits of a group with one weight that cannot be exchanged changes nothing") {
  using Fault = Unwilling::Fault;
  // Whichever layer is exchanged first, the others must come back.
  for (const char* layer : {"up", "gate", "down"}) {
    auto model = MakeToyModel();
    ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
    const std::string path = absl::StrCat("toy.blocks.0.", layer);
    ASSERT_OK_AND_ASSIGN(const LinearWeight* old, view.Weight(path));
    REQUIRE_OK(view.SetLinearWeight(
        path, std::make_unique<Unwilling>(old->out_features(), old->in_features(), Fault::kNone,
                                          Fault::kTrainableBool)));
    const std::string before = DumpModel(view);
    std::vector<NamedTensor> values = view.Tensors();
    for (NamedTensor& named : values) named.tensor = named.tensor.detach().clone();
    CHECK_FALSE(view.KeepUnits("toy.blocks.0.channels", at::arange(5, at::kLong)).ok());
    CHECK(DumpModel(view) == before);
    for (const NamedTensor& named : values) {
      ASSERT_OK_AND_ASSIGN(const at::Tensor now, view.FindTensor(named.name));
      CHECK(at::equal(now, named.tensor));
    }
    CHECK(view.groups()[0].units == 12);
  }
}

TEST_CASE("every tensor is found by its path, and is in the block that its path says") {
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(MakeToyModel()),
                                                          ToyComponent(MakeToyModel(2), "b")}));
  std::vector<std::string> by_block;
  for (const BlockInfo& block : view.blocks()) {
    for (const NamedTensor& named : view.BlockTensors(block.path)) {
      CHECK(view.BlockOf(named.name) == block.path);
      by_block.push_back(named.name);
    }
  }
  std::vector<std::string> all;
  for (const NamedTensor& named : view.Tensors()) {
    ASSERT_OK_AND_ASSIGN(const at::Tensor found, view.FindTensor(named.name));
    CHECK(found.is_same(named.tensor));
    all.push_back(named.name);
  }
  std::sort(by_block.begin(), by_block.end());
  std::sort(all.begin(), all.end());
  CHECK(by_block == all);
  for (const char* absent : {"", "toy", "toy.blocks.0", "toy.blocks.0.up", "weight", "toy.x"}) {
    CHECK(view.FindTensor(absent).status().code() == absl::StatusCode::kNotFound);
  }
  CHECK(view.BlockTensors("ghost").empty());
}

// As many blocks as a config may ask for; with a walk over the whole model for each tensor this
// takes hours.
TEST_CASE("all tensors of a very deep model can be found one by one") {
  std::shared_ptr<ToyModel> model;
  {
    const nn::HollowGuard hollow;
    model = std::make_shared<ToyModel>(8, 12, 1024);
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  int64_t found = 0;
  for (const BlockInfo& block : view.blocks()) {
    for (const NamedTensor& named : view.BlockTensors(block.path)) {
      found += view.FindTensor(named.name).ok() && !view.KeepsFloat32(named.name);
    }
  }
  CHECK(found == 6 * 1024 + 2);
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

// A matrix that keeps its transpose when it is packed.
class Packable : public LinearWeight {
 public:
  Packable(at::Tensor tensor, bool packed) : tensor_(std::move(tensor)), packed_(packed) {}
  absl::string_view format() const override { return "packable"; }
  int64_t in_features() const override { return tensor_.size(packed_ ? 0 : 1); }
  int64_t out_features() const override { return tensor_.size(packed_ ? 1 : 0); }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    return at::linear(x.dense(), packed_ ? tensor_.t() : tensor_, bias);
  }
  LinearArithmetic arithmetic() const override { return {}; }
  std::vector<WeightTensor> State() const override {
    return {{packed_ ? "transposed" : "weight", tensor_}};
  }
  at::Tensor Dequantize() const override { return packed_ ? tensor_.t() : tensor_; }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("for running only");
  }
  std::unique_ptr<LinearWeight> Packed() const override {
    if (packed_ || nn::IsHollow(tensor_)) return nullptr;
    return std::make_unique<Packable>(tensor_.detach().t().contiguous(), true);
  }

 private:
  at::Tensor tensor_;
  bool packed_;
};

// Notes what it is told to let go.
class NotingSource : public MapSource {
 public:
  using MapSource::MapSource;
  void Release(absl::string_view name) const override { released.emplace_back(name); }
  mutable std::vector<std::string> released;
};

TEST_CASE("packing exchanges the weights that want it, and lets their pages go") {
  auto full = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView full_view, ModelView::Create({ToyComponent(full)}));
  std::shared_ptr<ToyModel> hollow;
  {
    nn::HollowGuard guard;
    hollow = std::make_shared<ToyModel>();
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(hollow)}));
  const std::string up = "toy.blocks.0.up";
  {
    nn::HollowGuard guard;
    REQUIRE_OK(view.SetLinearWeight(up, std::make_unique<Packable>(nn::NewTensor({12, 8}), false)));
  }
  const auto source = std::make_shared<NotingSource>(full_view.Tensors());
  view.AttachSource(source);
  CHECK(view.PackWeights().code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE_OK(view.LoadAll());
  REQUIRE_OK(view.PackWeights());
  CHECK(source->released == std::vector<std::string>{up + ".weight"});
  CHECK_FALSE(view.FindTensor(up + ".weight").ok());
  ASSERT_OK_AND_ASSIGN(const at::Tensor transposed, view.FindTensor(up + ".transposed"));
  CHECK(transposed.equal(full_view.FindTensor(up + ".weight")->t()));
  const at::Tensor expected = full->forward(Input());
  CHECK(at::allclose(hollow->forward(Input()), expected));
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
  for (ModelView* view : {&real, &hollow})
    REQUIRE_OK(view->KeepUnits("toy.blocks.0.channels", keep));
  CHECK(DumpModel(real) == DumpModel(hollow));
}

TEST_CASE("a block is read ahead from where it comes from, on another thread if need be") {
  class Counting : public MapSource {
   public:
    using MapSource::MapSource;
    void Prefetch(absl::string_view name) const override { asked.emplace_back(name); }
    mutable std::vector<std::string> asked;
  };
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  view.ReadAhead("toy.blocks.1")();  // in memory already
  const auto source = std::make_shared<Counting>(view.Tensors());
  view.AttachSource(source);
  std::vector<std::string> wanted;
  for (const NamedTensor& named : view.BlockTensors("toy.blocks.1")) wanted.push_back(named.name);
  std::thread([read = view.ReadAhead("toy.blocks.1")] { read(); }).join();
  CHECK(source->asked == wanted);
  CHECK(source->reads == 0);
}

TEST_CASE("a table of rows is no linear, and its weight is exchanged like one's") {
  class Reader : public torch::nn::Module {
   public:
    Reader() { table = register_module("table", std::make_shared<nn::Embedding>(5, 4)); }
    std::shared_ptr<nn::Embedding> table;
  };
  const auto reader = std::make_shared<Reader>();
  const at::NoGradGuard no_grad;
  const at::Tensor rows = at::arange(20, at::kFloat).reshape({5, 4});
  reader->table->weight().dense()->copy_(rows);
  ASSERT_OK_AND_ASSIGN(
      ModelView view,
      ModelView::Create({{"toy", ComponentRole::kTextEncoder, "Reader", "{}", reader}}));
  CHECK(view.linears().empty());
  REQUIRE(view.embeddings().size() == 1);
  CHECK(view.embeddings()[0].path == "toy.table");
  CHECK(view.embeddings()[0].block == "toy");
  CHECK(view.FindLinear("toy.table") == nullptr);
  const at::Tensor ids = at::tensor({4, 0, 4}, at::kLong).reshape({1, 3});
  CHECK(reader->table->Lookup(ids, at::kHalf).equal(rows.index({ids})));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> int8, MakeInt8Weight(rows, 0));
  REQUIRE_OK(view.SetLinearWeight("toy.table", std::move(int8)));
  const at::Tensor found = reader->table->Lookup(ids, at::kHalf);
  CHECK(found.scalar_type() == at::kHalf);
  CHECK(found.sizes() == at::IntArrayRef({1, 3, 4}));
  CHECK(at::allclose(found.to(at::kFloat), rows.index({ids}), 0, 0.1));
  CHECK(DumpModel(view) ==
        "toy.table.weight int8 [5, 4] int8 {}\ntoy.table.weight_scale fp32 [5, 1]\n");
  CHECK_THROWS_AS(reader->table->Lookup(ids + 1, at::kHalf), c10::Error);
  CHECK_THROWS_AS(reader->table->Lookup(ids.to(at::kInt), at::kHalf), c10::Error);
}

TEST_CASE("Cast spares declared fp32 tensors") {
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  REQUIRE_OK(view.Cast(at::kBFloat16));
  CHECK(view.FindTensor("toy.blocks.0.up.weight")->scalar_type() == at::kBFloat16);
  CHECK(view.FindTensor("toy.head.weight")->scalar_type() == at::kFloat);
  CHECK_FALSE(view.Cast(at::kInt).ok());
}

TEST_CASE("a cast that would make an infinity is refused by name and changes nothing") {
  auto model = MakeToyModel();
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({ToyComponent(model)}));
  {
    at::NoGradGuard no_grad;
    model->blocks[1]->norm[3] = 7e4;
  }
  const std::string before = DumpModel(view);
  const at::Tensor out = model->forward(Input());
  const absl::Status refused = view.Cast(at::kHalf);
  CHECK(refused.code() == absl::StatusCode::kInvalidArgument);
  CHECK(std::string(refused.message()).find("toy.blocks.1.norm holds 70000") == 0);
  CHECK(DumpModel(view) == before);
  CHECK(model->forward(Input()).equal(out));
  REQUIRE_OK(view.Cast(at::kBFloat16));
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
