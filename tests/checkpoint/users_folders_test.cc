// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Folders as people have them: files beside the model, files of other kinds under its names,
// prefixes, halves of models.

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/proto/manifest.pb.h"
#include "tests/checkpoint/toy_model.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using testing::DenoiserConfig;
using testing::DiffusersTensors;
using testing::EncoderConfig;
using testing::HasNote;
using testing::InternalTensors;
using testing::MakeToy;
using testing::OriginalDenoiserConfig;
using testing::Put;
using testing::PutTensors;
using testing::Toys;
using testing::VaeConfig;

using Names = std::vector<std::string>;

Component Denoiser() { return MakeToy("ToyDenoiser", "transformer", DenoiserConfig(), 1); }
Component ToyVae() { return MakeToy("ToyVae", "vae", VaeConfig(), 2); }

void PutComponents(Env& env) {
  Put(env, "m/transformer/config.json", DenoiserConfig());
  PutTensors(env, "m/transformer/diffusion_pytorch_model.safetensors",
             DiffusersTensors(Denoiser()));
  Put(env, "m/vae/config.json", VaeConfig());
  PutTensors(env, "m/vae/diffusion_pytorch_model.safetensors", DiffusersTensors(ToyVae()));
}

absl::StatusOr<ModelFolder> OpenToys(Env& env, const OpenOptions& options = {}) {
  return ModelFolder::Open(env, "m", options, Toys());
}

ModelFolder OpenToysOk(Env& env, const OpenOptions& options = {}) {
  auto folder = OpenToys(env, options);
  REQUIRE_OK(folder);
  REQUIRE_OK(folder->BuildView());
  return *std::move(folder);
}

void RequireRefused(const absl::Status& status, const Names& texts) {
  INFO(status.ToString());
  REQUIRE_FALSE(status.ok());
  REQUIRE(std::count(status.message().begin(), status.message().end(), '\n') <= 3);
  for (const std::string& text : texts) {
    INFO("wanted: " << text);
    REQUIRE(absl::StrContains(status.message(), text));
  }
}

TEST_CASE("a loose file beside component folders is left out and said, with or without an index") {
  const auto env = NewMemEnv();
  PutComponents(*env);
  PutTensors(*env, "m/lora.safetensors", {{"x.lora_A.weight", at::zeros({1})}});
  for (const bool index : {false, true}) {
    if (index) Put(*env, "m/model_index.json", "{}");
    const ModelFolder folder = OpenToysOk(*env);
    REQUIRE(folder.component_names() == Names{"transformer", "vae"});
    REQUIRE(HasNote(folder, "lora.safetensors"));
  }
  // Not even its header is read.
  Put(*env, "m/lora.safetensors", "damaged");
  REQUIRE(OpenToysOk(*env).component_names().size() == 2);
}

TEST_CASE("hidden files are no files of a model") {
  const auto env = NewMemEnv();
  PutComponents(*env);
  Put(*env, "m/._model.safetensors", "resource fork");
  Put(*env, "m/transformer/._diffusion_pytorch_model.safetensors", "resource fork");
  Put(*env, "m/.cache/config.json", "{\"_class_name\": \"Alien\"}");
  Put(*env, "m/tokenizer/spiece.model", "pieces");
  Put(*env, "m/tokenizer/._spiece.model", "resource fork");
  const ModelFolder folder = OpenToysOk(*env);
  REQUIRE(folder.component_names() == Names{"transformer", "vae"});
  REQUIRE(folder.notes().empty());
  REQUIRE_OK(ExportFolder(*env, folder, "out", {}));
  REQUIRE(env->FileExists("out/tokenizer/spiece.model"));
  REQUIRE_FALSE(env->FileExists("out/tokenizer/._spiece.model"));
}

TEST_CASE("of loose files those of no known network are left out unless nothing else is there") {
  const auto env = NewMemEnv();
  PutTensors(*env, "m/a_lora.safetensors", {{"x.lora_A.weight", at::zeros({1})}});
  RequireRefused(OpenToys(*env).status(), {"a_lora.safetensors", "cannot tell"});
  PutTensors(*env, "m/dit.safetensors", InternalTensors(Denoiser()));
  Put(*env, "m/config.json", OriginalDenoiserConfig());
  const ModelFolder folder = OpenToysOk(*env);
  REQUIRE(folder.component_names() == Names{"transformer"});
  REQUIRE(HasNote(folder, "a_lora.safetensors is left out"));
  // A damaged file may hold what is missed later; only who names his components need not care.
  Put(*env, "m/b.safetensors", "damaged");
  RequireRefused(OpenToys(*env).status(), {"b.safetensors"});
  OpenOptions options;
  options.components = {"transformer"};
  REQUIRE(OpenToysOk(*env, options).component_names() == Names{"transformer"});
  options.components = {"vae"};
  RequireRefused(OpenToys(*env, options).status(), {"b.safetensors"});
}

