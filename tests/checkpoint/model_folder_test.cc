// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/checkpoint/toy_model.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"
#include "wanlite/checkpoint.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

using testing::DenoiserConfig;
using testing::DiffusersTensors;
using testing::EncoderConfig;
using testing::InternalTensors;
using testing::MakeToy;
using testing::OriginalDenoiserConfig;
using testing::Put;
using testing::PutTensors;
using testing::ThingConfig;
using testing::Toys;
using testing::VaeConfig;

std::vector<NamedTensor> Prefixed(const std::string& prefix, std::vector<NamedTensor> tensors) {
  for (NamedTensor& named : tensors) named.name = prefix + named.name;
  return tensors;
}

// The view of a folder holds just the values of `components`.
void RequireHolds(const ModelFolder& folder, const std::vector<Component>& components) {
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE(view.streaming());
  REQUIRE(view.components().size() == components.size());
  REQUIRE_OK(view.LoadAll());
  size_t count = 0;
  for (const Component& component : components) {
    REQUIRE(view.FindComponent(component.name) != nullptr);
    REQUIRE(view.FindComponent(component.name)->architecture == component.architecture);
    REQUIRE(view.FindComponent(component.name)->role == component.role);
    for (const NamedTensor& named : InternalTensors(component)) {
      const std::string path =
          component.name.empty() ? named.name : absl::StrCat(component.name, ".", named.name);
      INFO(path);
      ASSERT_OK_AND_ASSIGN(const at::Tensor found, view.FindTensor(path));
      REQUIRE(found.scalar_type() == named.tensor.scalar_type());
      REQUIRE(at::equal(found, named.tensor));
      ++count;
    }
  }
  REQUIRE(view.Tensors().size() == count);
}

struct ToyVideoModel {
  Component high = MakeToy("ToyDenoiser", "transformer", DenoiserConfig(), 1);
  Component low = MakeToy("ToyDenoiser", "transformer_2", DenoiserConfig(), 2);
  Component encoder = MakeToy("ToyEncoder", "text_encoder", EncoderConfig(), 3);
  Component vae = MakeToy("ToyVae", "vae", VaeConfig(), 4);
};

// A diffusers folder at "m": the transformer sharded, the rest in one file each.
void WriteDiffusers(Env& env, const ToyVideoModel& model) {
  Put(env, "m/model_index.json", "{\"_class_name\": \"WanPipeline\", \"boundary_ratio\": 0.875}");
  Put(env, "m/scheduler/scheduler_config.json", "{\"flow_shift\": 3.0}");
  Put(env, "m/tokenizer/spiece.model", "pieces");
  Put(env, "m/tokenizer/tokenizer_config.json", "{}");
  Put(env, "m/transformer/config.json", model.high.config_json);
  std::vector<NamedTensor> all = DiffusersTensors(model.high);
  const std::vector<NamedTensor> first(all.begin(), all.begin() + 3);
  const std::vector<NamedTensor> second(all.begin() + 3, all.end());
  PutTensors(env, "m/transformer/diffusion_pytorch_model-00001-of-00002.safetensors", first);
  PutTensors(env, "m/transformer/diffusion_pytorch_model-00002-of-00002.safetensors", second);
  std::string map;
  for (size_t i = 0; i < all.size(); ++i) {
    absl::StrAppend(&map, i == 0 ? "" : ",", "\"", all[i].name, "\":\"diffusion_pytorch_model-0000",
                    i < 3 ? 1 : 2, "-of-00002.safetensors\"");
  }
  Put(env, "m/transformer/diffusion_pytorch_model.safetensors.index.json",
      absl::StrCat("{\"metadata\":{\"total_size\":1},\"weight_map\":{", map, "}}"));
  Put(env, "m/transformer_2/config.json", model.low.config_json);
  PutTensors(env, "m/transformer_2/diffusion_pytorch_model.safetensors",
             DiffusersTensors(model.low));
  Put(env, "m/text_encoder/config.json", model.encoder.config_json);
  std::vector<NamedTensor> text = DiffusersTensors(model.encoder);
  text.push_back({"embed_tokens.weight", text[0].tensor.clone()});  // an alias of shared.weight
  text.push_back({"position_ids", at::arange(5)});                  // one that means nothing
  PutTensors(env, "m/text_encoder/model.safetensors", text);
  Put(env, "m/vae/config.json", model.vae.config_json);
  PutTensors(env, "m/vae/diffusion_pytorch_model.safetensors", DiffusersTensors(model.vae));
}

