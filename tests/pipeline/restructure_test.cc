// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Passes that edit the structure beyond a block, in recipes with others.
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_architecture.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"

namespace wanlite {
namespace {

using google::protobuf::BytesValue;
using google::protobuf::Empty;
using google::protobuf::Message;
using google::protobuf::UInt64Value;
using testing::EditableToy;
using testing::ToyModel;
using testing::Tree;

// Drops the N blocks of component toy whose norms have the smallest weights.
class DropWeakest : public BlockPass {
 public:
  explicit DropWeakest(const UInt64Value& blocks) : blocks_(blocks) {}
  absl::string_view name() const override { return "drop-weakest"; }
  const Message& options() const override { return blocks_; }
  absl::StatusOr<PassNotes> Plan(const ModelView&) const override {
    PassNotes notes;
    notes.exact = false;
    return notes;
  }
  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    std::vector<std::pair<double, std::string>> norms;
    for (const BlockInfo& block : std::vector<BlockInfo>(model.blocks())) {
      if (!block.removable || model.ComponentOf(block.path).name != "toy") continue;
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
      double norm = 0;
      for (const NamedTensor& named : lease.State()) {
        if (!named.name.ends_with(".norm")) continue;  // no pass quantizes these
        norm += named.tensor.to(at::kDouble).square().sum().item<double>();
      }
      norms.emplace_back(norm, block.path);
    }
    std::sort(norms.begin(), norms.end());
    auto decision = std::make_unique<BytesValue>();
    for (uint64_t i = 0; i < blocks_.value(); ++i) {
      decision->set_value(absl::StrCat(decision->value(), i == 0 ? "" : ",", norms[i].second));
    }
    context.metrics["dropped"] = static_cast<double>(blocks_.value());
    return decision;
  }
  absl::Status Restructure(ModelView& model, const Message* decision) const override {
    std::vector<std::string> blocks;
    if (decision == nullptr) {
      for (uint64_t i = 0; i < blocks_.value(); ++i) {
        blocks.push_back(absl::StrCat("toy.blocks.", i));
      }
    } else {
      std::string rest = static_cast<const BytesValue*>(decision)->value();
      for (size_t comma; !rest.empty(); rest.erase(0, comma)) {
        comma = std::min(rest.find(','), rest.size());
        blocks.push_back(rest.substr(0, comma));
        if (comma < rest.size()) ++comma;
      }
    }
    return model.DropBlocks(blocks);
  }
  bool Touches(const ModelView&, absl::string_view) const override { return false; }
  absl::Status RunBlock(ModelView&, const BlockLease&, const Message*,
                        PassContext&) const override {
    return absl::OkStatus();
  }

 private:
  const UInt64Value blocks_;
};

// Drops the first block of component toy and doubles what is left of it, as a whole.
class DropAndDouble : public ModelPass {
 public:
  explicit DropAndDouble(const Empty& options) : options_(options) {}
  absl::string_view name() const override { return "drop-and-double"; }
  const Message& options() const override { return options_; }
  absl::StatusOr<PassNotes> Plan(const ModelView&) const override { return PassNotes(); }
  absl::StatusOr<std::vector<std::string>> components(const ModelView&) const override {
    return std::vector<std::string>{"toy"};
  }
  absl::Status Restructure(ModelView& model, const Message*) const override {
    return model.DropBlocks({"toy.blocks.0"});
  }
  absl::Status RunModel(ModelView& model, const Message*, PassContext&) const override {
    for (const NamedTensor& named : model.Tensors()) {
      if (model.ComponentOf(named.name).name != "toy") continue;
      named.tensor.set_data(named.tensor.detach() * 2);
    }
    return absl::OkStatus();
  }

