// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// LoRA files in every naming, and what is wrong with wrong ones.

#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/lora/lora_names.h"
#include "src/quant/weight_int8.h"
#include "tests/lora/lora_files.h"
#include "wanlite/lora.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::AdaptedLayer;
using testing::AdaptedLayers;
using testing::AdapterTensors;
using testing::ComfyAdapter;
using testing::kAdapterRank;
using testing::LoadTinyWan;
using testing::SameValues;
using testing::SeededUniform;
using testing::TensorValues;

using Tensors = std::vector<NamedTensor>;
using Metadata = std::vector<std::pair<std::string, std::string>>;

// A disk with the model and one LoRA file.
std::unique_ptr<Env> DiskWith(const Tensors& tensors, const std::string& path = "/lora.safetensors",
                              const Metadata& metadata = {}) {
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(env->CreateFolders(Dirname(path)));
  REQUIRE_OK(WriteSafetensors(*env, path, tensors, metadata));
  return env;
}

absl::Status Load(Env& env, ModelView& model, const std::vector<LoraSpec>& specs) {
  absl::StatusOr<LoraSet> loras = LoraSet::Open(env, specs, model);
  if (!loras.ok()) return loras.status();
  return loras->Apply(model);
}

std::map<std::string, at::Tensor> Loaded(const Tensors& tensors, const LoraSpec& spec,
                                         const Metadata& metadata = {}) {
  const auto env = DiskWith(tensors, spec.path, metadata);
  ModelView model = LoadTinyWan(*env);
  REQUIRE_OK(Load(*env, model, {spec}));
  return TensorValues(model);
}

std::string LoadError(const Tensors& tensors, LoraSpec spec = {"/lora.safetensors", "transformer"},
                      const Metadata& metadata = {}) {
  const auto env = DiskWith(tensors, spec.path, metadata);
  ModelView model = LoadTinyWan(*env);
  const auto before = TensorValues(model);
  const std::string fingerprint = model.Fingerprint();
  const absl::Status status = Load(*env, model, {spec});
  REQUIRE_FALSE(status.ok());
  // Whatever is refused leaves everything as it was.
  CHECK(SameValues(TensorValues(model), before));
  CHECK(model.Fingerprint() == fingerprint);
  CHECK_THAT(std::string(status.message()), Contains(spec.path));
  return std::string(status.message());
}

TEST_CASE("every naming gives the same tensors") {
  const LoraSpec high{"/lora.safetensors", "transformer", 1, "x"};
  const auto expected = Loaded(ComfyAdapter(), high);
  REQUIRE(expected.contains("transformer.blocks.0.self_attn.q.lora_a_0"));
  CHECK(at::equal(expected.at("transformer.blocks.0.ffn.0.lora_b_0"),
                  SeededUniform("adapterblocks.0.ffn.0b", {40, kAdapterRank})));
  const auto internal = [](const std::string& prefix) {
    return [=](const std::string& name, const std::string&) { return prefix + name; };
  };
  const auto foreign = [](const std::string& prefix) {
    return [=](const std::string&, const std::string& name) { return prefix + name; };
  };
  const auto underscored = [](const std::string& prefix) {
    return [=](const std::string& name, const std::string&) {
      return prefix + absl::StrReplaceAll(name, {{".", "_"}});
    };
  };
  const std::vector<Tensors> namings = {
      AdapterTensors(foreign("transformer."), ".lora_A.weight", ".lora_B.weight"),
      AdapterTensors(foreign(""), ".lora_A.weight", ".lora_B.weight"),
      AdapterTensors(foreign("base_model.model."), ".lora_A.weight", ".lora_B.weight"),
      AdapterTensors(foreign("base_model.model.transformer."), ".lora_A.default.weight",
                     ".lora_B.default.weight"),
      AdapterTensors(internal("diffusion_model."), ".lora_A.weight", ".lora_B.weight"),
      AdapterTensors(internal("model.diffusion_model.")),
      AdapterTensors(internal("")),
      AdapterTensors(foreign("transformer."), ".lora.down.weight", ".lora.up.weight"),
      AdapterTensors(underscored("lora_unet_"), ".lora_down.weight", ".lora_up.weight",
                     kAdapterRank),
  };
  for (const Tensors& tensors : namings) {
    INFO(tensors.front().name);
    CHECK(SameValues(Loaded(tensors, high), expected));
  }
}