void RequireError(const absl::Status& status, absl::StatusCode code,
                  const std::vector<std::string>& texts) {
  INFO(status.ToString());
  REQUIRE(status.code() == code);
  for (const std::string& text : texts) {
    INFO("wanted: " << text);
    REQUIRE(absl::StrContains(status.message(), text));
  }
}

absl::Status OpenAndBuild(Env& env, const std::string& dir, const OpenOptions& options = {}) {
  auto folder = ModelFolder::Open(env, dir, options, Toys());
  if (!folder.ok()) return folder.status();
  return folder->BuildView().status();
}

TEST_CASE("a diffusers folder opens with all of its components") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  WriteDiffusers(*env, model);
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m/", {}, Toys()));
  REQUIRE(folder.layout() == FolderLayout::kDiffusers);
  REQUIRE(folder.dir() == "m");
  REQUIRE(folder.component_names() ==
          std::vector<std::string>{"transformer", "transformer_2", "text_encoder", "vae"});
  REQUIRE(absl::StrContains(folder.model_index_json(), "boundary_ratio"));
  REQUIRE(absl::StrContains(folder.scheduler_config_json(), "flow_shift"));
  REQUIRE(folder.tokenizer_dir() == "m/tokenizer");
  REQUIRE(folder.manifest() == nullptr);
  int64_t bytes = 0;
  for (const Component& c : {model.high, model.low, model.encoder, model.vae}) {
    for (const NamedTensor& named : InternalTensors(c))
      bytes += static_cast<int64_t>(named.tensor.nbytes());
  }
  REQUIRE(folder.bytes() == bytes);
  RequireHolds(folder, {model.high, model.low, model.encoder, model.vae});
}

TEST_CASE("only the components asked for are opened, and others need not be whole") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  WriteDiffusers(*env, model);
  Put(*env, "m/vae/diffusion_pytorch_model.safetensors", "damaged");
  REQUIRE_FALSE(ModelFolder::Open(*env, "m", {}, Toys()).ok());
  OpenOptions options;
  options.components = {"transformer_2", "text_encoder"};
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", options, Toys()));
  RequireHolds(folder, {model.low, model.encoder});
  options.components = {"transformer", "image_encoder"};
  RequireError(ModelFolder::Open(*env, "m", options, Toys()).status(), absl::StatusCode::kNotFound,
               {"image_encoder", "text_encoder"});
}

TEST_CASE("a folder with a transformer only opens, and so does the transformer's own folder") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  Put(*env, "m/transformer/config.json", model.high.config_json);
  PutTensors(*env, "m/transformer/diffusion_pytorch_model.safetensors",
             DiffusersTensors(model.high));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, Toys()));
  RequireHolds(folder, {model.high});
  ASSERT_OK_AND_ASSIGN(const ModelFolder lone,
                       ModelFolder::Open(*env, "m/transformer", {}, Toys()));
  REQUIRE(lone.layout() == FolderLayout::kDiffusers);
  RequireHolds(lone, {model.high});
  // The caller says which expert a lone denoiser is; without word from him its folder does.
  OpenOptions options;
  options.components = {"transformer_2"};
  ASSERT_OK_AND_ASSIGN(const ModelFolder second,
                       ModelFolder::Open(*env, "m/transformer", options, Toys()));
  REQUIRE(second.component_names() == std::vector<std::string>{"transformer_2"});
  REQUIRE_OK(env->Rename("m/transformer", "m/transformer_2"));
  ASSERT_OK_AND_ASSIGN(const ModelFolder named,
                       ModelFolder::Open(*env, "m/transformer_2", {}, Toys()));
  REQUIRE(named.component_names() == std::vector<std::string>{"transformer_2"});
}

