// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A tiny Wan model, and an adapter for it under any naming.
#ifndef WANLITE_TESTS_LORA_LORA_FILES_H_
#define WANLITE_TESTS_LORA_LORA_FILES_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/checkpoint.h"

namespace wanlite::testing {

// A Wan model of two experts on `env`, its weights in memory.
inline ModelView LoadTinyWan(Env& env, const std::string& dir = "/wan") {
  if (!env.FolderExists(dir)) {
    REQUIRE_OK(WriteTinyWan(env, dir, {.text_encoder = false, .vae = false}));
  }
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(env, dir, {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

// Layers of a block by their internal and their foreign name, {out, in} in the tiny model.
struct AdaptedLayer {
  const char* internal;
  const char* foreign;
  int64_t out, in;
};
inline const std::vector<AdaptedLayer>& AdaptedLayers() {
  static const auto& layers = *new std::vector<AdaptedLayer>{
      {"blocks.0.self_attn.q", "blocks.0.attn1.to_q", 24, 24},
      {"blocks.1.self_attn.o", "blocks.1.attn1.to_out.0", 24, 24},
      {"blocks.0.cross_attn.v", "blocks.0.attn2.to_v", 24, 24},
      {"blocks.0.ffn.0", "blocks.0.ffn.net.0.proj", 40, 24},
      {"blocks.1.ffn.2", "blocks.1.ffn.net.2", 24, 40},
      {"time_projection.1", "condition_embedder.time_proj", 144, 24},
  };
  return layers;
}
constexpr int64_t kAdapterRank = 3;

// name: internal, foreign -> prefix of the layer's tensors.
inline std::vector<NamedTensor> AdapterTensors(
    const std::function<std::string(const std::string&, const std::string&)>& name,
    const char* a = ".lora_down.weight", const char* b = ".lora_up.weight", double alpha = 0,
    const std::string& seed = "adapter") {
  std::vector<NamedTensor> tensors;
  for (const AdaptedLayer& layer : AdaptedLayers()) {
    const std::string prefix = name(layer.internal, layer.foreign);
    tensors.push_back({prefix + a, SeededUniform(absl::StrCat(seed, layer.internal, "a"),
                                                 {kAdapterRank, layer.in})});
    tensors.push_back({prefix + b, SeededUniform(absl::StrCat(seed, layer.internal, "b"),
                                                 {layer.out, kAdapterRank})});
    if (alpha != 0) tensors.push_back({prefix + ".alpha", at::scalar_tensor(alpha)});
  }
  return tensors;
}

// The usual naming of ComfyUI and LightX2V.
inline std::vector<NamedTensor> ComfyAdapter(double alpha = 0,
                                             const std::string& seed = "adapter") {
  return AdapterTensors(
      [](const std::string& internal, const std::string&) { return "diffusion_model." + internal; },
      ".lora_down.weight", ".lora_up.weight", alpha, seed);
}

inline std::map<std::string, at::Tensor> TensorValues(const ModelView& model) {
  std::map<std::string, at::Tensor> values;
  for (const NamedTensor& named : model.Tensors()) {
    values[named.name] = named.tensor.detach().clone();
  }
  return values;
}

inline bool SameValues(const std::map<std::string, at::Tensor>& a,
                       const std::map<std::string, at::Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, value] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.scalar_type() != value.scalar_type() ||
        !at::equal(other->second, value)) {
      return false;
    }
  }
  return true;
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_LORA_LORA_FILES_H_
