// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/checkpoint/manifest_json.h"
#include "src/core/libtorch.h"
#include "src/proto/manifest.pb.h"
#include "tests/checkpoint/toy_model.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

using testing::DenoiserConfig;
using testing::EncoderConfig;
using testing::MakeToy;
using testing::Put;
using testing::QuantizeToy;
using testing::ReadTree;
using testing::ThingConfig;
using testing::Toys;
using testing::VaeConfig;

ModelView ToyView() {
  auto view = ModelView::Create({MakeToy("ToyDenoiser", "transformer", DenoiserConfig(), 1),
                                 MakeToy("ToyDenoiser", "transformer_2", DenoiserConfig(), 2),
                                 MakeToy("ToyEncoder", "text_encoder", EncoderConfig(), 3),
                                 MakeToy("ToyVae", "vae", VaeConfig(), 4)});
  REQUIRE_OK(view);
  return *std::move(view);
}

// One expert in mixed dtypes with a quantized layer, and a VAE.
ModelView MixedView() {
  Component dit = MakeToy("ToyDenoiser", "transformer", DenoiserConfig(), 1);
  const at::NoGradGuard no_grad;
  for (at::Tensor& tensor : dit.module->parameters()) {
    if (tensor.dim() == 1) tensor.set_data(tensor.detach().to(at::kBFloat16));
  }
  auto view = ModelView::Create({dit, MakeToy("ToyVae", "vae", VaeConfig(), 4)});
  REQUIRE_OK(view);
  auto weight = view->Weight("transformer.blocks.1.q");
  REQUIRE_OK(weight);
  REQUIRE_OK(view->SetLinearWeight("transformer.blocks.1.q", QuantizeToy((*weight)->Dequantize())));
  return *std::move(view);
}

void RequireSame(const ModelView& a, const ModelView& b) {
  const std::vector<NamedTensor> left = a.Tensors();
  REQUIRE(left.size() == b.Tensors().size());
  for (const NamedTensor& named : left) {
    INFO(named.name);
    ASSERT_OK_AND_ASSIGN(const at::Tensor other, b.FindTensor(named.name));
    REQUIRE(named.tensor.scalar_type() == other.scalar_type());
    REQUIRE(at::equal(named.tensor, other));
  }
  REQUIRE(a.Fingerprint() == b.Fingerprint());
}

ModelView Load(Env& env, const std::string& dir, const OpenOptions& options = {}) {
  auto folder = ModelFolder::Open(env, dir, options, Toys());
  REQUIRE_OK(folder);
  auto view = folder->BuildView();
  REQUIRE_OK(view);
  REQUIRE_OK(view->LoadAll());
  return *std::move(view);
}

absl::Status OpenBuildAndLoad(Env& env, const std::string& dir, bool verify = false) {
  OpenOptions options;
  options.verify = verify;
  auto folder = ModelFolder::Open(env, dir, options, Toys());
  if (!folder.ok()) return folder.status();
  return folder->BuildView().status();
}

TEST_CASE("saving and opening a checkpoint is the identity, quantized layers included") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ModelView view = MixedView();
  REQUIRE_OK(SaveCheckpoint(*env, "out", view));
  OpenOptions options;
  options.verify = true;
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "out", options, Toys()));
  REQUIRE(folder.layout() == FolderLayout::kWanlite);
  REQUIRE(folder.manifest()->format_version() == 1);
  REQUIRE(absl::StartsWith(folder.manifest()->writer(), "wanlite "));
  ASSERT_OK_AND_ASSIGN(ModelView back, folder.BuildView());
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, back.Weight("transformer.blocks.1.q"));
  REQUIRE(weight->format() == "toy_int8");
  for (const WeightTensor& state : weight->State()) REQUIRE(nn::IsHollow(state.tensor));
  REQUIRE_OK(back.LoadAll());
  RequireSame(view, back);
  // One file per block, and nothing that was only needed while writing.
  std::vector<std::string> names;
  for (const auto& [path, bytes] : ReadTree(*env, "out")) names.push_back(path);
  REQUIRE(names ==
          std::vector<std::string>{"transformer/blocks.0.safetensors",
                                   "transformer/blocks.1.safetensors", "transformer/config.json",
                                   "transformer/diffusion_pytorch_model.safetensors.index.json",
                                   "transformer/rest.safetensors", "vae/config.json",
                                   "vae/diffusion_pytorch_model.safetensors.index.json",
                                   "vae/rest.safetensors", "wanlite.json"});
  REQUIRE(absl::IsAlreadyExists(SaveCheckpoint(*env, "out", view)));
}

