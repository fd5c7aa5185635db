// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "bench/random_wan.h"

#include <ATen/ops/empty.h>
#include <torch/nn/module.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite::bench {
namespace {

// Sizes of Wan2.1-T2V-1.3B (transformer/config.json of its diffusers folder).
constexpr char kWan13B[] = R"({
  "_class_name": "WanTransformer3DModel",
  "attention_head_dim": 128,
  "cross_attn_norm": true,
  "eps": 1e-06,
  "ffn_dim": 8960,
  "freq_dim": 256,
  "in_channels": 16,
  "num_attention_heads": 12,
  "num_layers": 30,
  "out_channels": 16,
  "patch_size": [1, 2, 2],
  "qk_norm": "rms_norm_across_heads",
  "rope_max_seq_len": 1024,
  "text_dim": 4096
}
)";

// Random values of a plausible size: matrices and convolutions keep the variance of what passes
// through, norm weights are near one, biases near zero.
at::Tensor RandomTensor(const std::string& name, const at::Tensor& like, at::ScalarType dtype,
                        at::Generator& generator) {
  at::Tensor value = at::empty(like.sizes(), at::kFloat);
  if (like.dim() >= 2) {
    const double fan_in = static_cast<double>(like.numel()) / static_cast<double>(like.size(0));
    value.normal_(0, 1 / std::sqrt(fan_in), generator);
  } else {
    const bool is_scale = !absl::EndsWith(name, "bias");
    value.normal_(is_scale ? 1 : 0, 0.02, generator);
  }
  return value.to(dtype);
}

// The architecture that config.json names.
absl::StatusOr<const Architecture*> FindArchitecture(const std::string& config) {
  for (const Architecture& architecture : BuiltinArchitectures().architectures()) {
    if (absl::StrContains(config, absl::StrCat("\"", architecture.name, "\"")))
      return &architecture;
  }
  return absl::NotFoundError("the config names no architecture that wanlite knows");
}

std::string ShardName(size_t shard, size_t count) {
  return absl::StrFormat("diffusion_pytorch_model-%05d-of-%05d.safetensors", shard + 1, count);
}

}  // namespace

absl::Status WriteRandomWan(const RandomWanOptions& options) {
  Env& env = PosixEnv();
  const std::string config = options.config.empty() ? kWan13B : options.config;
  WANLITE_ASSIGN_OR_RETURN(const Architecture* architecture, FindArchitecture(config));
  WANLITE_ASSIGN_OR_RETURN(const TensorNames foreign_name, architecture->names(config));
  const std::string component = architecture->role == ComponentRole::kDenoiser      ? "transformer"
                                : architecture->role == ComponentRole::kTextEncoder ? "text_encoder"
                                                                                    : "vae";
  const std::string dir = JoinPath(options.out_dir, component);
  if (env.FolderExists(dir))
    return absl::AlreadyExistsError(absl::StrCat(dir, " is there already"));

  // Shapes come from a model without memory, names from the architecture's own table.
  std::shared_ptr<torch::nn::Module> module;
  {
    const nn::HollowGuard hollow;
    WANLITE_ASSIGN_OR_RETURN(module, architecture->build(config));
  }
  WANLITE_ASSIGN_OR_RETURN(
      const ModelView view,
      ModelView::Create({{component, architecture->role, architecture->name, config, module}}));

  const int64_t item_bytes = static_cast<int64_t>(at::elementSize(options.dtype));
  std::vector<std::vector<NamedTensor>> shards;
  int64_t shard_bytes = std::numeric_limits<int64_t>::max();
  int64_t total_bytes = 0;
  for (NamedTensor& tensor : view.Tensors()) {
    const int64_t bytes = tensor.tensor.numel() * item_bytes;
    if (shards.empty() || shard_bytes + bytes > options.shard_bytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shard_bytes += bytes;
    total_bytes += bytes;
    tensor.name = tensor.name.substr(component.size() + 1);
    shards.back().push_back(std::move(tensor));
  }

  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  std::string index =
      absl::StrCat("{\n  \"metadata\": {\"total_size\": ", total_bytes, "},\n  \"weight_map\": {");
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = ShardName(i, shards.size());
    std::vector<NamedTensor> values;
    for (const NamedTensor& tensor : shards[i]) {
      const std::string name = foreign_name(tensor.name);
      values.push_back({name, RandomTensor(tensor.name, tensor.tensor, options.dtype, generator)});
      absl::StrAppend(&index, i == 0 && values.size() == 1 ? "\n" : ",\n", "    \"", name, "\": \"",
                      file, "\"");
    }
    WANLITE_RETURN_IF_ERROR(WriteSafetensors(env, JoinPath(dir, file), values).status());
    if (options.progress) options.progress(i + 1, shards.size());
  }
  absl::StrAppend(&index, "\n  }\n}\n");
  WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(
      JoinPath(dir, "diffusion_pytorch_model.safetensors.index.json"), index));
  WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(JoinPath(dir, "config.json"), config));
  WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(
      JoinPath(options.out_dir, "model_index.json"),
      absl::StrCat("{\n  \"_class_name\": \"WanPipeline\",\n  \"", component,
                   "\": [\"diffusers\", \"", architecture->name, "\"]\n}\n")));
  return absl::OkStatus();
}

}  // namespace wanlite::bench
