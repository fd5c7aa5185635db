// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/checkpoint/toy_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/catch.h"
#include "wanlite/env.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class ToyInt8Weight final : public LinearWeight {
 public:
  ToyInt8Weight(at::Tensor weight, at::Tensor scale)
      : weight_(std::move(weight)), scale_(std::move(scale)) {}
  absl::string_view format() const override { return "toy_int8"; }
  std::string attributes() const override {
    return absl::StrCat("{\"rows\": ", weight_.size(0), "}");
  }
  int64_t in_features() const override { return weight_.size(1); }
  int64_t out_features() const override { return weight_.size(0); }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    return at::linear(x.dense(), Dequantize(), bias);
  }
  LinearArithmetic arithmetic() const override { return {}; }  // multiplies in fp32
  std::vector<WeightTensor> State() const override {
    return {{"weight", weight_, WeightTensor::Role::kCode},
            {"weight_scale", scale_, WeightTensor::Role::kScale}};
  }
  at::Tensor Dequantize() const override { return weight_.to(at::kFloat) * scale_.unsqueeze(1); }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("toy_int8 cannot be cut");
  }

 private:
  at::Tensor weight_;  // int8 [out, in]
  at::Tensor scale_;   // fp32 [out]
};

// A format of this test program, as any program may have its own.
absl::StatusOr<std::unique_ptr<LinearWeight>> ToyInt8FromState(const WeightState& state,
                                                               absl::string_view attributes_json,
                                                               const WeightFormatRegistry&) {
  const auto weight = state.find("weight");
  const auto scale = state.find("weight_scale");
  if (weight == state.end() || scale == state.end()) {
    return absl::InvalidArgumentError("toy_int8 wants weight and weight_scale");
  }
  if (weight->second.dim() != 2 || weight->second.scalar_type() != at::kChar ||
      scale->second.dim() != 1 || scale->second.size(0) != weight->second.size(0) ||
      attributes_json != absl::StrCat("{\"rows\": ", weight->second.size(0), "}")) {
    return absl::InvalidArgumentError("toy_int8: wrong shapes or attributes");
  }
  return std::make_unique<ToyInt8Weight>(weight->second, scale->second);
}

}  // namespace

namespace testing {
namespace {

using nlohmann::json;

class ToyBlock : public torch::nn::Module {
 public:
  explicit ToyBlock(int64_t dim) {
    q = register_module("q", std::make_shared<nn::Linear>(dim, dim));
    register_parameter("norm2", nn::NewTensor({dim}));
    register_parameter("norm3", nn::NewTensor({dim}));
  }
  std::shared_ptr<nn::Linear> q;
};

class ToyDenoiser : public torch::nn::Module, public nn::Describable {
 public:
  ToyDenoiser(int64_t dim, int64_t layers) : layers_(layers) {
    patch = register_module("patch", std::make_shared<nn::Linear>(2 * dim, dim));
    auto blocks = std::make_shared<torch::nn::Module>();
    for (int64_t i = 0; i < layers; ++i) {
      blocks->register_module(std::to_string(i), std::make_shared<ToyBlock>(dim));
    }
    register_module("blocks", blocks);
    register_parameter("table", nn::NewTensor({1, 2, dim}));
  }
  void Describe(TopologyBuilder& topology) const override {
    for (int64_t i = 0; i < layers_; ++i) topology.Block(absl::StrCat("blocks.", i));
    topology.KeepFloat32("table");
  }
  std::shared_ptr<nn::Linear> patch;

