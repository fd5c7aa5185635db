// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Models whose structure was edited, written and opened again.
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/core/libtorch.h"
#include "src/model/derived_source.h"
#include "src/model/dump.h"
#include "src/model/wan/dit_architecture.h"
#include "src/proto/manifest.pb.h"
#include "tests/checkpoint/toy_model.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using testing::Put;
using testing::PutTensors;
using testing::QuantizeToy;
using testing::ReadTree;

ArchitectureRegistry Transformers() {
  ArchitectureRegistry registry;
  REQUIRE_OK(registry.Register(wan::DitArchitecture()));
  registry.weight_formats() = testing::Toys().weight_formats();
  return registry;
}

// A transformer of four small blocks at m/, the third with quantized layers unless `dense`.
ModelFolder FourBlocks(Env& env, bool dense = false) {
  const std::string config = nlohmann::json({{"_class_name", "WanTransformer3DModel"},
                                             {"num_attention_heads", 2},
                                             {"attention_head_dim", 8},
                                             {"in_channels", 4},
                                             {"out_channels", 4},
                                             {"text_dim", 8},
                                             {"freq_dim", 16},
                                             {"ffn_dim", 20},
                                             {"num_layers", 4}})
                                 .dump();
  const Architecture dit = wan::DitArchitecture();
  ASSERT_OK_AND_ASSIGN(const std::string normal, dit.normalize_config(config));
  ASSERT_OK_AND_ASSIGN(const auto module, dit.build(normal));
  {
    const at::NoGradGuard no_grad;
    for (auto& item : module->named_parameters()) {
      item.value().copy_(testing::SeededParameter(item.key(), item.value().sizes()));
    }
  }
  Component component{"transformer", dit.role, dit.name, normal, module};
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({component}));
  for (const char* leaf : {"ffn.0", "cross_attn.k"}) {
    if (dense) continue;
    const std::string path = absl::StrCat("transformer.blocks.2.", leaf);
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(path));
    REQUIRE_OK(view.SetLinearWeight(path, QuantizeToy(weight->Dequantize())));
  }
  REQUIRE_OK(SaveCheckpoint(env, "m", view));
  ASSERT_OK_AND_ASSIGN(ModelFolder folder, ModelFolder::Open(env, "m", {}, Transformers()));
  return folder;
}

// Writes the blocks one by one, as each lease gives them.
void WriteStreamed(Env& env, const std::string& dir, ModelView& view, const ModelFolder& source) {
  ASSERT_OK_AND_ASSIGN(const auto writer, CheckpointWriter::Create(env, dir));
  for (const BlockInfo& block : view.blocks()) {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease(block.path));
    REQUIRE_OK(writer->WriteBlock("transformer", block.path, lease.State()));
  }
  REQUIRE_OK(writer->Finish(view, &source, Manifest()));
}

void Edit(ModelView& view) {
  REQUIRE_OK(view.DropBlocks({"transformer.blocks.1"}));
  REQUIRE_OK(view.KeepUnits("transformer.blocks.2.ffn.channels", at::arange(3, 15, at::kLong)));
  REQUIRE_OK(view.KeepUnits("transformer.blocks.0.self_attn.heads", at::ones({1}, at::kLong)));
}

TEST_CASE("an edited structure is written as it streams, and opened again bit by bit") {
  const auto env = NewMemEnv();
  const ModelFolder folder = FourBlocks(*env);
  ASSERT_OK_AND_ASSIGN(ModelView streamed, folder.BuildView());
  ASSERT_OK_AND_ASSIGN(ModelView loaded, folder.BuildView());
  ASSERT_OK_AND_ASSIGN(ModelView original, folder.BuildView());
  REQUIRE_OK(loaded.LoadAll());
  REQUIRE_OK(original.LoadAll());
  Edit(streamed);
  Edit(loaded);
  CHECK(DumpModel(streamed) == DumpModel(loaded));
  WriteStreamed(*env, "streamed", streamed, folder);
  REQUIRE_OK(SaveCheckpoint(*env, "loaded", loaded, &folder));
  CHECK(ReadTree(*env, "streamed") == ReadTree(*env, "loaded"));

  OpenOptions verify;
  verify.verify = true;
  ASSERT_OK_AND_ASSIGN(const ModelFolder again,
                       ModelFolder::Open(*env, "streamed", verify, Transformers()));
  ASSERT_OK_AND_ASSIGN(ModelView view, again.BuildView());
  CHECK(DumpModel(view) == DumpModel(loaded));
  REQUIRE(view.blocks().size() == 4);
  CHECK(view.blocks()[1].origin == "transformer.blocks.0");
  CHECK(view.blocks()[2].path == "transformer.blocks.1");
  CHECK(view.blocks()[2].origin == "transformer.blocks.2");
  CHECK(view.blocks()[3].origin == "transformer.blocks.3");
  REQUIRE_OK(view.LoadAll());
  for (const NamedTensor& named : loaded.Tensors()) {
    ASSERT_OK_AND_ASSIGN(const at::Tensor found, view.FindTensor(named.name));
    CHECK(found.equal(named.tensor));
  }
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight("transformer.blocks.1.ffn.0"));
  CHECK(weight->format() == "toy_int8");
  CHECK(view.FindTensor("transformer.blocks.1.ffn.0.weight")
            ->equal(*original.FindTensor("transformer.blocks.2.ffn.0.weight")));

  // What is dropped later is told from the first model too.
  REQUIRE_OK(view.DropBlocks({"transformer.blocks.0", "transformer.blocks.2"}));
  REQUIRE_OK(SaveCheckpoint(*env, "shallow", view));
  ASSERT_OK_AND_ASSIGN(const ModelFolder shallow,
                       ModelFolder::Open(*env, "shallow", {}, Transformers()));
  ASSERT_OK_AND_ASSIGN(const ModelView last, shallow.BuildView());
  REQUIRE(last.blocks().size() == 2);
  CHECK(last.blocks()[1].origin == "transformer.blocks.2");
  CHECK(shallow.manifest()->components(0).block_origin().at("blocks.0") == "blocks.2");
}