TEST_CASE("which expert a file is for: its prefixes, its metadata, its name, or what is asked") {
  const auto of = [](const std::map<std::string, at::Tensor>& values) {
    std::string found;
    for (const char* component : {"transformer", "transformer_2"}) {
      if (values.contains(absl::StrCat(component, ".blocks.0.self_attn.q.lora_a_0"))) {
        absl::StrAppend(&found, component, " ");
      }
    }
    return found;
  };
  const auto prefixed = [](const std::string& prefix) {
    return AdapterTensors(
        [&](const std::string& internal, const std::string&) { return prefix + internal; });
  };
  CHECK(of(Loaded(ComfyAdapter(), {"/Wan-HIGH_noise-r64.safetensors"})) == "transformer ");
  CHECK(of(Loaded(ComfyAdapter(), {"/wan_LowNoise.safetensors"})) == "transformer_2 ");
  CHECK(of(Loaded(ComfyAdapter(), {"/wan_low_noise.safetensors", "transformer"})) ==
        "transformer ");
  CHECK(of(Loaded(ComfyAdapter(), {"/x.safetensors", "*"})) == "transformer transformer_2 ");
  CHECK(of(Loaded(ComfyAdapter(), {"/x.safetensors"}, {{"wanlite_component", "transformer_2"}})) ==
        "transformer_2 ");
  CHECK(of(Loaded(prefixed("transformer_2."), {"/x.safetensors"})) == "transformer_2 ");
  CHECK(of(Loaded(prefixed("low_noise_model."), {"/x.safetensors"})) == "transformer_2 ");
  // diffusers writes "transformer." whichever it is.
  CHECK(of(Loaded(prefixed("transformer."), {"/low_noise.safetensors"})) == "transformer_2 ");
  CHECK(of(Loaded(prefixed("transformer."), {"/x.safetensors", "transformer_2"})) ==
        "transformer_2 ");
  // Both in one file.
  for (const auto& [high, low] :
       {std::pair("transformer.", "transformer_2."), std::pair("high_noise.", "low_noise."),
        std::pair("diffusion_model.high_noise_model.", "diffusion_model.low_noise_model.")}) {
    INFO(high);
    Tensors both = prefixed(high);
    for (NamedTensor& named : both) named.tensor = named.tensor * 2;
    for (NamedTensor& named : prefixed(low)) both.push_back(named);
    const auto values = Loaded(both, {"/x.safetensors"});
    CHECK(of(values) == "transformer transformer_2 ");
    CHECK(at::equal(values.at("transformer.blocks.0.self_attn.q.lora_a_0"),
                    2 * values.at("transformer_2.blocks.0.self_attn.q.lora_a_0")));
    CHECK(of(Loaded(both, {"/x.safetensors", "transformer_2"})) == "transformer_2 ");
  }
  CHECK_THAT(LoadError(ComfyAdapter(), {"/x.safetensors"}),
             Contains("which of transformer, transformer_2"));
  CHECK_THAT(LoadError(prefixed("transformer."), {"/x.safetensors"}),
             Contains("give its component"));
  CHECK_THAT(LoadError(ComfyAdapter(), {"/x.safetensors", "unet"}), Contains("\"unet\" fits none"));
}

