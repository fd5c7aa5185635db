// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Writes a model folder of random weights: one component, any architecture that wanlite knows, in the
// diffusers layout, sharded. For measuring what compressing a model of that size costs; what it
// generates is noise.
//
//   make_random_wan OUT_DIR [CONFIG_JSON] [--dtype bf16|fp32] [--shard-mib N] [--seed S]
//
// Without a config: the diffusion transformer of Wan2.1-T2V-1.3B (1.42 billion parameters). One shard is
// in memory at a time.
#include <ATen/ops/empty.h>
#include <torch/nn/module.h>

#include <cmath>
#include <iostream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

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

struct Options {
  std::string out_dir;
  std::string config_path;
  at::ScalarType dtype = at::kBFloat16;
  int64_t shard_bytes = int64_t{256} << 20;
  uint64_t seed = 1;
};

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args) {
  Options options;
  std::vector<std::string> places;
  for (size_t i = 0; i < args.size(); ++i) {
    if (!absl::StartsWith(args[i], "--")) {
      places.push_back(args[i]);
      continue;
    }
    if (i + 1 == args.size()) {
      return absl::InvalidArgumentError(absl::StrCat(args[i], " wants a value"));
    }
    const std::string& value = args[++i];
    int64_t mebibytes = 0;
    if (args[i - 1] == "--dtype" && (value == "bf16" || value == "fp32")) {
      options.dtype = value == "bf16" ? at::kBFloat16 : at::kFloat;
    } else if (args[i - 1] == "--shard-mib" && absl::SimpleAtoi(value, &mebibytes) && mebibytes > 0) {
      options.shard_bytes = mebibytes << 20;
    } else if (args[i - 1] != "--seed" || !absl::SimpleAtoi(value, &options.seed)) {
      return absl::InvalidArgumentError(
          absl::StrCat("option ", args[i - 1], " ", value,
                       ": wanted --dtype bf16|fp32, --shard-mib N or --seed S"));
    }
  }
  if (places.empty() || places.size() > 2) {
    return absl::InvalidArgumentError(
        "usage: make_random_wan OUT_DIR [CONFIG_JSON] [--dtype bf16|fp32] [--shard-mib N] [--seed S]");
  }
  options.out_dir = places[0];
  if (places.size() == 2) options.config_path = places[1];
  return options;
}

// Random values of a plausible size: matrices and convolutions keep the variance of what passes through,
// norm weights are near one, biases near zero.
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
absl::StatusOr<const wanlite::Architecture*> FindArchitecture(const std::string& config) {
  for (const wanlite::Architecture& architecture :
       wanlite::BuiltinArchitectures().architectures()) {
    if (absl::StrContains(config, absl::StrCat("\"", architecture.name, "\""))) return &architecture;
  }
  return absl::NotFoundError("the config names no architecture that wanlite knows");
}

std::string ShardName(size_t shard, size_t count) {
  return absl::StrFormat("diffusion_pytorch_model-%05d-of-%05d.safetensors", shard + 1, count);
}

absl::Status WriteModel(const Options& options) {
  wanlite::Env& env = wanlite::PosixEnv();
  std::string config = kWan13B;
  if (!options.config_path.empty()) {
    WANLITE_ASSIGN_OR_RETURN(config, env.ReadFile(options.config_path));
  }
  WANLITE_ASSIGN_OR_RETURN(const wanlite::Architecture* architecture, FindArchitecture(config));
  const std::string component =
      architecture->role == wanlite::ComponentRole::kDenoiser      ? "transformer"
      : architecture->role == wanlite::ComponentRole::kTextEncoder ? "text_encoder"
                                                                   : "vae";
  const std::string dir = wanlite::JoinPath(options.out_dir, component);
  if (env.FolderExists(dir)) return absl::AlreadyExistsError(absl::StrCat(dir, " is there already"));

  // Shapes come from a model without memory, names from the architecture's own table.
  std::shared_ptr<torch::nn::Module> module;
  {
    const wanlite::nn::HollowGuard hollow;
    WANLITE_ASSIGN_OR_RETURN(module, architecture->build(config));
  }
  WANLITE_ASSIGN_OR_RETURN(
      const wanlite::ModelView view,
      wanlite::ModelView::Create(
          {{component, architecture->role, architecture->name, config, module}}));

  const int64_t item_bytes = static_cast<int64_t>(at::elementSize(options.dtype));
  std::vector<std::vector<wanlite::NamedTensor>> shards;
  int64_t shard_bytes = std::numeric_limits<int64_t>::max();
  int64_t total_bytes = 0;
  for (wanlite::NamedTensor& tensor : view.Tensors()) {
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
  std::string index = absl::StrCat("{\n  \"metadata\": {\"total_size\": ", total_bytes,
                                   "},\n  \"weight_map\": {");
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = ShardName(i, shards.size());
    std::vector<wanlite::NamedTensor> values;
    for (const wanlite::NamedTensor& tensor : shards[i]) {
      const std::string name = architecture->to_diffusers(config, tensor.name);
      values.push_back({name, RandomTensor(tensor.name, tensor.tensor, options.dtype, generator)});
      absl::StrAppend(&index, i == 0 && values.size() == 1 ? "\n" : ",\n", "    \"", name, "\": \"",
                      file, "\"");
    }
    WANLITE_RETURN_IF_ERROR(
        wanlite::WriteSafetensors(env, wanlite::JoinPath(dir, file), values).status());
    std::cerr << "\rshard " << i + 1 << " of " << shards.size() << std::flush;
  }
  std::cerr << "\n";
  absl::StrAppend(&index, "\n  }\n}\n");
  WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(
      wanlite::JoinPath(dir, "diffusion_pytorch_model.safetensors.index.json"), index));
  WANLITE_RETURN_IF_ERROR(
      env.WriteFileAtomically(wanlite::JoinPath(dir, "config.json"), config));
  WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(
      wanlite::JoinPath(options.out_dir, "model_index.json"),
      absl::StrCat("{\n  \"_class_name\": \"WanPipeline\",\n  \"", component,
                   "\": [\"diffusers\", \"", architecture->name, "\"]\n}\n")));
  std::cout << options.out_dir << ": " << total_bytes << " bytes in " << shards.size()
            << " shards\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<Options> options = ParseOptions({argv + 1, argv + argc});
  const absl::Status status = options.ok() ? WriteModel(*options) : options.status();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