TEST_CASE("a component of a class that is not built is left out, kept by an export, and missed") {
  const auto env = NewMemEnv();
  PutComponents(*env);
  Put(*env, "m/image_encoder/config.json", "{\"architectures\": [\"CLIPVisionModel\"]}");
  PutTensors(*env, "m/image_encoder/model.safetensors", {{"clip", at::zeros({1})}});
  const ModelFolder folder = OpenToysOk(*env);
  REQUIRE(folder.component_names() == Names{"transformer", "vae"});
  REQUIRE(HasNote(folder, "image_encoder is left out"));
  REQUIRE(absl::IsUnimplemented(folder.CheckHas("image_encoder")));
  REQUIRE(absl::IsNotFound(folder.CheckHas("text_encoder")));
  REQUIRE_OK(folder.CheckHas("vae"));
  OpenOptions options;
  options.components = {"image_encoder"};
  RequireRefused(OpenToys(*env, options).status(), {"CLIPVisionModel"});

  ExportOptions exporting;
  Names said;
  exporting.note = [&](absl::string_view note) { said.emplace_back(note); };
  REQUIRE_OK(ExportFolder(*env, folder, "diffusers", exporting));
  REQUIRE(env->FileExists("diffusers/image_encoder/model.safetensors"));
  REQUIRE(env->FileExists("diffusers/image_encoder/config.json"));
  REQUIRE(said == Names{"image_encoder is copied as it is"});
  said.clear();
  exporting.layout = FolderLayout::kOriginal;
  REQUIRE_OK(ExportFolder(*env, folder, "original", exporting));
  REQUIRE(said == Names{"image_encoder is not in the export"});
  // Without its denoiser it would be another model.
  Put(*env, "m/transformer/config.json", "{\"_class_name\": \"Alien\"}");
  RequireRefused(OpenToys(*env).status(), {"Alien"});
}

TEST_CASE("a config that is there and not understood is never replaced by defaults") {
  const auto env = NewMemEnv();
  // The encoder has default sizes, which fit.
  PutTensors(*env, "m/t5.safetensors",
             InternalTensors(MakeToy("ToyEncoder", "text_encoder", EncoderConfig(), 3)));
  REQUIRE(HasNote(OpenToysOk(*env), "no config.json"));
  Put(*env, "m/config.json", "{\"_class_name\": \"Alien\"}");
  RequireRefused(OpenToys(*env).status(), {"m/config.json", "Alien"});
  PutTensors(*env, "m/other.safetensors", {{"x", at::zeros({1})}});
  RequireRefused(OpenToys(*env).status(), {"m/config.json", "Alien"});
  Put(*env, "m/config.json", "{\"_class_name\": 5}");
  RequireRefused(OpenToys(*env).status(), {"m/config.json", "_class_name is number"});
  // One given by the caller does.
  Put(*env, "m/config.json", "{\"_class_name\": \"Alien\"}");
  Put(*env, "given.json", EncoderConfig());
  OpenOptions options;
  options.config_path = "given.json";
  options.components = {"text_encoder"};
  REQUIRE(OpenToysOk(*env, options).component_names() == Names{"text_encoder"});
}

TEST_CASE("a lone expert's file name says which one it is, or is asked about") {
  const auto env = NewMemEnv();
  const auto component_of = [&](const std::string& file) -> absl::StatusOr<std::string> {
    REQUIRE_OK(env->RemoveAll("m"));
    PutTensors(*env, JoinPath("m", file), InternalTensors(Denoiser()));
    Put(*env, "m/config.json", OriginalDenoiserConfig());
    const auto folder = OpenToys(*env);
    if (!folder.ok()) return folder.status();
    return folder->component_names().front();
  };
  for (const char* low : {"Wan2_2-T2V-A14B-LOW_fp8_e4m3fn_scaled_KJ.safetensors",
                          "wan2.2_t2v_low_noise_14B.safetensors", "A14B-LowNoise-Q8.safetensors"}) {
    INFO(low);
    ASSERT_OK_AND_ASSIGN(const std::string name, component_of(low));
    REQUIRE(name == "transformer_2");
  }
  for (const char* high : {"Wan2_2-T2V-A14B-HIGH_fp8.safetensors", "high_noise.safetensors",
                           "wan_flow_slow.safetensors", "wan.safetensors"}) {
    INFO(high);
    ASSERT_OK_AND_ASSIGN(const std::string name, component_of(high));
    REQUIRE(name == "transformer");
  }
  for (const char* unclear : {"wan_low_res.safetensors", "wan_high_and_low.safetensors"}) {
    INFO(unclear);
    RequireRefused(component_of(unclear).status(), {unclear, "which expert", "low_noise"});
  }
  // What the caller says needs no name.
  OpenOptions options;
  options.components = {"transformer_2"};
  REQUIRE(OpenToysOk(*env, options).component_names() == Names{"transformer_2"});
}