 private:
  const Empty options_;
};

PassRegistry PassesWithDrop() {
  PassRegistry registry = testing::ToyPasses();
  REQUIRE_OK(registry.Register(UInt64Value::descriptor()->full_name(),
                               [](const Message& options) -> absl::StatusOr<std::unique_ptr<Pass>> {
                                 return std::make_unique<DropWeakest>(
                                     static_cast<const UInt64Value&>(options));
                               }));
  REQUIRE_OK(registry.Register(Empty::descriptor()->full_name(),
                               [](const Message& options) -> absl::StatusOr<std::unique_ptr<Pass>> {
                                 return std::make_unique<DropAndDouble>(
                                     static_cast<const Empty&>(options));
                               }));
  return registry;
}

ParsedRecipe RecipeWithDrop(const std::string& text) {
  ASSERT_OK_AND_ASSIGN(ParsedRecipe recipe,
                       ParsedRecipe::Parse(text, "r.textproto", PassesWithDrop()));
  return recipe;
}

std::string DropText(int blocks) {
  return absl::StrCat(
      "passes { custom { [type.googleapis.com/google.protobuf.UInt64Value] { value: ", blocks,
      " } } }\n");
}

constexpr char kInt8Text[] = "passes { quantize_int8 { linears { include: \"toy.blocks.*\" } } }\n";

std::shared_ptr<ToyModel> FiveBlockToy() {
  auto model = std::make_shared<ToyModel>(8, std::vector<int64_t>{12, 10, 8, 14, 9});
  model->Randomize(5);
  const at::NoGradGuard no_grad;
  // From weak to strong: 3, 0, 4, 1, 2.
  const double scale[] = {0.2, 1.5, 3, 0.1, 0.4};
  for (size_t i = 0; i < 5; ++i) {
    for (at::Tensor& parameter : model->blocks[i]->parameters()) parameter.mul_(scale[i]);
  }
  return model;
}

ModelView TwoDeepToys() {
  auto view =
      ModelView::Create({EditableToy(FiveBlockToy()), EditableToy(FiveBlockToy(), "toy_2")});
  REQUIRE_OK(view);
  return *std::move(view);
}

const ArchitectureRegistry& EditableNetworks() {
  static const ArchitectureRegistry& registry = *[] {
    auto* list = new ArchitectureRegistry;
    REQUIRE_OK(list->Register(testing::ToyArchitecture()));
    list->weight_formats() = BuiltinWeightFormats();
    return list;
  }();
  return registry;
}

std::unique_ptr<Env> EditableDisk() {
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "/in", TwoDeepToys()));
  return env;
}

absl::StatusOr<RunReport> RunEditable(Env& env, const ParsedRecipe& recipe) {
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(env, "/in", {}, EditableNetworks()));
  CompressOptions options;
  options.out_dir = "/out";
  return CompressFolder(env, recipe, folder, EditableNetworks(), options);
}

TEST_CASE("a pass drops blocks by their values, and later passes see those that are left") {
  const ParsedRecipe recipe = RecipeWithDrop(DropText(2) + kInt8Text + DropText(1));
  const std::unique_ptr<Env> env = EditableDisk();
  ASSERT_OK_AND_ASSIGN(const RunReport report, RunEditable(*env, recipe));
  CHECK(report.passes[0].metrics.at("dropped") == 2);
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/out", {}, EditableNetworks()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  std::vector<std::pair<std::string, std::string>> blocks;
  for (const BlockInfo& block : view.blocks()) {
    if (view.ComponentOf(block.path).name == "toy" && block.removable) {
      blocks.emplace_back(block.path, block.origin);
    }
  }
  CHECK(blocks == std::vector<std::pair<std::string, std::string>>{
                      {"toy.blocks.0", "toy.blocks.1"}, {"toy.blocks.1", "toy.blocks.2"}});
  CHECK(view.FindComponent("toy_2")->block_origin.empty());

  // The same as by hand.
  ModelView want = TwoDeepToys();
  ASSERT_OK_AND_ASSIGN(const RunReport in_memory, CompressInMemory(recipe, want));
  CHECK(in_memory.passes.size() == 3);
  CHECK(DumpModel(view) == DumpModel(want));
  REQUIRE_OK(view.LoadAll());
  for (const NamedTensor& named : want.Tensors()) {
    CAPTURE(named.name);
    CHECK(named.tensor.equal(*view.FindTensor(named.name)));
  }
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, want.Weight("toy.blocks.1.up"));
  CHECK(weight->format() == "int8");
  CHECK(weight->out_features() == 8);
}

