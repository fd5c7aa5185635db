// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_model.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/digits/dit_training.h"
#include "src/model/checked_cast.h"
#include "src/model/wan/dit_names.h"
#include "src/model/wan/flow_scheduler.h"
#include "src/model/wan/sampler.h"
#include "src/model/wan/umt5_names.h"
#include "src/model/wan/vae_names.h"
#include "src/train/parameters.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::digits {
namespace {

constexpr char kDiffusersVersion[] =
    "0.35.0";  // the first with a second transformer in WanPipeline
constexpr char kDiffusersFile[] = "diffusion_pytorch_model.safetensors";
using NameOf = std::function<std::string(const std::string&)>;

// One network of the folder.
struct Part {
  const char* folder;
  const char* file;
  torch::nn::Module* module;
  std::string config_json;
  NameOf name_of;
  bool half;  // store bf16
};

std::vector<Part> Parts(const DigitsModel& model) {
  const NameOf dit_name = [](const std::string& name) { return wan::DitDiffusersName(name); };
  const wan::VaeConfig vae_config = model.vae->config();
  const NameOf vae_name = [vae_config](const std::string& name) {
    return wan::VaeToDiffusers(vae_config, name);
  };
  return {{"transformer", kDiffusersFile, model.high, wan::DitConfigJson(model.high->config()),
           dit_name, true},
          {"transformer_2", kDiffusersFile, model.low, wan::DitConfigJson(model.low->config()),
           dit_name, true},
          {"text_encoder", "model.safetensors", model.text,
           wan::Umt5ConfigJson(model.text->config()), wan::Umt5ToTransformers, true},
          {"vae", kDiffusersFile, model.vae, wan::VaeConfigJson(vae_config), vae_name, false}};
}

// What Dit::Describe declares to stay fp32 in a lower dtype, and transformers and diffusers keep
// too.
bool KeepsFloat32(const std::string& name) {
  return absl::StartsWith(name, "time_embedding.") || absl::EndsWith(name, "modulation") ||
         absl::StrContains(name, ".norm3.");
}

absl::Status WritePart(Env& env, const std::string& dir, const Part& part) {
  const std::string folder = JoinPath(dir, part.folder);
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(folder));
  std::vector<NamedTensor> tensors;
  for (const auto& item : part.module->named_parameters()) {
    const at::Tensor value = item.value().detach();
    const bool half = part.half && !KeepsFloat32(item.key());
    const std::string name = part.name_of(item.key());
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor cast,
                             CheckedCast(value, half ? at::kBFloat16 : value.scalar_type(), name));
    tensors.push_back({name, cast});
  }
  WANLITE_RETURN_IF_ERROR(
      WriteSafetensors(env, JoinPath(folder, part.file), tensors, {{"format", "pt"}}).status());
  return env.WriteFileAtomically(JoinPath(folder, "config.json"), part.config_json);
}

nlohmann::ordered_json ClassOf(const char* library, const char* name) {
  return nlohmann::ordered_json::array({library, name});
}

std::string ModelIndex(const DitTrainingOptions& options, const ClipGeometry& geometry) {
  nlohmann::ordered_json json;
  json["_class_name"] = "WanPipeline";
  json["_diffusers_version"] = kDiffusersVersion;
  json["boundary_ratio"] = options.boundary();
  json["expand_timesteps"] = false;
  json["scheduler"] = ClassOf("diffusers", "UniPCMultistepScheduler");
  json["text_encoder"] = ClassOf("transformers", "UMT5EncoderModel");
  json["tokenizer"] = ClassOf("transformers", "T5TokenizerFast");
  json["transformer"] = ClassOf("diffusers", "WanTransformer3DModel");
  json["transformer_2"] = ClassOf("diffusers", "WanTransformer3DModel");
  json["vae"] = ClassOf("diffusers", "AutoencoderKLWan");
  // What wanlite's runner takes where a request says nothing.
  nlohmann::ordered_json defaults;
  defaults["num_inference_steps"] = options.sample_steps();
  defaults["num_frames"] = geometry.frames;
  defaults["height"] = geometry.size;
  defaults["width"] = geometry.size;
  defaults["guidance_scale"] = options.sample_guidance();
  defaults["guidance_scale_2"] = options.sample_guidance();
  defaults["fps"] = 12;
  defaults["negative_prompt"] = "";
  defaults["prompts"] =
      std::vector<std::string>{"a red digit 3 moves left", "绿色的数字7向右移动",
                               "白い数字の0が上へ動く", "a blue digit 5 moves down"};
  json["wanlite_defaults"] = std::move(defaults);
  return json.dump(2) + "\n";
}