TEST_CASE("lone text encoder, VAE and user-defined folders get their names from their role") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  const Component thing = MakeToy("ToyThing", "", ThingConfig(), 5);
  Put(*env, "a/config.json", model.encoder.config_json);
  PutTensors(*env, "a/model.safetensors", DiffusersTensors(model.encoder));
  Put(*env, "b/config.json", model.vae.config_json);
  PutTensors(*env, "b/whatever.safetensors", DiffusersTensors(model.vae));
  Put(*env, "c/config.json", thing.config_json);
  PutTensors(*env, "c/model.safetensors", InternalTensors(thing));
  ASSERT_OK_AND_ASSIGN(const ModelFolder a, ModelFolder::Open(*env, "a", {}, Toys()));
  RequireHolds(a, {model.encoder});
  ASSERT_OK_AND_ASSIGN(const ModelFolder b, ModelFolder::Open(*env, "b", {}, Toys()));
  RequireHolds(b, {model.vae});
  ASSERT_OK_AND_ASSIGN(const ModelFolder c, ModelFolder::Open(*env, "c", {}, Toys()));
  RequireHolds(c, {thing});
}

TEST_CASE("the original two-expert folder opens, networks beside it included") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  for (const auto& [folder, component] :
       {std::pair<std::string, Component>{"high_noise_model", model.high},
        {"low_noise_model", model.low}}) {
    Put(*env, JoinPath("m", JoinPath(folder, "config.json")), OriginalDenoiserConfig());
    PutTensors(*env, JoinPath("m", JoinPath(folder, "diffusion_pytorch_model.safetensors")),
               InternalTensors(component));
  }
  Put(*env, "m/google/umt5-xxl/spiece.model", "pieces");
  Put(*env, "m/models_t5.pth", "pickle");
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, Toys()));
  REQUIRE(folder.layout() == FolderLayout::kOriginal);
  REQUIRE(folder.tokenizer_dir() == "m/google/umt5-xxl");
  RequireHolds(folder, {model.high, model.low});
  OpenOptions options;
  options.components = {"text_encoder"};
  RequireError(ModelFolder::Open(*env, "m", options, Toys()).status(), absl::StatusCode::kNotFound,
               {"text_encoder", "models_t5.pth", "pickle", "safetensors.torch.save_file"});
  PutTensors(*env, "m/t5.safetensors", InternalTensors(model.encoder));  // default config
  PutTensors(*env, "m/Wan_VAE.safetensors", InternalTensors(model.vae));
  RequireError(ModelFolder::Open(*env, "m", {}, Toys()).status(),
               absl::StatusCode::kInvalidArgument, {"Wan_VAE.safetensors", "ToyVae", "--config"});
  Put(*env, "m/Wan_VAE.config.json", model.vae.config_json);
  ASSERT_OK_AND_ASSIGN(const ModelFolder all, ModelFolder::Open(*env, "m", {}, Toys()));
  RequireHolds(all, {model.high, model.low, model.encoder, model.vae});
}

TEST_CASE("loose original files are told apart by their tensors; a config goes to what it fits") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  PutTensors(*env, "m/dit.safetensors", InternalTensors(model.high));
  PutTensors(*env, "m/vae.safetensors", InternalTensors(model.vae));
  PutTensors(*env, "m/t5.safetensors", InternalTensors(model.encoder));
  Put(*env, "m/config.json", OriginalDenoiserConfig());
  OpenOptions options;
  RequireError(ModelFolder::Open(*env, "m", options, Toys()).status(),
               absl::StatusCode::kInvalidArgument, {"vae.safetensors", "--config"});
  Put(*env, "vae_config.json", VaeConfig());
  options.config_path = "vae_config.json";
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", options, Toys()));
  REQUIRE(folder.layout() == FolderLayout::kOriginal);
  RequireHolds(folder, {model.high, model.encoder, model.vae});
  // The config given wins over the folder's own.
  Put(*env, "wrong.json", OriginalDenoiserConfig(8));
  options.config_path = "wrong.json";
  options.components = {"transformer"};
  RequireError(OpenAndBuild(*env, "m", options), absl::StatusCode::kInvalidArgument,
               {"wrong: ", "the config wants [8"});
}

