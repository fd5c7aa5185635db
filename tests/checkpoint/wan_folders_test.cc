// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Wan folders without configs or indices, and what their exports say to other programs.

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/wan/dit_architecture.h"
#include "src/model/wan/published_models.h"
#include "src/model/wan/umt5_names.h"
#include "src/model/wan/vae_names.h"
#include "tests/checkpoint/toy_model.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

using nlohmann::json;
using testing::HasNote;
using testing::Put;
using testing::PutTensors;

json SmallDit() {
  return {{"_class_name", "WanTransformer3DModel"},
          {"num_attention_heads", 1},
          {"attention_head_dim", 128},
          {"in_channels", 4},
          {"out_channels", 4},
          {"text_dim", 8},
          {"freq_dim", 16},
          {"ffn_dim", 20},
          {"num_layers", 2}};
}
json SmallUmt5() {
  return {{"architectures", {"UMT5EncoderModel"}},
          {"vocab_size", 50},
          {"d_model", 8},
          {"d_kv", 4},
          {"d_ff", 20},
          {"num_layers", 2},
          {"num_heads", 4},
          {"relative_attention_num_buckets", 8}};
}

ArchitectureRegistry WanNetworks(const PipelineDefaults* defaults = nullptr) {
  ArchitectureRegistry registry;
  Architecture dit = wan::DitArchitecture();
  if (defaults != nullptr) {
    dit.pipeline_defaults = [defaults](absl::string_view, int) -> absl::StatusOr<PipelineDefaults> {
      return *defaults;
    };
  }
  REQUIRE_OK(registry.Register(dit));
  REQUIRE_OK(registry.Register(wan::Umt5Architecture()));
  REQUIRE_OK(registry.Register(wan::VaeArchitecture()));
  return registry;
}

// The network's tensors with some values, under original or diffusers names.
std::vector<NamedTensor> TensorsOf(const Architecture& architecture, const std::string& config,
                                   bool diffusers) {
  const auto normal = architecture.normalize_config(config);
  REQUIRE_OK(normal);
  const auto module = architecture.build(*normal);
  REQUIRE_OK(module);
  std::vector<NamedTensor> tensors;
  ASSERT_OK_AND_ASSIGN(const TensorNames foreign_name, architecture.names(*normal));
  for (const auto& item : (*module)->named_parameters()) {
    tensors.push_back(
        {diffusers ? foreign_name(item.key()) : item.key(), at::full(item.value().sizes(), 0.5)});
  }
  return tensors;
}

void PutExperts(Env& env, const std::string& config) {
  for (const char* folder : {"m/high_noise_model", "m/low_noise_model"}) {
    Put(env, JoinPath(folder, "config.json"), config);
    PutTensors(env, JoinPath(folder, "diffusion_pytorch_model.safetensors"),
               TensorsOf(wan::DitArchitecture(), config, false));
  }
}

TEST_CASE("published models are known by their transformer, and run as their project runs them") {
  struct Case {
    int64_t heads, in_channels, out_channels;
    int experts;
    const char* name;
    double boundary, shift, guidance, guidance_2;
    int64_t steps;
  };
  const Case cases[] = {{40, 16, 16, 2, "Wan2.2-T2V-A14B", 0.875, 12, 4, 3, 40},
                        {40, 36, 16, 2, "Wan2.2-I2V-A14B", 0.9, 5, 3.5, 3.5, 40},
                        {24, 48, 48, 1, "Wan2.2-TI2V-5B", 0, 5, 5, 5, 50},
                        {40, 16, 16, 1, "Wan2.1-T2V-14B", 0, 5, 5, 5, 50},
                        {12, 16, 16, 1, "Wan2.1-T2V-1.3B", 0, 5, 5, 5, 50}};
  for (const Case& one : cases) {
    INFO(one.name);
    wan::DitConfig config;
    config.num_heads = one.heads;
    config.in_channels = one.in_channels;
    config.out_channels = one.out_channels;
    config.num_layers = 3;  // dropped blocks make no other model of it
    const PipelineDefaults defaults = wan::PublishedDefaults(config, one.experts);
    CHECK(absl::StrContains(defaults.note, one.name));
    const json index = json::parse(defaults.model_index_json);
    CHECK(index.value("boundary_ratio", 0.0) == one.boundary);
    CHECK(index["wanlite_defaults"]["guidance_scale"] == one.guidance);
    CHECK(index["wanlite_defaults"]["guidance_scale_2"] == one.guidance_2);
    CHECK(index["wanlite_defaults"]["num_inference_steps"] == one.steps);
    CHECK(json::parse(defaults.scheduler_config_json)["flow_shift"] == one.shift);
  }
  wan::DitConfig odd;
  odd.num_heads = 3;
  const PipelineDefaults unknown = wan::PublishedDefaults(odd, 2);
  CHECK(json::parse(unknown.model_index_json)["boundary_ratio"] == 0.875);
  CHECK_FALSE(json::parse(unknown.model_index_json).contains("wanlite_defaults"));
  CHECK(json::parse(unknown.scheduler_config_json)["flow_shift"] == 5);
}

