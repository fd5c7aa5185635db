// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/core/libtorch.h"
#include "src/model/wan/dit_architecture.h"
#include "src/model/wan/umt5_names.h"
#include "src/model/wan/vae_names.h"
#include "tests/testing/catch.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

constexpr char kDit[] = R"({"_class_name": "WanTransformer3DModel", "patch_size": [1, 2, 2],
  "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 4, "out_channels": 4,
  "text_dim": 8, "freq_dim": 16, "ffn_dim": 20, "num_layers": 2, "cross_attn_norm": true,
  "qk_norm": "rms_norm_across_heads", "eps": 1e-6, "rope_max_seq_len": 1024})";
constexpr char kUmt5[] = R"({"architectures": ["UMT5EncoderModel"], "vocab_size": 50, "d_model": 16,
  "d_kv": 4, "d_ff": 20, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu",
  "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20})";
constexpr char kVae[] = R"({"_class_name": "AutoencoderKLWan", "base_dim": 4, "z_dim": 4,
  "dim_mult": [1, 2, 2], "num_res_blocks": 1, "attn_scales": [],
  "temperal_downsample": [true, false], "latents_mean": [0, 0, 0, 0],
  "latents_std": [1, 1, 1, 1]})";

Component MakeComponent(const Architecture& architecture, const std::string& name,
                        const std::string& config, uint64_t seed) {
  ASSERT_OK_AND_ASSIGN(const std::string normal, architecture.normalize_config(config));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<torch::nn::Module> module, architecture.build(normal));
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::NoGradGuard no_grad;
  for (at::Tensor& tensor : module->parameters()) tensor.normal_(0, 1, generator);
  return {name, architecture.role, architecture.name, normal, std::move(module)};
}

TEST_CASE("the Wan networks go from layout to layout and come back the same") {
  ArchitectureRegistry registry;
  REQUIRE_OK(registry.Register(wan::DitArchitecture()));
  REQUIRE_OK(registry.Register(wan::Umt5Architecture()));
  REQUIRE_OK(registry.Register(wan::VaeArchitecture()));
  const auto& all = registry.architectures();
  ASSERT_OK_AND_ASSIGN(const ModelView view,
                       ModelView::Create({MakeComponent(all[0], "transformer", kDit, 1),
                                          MakeComponent(all[0], "transformer_2", kDit, 2),
                                          MakeComponent(all[1], "text_encoder", kUmt5, 3),
                                          MakeComponent(all[2], "vae", kVae, 4)}));
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "0", view));
  const FolderLayout layouts[] = {FolderLayout::kDiffusers, FolderLayout::kOriginal,
                                  FolderLayout::kDiffusers, FolderLayout::kWanlite,
                                  FolderLayout::kOriginal,  FolderLayout::kWanlite};
  int step = 0;
  for (const FolderLayout layout : layouts) {
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*env, std::to_string(step), {}, registry));
    ExportOptions options;
    options.layout = layout;
    options.max_shard_bytes = 20000;
    REQUIRE_OK(ExportFolder(*env, folder, std::to_string(++step), options));
    ASSERT_OK_AND_ASSIGN(const ModelFolder back,
                         ModelFolder::Open(*env, std::to_string(step), {}, registry));
    REQUIRE(back.layout() == layout);
    ASSERT_OK_AND_ASSIGN(ModelView loaded, back.BuildView());
    REQUIRE_OK(loaded.LoadAll());
    REQUIRE(loaded.Fingerprint() == view.Fingerprint());
    for (const NamedTensor& named : view.Tensors()) {
      INFO(FolderLayoutName(layout) << " " << named.name);
      ASSERT_OK_AND_ASSIGN(const at::Tensor found, loaded.FindTensor(named.name));
      REQUIRE(at::equal(found, named.tensor));
    }
  }
  // A component's folder opens by itself, and so do loose original files.
  for (const char* dir : {"1/transformer_2", "1/text_encoder", "1/vae", "2/low_noise_model"}) {
    INFO(dir);
    ASSERT_OK_AND_ASSIGN(const ModelFolder lone, ModelFolder::Open(*env, dir, {}, registry));
    REQUIRE_OK(lone.BuildView());
  }
}

}  // namespace
}  // namespace wanlite