TEST_CASE("a model of one's own with an empty component name has its files in the folder itself") {
  const std::unique_ptr<Env> env = NewMemEnv();
  ASSERT_OK_AND_ASSIGN(const ModelView view,
                       ModelView::Create({MakeToy("ToyThing", "", ThingConfig(), 5)}));
  REQUIRE_OK(SaveCheckpoint(*env, "out", view));
  REQUIRE(env->FileExists("out/rest.safetensors"));
  RequireSame(view, Load(*env, "out"));
}

TEST_CASE("the same model gives the same bytes") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "a", MixedView()));
  REQUIRE_OK(SaveCheckpoint(*env, "b/c", MixedView()));
  REQUIRE(ReadTree(*env, "a") == ReadTree(*env, "b/c"));
}

TEST_CASE(
    "a disk that fails at any write leaves no checkpoint that opens, and a second try gives the "
    "same") {
  const std::unique_ptr<Env> perfect = NewMemEnv();
  const ModelView view = MixedView();
  REQUIRE_OK(SaveCheckpoint(*perfect, "out", view));
  const auto want = ReadTree(*perfect, "out");
  int64_t k = 0;
  for (;; ++k) {
    REQUIRE(k < 1000);
    const std::unique_ptr<Env> disk = NewMemEnv();
    const std::unique_ptr<FaultEnv> faulty = NewFaultEnv(*disk, k);
    const bool saved = SaveCheckpoint(*faulty, "out", view).ok();
    const bool opens = OpenBuildAndLoad(*disk, "out", /*verify=*/true).ok();
    if (saved) {
      REQUIRE(opens);
      break;
    }
    // Only the last sync may fail with the folder in its place already.
    if (opens) {
      REQUIRE(ReadTree(*disk, "out") == want);
      continue;
    }
    REQUIRE_OK(SaveCheckpoint(*disk, "out", view));
    REQUIRE(ReadTree(*disk, "out") == want);
  }
  REQUIRE(k > 40);
}

// Writes a checkpoint of `view` at "out" as the pipeline does, skipping blocks that are there.
absl::Status WriteBlockwise(Env& env, const ModelView& view, int* written,
                            const ModelFolder* source = nullptr) {
  auto writer = CheckpointWriter::Create(env, "out");
  if (!writer.ok()) return writer.status();
  for (const BlockInfo& block : view.blocks()) {
    if ((*writer)->HasBlock(block.path)) continue;
    const absl::Status status = (*writer)->WriteBlock(view.ComponentOf(block.path).name, block.path,
                                                      view.BlockTensors(block.path));
    if (!status.ok()) return status;
    ++*written;
  }
  Manifest lineage;
  LineageEntry* entry = lineage.add_lineage();
  entry->set_pass("quantize-toy");
  entry->set_seed(~uint64_t{0});
  (*entry->mutable_metrics())["mse"] = 0.25;
  (*entry->mutable_metrics())["bad"] = std::numeric_limits<double>::infinity();
  return (*writer)->Finish(view, source, lineage);
}

TEST_CASE(
    "block-wise writing resumes after a kill at any write with the same bytes and little work "
    "lost") {
  const ModelView view = ToyView();
  const std::unique_ptr<Env> perfect = NewMemEnv();
  int all = 0;
  REQUIRE_OK(WriteBlockwise(*perfect, view, &all));
  REQUIRE(all == static_cast<int>(view.blocks().size()));
  const auto want = ReadTree(*perfect, "out");
  int64_t k = 0;
  for (;; ++k) {
    REQUIRE(k < 1000);
    const std::unique_ptr<Env> disk = NewMemEnv();
    const std::unique_ptr<FaultEnv> faulty = NewFaultEnv(*disk, k);
    int first = 0;
    if (WriteBlockwise(*faulty, view, &first).ok()) break;
    if (disk->FileExists("out/wanlite.json")) {  // killed in the last sync
      REQUIRE(ReadTree(*disk, "out") == want);
      REQUIRE_OK(OpenBuildAndLoad(*disk, "out", true));
      continue;
    }
    REQUIRE_FALSE(OpenBuildAndLoad(*disk, "out").ok());
    int second = 0;
    REQUIRE_OK(WriteBlockwise(*disk, view, &second));
    REQUIRE(second <= all - first);
    REQUIRE(ReadTree(*disk, "out") == want);
    REQUIRE_OK(OpenBuildAndLoad(*disk, "out", true));
  }
  REQUIRE(k > 60);
}