TEST_CASE("an export says what its source runs with, from layout to layout") {
  const auto env = NewMemEnv();
  PutExperts(*env, SmallDit().dump());
  wan::DitConfig i2v;
  i2v.in_channels = 36;
  const PipelineDefaults published = wan::PublishedDefaults(i2v, 2);
  const ArchitectureRegistry networks = WanNetworks(&published);
  ASSERT_OK_AND_ASSIGN(const ModelFolder original, ModelFolder::Open(*env, "m", {}, networks));
  REQUIRE(HasNote(original, "runs as Wan2.2-I2V-A14B is published"));
  // From here on nothing may depend on the published settings.
  const ArchitectureRegistry plain = WanNetworks();
  ASSERT_OK_AND_ASSIGN(ModelFolder folder, ModelFolder::Open(*env, "m", {}, networks));
  int step = 0;
  for (const FolderLayout layout :
       {FolderLayout::kDiffusers, FolderLayout::kOriginal, FolderLayout::kWanlite,
        FolderLayout::kOriginal, FolderLayout::kDiffusers}) {
    INFO(FolderLayoutName(layout) << " " << step);
    ExportOptions options;
    options.layout = layout;
    const std::string dir = absl::StrCat("x", step++);
    REQUIRE_OK(ExportFolder(*env, folder, dir, options));
    ASSERT_OK_AND_ASSIGN(folder, ModelFolder::Open(*env, dir, {}, plain));
    REQUIRE(folder.layout() == layout);
    REQUIRE_FALSE(HasNote(folder, "published"));
    const json index = json::parse(folder.model_index_json());
    REQUIRE(index["boundary_ratio"] == 0.9);
    REQUIRE(index["wanlite_defaults"]["guidance_scale_2"] == 3.5);
    REQUIRE(json::parse(folder.scheduler_config_json())["flow_shift"] == 5);
    if (layout == FolderLayout::kDiffusers) {
      REQUIRE(index["transformer_2"] == json({"diffusers", "WanTransformer3DModel"}));
      REQUIRE(index["scheduler"] == json({"diffusers", "UniPCMultistepScheduler"}));
    } else if (layout == FolderLayout::kOriginal) {
      REQUIRE_FALSE(index.contains("transformer"));
    }
  }
}

TEST_CASE("two experts whose index has no boundary are said to run as one") {
  const auto env = NewMemEnv();
  for (const char* name : {"transformer", "transformer_2"}) {
    const std::string dir = JoinPath("m", name);
    Put(*env, JoinPath(dir, "config.json"), SmallDit().dump());
    PutTensors(*env, JoinPath(dir, "diffusion_pytorch_model.safetensors"),
               TensorsOf(wan::DitArchitecture(), SmallDit().dump(), true));
  }
  for (const char* index : {"{}", R"({"boundary_ratio": null})"}) {
    Put(*env, "m/model_index.json", index);
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, WanNetworks()));
    REQUIRE(HasNote(folder, "no boundary_ratio"));
  }
  Put(*env, "m/model_index.json", R"({"boundary_ratio": 0.5})");
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, WanNetworks()));
  REQUIRE_FALSE(HasNote(folder, "no boundary_ratio"));
}

TEST_CASE("what other programs cannot load is refused in their layouts, before a byte is written") {
  const auto base = NewMemEnv();
  const std::vector<std::pair<std::string, json>> cases = {
      {"wanlite_ffn_dims", {20, 12}},
      {"wanlite_self_attn_heads", {1, 1}},
      {"wanlite_dim", 96},
      {"wanlite_qk_norm", false},
  };
  for (const auto& [key, value] : cases) {
    INFO(key);
    json config = SmallDit();
    config["num_attention_heads"] = 2;
    config["attention_head_dim"] = 64;
    config[key] = value;
    REQUIRE_OK(base->RemoveAll("m"));
    Put(*base, "m/transformer/config.json", config.dump());
    PutTensors(*base, "m/transformer/diffusion_pytorch_model.safetensors",
               TensorsOf(wan::DitArchitecture(), config.dump(), true));
    const auto env = NewFaultEnv(*base, -1);
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, WanNetworks()));
    for (const FolderLayout layout : {FolderLayout::kDiffusers, FolderLayout::kOriginal}) {
      ExportOptions options;
      options.layout = layout;
      const absl::Status status = ExportFolder(*env, folder, "out", options);
      INFO(status.ToString());
      REQUIRE(absl::IsFailedPrecondition(status));
      REQUIRE(absl::StrContains(status.message(), "transformer"));
      REQUIRE(absl::StrContains(status.message(), "the layout wanlite holds it"));
      REQUIRE(env->writes() == 0);
    }
    ExportOptions own;
    own.layout = FolderLayout::kWanlite;
    REQUIRE_OK(ExportFolder(*env, folder, "out", own));
    REQUIRE_OK(env->RemoveAll("out"));
  }
}