 private:
  int64_t layers_;
};

// Plain tensors under given names.
class ToyTensors : public torch::nn::Module {
 public:
  explicit ToyTensors(const std::vector<std::pair<std::string, std::vector<int64_t>>>& tensors) {
    for (const auto& [name, shape] : tensors) {
      if (!absl::StrContains(name, ".")) {
        register_parameter(name, nn::NewTensor(shape));
        continue;
      }
      const size_t dot = name.find('.');
      auto child = std::make_shared<torch::nn::Module>();
      child->register_parameter(name.substr(dot + 1), nn::NewTensor(shape));
      register_module(name.substr(0, dot), child);
    }
  }
};

absl::StatusOr<int64_t> Size(absl::string_view config, const char* field) {
  const json parsed = json::parse(config.begin(), config.end(), nullptr, false);
  if (!parsed.is_object() || !parsed.contains(field) || !parsed[field].is_number_unsigned()) {
    return absl::InvalidArgumentError(absl::StrCat("config has no ", field));
  }
  return parsed[field].get<int64_t>();
}

std::function<absl::StatusOr<TensorNames>(absl::string_view)> Named(TensorNames names) {
  return [names = std::move(names)](absl::string_view) -> absl::StatusOr<TensorNames> {
    return names;
  };
}

std::string SwapNorms(const std::string& name) {
  return absl::StrReplaceAll(name, {{"norm2", "norm3"}, {"norm3", "norm2"}});
}

}  // namespace

const ArchitectureRegistry& Toys() {
  static const ArchitectureRegistry registry = ToyArchitectures();
  return registry;
}

void Put(Env& env, const std::string& path, const std::string& text) {
  REQUIRE_OK(env.CreateFolders(Dirname(path)));
  REQUIRE_OK(env.WriteFileAtomically(path, text));
}

void PutTensors(Env& env, const std::string& path, const std::vector<NamedTensor>& tensors) {
  REQUIRE_OK(env.CreateFolders(Dirname(path)));
  REQUIRE_OK(WriteSafetensors(env, path, tensors));
}

bool HasNote(const ModelFolder& folder, const std::string& text) {
  return std::any_of(folder.notes().begin(), folder.notes().end(),
                     [&](const std::string& note) { return absl::StrContains(note, text); });
}

ArchitectureRegistry ToyArchitectures() {
  ArchitectureRegistry registry;
  REQUIRE_OK(registry.weight_formats().Register("toy_int8", ToyInt8FromState));
  Architecture denoiser;
  denoiser.name = "ToyDenoiser";
  denoiser.aliases = {"ToyModel"};
  denoiser.role = ComponentRole::kDenoiser;
  denoiser.build = [](absl::string_view c) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    WANLITE_ASSIGN_OR_RETURN(const int64_t dim, Size(c, "dim"));
    WANLITE_ASSIGN_OR_RETURN(const int64_t layers, Size(c, "layers"));
    return std::make_shared<ToyDenoiser>(dim, layers);
  };
  denoiser.names = Named([](const std::string& name) {
    return absl::StrReplaceAll(SwapNorms(name),
                               {{".q.", ".attn.to_q."}, {"patch.", "patch_embed."}});
  });
  denoiser.normalize_config = [](absl::string_view c) -> absl::StatusOr<std::string> {
    const json parsed = json::parse(c.begin(), c.end(), nullptr, false);
    const char* field = parsed.is_object() && parsed.contains("width") ? "width" : "dim";
    WANLITE_ASSIGN_OR_RETURN(const int64_t dim, Size(c, field));
    WANLITE_ASSIGN_OR_RETURN(const int64_t layers, Size(c, "layers"));
    return DenoiserConfig(dim, layers);
  };
  denoiser.original_config = [](absl::string_view c) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(const int64_t dim, Size(c, "dim"));
    WANLITE_ASSIGN_OR_RETURN(const int64_t layers, Size(c, "layers"));
    return OriginalDenoiserConfig(dim, layers);
  };
  denoiser.config_of = [](absl::string_view c,
                          const torch::nn::Module& module) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(const int64_t layers, Size(c, "layers"));
    const auto* toy = dynamic_cast<const ToyDenoiser*>(&module);
    if (toy == nullptr) return absl::InternalError("not a ToyDenoiser");
    return DenoiserConfig(toy->patch->out_features(), layers);
  };
  denoiser.recognizes = [](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), "blocks.0.q.weight") != names.end();
  };
  REQUIRE_OK(registry.Register(denoiser));

  Architecture encoder;
  encoder.name = "ToyEncoder";
  encoder.role = ComponentRole::kTextEncoder;
  encoder.build = [](absl::string_view c) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    WANLITE_ASSIGN_OR_RETURN(const int64_t dim, Size(c, "d_model"));
    return std::make_shared<ToyTensors>(std::vector<std::pair<std::string, std::vector<int64_t>>>{
        {"token_embedding.weight", {5, dim}}, {"norm.weight", {dim}}});
  };
  encoder.names = Named([](const std::string& name) {
    return name == "norm.weight" ? "final_norm.weight" : "shared.weight";
  });
  encoder.foreign_aliases = {{"embed_tokens.weight", "token_embedding.weight"},
                             {"position_ids", ""}};
  encoder.normalize_config = [](absl::string_view c) -> absl::StatusOr<std::string> {
    const absl::StatusOr<int64_t> dim = Size(c, "d_model");
    return EncoderConfig(dim.ok() ? *dim : 4);  // the default when the config says nothing
  };
  encoder.recognizes = [](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), "token_embedding.weight") != names.end();
  };
  REQUIRE_OK(registry.Register(encoder));

  Architecture vae;
  vae.name = "ToyVae";
  vae.role = ComponentRole::kAutoencoder;
  vae.build = [](absl::string_view c) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    WANLITE_ASSIGN_OR_RETURN(const int64_t channels, Size(c, "channels"));
    return std::make_shared<ToyTensors>(std::vector<std::pair<std::string, std::vector<int64_t>>>{
        {"conv1.weight", {channels, 2, 1}}});
  };
  vae.names = Named([](const std::string&) { return "quant_conv.weight"; });
  vae.normalize_config = [](absl::string_view c) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(const int64_t channels, Size(c, "channels"));
    return VaeConfig(channels);
  };
  vae.recognizes = [](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), "conv1.weight") != names.end();
  };
  REQUIRE_OK(registry.Register(vae));

  Architecture thing;
  thing.name = "ToyThing";
  thing.build = [](absl::string_view c) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    WANLITE_ASSIGN_OR_RETURN(const int64_t dim, Size(c, "size"));
    return std::make_shared<ToyTensors>(
        std::vector<std::pair<std::string, std::vector<int64_t>>>{{"w", {dim, 2}}, {"s", {}}});
  };
  REQUIRE_OK(registry.Register(thing));
  return registry;
}