TEST_CASE("a block whose file is damaged is not taken for written") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ModelView view = ToyView();
  ASSERT_OK_AND_ASSIGN(const auto writer, CheckpointWriter::Create(*env, "out"));
  const std::string block = "transformer.blocks.0";
  REQUIRE_FALSE(writer->HasBlock(block));
  REQUIRE_OK(writer->WriteBlock("transformer", block, view.BlockTensors(block)));
  REQUIRE(writer->HasBlock(block));
  REQUIRE_FALSE(writer->HasBlock("transformer.blocks.1"));
  REQUIRE_FALSE(writer->HasBlock("transformer_2.blocks.0"));
  REQUIRE_FALSE(writer->HasBlock("transformer"));
  const std::string path = "out/transformer/blocks.0.safetensors";
  ASSERT_OK_AND_ASSIGN(std::string bytes, env->ReadFile(path));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  Put(*env, path, bytes);
  REQUIRE_FALSE(writer->HasBlock(block));
  Put(*env, path, bytes.substr(1));
  REQUIRE_FALSE(writer->HasBlock(block));
  REQUIRE_OK(env->RemoveFile(path));
  REQUIRE_FALSE(writer->HasBlock(block));
}

TEST_CASE("a checkpoint with a block missing, foreign or hollow cannot be finished") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ModelView view = ToyView();
  ASSERT_OK_AND_ASSIGN(const auto writer, CheckpointWriter::Create(*env, "out"));
  const auto all = view.blocks();
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    REQUIRE_OK(writer->WriteBlock(view.ComponentOf(all[i].path).name, all[i].path,
                                  view.BlockTensors(all[i].path)));
  }
  absl::Status status = writer->Finish(view, nullptr, Manifest());
  REQUIRE(absl::IsFailedPrecondition(status));
  REQUIRE(absl::StrContains(status.message(), all.back().path));
  std::vector<NamedTensor> wrong = view.BlockTensors(all.back().path);
  wrong.push_back({absl::StrCat(view.ComponentOf(all.back().path).name, ".extra"), at::zeros({1})});
  REQUIRE_OK(writer->WriteBlock(view.ComponentOf(all.back().path).name, all.back().path, wrong));
  REQUIRE(absl::IsFailedPrecondition(writer->Finish(view, nullptr, Manifest())));
  REQUIRE(absl::IsInvalidArgument(writer->WriteBlock("vae", "transformer.blocks.0",
                                                     view.BlockTensors("transformer.blocks.0"))));
  REQUIRE(absl::IsInvalidArgument(
      writer->WriteBlock("transformer", "transformer.blocks.0", {{"vae.x", at::zeros({1})}})));
  REQUIRE(absl::IsInvalidArgument(writer->WriteBlock("transformer", "transformer.a/b", {})));
  REQUIRE(absl::IsFailedPrecondition(writer->WriteBlock(
      "transformer", "transformer.blocks.0", {{"transformer.x", nn::HollowLike(at::zeros({4}))}})));
  REQUIRE_FALSE(OpenBuildAndLoad(*env, "out").ok());
}

TEST_CASE("a writer does not touch a folder that is something else") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "done", MixedView()));
  REQUIRE(absl::IsAlreadyExists(CheckpointWriter::Create(*env, "done").status()));
  Put(*env, "mine/notes.txt", "mine");
  REQUIRE(absl::IsAlreadyExists(CheckpointWriter::Create(*env, "mine").status()));
  REQUIRE(env->FileExists("mine/notes.txt"));
}