TEST_CASE("sizes that stand in the tensors need no config, under either scheme of names") {
  const auto env = NewMemEnv();
  const ArchitectureRegistry networks = WanNetworks();
  const Architecture umt5 = wan::Umt5Architecture();
  for (const bool diffusers : {false, true}) {
    INFO(diffusers);
    REQUIRE_OK(env->RemoveAll("m"));
    PutTensors(*env, "m/weights.safetensors", TensorsOf(umt5, SmallUmt5().dump(), diffusers));
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, networks));
    ASSERT_OK_AND_ASSIGN(const ModelView view, folder.BuildView());
    ASSERT_OK_AND_ASSIGN(const std::string wanted, umt5.normalize_config(SmallUmt5().dump()));
    REQUIRE(view.components().front().config_json == wanted);
    REQUIRE(HasNote(folder, "has no config.json"));
  }
  // Transformers of the published sizes, and one of them pruned.
  const Architecture dit = wan::DitArchitecture();
  wan::DitConfig small, large, pruned;
  small.num_heads = 12;
  small.ffn_dim = 8960;
  small.num_layers = 30;
  large.in_channels = 36;
  pruned.num_layers = 3;
  pruned.ffn_dims = {13824, 64, 128};
  for (const wan::DitConfig& config : {small, large, pruned}) {
    const std::string wanted = wan::DitConfigJson(config);
    const nn::HollowGuard hollow;
    ASSERT_OK_AND_ASSIGN(const auto module, dit.build(wanted));
    TensorShapes original, diffusers;
    ASSERT_OK_AND_ASSIGN(const TensorNames foreign_name, dit.names(wanted));
    for (const auto& item : module->named_parameters()) {
      original[item.key()] = item.value().sizes().vec();
      diffusers[foreign_name(item.key())] = item.value().sizes().vec();
    }
    ASSERT_OK_AND_ASSIGN(const std::string of_original, dit.config_of_shapes(original));
    REQUIRE(of_original == wanted);
    ASSERT_OK_AND_ASSIGN(const std::string of_diffusers, dit.config_of_shapes(diffusers));
    REQUIRE(of_diffusers == wanted);
  }
  // How many heads make 128 channels cannot be seen.
  REQUIRE_OK(env->RemoveAll("m"));
  PutTensors(*env, "m/weights.safetensors", TensorsOf(dit, SmallDit().dump(), false));
  const absl::Status status = ModelFolder::Open(*env, "m", {}, networks).status();
  INFO(status.ToString());
  REQUIRE(absl::IsInvalidArgument(status));
  REQUIRE(absl::StrContains(status.message(), "width of 128"));
  REQUIRE(absl::StrContains(status.message(), "number of heads is not known"));
  REQUIRE(absl::StrContains(status.message(), "--config"));
}

TEST_CASE("keys of a config that are not known are said once, a config of none is refused") {
  const auto env = NewMemEnv();
  json config = SmallDit();
  config["later_field"] = 1;
  config["_diffusers_version"] = "0.40";
  Put(*env, "m/transformer/config.json", config.dump());
  PutTensors(*env, "m/transformer/diffusion_pytorch_model.safetensors",
             TensorsOf(wan::DitArchitecture(), SmallDit().dump(), true));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "m", {}, WanNetworks()));
  REQUIRE(folder.notes().size() == 1);
  REQUIRE(HasNote(folder, "m/transformer/config.json: not known and passed over: 'later_field'"));
  Put(*env, "m/transformer/config.json", R"({"width": 5120, "depth": 40})");
  const absl::Status status = ModelFolder::Open(*env, "m", {}, WanNetworks()).status();
  INFO(status.ToString());
  REQUIRE(absl::IsInvalidArgument(status));
  REQUIRE(absl::StrContains(status.message(), "m/transformer/config.json"));
  REQUIRE(absl::StrContains(status.message(), "'depth'"));
}

}  // namespace
}  // namespace wanlite