TEST_CASE("alpha over rank scales a branch, wherever alpha is said") {
  const auto scale_of = [](const Tensors& tensors, const Metadata& metadata = {}) {
    const auto env = DiskWith(tensors, "/lora.safetensors", metadata);
    ModelView model = LoadTinyWan(*env);
    REQUIRE_OK(Load(*env, model, {{"/lora.safetensors", "transformer", 0.5}}));
    std::map<std::string, double> scales;
    for (const AdaptedLayer& layer : AdaptedLayers()) {
      ASSERT_OK_AND_ASSIGN(const LinearWeight* weight,
                           model.Weight(absl::StrCat("transformer.", layer.internal)));
      scales[layer.internal] = LoraBranches(*weight).at(0).scale();
    }
    return scales;
  };
  CHECK(scale_of(ComfyAdapter())["blocks.0.ffn.0"] == 0.5);
  CHECK(scale_of(ComfyAdapter(6))["blocks.0.ffn.0"] == 1);
  const Tensors peft = AdapterTensors(
      [](const std::string&, const std::string& name) { return "transformer." + name; },
      ".lora_A.weight", ".lora_B.weight");
  auto scales = scale_of(peft, {{"lora_adapter_metadata",
                                 R"({"transformer.r": 3, "transformer.lora_alpha": 12,
                                     "transformer.alpha_pattern": {"ffn.net.0.proj": 3}})"}});
  CHECK(scales["blocks.1.self_attn.o"] == 2);
  CHECK(scales["blocks.0.ffn.0"] == 0.5);
  scales = scale_of(peft, {{"lora_adapter_metadata", R"({"lora_alpha": 6, "use_rslora": true})"}});
  CHECK(scales["blocks.0.ffn.0"] == Approx(0.5 * 6 / std::sqrt(3.0)));
  // PEFT keeps it in a file beside.
  const auto env = DiskWith(peft, "/peft/adapter_model.safetensors");
  REQUIRE_OK(env->WriteFileAtomically("/peft/adapter_config.json",
                                      R"({"lora_alpha": 9, "r": 3, "peft_type": "LORA"})"));
  ModelView model = LoadTinyWan(*env);
  REQUIRE_OK(Load(*env, model, {{"/peft/adapter_model.safetensors", "transformer"}}));
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, model.Weight("transformer.blocks.0.ffn.0"));
  CHECK(LoraBranches(*weight).at(0).alpha == 9);

  CHECK_THAT(LoadError(peft, {"/lora.safetensors", "transformer"},
                       {{"lora_adapter_metadata", R"({"lora_alpha": 1, "use_dora": true})"}}),
             Contains("DoRA"));
  CHECK_THAT(LoadError(peft, {"/lora.safetensors", "transformer"},
                       {{"lora_adapter_metadata", "{\"lora_alpha\": \"x\"}"}}),
             Contains("lora_alpha is no number"));
  CHECK_THAT(LoadError(peft, {"/lora.safetensors", "transformer"},
                       {{"lora_adapter_metadata", "nonsense"}}),
             Contains("lora_adapter_metadata"));
}

// What the published few-step files hold beside branches.
Tensors Differences() {
  return {{"diffusion_model.blocks.0.self_attn.q.diff_b", SeededUniform("db", {24})},
          {"diffusion_model.blocks.0.self_attn.norm_q.diff", SeededUniform("nq", {24})},
          {"diffusion_model.blocks.1.norm3.diff", SeededUniform("n3", {24})},
          {"diffusion_model.blocks.1.norm3.diff_b", SeededUniform("n3b", {24})},
          {"diffusion_model.blocks.1.diff_m", SeededUniform("m", {1, 6, 24})},
          {"diffusion_model.head.diff_m", SeededUniform("hm", {1, 2, 24})},
          {"diffusion_model.blocks.0.cross_attn.k.diff", SeededUniform("ck", {24, 24})},
          {"diffusion_model.patch_embedding.diff", SeededUniform("pe", {24, 4, 1, 2, 2})}};
}

TEST_CASE("differences of tensors are added in fp32 and rounded once, of several files at once") {
  const std::vector<std::pair<std::string, std::string>> changed = {
      {"blocks.0.self_attn.q.bias", "db"},    {"blocks.0.self_attn.norm_q.weight", "nq"},
      {"blocks.1.norm3.weight", "n3"},        {"blocks.1.norm3.bias", "n3b"},
      {"blocks.1.modulation", "m"},           {"head.modulation", "hm"},
      {"blocks.0.cross_attn.k.weight", "ck"}, {"patch_embedding.weight", "pe"}};
  Tensors tensors = Differences();
  for (const NamedTensor& named : ComfyAdapter()) tensors.push_back(named);
  const auto env = DiskWith(tensors);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    ModelView model = LoadTinyWan(*env);
    REQUIRE_OK(model.Cast(dtype));
    const auto before = TensorValues(model);
    REQUIRE_OK(Load(*env, model,
                    {{"/lora.safetensors", "transformer", 0.75, "one"},
                     {"/lora.safetensors", "transformer", -0.5, "two"}}));
    const auto after = TensorValues(model);
    for (const auto& [name, seed] : changed) {
      INFO(name);
      const at::Tensor& was = before.at("transformer." + name);
      const at::Tensor difference = SeededUniform(seed, was.sizes());
      CHECK(at::equal(after.at("transformer." + name),
                      at::add(at::add(was.to(at::kFloat), difference, 0.75), difference, -0.5)
                          .to(was.scalar_type())));
    }
    // And nothing else.
    for (const auto& [name, value] : before) {
      bool named = false;
      for (const auto& [path, seed] : changed) named = named || name == "transformer." + path;
      if (!named) CHECK(at::equal(after.at(name), value));
    }
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight,
                         model.Weight("transformer.blocks.0.self_attn.q"));
    CHECK(LoraBranches(*weight).size() == 2);
  }
}