TEST_CASE("manifests that lie are refused") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "good", MixedView()));
  const auto tree = ReadTree(*env, "good");
  const std::string manifest = tree.at("wanlite.json");
  const std::string hash = nlohmann::json::parse(manifest)["components"][0]["files"][0]["sha256"];
  const std::vector<std::pair<std::vector<std::pair<std::string, std::string>>, std::string>>
      cases = {
          {{{"\"format_version\": 1", "\"format_version\": 2"}}, "format_version is 2"},
          {{{"\"format_version\": 1", "\"format_version\": \"1\""}}, "format_version"},
          {{{"\"format_version\": 1,", ""}}, "absent"},
          {{{"\"writer\"", "\"wrote\""}}, "'wrote'"},
          {{{"\"path\": \"config.json\"", "\"path\": \"../vae/config.json\""}},
           "inside the component"},
          {{{"\"path\": \"config.json\"", "\"path\": \"/etc/passwd\""}}, "inside the component"},
          {{{"\"path\": \"rest.safetensors\"", "\"path\": \"lost.safetensors\""}}, "missing"},
          {{{"\"name\": \"vae\"", "\"name\": \"../vae\""}}, "plain folder name"},
          {{{"\"name\": \"vae\"", "\"name\": \"transformer\""}}, "twice"},
          {{{"\"ToyVae\"", "\"Alien\""}}, "Alien"},
          {{{"\"toy_int8\"", "\"toy_int9\""}}, "toy_int9"},
          {{{"\"blocks.1.q\"", "\"blocks.9.q\""}}, "blocks.9.q"},
          {{{hash, "xyz"}}, "hexadecimal"},
          {{{"\"bytes\": ", "\"bytes\": 1"}}, "bytes"},
          {{{"\"bytes\": ", "\"bytes\": -"}}, "not negative"},
          {{{"\"lineage\": []", "\"lineage\": {}"}}, "a list"},
          {{{"{\n", "{{\n"}}, "JSON"},
      };
  for (const auto& [edits, wanted] : cases) {
    for (const auto& [path, bytes] : tree) Put(*env, JoinPath("bad", path), bytes);
    const std::string edited = absl::StrReplaceAll(manifest, {{edits[0].first, edits[0].second}});
    REQUIRE(edited != manifest);
    Put(*env, "bad/wanlite.json", edited);
    const absl::Status status = OpenBuildAndLoad(*env, "bad");
    INFO(status.ToString() << " wanted " << wanted);
    REQUIRE_FALSE(status.ok());
    REQUIRE(absl::StrContains(status.message(), wanted));
  }
}

TEST_CASE("verify finds a changed byte that the sizes do not show") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "out", MixedView()));
  for (const char* file : {"out/transformer/blocks.0.safetensors", "out/transformer/config.json"}) {
    ASSERT_OK_AND_ASSIGN(const std::string good, env->ReadFile(file));
    std::string bad = good;
    if (absl::EndsWith(file, "json")) {
      bad[bad.find(',')] = ' ';
      bad[bad.find(' ')] = ',';
      bad = absl::StrReplaceAll(good, {{"\"layers\":2", "\"layers\":1"}});
    } else {
      bad.back() = static_cast<char>(bad.back() ^ 64);
    }
    REQUIRE(bad.size() == good.size());
    Put(*env, file, bad);
    const absl::Status status = OpenBuildAndLoad(*env, "out", /*verify=*/true);
    INFO(status.ToString());
    REQUIRE(absl::IsInvalidArgument(status));
    REQUIRE(absl::StrContains(status.message(), "SHA-256"));
    Put(*env, file, good);
  }
  REQUIRE_OK(OpenBuildAndLoad(*env, "out", /*verify=*/true));
}

TEST_CASE("damaged manifests never do more than fail") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "out", MixedView()));
  ASSERT_OK_AND_ASSIGN(const std::string good, env->ReadFile("out/wanlite.json"));
  for (size_t size = 0; size + 1 < good.size(); size += 7) {
    Put(*env, "out/wanlite.json", good.substr(0, size));
    REQUIRE_FALSE(OpenBuildAndLoad(*env, "out").ok());
  }
  for (size_t at = 0; at < good.size(); at += 3) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 7)));
    Put(*env, "out/wanlite.json", bad);
    OpenBuildAndLoad(*env, "out").IgnoreError();  // a changed writer or hash may well open
  }
}

