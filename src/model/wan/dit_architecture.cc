// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/dit_architecture.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/wan/block_edits.h"
#include "src/model/wan/dit.h"
#include "src/model/wan/dit_names.h"
#include "src/model/wan/published_models.h"
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

// Lists sizes per block only where they differ.
std::string SettledConfigJson(DitConfig config) {
  // A width that is the same in all blocks is one that every other reader of the format
  // understands.
  if (!config.ffn_dims.empty()) config.ffn_dim = config.ffn_dims.front();
  DropIfUniform(config.ffn_dims, config.ffn_dim);
  // Not so for heads: their number also gives the width of the model.
  DropIfUniform(config.self_attn_heads, config.num_heads);
  DropIfUniform(config.cross_attn_heads, config.num_heads);
  return DitConfigJson(config);
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
  config.width = dit->width();
  return SettledConfigJson(std::move(config));
}

absl::StatusOr<std::string> EditConfig(absl::string_view config_json, const StructureEdit& edit) {
  WANLITE_ASSIGN_OR_RETURN(DitConfig config, ParseDitConfig(config_json));
  ExpandPerBlock(config.ffn_dims, config.ffn_dim, config.num_layers);
  ExpandPerBlock(config.self_attn_heads, config.num_heads, config.num_layers);
  ExpandPerBlock(config.cross_attn_heads, config.num_heads, config.num_layers);
  WANLITE_RETURN_IF_ERROR(EditBlockSizes(edit, &config.num_layers,
                                         {{"ffn.channels", &config.ffn_dims},
                                          {"self_attn.heads", &config.self_attn_heads},
                                          {"cross_attn.heads", &config.cross_attn_heads}},
                                         {{"width", &config.width}}));
  std::string json = SettledConfigJson(std::move(config));
  WANLITE_RETURN_IF_ERROR(ParseDitConfig(json).status());
  return json;
}

// The other programs have one width for all blocks, and as many heads as make the model's width.
absl::Status Exportable(absl::string_view config_json, FolderLayout) {
  WANLITE_ASSIGN_OR_RETURN(const DitConfig config, ParseDitConfig(config_json));
  struct PerBlock {
    const char* field;
    const char* what;
    const std::vector<int64_t>* values;
  };
  const PerBlock per_block[] = {
      {"wanlite_ffn_dims", "feed-forward widths", &config.ffn_dims},
      {"wanlite_self_attn_heads", "numbers of self-attention heads", &config.self_attn_heads},
      {"wanlite_cross_attn_heads", "numbers of cross-attention heads", &config.cross_attn_heads}};
  for (const auto& [field, what, values] : per_block) {
    if (values->empty()) continue;
    const auto [least, most] = std::minmax_element(values->begin(), values->end());
    return absl::FailedPreconditionError(absl::StrCat(field, ": the blocks have ", what,
                                                      " of their own (", *least, " to ", *most,
                                                      "), which other programs cannot load"));
  }
  if (config.dim() != config.inner_dim()) {
    return absl::FailedPreconditionError(
        absl::StrCat("wanlite_dim: its width is ", config.dim(), " and its heads have ",
                     config.inner_dim(), " channels, which are one number to other programs"));
  }
  if (config.qk_norm) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "wanlite_qk_norm: the attention does not normalise queries and keys, which other programs "
      "always do");
}

// Heads are as many as the model's width has, since other programs know one number for both.
absl::StatusOr<std::string> PaddedConfig(absl::string_view config_json, int64_t multiple) {
  WANLITE_ASSIGN_OR_RETURN(DitConfig config, ParseDitConfig(config_json));
  config.ffn_dim = PaddedSize(config.ffn_dims, config.ffn_dim, multiple);
  config.ffn_dims.clear();
  config.self_attn_heads.clear();
  config.cross_attn_heads.clear();
  std::string json = DitConfigJson(config);
  WANLITE_RETURN_IF_ERROR(ParseDitConfig(json).status());
  WANLITE_RETURN_IF_ERROR(Exportable(json, FolderLayout::kDiffusers));
  return json;
}

}  // namespace

Architecture DitArchitecture() {
  Architecture architecture;
  architecture.name = "WanTransformer3DModel";
  architecture.aliases = {"WanModel"};
  architecture.role = ComponentRole::kDenoiser;
  architecture.build = Build;
  architecture.names = [](absl::string_view) -> absl::StatusOr<TensorNames> {
    return TensorNames([](const std::string& name) { return DitDiffusersName(name); });
  };
  architecture.normalize_config = Normalize;
  architecture.original_config = ToOriginal;
  architecture.config_of = ConfigOf;
  architecture.edit_config = EditConfig;
  architecture.recognizes = IsDit;
  architecture.config_keys = {"added_kv_proj_dim",
                              "attention_head_dim",
                              "cross_attn_norm",
                              "dim",
                              "dtype",
                              "eps",
                              "ffn_dim",
                              "freq_dim",
                              "image_dim",
                              "in_channels",
                              "in_dim",
                              "model_type",
                              "num_attention_heads",
                              "num_heads",
                              "num_layers",
                              "out_channels",
                              "out_dim",
                              "patch_size",
                              "pos_embed_seq_len",
                              "qk_norm",
                              "rope_max_seq_len",
                              "text_dim",
                              "text_len",
                              "torch_dtype",
                              "wanlite_cross_attn_heads",
                              "wanlite_dim",
                              "wanlite_ffn_dims",
                              "wanlite_qk_norm",
                              "wanlite_self_attn_heads",
                              "window_size"};
  architecture.config_of_shapes = [](const TensorShapes& shapes) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(const DitConfig config, DitConfigOfShapes(shapes));
    return DitConfigJson(config);
  };
  architecture.init_parameter = [](const std::string& name, const at::Tensor& parameter,
                                   uint64_t seed) {
    Dit::InitParameter(name, parameter, at::make_generator<at::CPUGeneratorImpl>(seed));
  };
  architecture.exportable = Exportable;
  architecture.padded_config = PaddedConfig;
  architecture.pipeline_defaults = [](absl::string_view config_json,
                                      int experts) -> absl::StatusOr<PipelineDefaults> {
    WANLITE_ASSIGN_OR_RETURN(const DitConfig config, ParseDitConfig(config_json));
    return PublishedDefaults(config, experts);
  };
  return architecture;
}

}  // namespace wanlite::wan