TEST_CASE("layers of any format take branches and bias differences; whole matrices only dense") {
  const auto quantized = [](ModelView& model, const std::string& linear) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, model.Weight(linear));
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> int8,
                         MakeInt8Weight(weight->Dequantize(), 0));
    REQUIRE_OK(model.SetLinearWeight(linear, std::move(int8)));
  };
  Tensors tensors = ComfyAdapter();
  tensors.push_back(Differences()[0]);
  const auto env = DiskWith(tensors);
  ModelView model = LoadTinyWan(*env);
  quantized(model, "transformer.blocks.0.self_attn.q");
  const auto before = TensorValues(model);
  REQUIRE_OK(Load(*env, model, {{"/lora.safetensors", "transformer"}}));
  const auto after = TensorValues(model);
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight,
                       model.Weight("transformer.blocks.0.self_attn.q"));
  CHECK(LoraBase(*weight).format() == "int8");
  CHECK(at::equal(after.at("transformer.blocks.0.self_attn.q.weight"),
                  before.at("transformer.blocks.0.self_attn.q.weight")));
  CHECK_FALSE(at::equal(after.at("transformer.blocks.0.self_attn.q.bias"),
                        before.at("transformer.blocks.0.self_attn.q.bias")));

  const auto whole = DiskWith({Differences()[6]});
  ModelView refused = LoadTinyWan(*whole);
  quantized(refused, "transformer.blocks.0.cross_attn.k");
  const auto untouched = TensorValues(refused);
  const absl::Status status = Load(*whole, refused, {{"/lora.safetensors", "transformer"}});
  CHECK(absl::IsFailedPrecondition(status));
  CHECK_THAT(std::string(status.message()),
             Contains("transformer.blocks.0.cross_attn.k") && Contains("int8") &&
                 Contains("diffusion_model.blocks.0.cross_attn.k.diff"));
  CHECK(SameValues(TensorValues(refused), untouched));
}

TEST_CASE("files that do not fit are refused, naming tensor, found and wanted") {
  const auto with = [](NamedTensor added) {
    Tensors tensors = ComfyAdapter();
    tensors.push_back(std::move(added));
    return tensors;
  };
  const auto changed = [](const std::string& name, const at::Tensor& value) {
    Tensors tensors = ComfyAdapter();
    for (NamedTensor& named : tensors) {
      if (named.name == "diffusion_model." + name) named.tensor = value;
    }
    return tensors;
  };
  const auto without = [](const std::string& name) {
    Tensors tensors;
    for (const NamedTensor& named : ComfyAdapter()) {
      if (named.name != "diffusion_model." + name) tensors.push_back(named);
    }
    return tensors;
  };
  CHECK_THAT(LoadError(with({"diffusion_model.blocks.7.self_attn.q.diff_b", at::ones({24})})),
             Contains("1 of its 7 layers") && Contains("blocks.7.self_attn.q"));
  CHECK_THAT(LoadError(with({"blocks.0.self_attn.q.mystery", at::ones({24})})),
             Contains("mystery") && Contains("is no name of a LoRA file"));
  CHECK_THAT(LoadError(with({"blocks.0.self_attn.q.dora_scale", at::ones({24})})),
             Contains("DoRA"));
  CHECK_THAT(LoadError(with({"blocks.0.self_attn.q.lokr_w1", at::ones({24})})), Contains("LoKr"));
  CHECK_THAT(LoadError(changed("blocks.0.ffn.0.lora_down.weight", at::ones({3, 25}))),
             Contains("[3, 25]") && Contains("transformer.blocks.0.ffn.0 is [40, 24]"));
  CHECK_THAT(LoadError(changed("blocks.0.ffn.0.lora_up.weight", at::ones({40, 4}))),
             Contains("[40, 4]") && Contains("[40, rank]"));
  CHECK_THAT(LoadError(changed("blocks.0.ffn.0.lora_up.weight", at::ones({40, 3}, at::kHalf))),
             Contains("of one dtype"));
  CHECK_THAT(LoadError(changed("blocks.0.ffn.0.lora_up.weight", at::ones({40, 3}, at::kLong))),
             Contains("Long") && Contains("wanted fp32, bf16 or fp16"));
  CHECK_THAT(LoadError(without("blocks.0.ffn.0.lora_up.weight")),
             Contains("without its other half") && Contains("blocks.0.ffn.0"));
  CHECK_THAT(LoadError(with({"diffusion_model.blocks.0.ffn.0.alpha", at::ones({2})})),
             Contains("alpha") && Contains("wanted one number"));
  CHECK_THAT(LoadError(with({"diffusion_model.blocks.0.ffn.0.alpha",
                             at::scalar_tensor(std::numeric_limits<double>::infinity())})),
             Contains("alpha"));
  CHECK_THAT(LoadError(with({"diffusion_model.blocks.1.self_attn.k.alpha", at::scalar_tensor(1)})),
             Contains("no lora_down and lora_up"));
  CHECK_THAT(LoadError(with({"diffusion_model.blocks.1.norm3.diff", at::ones({25})})),
             Contains("[25]") && Contains("transformer.blocks.1.norm3.weight is [24]"));
  CHECK_THAT(LoadError(with({"transformer.blocks.0.attn1.to_q.lora_A.weight", at::ones({3, 24})})),
             Contains("some of its names say by a prefix"));
  CHECK_THAT(LoadError(with(
                 {"diffusion_model.patch_embedding.lora_down.weight", at::ones({3, 4, 1, 2, 2})})),
             Contains("without its other half"));
  at::Tensor nan = at::ones({3, 24});
  nan[1][2] = std::nan("");
  CHECK_THAT(LoadError(changed("blocks.0.ffn.0.lora_down.weight", nan)),
             Contains("blocks.0.ffn.0.lora_down.weight") && Contains("NaN"));
  CHECK_THAT(LoadError({}), Contains("no tensors"));
  // Two names of one layer.
  Tensors twice = ComfyAdapter();
  for (const NamedTensor& named : AdapterTensors(
           [](const std::string&, const std::string& name) { return "diffusion_model." + name; })) {
    twice.push_back(named);
  }
  CHECK_THAT(LoadError(twice), Contains("are both for the layer"));
  CHECK_THAT(LoadError(ComfyAdapter(), {"/lora.safetensors", "transformer", std::nan("")}),
             Contains("strength"));
  // A file that is none at all.
  const auto env = NewMemEnv();
  ModelView model = LoadTinyWan(*env);
  REQUIRE_OK(env->WriteFileAtomically("/bad.safetensors", "PK\x03\x04 data.pkl"));
  CHECK_FALSE(LoraSet::Open(*env, {{"/bad.safetensors", "transformer"}}, model).ok());
  CHECK(absl::IsNotFound(LoraSet::Open(*env, {{"/none.safetensors"}}, model).status()));
}