TEST_CASE("a manifest survives its JSON, odd numbers included") {
  Manifest manifest;
  manifest.set_format_version(1);
  manifest.set_writer("wanlite \"x\" \n");
  LineageEntry* lineage = manifest.add_lineage();
  lineage->set_pass("p");
  lineage->set_options_text("a: 1\nb: \"é\"");
  lineage->set_seed(~uint64_t{0});
  for (const double value : {0.1, -1e300, 3.0}) {
    (*lineage->mutable_metrics())[absl::StrCat("m", value)] = value;
  }
  (*lineage->mutable_metrics())["inf"] = -std::numeric_limits<double>::infinity();
  const std::string json = ManifestToJson(manifest);
  ASSERT_OK_AND_ASSIGN(const Manifest back, ManifestFromJson(json, "m"));
  REQUIRE(ManifestToJson(back) == json);
  REQUIRE(back.lineage(0).seed() == ~uint64_t{0});
  REQUIRE(back.lineage(0).metrics().at("m0.1") == 0.1);
  REQUIRE(std::isinf(back.lineage(0).metrics().at("inf")));
}

TEST_CASE("finishing copies what is not tensors and appends to the lineage of the source") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "first", ToyView()));
  Put(*env, "first/model_index.json", "{\"boundary_ratio\": 0.875}");
  Put(*env, "first/scheduler/scheduler_config.json", "{\"flow_shift\": 5.0}");
  Put(*env, "first/tokenizer/spiece.model", std::string("\0pieces", 7));
  ASSERT_OK_AND_ASSIGN(const ModelFolder source, ModelFolder::Open(*env, "first", {}, Toys()));
  int written = 0;
  REQUIRE_OK(WriteBlockwise(*env, ToyView(), &written, &source));
  ASSERT_OK_AND_ASSIGN(const ModelFolder out, ModelFolder::Open(*env, "out", {}, Toys()));
  REQUIRE(out.model_index_json() == source.model_index_json());
  REQUIRE(out.scheduler_config_json() == source.scheduler_config_json());
  REQUIRE(out.tokenizer_dir() == "out/tokenizer");
  ASSERT_OK_AND_ASSIGN(const std::string pieces, env->ReadFile("out/tokenizer/spiece.model"));
  REQUIRE(pieces == std::string("\0pieces", 7));
  REQUIRE(out.manifest()->lineage_size() == 1);
  REQUIRE_OK(env->Rename("out", "second"));
  ASSERT_OK_AND_ASSIGN(const ModelFolder second, ModelFolder::Open(*env, "second", {}, Toys()));
  REQUIRE_OK(WriteBlockwise(*env, ToyView(), &written, &second));
  ASSERT_OK_AND_ASSIGN(const ModelFolder third, ModelFolder::Open(*env, "out", {}, Toys()));
  REQUIRE(third.manifest()->lineage_size() == 2);
  REQUIRE(third.fingerprint() == second.fingerprint());
}

// Exports a checkpoint of `view` and opens the export.
ModelView RoundTrip(Env& env, const ModelView& view, const ExportOptions& options) {
  REQUIRE_OK(env.RemoveAll("c"));
  REQUIRE_OK(env.RemoveAll("x"));
  REQUIRE_OK(SaveCheckpoint(env, "c", view));
  auto folder = ModelFolder::Open(env, "c", {}, Toys());
  REQUIRE_OK(folder);
  REQUIRE_OK(ExportFolder(env, *folder, "x", options));
  auto back = ModelFolder::Open(env, "x", {}, Toys());
  REQUIRE_OK(back);
  REQUIRE(back->layout() == options.layout);
  return Load(env, "x");
}

TEST_CASE("exporting to any layout, in one file or many, and opening it again is the identity") {
  const std::unique_ptr<Env> env = NewMemEnv();
  for (const FolderLayout layout :
       {FolderLayout::kDiffusers, FolderLayout::kOriginal, FolderLayout::kWanlite}) {
    for (const int64_t shard : {int64_t{1}, int64_t{150}, int64_t{1} << 30}) {
      INFO(FolderLayoutName(layout) << " " << shard);
      ExportOptions options;
      options.layout = layout;
      options.max_shard_bytes = shard;
      int64_t done = 0;
      int64_t all = 0;
      options.progress = [&](int64_t bytes, int64_t total) {
        REQUIRE(bytes > done);
        done = bytes;
        all = total;
      };
      const ModelView view = ToyView();
      RequireSame(view, RoundTrip(*env, view, options));
      REQUIRE(done == all);
      REQUIRE(all > 0);
    }
  }
}