TEST_CASE("a group through all blocks is cut as the model streams, and opens with its own width") {
  const auto env = NewMemEnv();
  const ModelFolder folder = FourBlocks(*env, /*dense=*/true);
  ASSERT_OK_AND_ASSIGN(ModelView streamed, folder.BuildView());
  ASSERT_OK_AND_ASSIGN(ModelView loaded, folder.BuildView());
  REQUIRE_OK(loaded.LoadAll());
  const at::Tensor keep = at::tensor({0, 1, 2, 5, 7, 8, 9, 12, 15}, at::kLong);
  for (ModelView* view : {&streamed, &loaded}) {
    REQUIRE_OK(view->KeepUnits("transformer.width", keep));
    REQUIRE_OK(view->DropBlocks({"transformer.blocks.3", "transformer.blocks.0"}));
    REQUIRE_OK(view->KeepUnits("transformer.width", at::arange(1, 7, at::kLong)));
  }
  WriteStreamed(*env, "streamed", streamed, folder);
  REQUIRE_OK(SaveCheckpoint(*env, "loaded", loaded, &folder));
  CHECK(ReadTree(*env, "streamed") == ReadTree(*env, "loaded"));
  ASSERT_OK_AND_ASSIGN(const ModelFolder again,
                       ModelFolder::Open(*env, "streamed", {}, Transformers()));
  ASSERT_OK_AND_ASSIGN(const ModelView view, again.BuildView());
  CHECK(view.FindTensor("transformer.time_projection.1.weight")->sizes() ==
        at::IntArrayRef({36, 6}));
  CHECK(view.FindTensor("transformer.blocks.1.cross_attn.k.weight")->sizes() ==
        at::IntArrayRef({16, 16}));
  CHECK(absl::StrContains(view.components()[0].config_json, "\"wanlite_dim\": 6"));
}

TEST_CASE("a view that streams is based on the blocks that were written of it") {
  const auto env = NewMemEnv();
  const ModelFolder folder = FourBlocks(*env);
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  const std::string block = "transformer.blocks.2", linear = "transformer.blocks.2.self_attn.q";
  ASSERT_OK_AND_ASSIGN(const auto writer, CheckpointWriter::Create(*env, "w"));
  std::map<std::string, at::Tensor> written;
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease(block));
    REQUIRE_OK(view.KeepUnits("transformer.blocks.2.self_attn.heads", at::ones({1}, at::kLong)));
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear));
    REQUIRE_OK(view.SetLinearWeight(linear, QuantizeToy(weight->Dequantize())));
    for (const NamedTensor& named : lease.State()) written[named.name] = named.tensor.clone();
    REQUIRE_OK(writer->WriteBlock("transformer", block, lease.State()));
  }
  CHECK_FALSE(view.Lease(block).ok());
  ASSERT_OK_AND_ASSIGN(const auto file,
                       OpenSafetensors(*env, "w/transformer/blocks.2.safetensors"));
  std::vector<DerivedSource::Entry> entries;
  for (const TensorInfo& info : file->tensors()) {
    entries.push_back(
        DerivedSource::Renamed(absl::StrCat("transformer.", info.name), file, info.name));
  }
  ASSERT_OK_AND_ASSIGN(const auto source, DerivedSource::Create(std::move(entries)));
  CHECK_FALSE(view.Rebase("transformer.blocks.1", source).ok());
  REQUIRE_OK(view.Rebase(block, source));
  ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease(block));
  REQUIRE(lease.State().size() == written.size());
  for (const NamedTensor& named : lease.State()) {
    CHECK(named.tensor.equal(written.at(named.name)));
  }
}

TEST_CASE("origins of blocks that are not the model's are refused by name") {
  const auto env = NewMemEnv();
  const ModelFolder folder = FourBlocks(*env);
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  Edit(view);
  WriteStreamed(*env, "m2", view, folder);
  ASSERT_OK_AND_ASSIGN(const std::string good, env->ReadFile("m2/wanlite.json"));
  const std::string two = "\"blocks.2\": \"blocks.3\"";
  REQUIRE(absl::StrContains(good, two));
  const std::pair<const char*, const char*> cases[] = {
      {"\"blocks.7\": \"blocks.3\"", "blocks.2"},
      {"\"blocks.2\": \"blocks.0\"", "another block's"},
      {"\"blocks.2\": \"\"", "empty"},
      {"\"blocks.2\": \"blocks.3\", \"blocks.9\": \"blocks.8\"", "names 4 blocks"},
      {"\"blocks.2\": 3", "wanted a string"},
  };
  for (const auto& [bad, text] : cases) {
    INFO(bad);
    Put(*env, "m2/wanlite.json", absl::StrReplaceAll(good, {{two, bad}}));
    const auto opened = ModelFolder::Open(*env, "m2", {}, Transformers());
    const absl::Status status = opened.ok() ? opened->BuildView().status() : opened.status();
    INFO(status.ToString());
    CHECK(absl::IsInvalidArgument(status));
    CHECK(absl::StrContains(status.message(), text));
  }
}

}  // namespace
}  // namespace wanlite