TEST_CASE("unknown layers are left out on request, with a note") {
  Tensors tensors = ComfyAdapter();
  tensors.push_back(
      {"diffusion_model.blocks.0.cross_attn.k_img.lora_down.weight", at::ones({3, 24})});
  tensors.push_back(
      {"diffusion_model.blocks.0.cross_attn.k_img.lora_up.weight", at::ones({24, 3})});
  tensors.push_back({"diffusion_model.img_emb.proj.0.diff", at::ones({7})});
  const LoraSpec spec{"/lora.safetensors", "transformer", 1, "x", /*skip_unknown=*/true};
  CHECK(SameValues(Loaded(tensors, spec), Loaded(ComfyAdapter(), spec)));
  const auto env = DiskWith(tensors);
  const ModelView model = LoadTinyWan(*env);
  ASSERT_OK_AND_ASSIGN(const LoraSet loras, LoraSet::Open(*env, {spec}, model));
  REQUIRE(loras.Describe().size() == 1);
  CHECK_THAT(loras.Describe()[0], Contains("6 layers of rank 3") && Contains("2 layers that"));
  CHECK(loras.branches() == 6);
  CHECK(loras.differences() == 0);
}

TEST_CASE("names of random bytes are taken or refused, never worse") {
  uint64_t state = 1;
  const auto next = [&] { return state = state * 6364136223846793005u + 1442695040888963407u; };
  const char* const pieces[] = {"transformer.",
                                "lora_unet_",
                                "diffusion_model.",
                                ".lora_A.weight",
                                ".alpha",
                                ".diff_m",
                                "high_noise.",
                                "blocks.0",
                                ".",
                                "_",
                                "\xff",
                                "base_model.model."};
  int taken = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string name;
    for (uint64_t n = next() >> 61; n > 0; --n) name += pieces[(next() >> 40) % 12];
    const auto parsed = ParseLoraName(name, {"transformer", "transformer_2", ""});
    taken += parsed.ok();
    if (parsed.ok()) CHECK_FALSE(parsed->layer.empty());
  }
  CHECK(taken > 50);
}

}  // namespace
}  // namespace wanlite