TEST_CASE("a pass over a whole component may drop blocks of it too") {
  const ParsedRecipe recipe =
      RecipeWithDrop("passes { custom { [type.googleapis.com/google.protobuf.Empty] {} } }\n");
  const std::unique_ptr<Env> env = EditableDisk();
  REQUIRE_OK(RunEditable(*env, recipe).status());
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/out", {}, EditableNetworks()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  CHECK(view.blocks().size() == (1 + 4) + (1 + 5));
  REQUIRE_OK(view.LoadAll());
  ModelView before = TwoDeepToys();
  ModelView want = TwoDeepToys();
  REQUIRE_OK(CompressInMemory(recipe, want).status());
  for (const NamedTensor& named : want.Tensors()) {
    CAPTURE(named.name);
    CHECK(named.tensor.equal(*view.FindTensor(named.name)));
  }
  CHECK(want.FindTensor("toy.blocks.0.norm")
            ->equal(before.FindTensor("toy.blocks.1.norm")->detach() * 2));
  CHECK(want.FindTensor("toy_2.blocks.0.norm")->equal(*before.FindTensor("toy_2.blocks.0.norm")));
}

// The toy as a build that knew no blocks of it has written it.
class FlatToy : public ToyModel {
 public:
  FlatToy() : ToyModel(8, std::vector<int64_t>{12, 10, 8, 14, 9}) { Randomize(5); }
  void Describe(TopologyBuilder&) const override {}
};

TEST_CASE("files that hold more than a block are not taken over for it") {
  const std::unique_ptr<Env> env = NewMemEnv();
  ASSERT_OK_AND_ASSIGN(const ModelView flat,
                       ModelView::Create({EditableToy(std::make_shared<FlatToy>()),
                                          EditableToy(std::make_shared<FlatToy>(), "toy_2")}));
  REQUIRE(flat.blocks().size() == 2);
  REQUIRE_OK(SaveCheckpoint(*env, "/in", flat));
  REQUIRE_OK(RunEditable(*env, RecipeWithDrop(DropText(1))).status());
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/out", {}, EditableNetworks()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  CHECK(view.blocks().size() == (1 + 4) + (1 + 5));
  REQUIRE_OK(view.LoadAll());
  CHECK(view.FindTensor("toy_2.blocks.4.norm")->equal(*flat.FindTensor("toy_2.blocks.4.norm")));
}

TEST_CASE("a plan names dropped blocks as they were, and nothing of those that get other numbers") {
  const ParsedRecipe recipe = RecipeWithDrop(DropText(2));
  ModelView view = TwoDeepToys();
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans, PlanRecipe(recipe, view));
  CHECK(plans[0].estimated);
  CHECK(plans[0].bytes_after < plans[0].bytes_before);
  CHECK(plans[0].changes.size() == 2 * (3 + 3));  // three linears, two biases and a norm
  for (const PlannedChange& change : plans[0].changes) {
    CAPTURE(change.path);
    CHECK(change.description == "removed");
    CHECK((change.path.starts_with("toy.blocks.0.") || change.path.starts_with("toy.blocks.1.")));
  }
}

TEST_CASE("a run that drops blocks, killed at any write, continues to the same bytes") {
  const ParsedRecipe recipe = RecipeWithDrop(DropText(2) + kInt8Text);
  std::map<std::string, std::string> expected;
  {
    const std::unique_ptr<Env> env = EditableDisk();
    REQUIRE_OK(RunEditable(*env, recipe));
    expected = Tree(*env, "/out");
  }
  int64_t kill = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const std::unique_ptr<Env> disk = EditableDisk();
    const absl::StatusOr<RunReport> killed = RunEditable(*NewFaultEnv(*disk, kill), recipe);
    if (disk->FolderExists("/out")) REQUIRE(Tree(*disk, "/out") == expected);
    if (killed.ok()) break;
    REQUIRE(absl::IsResourceExhausted(killed.status()));
    REQUIRE_OK(RunEditable(*disk, recipe));
    REQUIRE(Tree(*disk, "/out") == expected);
  }
  CHECK(kill > 50);
}

}  // namespace
}  // namespace wanlite