TEST_CASE("one original file needs a config and takes it with or without a class name") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  PutTensors(*env, "m/wan.safetensors", InternalTensors(model.high));
  RequireError(ModelFolder::Open(*env, "m", {}, Toys()).status(),
               absl::StatusCode::kInvalidArgument,
               {"wan.safetensors", "ToyDenoiser", "no config.json", "--config"});
  for (const std::string& config :
       {OriginalDenoiserConfig(), DenoiserConfig(), std::string("{\"width\": 4, \"layers\": 2}")}) {
    Put(*env, "c.json", config);
    OpenOptions options;
    options.config_path = "c.json";
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", options, Toys()));
    REQUIRE(folder.layout() == FolderLayout::kOriginal);
    RequireHolds(folder, {model.high});
  }
  OpenOptions options;
  options.config_path = "v.json";
  Put(*env, "v.json", VaeConfig());
  REQUIRE_FALSE(ModelFolder::Open(*env, "m", options, Toys()).ok());
  options.config_path = "absent.json";
  RequireError(ModelFolder::Open(*env, "m", options, Toys()).status(), absl::StatusCode::kNotFound,
               {"absent.json"});
  Put(*env, "u.json", "{\"_class_name\": \"Alien\"}");
  options.config_path = "u.json";
  RequireError(ModelFolder::Open(*env, "m", options, Toys()).status(),
               absl::StatusCode::kUnimplemented, {"Alien"});
}

TEST_CASE(
    "the prefix other programs write is taken off, and a diffusers folder may hold original "
    "names") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  PutTensors(*env, "a/x.safetensors",
             Prefixed("model.diffusion_model.", InternalTensors(model.high)));
  Put(*env, "a/config.json", OriginalDenoiserConfig());
  ASSERT_OK_AND_ASSIGN(const ModelFolder a, ModelFolder::Open(*env, "a", {}, Toys()));
  RequireHolds(a, {model.high});
  Put(*env, "b/transformer/config.json", DenoiserConfig());
  PutTensors(*env, "b/transformer/diffusion_pytorch_model.safetensors",
             InternalTensors(model.high));
  ASSERT_OK_AND_ASSIGN(const ModelFolder b, ModelFolder::Open(*env, "b", {}, Toys()));
  RequireHolds(b, {model.high});
}

TEST_CASE("two loose experts are told apart by their file names") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  PutTensors(*env, "m/toy_High_Noise_fp16.safetensors", InternalTensors(model.high));
  PutTensors(*env, "m/toy_low_noise_fp16.safetensors", InternalTensors(model.low));
  Put(*env, "m/config.json", OriginalDenoiserConfig());
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, Toys()));
  RequireHolds(folder, {model.high, model.low});
  PutTensors(*env, "m/third.safetensors", InternalTensors(model.low));
  RequireError(ModelFolder::Open(*env, "m", {}, Toys()).status(),
               absl::StatusCode::kInvalidArgument, {"third.safetensors", "which expert"});
}

TEST_CASE("stored dtypes are kept tensor by tensor") {
  const std::unique_ptr<Env> env = NewMemEnv();
  Component high = MakeToy("ToyDenoiser", "transformer", DenoiserConfig(), 1);
  int i = 0;
  const at::NoGradGuard no_grad;
  for (at::Tensor& tensor : high.module->parameters()) {
    const at::ScalarType dtypes[] = {at::kBFloat16, at::kFloat, at::kHalf, at::kDouble};
    tensor.set_data(tensor.detach().to(dtypes[i++ % 4]));
  }
  Put(*env, "m/transformer/config.json", high.config_json);
  PutTensors(*env, "m/transformer/diffusion_pytorch_model.safetensors", DiffusersTensors(high));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, Toys()));
  ASSERT_OK_AND_ASSIGN(const ModelView view, folder.BuildView());
  for (const NamedTensor& named : view.Tensors()) {
    REQUIRE(nn::IsHollow(named.tensor));
  }
  RequireHolds(folder, {high});
}

