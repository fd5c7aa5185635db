// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/dit_architecture.h"

#include <torch/torch.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/core/catch_torch.h"
#include "src/model/wan/dit.h"
#include "src/model/wan/dit_names.h"
#include "wanlite/status.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {
namespace {

absl::StatusOr<std::shared_ptr<torch::nn::Module>> Build(absl::string_view config_json) {
  WANLITE_ASSIGN_OR_RETURN(const DitConfig config, ParseDitConfig(config_json));
  std::shared_ptr<torch::nn::Module> module;
  WANLITE_RETURN_IF_ERROR(CatchTorch([&] { module = std::make_shared<Dit>(config); }));
  return module;
}

absl::StatusOr<std::string> Normalize(absl::string_view config_json) {
  WANLITE_ASSIGN_OR_RETURN(const DitConfig config, ParseDitConfig(config_json));
  return DitConfigJson(config);
}

absl::StatusOr<std::string> ToOriginal(absl::string_view config_json) {
  WANLITE_ASSIGN_OR_RETURN(const DitConfig config, ParseDitConfig(config_json));
  return DitOriginalConfigJson(config);
}

// Keeps the per-block values only where they differ from the common one.
void DropIfUniform(std::vector<int64_t>& values, int64_t common) {
  if (std::all_of(values.begin(), values.end(), [&](int64_t v) { return v == common; }))
    values.clear();
}

absl::StatusOr<std::string> ConfigOf(absl::string_view config_json,
                                     const torch::nn::Module& module) {
  const auto* dit = dynamic_cast<const Dit*>(&module);
  if (dit == nullptr) {
    return absl::InvalidArgumentError("WanTransformer3DModel: the module is another network");
  }
  WANLITE_ASSIGN_OR_RETURN(DitConfig config, ParseDitConfig(config_json));
  config.num_layers = dit->num_blocks();
  config.ffn_dims.clear();
  config.self_attn_heads.clear();
  config.cross_attn_heads.clear();
  for (int64_t i = 0; i < dit->num_blocks(); ++i) {
    config.ffn_dims.push_back(dit->block(i).ffn_dim());
    config.self_attn_heads.push_back(dit->block(i).self_attn_heads());
    config.cross_attn_heads.push_back(dit->block(i).cross_attn_heads());
  }
  // A width that is the same in all blocks is one that every other reader of the format
  // understands.
  if (!config.ffn_dims.empty()) config.ffn_dim = config.ffn_dims.front();
  DropIfUniform(config.ffn_dims, config.ffn_dim);
  // Not so for heads: their number also gives the width of the model.
  DropIfUniform(config.self_attn_heads, config.num_heads);
  DropIfUniform(config.cross_attn_heads, config.num_heads);
  return DitConfigJson(config);
}

}  // namespace

Architecture DitArchitecture() {
  Architecture architecture;
  architecture.name = "WanTransformer3DModel";
  architecture.aliases = {"WanModel"};
  architecture.role = ComponentRole::kDenoiser;
  architecture.build = Build;
  architecture.to_diffusers = [](absl::string_view, const std::string& name) {
    return DitDiffusersName(name);
  };
  architecture.normalize_config = Normalize;
  architecture.original_config = ToOriginal;
  architecture.config_of = ConfigOf;
  architecture.recognizes = IsOriginalDit;
  return architecture;
}

}  // namespace wanlite::wan