TEST_CASE("a prefix that all names share is taken off and said in one line") {
  const auto env = NewMemEnv();
  std::vector<NamedTensor> tensors = InternalTensors(Denoiser());
  for (NamedTensor& named : tensors) named.name = "module.net." + named.name;
  PutTensors(*env, "m/x.safetensors", tensors);
  Put(*env, "m/config.json", OriginalDenoiserConfig());
  const ModelFolder folder = OpenToysOk(*env);
  REQUIRE(folder.notes().size() == 1);
  REQUIRE(HasNote(folder, "'module.net.' is taken off"));
  // Only what makes names known is taken off: names that differ by one part stay as they are.
  REQUIRE_OK(env->RemoveAll("m"));
  Put(*env, "m/config.json", VaeConfig());
  PutTensors(*env, "m/vae.safetensors", InternalTensors(ToyVae()));
  REQUIRE(OpenToysOk(*env).notes().empty());
}

TEST_CASE("half-converted names are told as such") {
  const auto env = NewMemEnv();
  std::vector<NamedTensor> tensors = DiffusersTensors(Denoiser());
  for (NamedTensor& named : tensors) {
    if (named.name == "patch_embed.weight") named.name = "patch.weight";
  }
  PutTensors(*env, "m/transformer/diffusion_pytorch_model.safetensors", tensors);
  Put(*env, "m/transformer/config.json", DenoiserConfig());
  RequireRefused(OpenToys(*env).status(),
                 {"m/transformer", "half converted", "1 original ('patch.weight'", "of diffusers"});
}

TEST_CASE("shards with a variant behind or before their numbers are one set") {
  const auto env = NewMemEnv();
  const std::vector<NamedTensor> all = DiffusersTensors(Denoiser());
  const std::vector<NamedTensor> first(all.begin(), all.begin() + 3);
  const std::vector<NamedTensor> second(all.begin() + 3, all.end());
  for (const auto& [before, behind] :
       {std::pair<std::string, std::string>{"", ".fp16"}, {".fp16", ""}, {"", ""}}) {
    INFO(before << "|" << behind);
    REQUIRE_OK(env->RemoveAll("m"));
    Put(*env, "m/transformer/config.json", DenoiserConfig());
    const std::string stem = absl::StrCat("m/transformer/diffusion_pytorch_model", before);
    PutTensors(*env, absl::StrCat(stem, "-00001-of-00002", behind, ".safetensors"), first);
    RequireRefused(OpenToys(*env).status(), {"of the 2 shards"});
    PutTensors(*env, absl::StrCat(stem, "-00002-of-00002", behind, ".safetensors"), second);
    REQUIRE(OpenToysOk(*env).component_names() == Names{"transformer"});
  }
  // The index of a variant is one too.
  Put(*env, "m/transformer/diffusion_pytorch_model.safetensors.index.fp16.json", "{}");
  RequireRefused(OpenToys(*env).status(), {"index.fp16.json", "weight_map"});
}

TEST_CASE("a file of another kind under a safetensors name is called what it is") {
  const auto env = NewMemEnv();
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 28577\n", "git lfs pull"},
      {"\n<!DOCTYPE html><html><body>404</body></html>", "web page"},
      {"<html>", "web page"},
      {std::string("PK\x03\x04\x00\x00\x08\x08\x00\x00", 10) + "archive/data.pkl", "pickle"},
      {std::string("PK\x03\x04\x14\x00\x08\x08\x00\x00", 10) + "a.safetensors", "zip archive"},
      {"\x80\x02}q\x00X\x04\x00\x00\x00name", "pickle"},
      {std::string("GGUF\x03\x00\x00\x00\x01\x00\x00\x00", 12), "GGUF"},
      {std::string("\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\x03", 10), "gzip"},
  };
  for (const auto& [bytes, wanted] : kinds) {
    INFO(wanted);
    Put(*env, "f.safetensors", bytes);
    RequireRefused(OpenSafetensors(*env, "f.safetensors").status(),
                   {"f.safetensors: not a safetensors file but", wanted});
  }
  // The length of a header may look like the first bytes of a pickle.
  Put(*env, "f.safetensors", std::string("\x80\x02\x00\x00\x00\x00\x00\x00{", 9));
  RequireRefused(OpenSafetensors(*env, "f.safetensors").status(), {"truncated"});
  Put(*env, "g/Wan2.2-Q8_0.gguf", "GGUF");
  RequireRefused(ModelFolder::Open(*env, "g", {}, Toys()).status(),
                 {"Wan2.2-Q8_0.gguf is a GGUF file"});
}