std::string DenoiserConfig(int64_t dim, int64_t layers) {
  return json{{"_class_name", "ToyDenoiser"}, {"dim", dim}, {"layers", layers}}.dump();
}
std::string OriginalDenoiserConfig(int64_t dim, int64_t layers) {
  return json{{"_class_name", "ToyModel"}, {"width", dim}, {"layers", layers}}.dump();
}
std::string EncoderConfig(int64_t dim) {
  return json{{"architectures", {"ToyEncoder"}}, {"d_model", dim}}.dump();
}
std::string VaeConfig(int64_t channels) {
  return json{{"_class_name", "ToyVae"}, {"channels", channels}}.dump();
}
std::string ThingConfig(int64_t dim) {
  return json{{"_class_name", "ToyThing"}, {"size", dim}}.dump();
}

Component MakeToy(const std::string& architecture, const std::string& name,
                  const std::string& config, int64_t seed) {
  const ArchitectureRegistry registry = ToyArchitectures();
  const Architecture* found = registry.Find(architecture);
  REQUIRE(found != nullptr);
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<torch::nn::Module> module, found->build(config));
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(seed));
  const at::NoGradGuard no_grad;
  for (at::Tensor& tensor : module->parameters()) tensor.normal_(0, 1, generator);
  return {name, found->role, found->name, config, std::move(module)};
}

std::vector<NamedTensor> InternalTensors(const Component& component) {
  std::vector<NamedTensor> tensors;
  for (const auto& item : component.module->named_parameters()) {
    tensors.push_back({item.key(), item.value().detach()});
  }
  return tensors;
}

std::vector<NamedTensor> DiffusersTensors(const Component& component) {
  const ArchitectureRegistry registry = ToyArchitectures();
  const Architecture* found = registry.Find(component.architecture);
  std::vector<NamedTensor> tensors = InternalTensors(component);
  if (found->names == nullptr) return tensors;
  ASSERT_OK_AND_ASSIGN(const TensorNames foreign_name, found->names(component.config_json));
  for (NamedTensor& named : tensors) named.name = foreign_name(named.name);
  return tensors;
}

std::map<std::string, std::string> ReadTree(Env& env, const std::string& dir) {
  std::map<std::string, std::string> files;
  const auto names = env.ListFolder(dir);
  if (!names.ok()) return files;
  for (const std::string& name : *names) {
    const std::string path = JoinPath(dir, name);
    if (env.FolderExists(path)) {
      for (auto& [inner, bytes] : ReadTree(env, path)) files[JoinPath(name, inner)] = bytes;
    } else {
      const auto bytes = env.ReadFile(path);
      REQUIRE_OK(bytes);
      files[name] = *bytes;
    }
  }
  return files;
}

std::unique_ptr<LinearWeight> QuantizeToy(const at::Tensor& weight) {
  const at::Tensor w = weight.detach();
  const at::Tensor scale = w.abs().amax(1) / 127;
  return std::make_unique<ToyInt8Weight>((w / scale.unsqueeze(1)).round().to(at::kChar), scale);
}

}  // namespace testing
}  // namespace wanlite