std::string TokenizerConfig(const DitTrainingOptions& options) {
  const nlohmann::ordered_json json = {{"tokenizer_class", "T5Tokenizer"},
                                       {"eos_token", "</s>"},
                                       {"pad_token", "<pad>"},
                                       {"unk_token", "<unk>"},
                                       {"extra_ids", 0},
                                       {"additional_special_tokens", nlohmann::json::array()},
                                       {"legacy", false},
                                       {"model_max_length", options.text_length()}};
  return json.dump(2) + "\n";
}

}  // namespace

absl::Status ExportDigitsModel(Env& env, const std::string& dir, const DigitsModel& model,
                               const DitTrainingOptions& options, const ClipGeometry& geometry) {
  wan::FlowSchedulerConfig scheduler;
  scheduler.shift = options.sample_shift();
  const std::pair<const char*, std::pair<const char*, std::string>> files[] = {
      {"scheduler", {"scheduler_config.json", wan::FlowSchedulerConfigJson(scheduler)}},
      {"tokenizer", {"spiece.model", model.spiece}},
      {"tokenizer", {"tokenizer_config.json", TokenizerConfig(options)}}};
  const std::string fresh = TemporaryPath(dir);
  WANLITE_RETURN_IF_ERROR(
      env.WriteFolderAtomically(fresh, [&](const std::string& into) -> absl::Status {
        for (const Part& part : Parts(model)) {
          WANLITE_RETURN_IF_ERROR(WritePart(env, into, part));
        }
        for (const auto& [folder, file] : files) {
          WANLITE_RETURN_IF_ERROR(env.CreateFolders(JoinPath(into, folder)));
          WANLITE_RETURN_IF_ERROR(
              env.WriteFileAtomically(JoinPath(JoinPath(into, folder), file.first), file.second));
        }
        return env.WriteFileAtomically(JoinPath(into, "model_index.json"),
                                       ModelIndex(options, geometry));
      }));
  // What is there may be an earlier export or somebody's model: it is put aside, never removed.
  for (int number = 1; absl::IsAlreadyExists(env.CheckAbsent(dir)); ++number) {
    const std::string aside = absl::StrCat(dir, ".", number);
    const absl::Status free = env.CheckAbsent(aside);
    if (absl::IsAlreadyExists(free)) continue;
    WANLITE_RETURN_IF_ERROR(free);
    WANLITE_RETURN_IF_ERROR(env.Rename(dir, aside));
  }
  WANLITE_RETURN_IF_ERROR(env.Rename(fresh, dir));
  return env.SyncFolder(Dirname(dir));
}

absl::Status LoadDigitsModel(Env& env, const std::string& dir, const DigitsModel& model) {
  for (const Part& part : Parts(model)) {
    WANLITE_RETURN_IF_ERROR(train::LoadParameters(
        env, JoinPath(JoinPath(dir, part.folder), part.file), *part.module, part.name_of));
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> GenerateDigits(const DigitsModel& model, const wan::Tokenizer& tokenizer,
                                          const DitTrainingOptions& options,
                                          const ClipGeometry& geometry,
                                          const std::vector<std::string>& prompts, uint64_t seed) {
  const int64_t count = static_cast<int64_t>(prompts.size());
  WANLITE_ASSIGN_OR_RETURN(const wan::TokenizedText tokens,
                           tokenizer.EncodeBatch(prompts, options.text_length()));
  WANLITE_ASSIGN_OR_RETURN(const wan::TokenizedText none,
                           tokenizer.Encode("", options.text_length()));
  at::NoGradGuard no_grad;
  const at::Tensor text = EncodeCaptions(*model.text, tokens.input_ids, tokens.attention_mask);
  const at::Tensor negative =
      EncodeCaptions(*model.text, none.input_ids, none.attention_mask).expand_as(text).contiguous();
  auto denoiser = [](wan::Dit* dit) -> wan::Denoiser {
    return
        [dit](const at::Tensor& latents, const at::Tensor& timestep, const at::Tensor& embedding) {
          return CatchTorch([&] { return dit->forward(latents, timestep, embedding); });
        };
  };
  wan::SampleOptions sampling;
  sampling.scheduler.shift = options.sample_shift();
  sampling.num_steps = options.sample_steps();
  sampling.guidance = options.sample_guidance();
  sampling.boundary_ratio = options.boundary();
  const int64_t stride = model.vae->config().spatial_stride();
  const at::Tensor noise =
      wan::InitialLatents({count, model.vae->config().z_dim, 1 + (geometry.frames - 1) / 4,
                           geometry.size / stride, geometry.size / stride},
                          seed);
  WANLITE_ASSIGN_OR_RETURN(
      const at::Tensor latents,
      wan::Sample(sampling, denoiser(model.high), denoiser(model.low), noise, text, negative));
  return model.vae->Decode(model.vae->Denormalize(latents));
}

}  // namespace wanlite::digits