TEST_CASE("a lone expert of either kind survives every layout") {
  const std::unique_ptr<Env> env = NewMemEnv();
  for (const FolderLayout layout :
       {FolderLayout::kDiffusers, FolderLayout::kOriginal, FolderLayout::kWanlite}) {
    for (const char* name : {"transformer", "transformer_2"}) {
      INFO(FolderLayoutName(layout) << " " << name);
      ExportOptions options;
      options.layout = layout;
      ASSERT_OK_AND_ASSIGN(const ModelView view,
                           ModelView::Create({MakeToy("ToyDenoiser", name, DenoiserConfig(6, 3), 7),
                                              MakeToy("ToyVae", "vae", VaeConfig(5), 8)}));
      RequireSame(view, RoundTrip(*env, view, options));
    }
  }
}

TEST_CASE("exports have the names, configs and files that other programs look for") {
  const std::unique_ptr<Env> env = NewMemEnv();
  ExportOptions options;
  options.max_shard_bytes = 150;
  RoundTrip(*env, ToyView(), options);
  auto tree = ReadTree(*env, "x");
  REQUIRE(tree.contains("transformer/diffusion_pytorch_model.safetensors.index.json"));
  REQUIRE(tree.contains("transformer/diffusion_pytorch_model-00001-of-00004.safetensors"));
  REQUIRE(tree.contains("text_encoder/model.safetensors"));
  REQUIRE(tree.contains("vae/diffusion_pytorch_model.safetensors"));
  REQUIRE(tree.at("transformer/config.json") == DenoiserConfig());
  REQUIRE(absl::StrContains(tree.at("transformer/diffusion_pytorch_model.safetensors.index.json"),
                            "blocks.0.attn.to_q.weight"));
  const auto index = nlohmann::json::parse(tree.at("model_index.json"));
  REQUIRE(index["text_encoder"] == nlohmann::json({"transformers", "ToyEncoder"}));
  options.layout = FolderLayout::kOriginal;
  options.max_shard_bytes = 1 << 20;
  RoundTrip(*env, ToyView(), options);
  tree = ReadTree(*env, "x");
  std::vector<std::string> names;
  for (const auto& [path, bytes] : tree) names.push_back(path);
  REQUIRE(names == std::vector<std::string>{"high_noise_model/config.json",
                                            "high_noise_model/diffusion_pytorch_model.safetensors",
                                            "low_noise_model/config.json",
                                            "low_noise_model/diffusion_pytorch_model.safetensors",
                                            "text_encoder.config.json", "text_encoder.safetensors",
                                            "vae.config.json", "vae.safetensors"});
  REQUIRE(absl::StrContains(tree.at("high_noise_model/config.json"), "ToyModel"));
}

TEST_CASE("foreign layouts get quantized layers as dense matrices; ours keeps them") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ModelView view = MixedView();
  ASSERT_OK_AND_ASSIGN(const LinearWeight* quantized, view.Weight("transformer.blocks.1.q"));
  for (const FolderLayout layout : {FolderLayout::kDiffusers, FolderLayout::kOriginal}) {
    ExportOptions options;
    options.layout = layout;
    const ModelView back = RoundTrip(*env, view, options);
    ASSERT_OK_AND_ASSIGN(const at::Tensor dense, back.FindTensor("transformer.blocks.1.q.weight"));
    // In the precision of the layer's bias.
    REQUIRE(at::equal(dense, quantized->Dequantize().to(at::kBFloat16)));
    ASSERT_OK_AND_ASSIGN(const at::Tensor other, back.FindTensor("transformer.blocks.0.q.weight"));
    REQUIRE(other.scalar_type() == at::kFloat);
  }
  ExportOptions options;
  options.layout = FolderLayout::kWanlite;
  RequireSame(view, RoundTrip(*env, view, options));
}

TEST_CASE(
    "a dtype casts dense floats, but not what the model keeps in fp32 and not quantized layers") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ModelView view = MixedView();
  for (const FolderLayout layout :
       {FolderLayout::kDiffusers, FolderLayout::kOriginal, FolderLayout::kWanlite}) {
    ExportOptions options;
    options.layout = layout;
    options.dtype = at::kHalf;
    const ModelView back = RoundTrip(*env, view, options);
    ASSERT_OK_AND_ASSIGN(const at::Tensor patch, back.FindTensor("transformer.patch.weight"));
    ASSERT_OK_AND_ASSIGN(const at::Tensor before, view.FindTensor("transformer.patch.weight"));
    REQUIRE(at::equal(patch, before.to(at::kHalf)));
    ASSERT_OK_AND_ASSIGN(const at::Tensor table, back.FindTensor("transformer.table"));
    REQUIRE(table.scalar_type() == at::kFloat);
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, back.Weight("transformer.blocks.1.q"));
    REQUIRE(weight->format() == (layout == FolderLayout::kWanlite ? "toy_int8" : "dense"));
    if (layout == FolderLayout::kWanlite) {
      REQUIRE(weight->State()[1].tensor.scalar_type() == at::kFloat);
    }
  }
}