TEST_CASE("views of one folder share no memory: what one writes no other sees") {
  const std::unique_ptr<Env> memory = NewMemEnv();
  const testing::TempFolder temporary;
  for (Env* env : {memory.get(), &PosixEnv()}) {
    const std::string dir = env == memory.get() ? "m" : temporary / "m";
    const Component thing = MakeToy("ToyThing", "", ThingConfig(), 5);
    Put(*env, JoinPath(dir, "config.json"), thing.config_json);
    PutTensors(*env, JoinPath(dir, "model.safetensors"), InternalTensors(thing));
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, dir, {}, Toys()));
    const at::NoGradGuard no_grad;
    ASSERT_OK_AND_ASSIGN(ModelView loaded, folder.BuildView());
    REQUIRE_OK(loaded.LoadAll());
    ASSERT_OK_AND_ASSIGN(ModelView streamed, folder.BuildView());
    for (const NamedTensor& named : loaded.Tensors()) named.tensor.fill_(7);
    for (int time = 0; time < 2; ++time) {
      ASSERT_OK_AND_ASSIGN(const BlockLease lease, streamed.Lease(streamed.blocks()[0].path));
      for (const NamedTensor& named : lease.State()) {
        INFO(named.name);
        REQUIRE_FALSE(named.tensor.eq(7).all().item<bool>());
        // Nor does the view itself, once the block was given back.
        named.tensor.fill_(7);
      }
    }
    RequireHolds(folder, {thing});
  }
}

TEST_CASE("missing, extra and misshapen tensors are all named in one error") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  std::vector<NamedTensor> tensors = DiffusersTensors(model.high);
  REQUIRE(std::erase_if(tensors,
                        [](const NamedTensor& t) { return t.name == "patch_embed.bias"; }) == 1);
  tensors.push_back({"lora_A.weight", at::zeros({2})});
  for (NamedTensor& named : tensors) {
    if (named.name == "table") named.tensor = at::zeros({1, 3, 4});
    if (named.name == "blocks.1.attn.to_q.weight") named.tensor = named.tensor.to(at::kChar);
  }
  Put(*env, "m/transformer/config.json", model.high.config_json);
  PutTensors(*env, "m/transformer/diffusion_pytorch_model.safetensors", tensors);
  RequireError(
      OpenAndBuild(*env, "m"), absl::StatusCode::kInvalidArgument,
      {"m/transformer", "1 missing: patch.bias", "1 unexpected: 'lora_A.weight'",
       "2 wrong: ", "table is [1, 3, 4], the config wants [1, 2, 4]", "blocks.1.q.weight is int8"});
}

TEST_CASE("bad indices of shards are refused") {
  const ToyVideoModel model;
  const std::string index = "m/transformer/diffusion_pytorch_model.safetensors.index.json";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{}", "weight_map"},
      {"not json", "not valid JSON"},
      {"{\"weight_map\": []}", "weight_map"},
      {"{\"weight_map\": {}}", "empty"},
      {"{\"weight_map\": {\"a\": 1}}", "wanted a file name"},
      {"{\"weight_map\": {\"a\": \"x.safetensors\", \"a\": \"y.safetensors\"}}", "twice"},
      {"{\"weight_map\": {\"a\": \"../vae/diffusion_pytorch_model.safetensors\"}}", "plain name"},
      {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "plain name"},
      {"{\"weight_map\": {\"a\": \"sub/x.safetensors\"}}", "plain name"},
      {"{\"weight_map\": {\"a\": \"config.json\"}}", ".safetensors"},
      {"{\"weight_map\": {\"a\": \"absent.safetensors\"}}", "not in the folder"},
      {"{\"weight_map\": {\"a\": \"diffusion_pytorch_model-00001-of-00002.safetensors\"}}",
       "does not list"},
      {std::string("{\"weight_map\":") + std::string(200, '['), "nested deeper"},
  };
  for (const auto& [text, wanted] : cases) {
    const std::unique_ptr<Env> env = NewMemEnv();
    WriteDiffusers(*env, model);
    Put(*env, index, text);
    RequireError(OpenAndBuild(*env, "m"), absl::StatusCode::kInvalidArgument,
                 {"index.json", wanted});
  }
  const std::unique_ptr<Env> env = NewMemEnv();
  WriteDiffusers(*env, model);
  ASSERT_OK_AND_ASSIGN(std::string text, env->ReadFile(index));
  Put(*env, index,
      text.substr(0, text.size() - 2) +
          ",\"ghost\":\"diffusion_pytorch_model-00001-of-00002.safetensors\"}}");
  RequireError(OpenAndBuild(*env, "m"), absl::StatusCode::kInvalidArgument, {"lacks", "ghost"});
  // Without the index the shards still belong together, and one that is missing is noticed.
  REQUIRE_OK(env->RemoveFile(index));
  REQUIRE_OK(OpenAndBuild(*env, "m"));
  REQUIRE_OK(env->RemoveFile("m/transformer/diffusion_pytorch_model-00001-of-00002.safetensors"));
  RequireError(OpenAndBuild(*env, "m"), absl::StatusCode::kInvalidArgument,
               {"shards", "00002-of-00002"});
}

