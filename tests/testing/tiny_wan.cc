// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/tiny_wan.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/core/libtorch.h"
#include "src/model/wan/tokenizer_trainer.h"
#include "tests/testing/seeded.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite::testing {
namespace {

constexpr char kTransformer[] = R"({
  "_class_name": "WanTransformer3DModel", "_diffusers_version": "0.42.1",
  "patch_size": [1, 2, 2], "num_attention_heads": 2, "attention_head_dim": 12,
  "in_channels": 4, "out_channels": 4, "text_dim": 16, "freq_dim": 32, "ffn_dim": 40,
  "num_layers": 2, "cross_attn_norm": true, "qk_norm": "rms_norm_across_heads", "eps": 1e-06,
  "rope_max_seq_len": 64, "text_len": 16
})";

constexpr char kTextEncoder[] = R"({
  "architectures": ["UMT5EncoderModel"], "model_type": "umt5", "vocab_size": 128, "d_model": 16,
  "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 2, "relative_attention_num_buckets": 8,
  "relative_attention_max_distance": 16, "layer_norm_epsilon": 1e-06, "feed_forward_proj": "gated-gelu",
  "is_gated_act": true, "dense_act_fn": "gelu_new"
})";

constexpr char kVae[] = R"({
  "_class_name": "AutoencoderKLWan", "_diffusers_version": "0.42.1", "base_dim": 4, "z_dim": 4,
  "dim_mult": [1, 2, 4, 4], "num_res_blocks": 1, "attn_scales": [],
  "temperal_downsample": [false, true, true], "dropout": 0.0,
  "latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.5, 0.7, 1.0, 2.0]
})";

constexpr char kScheduler[] = R"({
  "_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.42.1",
  "num_train_timesteps": 1000, "prediction_type": "flow_prediction", "use_flow_sigmas": true,
  "flow_shift": 3.0, "solver_order": 2, "solver_type": "bh2"
})";

std::vector<std::string> Sentences() {
  return {"a red digit moves right",       "a blue digit moves left",
          "the green digit moves up",      "a white digit 3 moves down",
          "digits 0 1 2 4 5 6 7 8 9 move", "a cat walks through the grass"};
}

std::string ModelIndex(const TinyWanOptions& options) {
  std::string json = R"({"_class_name": "WanPipeline", "_diffusers_version": "0.42.1",
  "scheduler": ["diffusers", "UniPCMultistepScheduler"],
  "transformer": ["diffusers", "WanTransformer3DModel"],)";
  if (options.two_experts) {
    json += R"("transformer_2": ["diffusers", "WanTransformer3DModel"], "boundary_ratio": 0.875,)";
  }
  if (options.text_encoder) {
    json += R"("text_encoder": ["transformers", "UMT5EncoderModel"],
  "tokenizer": ["transformers", "T5TokenizerFast"],)";
  }
  if (options.vae) json += R"("vae": ["diffusers", "AutoencoderKLWan"],)";
  return json + R"("wanlite_defaults": {"num_inference_steps": 4, "guidance_scale": 2.0,
  "guidance_scale_2": 1.5, "num_frames": 5, "height": 32, "width": 32, "fps": 8,
  "prompts": ["a red digit moves right"]}})";
}

absl::Status WriteComponent(Env& env, const std::string& dir, const std::string& name,
                            const std::string& architecture_name, const std::string& config,
                            const std::string& file, bool weights) {
  const std::string folder = JoinPath(dir, name);
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(folder));
  WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(JoinPath(folder, "config.json"), config));
  if (!weights) return absl::OkStatus();
  const Architecture* architecture = BuiltinArchitectures().Find(architecture_name);
  if (architecture == nullptr) return absl::NotFoundError(architecture_name);
  const nn::HollowGuard hollow;
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<torch::nn::Module> module,
                           architecture->build(config));
  WANLITE_ASSIGN_OR_RETURN(const TensorNames foreign_name, architecture->names(config));
  std::vector<NamedTensor> tensors;
  for (const auto& parameter : module->named_parameters()) {
    const std::string stored = foreign_name(parameter.key());
    // transformer_2 differs from transformer.
    tensors.push_back({stored, SeededParameter(name + "." + stored, parameter.value().sizes())});
  }
  return WriteSafetensors(env, JoinPath(folder, file), tensors).status();
}

}  // namespace

absl::Status WriteTinyWan(Env& env, const std::string& dir, const TinyWanOptions& options) {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  WANLITE_RETURN_IF_ERROR(
      env.WriteFileAtomically(JoinPath(dir, "model_index.json"), ModelIndex(options)));
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(JoinPath(dir, "scheduler")));
  WANLITE_RETURN_IF_ERROR(
      env.WriteFileAtomically(JoinPath(dir, "scheduler/scheduler_config.json"), kScheduler));
  constexpr char kDiffusersFile[] = "diffusion_pytorch_model.safetensors";
  const std::string transformer = absl::StrReplaceAll(
      kTransformer, {{"\"num_layers\": 2", absl::StrCat("\"num_layers\": ", options.layers)}});
  WANLITE_RETURN_IF_ERROR(WriteComponent(env, dir, "transformer", "WanTransformer3DModel",
                                         transformer, kDiffusersFile, options.weights));
  if (options.two_experts) {
    WANLITE_RETURN_IF_ERROR(WriteComponent(env, dir, "transformer_2", "WanTransformer3DModel",
                                           transformer, kDiffusersFile, options.weights));
  }
  if (options.text_encoder) {
    WANLITE_RETURN_IF_ERROR(WriteComponent(env, dir, "text_encoder", "UMT5EncoderModel",
                                           kTextEncoder, "model.safetensors", options.weights));
    const std::string tokenizer = JoinPath(dir, "tokenizer");
    WANLITE_RETURN_IF_ERROR(env.CreateFolders(tokenizer));
    WANLITE_ASSIGN_OR_RETURN(const std::string model,
                             wan::TrainTokenizer(Sentences(), {128, false}));
    WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(JoinPath(tokenizer, "spiece.model"), model));
  }
  if (!options.vae) return absl::OkStatus();
  return WriteComponent(env, dir, "vae", "AutoencoderKLWan", kVae, kDiffusersFile, options.weights);
}

}  // namespace wanlite::testing