TEST_CASE("null metadata of a safetensors file is none") {
  const auto env = NewMemEnv();
  const std::string header =
      R"({"__metadata__":null,"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  Put(*env, "f.safetensors", absl::StrCat(bytes, header, "x"));
  ASSERT_OK_AND_ASSIGN(const auto source, OpenSafetensors(*env, "f.safetensors"));
  REQUIRE(source->tensors().size() == 1);
  const std::string twice = R"({"__metadata__":null,"__metadata__":{}})";
  bytes[0] = static_cast<char>(twice.size());
  Put(*env, "f.safetensors", absl::StrCat(bytes, twice));
  RequireRefused(OpenSafetensors(*env, "f.safetensors").status(), {"twice"});
}

TEST_CASE(
    "a config given for one component is not asked of the others when they are opened alone") {
  const auto env = NewMemEnv();
  PutTensors(*env, "m/transformer/model.safetensors", InternalTensors(Denoiser()));
  PutTensors(*env, "m/text_encoder/model.safetensors",
             InternalTensors(MakeToy("ToyEncoder", "text_encoder", EncoderConfig(), 3)));
  Put(*env, "dit.json", OriginalDenoiserConfig());
  OpenOptions options;
  options.config_path = "dit.json";
  const ModelFolder folder = OpenToysOk(*env, options);
  for (const char* name : {"transformer", "text_encoder"}) {
    INFO(name);
    ASSERT_OK_AND_ASSIGN(const ModelFolder alone, folder.OpenAlone(name));
    REQUIRE(alone.component_names() == Names{name});
    REQUIRE_OK(alone.BuildView());
  }
  REQUIRE(absl::IsNotFound(folder.OpenAlone("vae").status()));
  // The same when only some are asked for from the start.
  options.components = {"text_encoder"};
  REQUIRE(OpenToysOk(*env, options).component_names() == Names{"text_encoder"});
}

TEST_CASE("verifying says which files were compared and which have no hash") {
  const auto env = NewMemEnv();
  PutComponents(*env);
  Put(*env, "m/tokenizer/spiece.model", "pieces");
  Put(*env, "m/model_index.json", "{}");
  Put(*env, "m/scheduler/scheduler_config.json", "{}");
  OpenOptions verify;
  verify.verify = true;
  const ModelFolder foreign = OpenToysOk(*env, verify);
  REQUIRE(foreign.verification().verified.empty());
  REQUIRE(foreign.verification().unknown.size() == 7);

  ExportOptions own;
  own.layout = FolderLayout::kWanlite;
  REQUIRE_OK(ExportFolder(*env, foreign, "w", own));
  Put(*env, "w/README.md", "text");
  const auto open = [&](const OpenOptions& options) {
    return ModelFolder::Open(*env, "w", options, Toys());
  };
  ASSERT_OK_AND_ASSIGN(const ModelFolder checked, open(verify));
  REQUIRE(checked.verification().unknown == Names{"README.md"});
  const Names& verified = checked.verification().verified;
  for (const char* file :
       {"model_index.json", "scheduler/scheduler_config.json", "tokenizer/spiece.model",
        "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/rest.safetensors", "vae/rest.safetensors"}) {
    INFO(file);
    REQUIRE(std::count(verified.begin(), verified.end(), file) == 1);
    // Every one of them is really compared.
    ASSERT_OK_AND_ASSIGN(const std::string good, env->ReadFile(JoinPath("w", file)));
    std::string bad = good;
    bad.back() = static_cast<char>(bad.back() ^ 1);
    Put(*env, JoinPath("w", file), bad);
    RequireRefused(open(verify).status(), {file, "damaged"});
    Put(*env, JoinPath("w", file), good);
  }
  // Settings may be edited; the model still opens.
  Put(*env, "w/model_index.json", "{\"boundary_ratio\": 0.9}");
  REQUIRE_OK(open({}));
  RequireRefused(open(verify).status(), {"model_index.json"});
}

}  // namespace
}  // namespace wanlite