TEST_CASE("folders without a readable model say what is wrong") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const ToyVideoModel model;
  REQUIRE_OK(env->CreateFolders("empty"));
  RequireError(OpenAndBuild(*env, "empty"), absl::StatusCode::kInvalidArgument, {"holds no model"});
  RequireError(OpenAndBuild(*env, "absent"), absl::StatusCode::kNotFound, {"absent"});
  PutTensors(*env, "f.safetensors", {{"a", at::zeros({1})}});
  RequireError(OpenAndBuild(*env, "f.safetensors"), absl::StatusCode::kInvalidArgument,
               {"is a file"});
  Put(*env, "p/Wan2.1_VAE.pth", "pickle");
  RequireError(OpenAndBuild(*env, "p"), absl::StatusCode::kInvalidArgument,
               {"Wan2.1_VAE.pth is a pickle", "safetensors.torch.save_file"});
  Put(*env, "q/transformer/config.json", model.high.config_json);
  RequireError(OpenAndBuild(*env, "q"), absl::StatusCode::kInvalidArgument, {"no .safetensors"});
  Put(*env, "q/transformer/pytorch_model.bin", "pickle");
  RequireError(OpenAndBuild(*env, "q"), absl::StatusCode::kInvalidArgument, {"pytorch_model.bin"});
  PutTensors(*env, "r/transformer/diffusion_pytorch_model.safetensors", {{"who", at::zeros({1})}});
  RequireError(OpenAndBuild(*env, "r"), absl::StatusCode::kInvalidArgument,
               {"cannot tell", "'who'"});
  Put(*env, "r/transformer/config.json", "{\"_class_name\": \"CLIPVisionModel\"}");
  RequireError(OpenAndBuild(*env, "r"), absl::StatusCode::kUnimplemented,
               {"CLIPVisionModel", "ToyDenoiser"});
  Put(*env, "r/transformer/config.json", "{\"_class_name\": \"ToyDenoiser\", \"dim\": -4}");
  RequireError(OpenAndBuild(*env, "r"), absl::StatusCode::kInvalidArgument,
               {"r/transformer/config.json", "dim"});
  Put(*env, "r/transformer/config.json", "[1]");
  RequireError(OpenAndBuild(*env, "r"), absl::StatusCode::kInvalidArgument, {"wanted an object"});
  Put(*env, "r/model_index.json", "{");
  Put(*env, "r/transformer/config.json", DenoiserConfig());
  REQUIRE_FALSE(OpenAndBuild(*env, "r").ok());
}

TEST_CASE("the fingerprint follows names, shapes, configs and values, not the folder's place") {
  const std::unique_ptr<Env> env = NewMemEnv();
  ToyVideoModel model;
  const auto fingerprint = [&](const std::string& dir) {
    auto folder = ModelFolder::Open(*env, dir, {}, Toys());
    REQUIRE_OK(folder);
    return folder->fingerprint();
  };
  WriteDiffusers(*env, model);
  const std::string first = fingerprint("m");
  REQUIRE(first.size() == 64);
  REQUIRE_OK(env->Rename("m", "elsewhere"));
  REQUIRE(fingerprint("elsewhere") == first);
  ToyVideoModel other;
  other.low = MakeToy("ToyDenoiser", "transformer_2", DenoiserConfig(), 99);
  WriteDiffusers(*env, other);
  REQUIRE(fingerprint("m") != first);
}

}  // namespace
}  // namespace wanlite