TEST_CASE("an export in a dtype that cannot hold a value is refused by name and leaves nothing") {
  const std::unique_ptr<Env> env = NewMemEnv();
  ModelView view = ToyView();
  ASSERT_OK_AND_ASSIGN(const at::Tensor patch, view.FindTensor("transformer.patch.weight"));
  {
    const at::NoGradGuard no_grad;
    patch.detach()[1][2] = 7e4;
  }
  // And one whose expansion is beyond fp32 itself.
  const ModelView huge = MixedView();
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, huge.Weight("transformer.blocks.1.q"));
  {
    const at::NoGradGuard no_grad;
    weight->State()[0].tensor.fill_(127);
    weight->State()[1].tensor.fill_(3e38);
  }
  REQUIRE_OK(SaveCheckpoint(*env, "a", view));
  REQUIRE_OK(SaveCheckpoint(*env, "b", huge));
  for (const FolderLayout layout :
       {FolderLayout::kDiffusers, FolderLayout::kOriginal, FolderLayout::kWanlite}) {
    ExportOptions options;
    options.layout = layout;
    options.dtype = at::kHalf;
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "a", {}, Toys()));
    const absl::Status refused = ExportFolder(*env, folder, "x", options);
    INFO(refused.ToString());
    REQUIRE(absl::IsInvalidArgument(refused));
    REQUIRE(absl::StrContains(std::string(refused.message()), "patch"));
    REQUIRE(absl::StrContains(std::string(refused.message()), "holds 70000"));
    REQUIRE_FALSE(env->FolderExists("x"));
    options.dtype = at::kBFloat16;
    REQUIRE_OK(ExportFolder(*env, folder, "x", options));
    REQUIRE_OK(env->RemoveAll("x"));
  }
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "b", {}, Toys()));
  const absl::Status refused = ExportFolder(*env, folder, "x", {});
  REQUIRE(absl::IsInvalidArgument(refused));
  REQUIRE(absl::StrContains(std::string(refused.message()), "blocks.1.q"));
}

TEST_CASE("an export that fails at any write leaves nothing that opens") {
  const std::unique_ptr<Env> model = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*model, "c", MixedView()));
  for (const FolderLayout layout :
       {FolderLayout::kDiffusers, FolderLayout::kOriginal, FolderLayout::kWanlite}) {
    for (int64_t k = 0;; ++k) {
      REQUIRE(k < 1000);
      const std::unique_ptr<Env> disk = NewMemEnv();
      for (const auto& [path, bytes] : ReadTree(*model, "c"))
        Put(*disk, JoinPath("c", path), bytes);
      const std::unique_ptr<FaultEnv> faulty = NewFaultEnv(*disk, k);
      ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*faulty, "c", {}, Toys()));
      ExportOptions options;
      options.layout = layout;
      if (ExportFolder(*faulty, folder, "x", options).ok()) break;
      const bool in_place = disk->FolderExists("x");
      REQUIRE(OpenBuildAndLoad(*disk, "x").ok() == in_place);
      if (in_place) continue;
      REQUIRE_OK(ExportFolder(*disk, folder, "y", options));
      REQUIRE_OK(OpenBuildAndLoad(*disk, "y"));
    }
  }
}

TEST_CASE("bad export options are refused before anything is written") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "c", MixedView()));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "c", {}, Toys()));
  ExportOptions options;
  options.max_shard_bytes = 0;
  REQUIRE(absl::IsInvalidArgument(ExportFolder(*env, folder, "x", options)));
  options.max_shard_bytes = 1;
  options.dtype = at::kChar;
  REQUIRE(absl::IsInvalidArgument(ExportFolder(*env, folder, "x", options)));
  options.dtype = std::nullopt;
  REQUIRE(absl::IsAlreadyExists(ExportFolder(*env, folder, "c", options)));
  REQUIRE_FALSE(env->FolderExists("x"));
  REQUIRE_FALSE(env->FolderExists("x.tmp"));
}

}  // namespace
}  // namespace wanlite
