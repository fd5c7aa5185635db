// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Adapters of a model written as LoRA files.

#include "tests/lora/lora_files.h"
#include "wanlite/lora.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::ComfyAdapter;
using testing::LoadTinyWan;
using testing::SameValues;

std::map<std::string, at::Tensor> BranchValues(const ModelView& model) {
  std::map<std::string, at::Tensor> values;
  for (const auto& [name, value] : testing::TensorValues(model)) {
    if (name.find(".lora_") != std::string::npos) values[name] = value;
  }
  return values;
}

TEST_CASE("an exported adapter loads back to the same bits under every naming") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const auto env = NewMemEnv();
    std::vector<NamedTensor> tensors = ComfyAdapter(6);
    for (NamedTensor& named : tensors) named.tensor = named.tensor.to(dtype);
    // One layer has an alpha of its own.
    for (NamedTensor& named : tensors) {
      if (named.name == "diffusion_model.blocks.0.ffn.0.alpha") named.tensor.fill_(12);
    }
    REQUIRE_OK(WriteSafetensors(*env, "/x.safetensors", tensors));
    ModelView model = LoadTinyWan(*env);
    ASSERT_OK_AND_ASSIGN(const LoraSet loras,
                         LoraSet::Open(*env, {{"/x.safetensors", "transformer_2", 0.5}}, model));
    REQUIRE_OK(loras.Apply(model));
    REQUIRE_OK(SaveCheckpoint(*env, "/adapted", model));
    const auto values = BranchValues(model);
    REQUIRE(values.size() == 12);
    for (const char* name : {"peft", "kohya", "comfy"}) {
      INFO(name);
      ASSERT_OK_AND_ASSIGN(const LoraNaming naming, ParseLoraNaming(name));
      // Of a model that streams from a folder.
      ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                           ModelFolder::Open(*env, "/adapted", {}, BuiltinArchitectures()));
      ASSERT_OK_AND_ASSIGN(ModelView streamed, folder.BuildView());
      const std::string path = std::string("/") + name + ".safetensors";
      ASSERT_OK_AND_ASSIGN(const int64_t layers, ExportLora(*env, streamed, path, {naming}));
      CHECK(layers == 6);
      ModelView again = LoadTinyWan(*env);
      // The file knows which expert it is of.
      ASSERT_OK_AND_ASSIGN(const LoraSet back, LoraSet::Open(*env, {{path}}, again));
      REQUIRE_OK(back.Apply(again));
      CHECK(SameValues(BranchValues(again), values));
      for (const LinearInfo& linear : again.linears()) {
        ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, again.Weight(linear.path));
        ASSERT_OK_AND_ASSIGN(const LinearWeight* was, model.Weight(linear.path));
        REQUIRE(LoraBranches(*weight).size() == LoraBranches(*was).size());
        for (const LoraBranch& branch : LoraBranches(*weight)) {
          CHECK(branch.scale() == LoraBranches(*was)[0].scale());
          CHECK(branch.strength == 1);
        }
      }
    }
  }
}

TEST_CASE("which adapter is exported is said when there are several") {
  const auto env = NewMemEnv();
  REQUIRE_OK(WriteSafetensors(*env, "/x.safetensors", ComfyAdapter()));
  ModelView model = LoadTinyWan(*env);
  CHECK(absl::IsNotFound(ExportLora(*env, model, "/out.safetensors", {}).status()));
  ASSERT_OK_AND_ASSIGN(
      const LoraSet loras,
      LoraSet::Open(
          *env, {{"/x.safetensors", "*", 1, "one"}, {"/x.safetensors", "transformer", 1, "two"}},
          model));
  REQUIRE_OK(loras.Apply(model));
  const auto error = [&](const LoraExport& options) {
    return std::string(ExportLora(*env, model, "/out.safetensors", options).status().message());
  };
  CHECK_THAT(error({}), Contains("several components") && Contains("transformer_2"));
  CHECK_THAT(error({LoraNaming::kPeft, "transformer"}),
             Contains("several names") && Contains("one") && Contains("two"));
  CHECK_THAT(error({LoraNaming::kPeft, "transformer", "three"}), Contains("three"));
  CHECK_FALSE(env->FileExists("/out.safetensors"));
  REQUIRE_OK(
      ExportLora(*env, model, "/out.safetensors", {LoraNaming::kPeft, "transformer", "two"}));
  REQUIRE_OK(ExportLora(*env, model, "/low.safetensors", {LoraNaming::kKohya, "transformer_2"}));
  CHECK_FALSE(ParseLoraNaming("webui").ok());
}

TEST_CASE("what is extracted from two models makes the one of the other") {
  const auto env = NewMemEnv();
  ModelView base = LoadTinyWan(*env);
  ModelView tuned = LoadTinyWan(*env);
  // Of rank 3 in six layers, and a bias, a norm and a modulation.
  std::vector<NamedTensor> tensors = ComfyAdapter();
  const auto draw = [&](const std::string& name, at::IntArrayRef shape) {
    tensors.push_back({"diffusion_model." + name, testing::SeededUniform(name, shape)});
  };
  draw("blocks.0.self_attn.k.diff_b", {24});
  draw("blocks.1.norm3.diff", {24});
  draw("blocks.1.diff_m", {1, 6, 24});
  draw("patch_embedding.diff", {24, 4, 1, 2, 2});
  REQUIRE_OK(WriteSafetensors(*env, "/x.safetensors", tensors));
  ASSERT_OK_AND_ASSIGN(const LoraSet loras,
                       LoraSet::Open(*env, {{"/x.safetensors", "transformer"}}, tuned));
  REQUIRE_OK(loras.Apply(tuned));
  LoraExtraction options;
  options.component = "transformer";
  options.dtype = at::kFloat;
  options.rank = 8;
  options.tolerance = 1e-4;
  ASSERT_OK_AND_ASSIGN(const LoraExtractionReport report,
                       ExtractLora(*env, base, tuned, "/y.safetensors", options));
  CHECK(report.layers == 6);
  CHECK(report.differences == 4);
  CHECK(report.largest_rank == 3);
  CHECK(report.error < 1e-4);
  CHECK(report.unchanged > 6);
  ModelView again = LoadTinyWan(*env);
  ASSERT_OK_AND_ASSIGN(const LoraSet extracted, LoraSet::Open(*env, {{"/y.safetensors"}}, again));
  REQUIRE_OK(extracted.Apply(again));
  for (const LinearInfo& linear : again.linears()) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* now, again.Weight(linear.path));
    ASSERT_OK_AND_ASSIGN(const LinearWeight* wanted, tuned.Weight(linear.path));
    INFO(linear.path);
    CHECK(at::allclose(now->Dequantize(), wanted->Dequantize(), 1e-3, 1e-3));
  }
  ASSERT_OK_AND_ASSIGN(const at::Tensor now, again.FindTensor("transformer.blocks.1.modulation"));
  ASSERT_OK_AND_ASSIGN(const at::Tensor wanted,
                       tuned.FindTensor("transformer.blocks.1.modulation"));
  CHECK(at::allclose(now, wanted, 1e-6, 1e-6));

  // Less rank leaves an error, which is told.
  options.rank = 1;
  options.tolerance = 0;
  ASSERT_OK_AND_ASSIGN(const LoraExtractionReport thin,
                       ExtractLora(*env, base, tuned, "/thin.safetensors", options));
  CHECK(thin.error > 0.1);
  CHECK(thin.largest_rank == 1);
  options.naming = LoraNaming::kPeft;
  CHECK(absl::IsFailedPrecondition(
      ExtractLora(*env, base, tuned, "/z.safetensors", options).status()));
  options.naming = LoraNaming::kComfy;
  CHECK(absl::IsFailedPrecondition(
      ExtractLora(*env, base, base, "/z.safetensors", options).status()));
  options.component = "";
  CHECK_THAT(
      std::string(ExtractLora(*env, base, tuned, "/z.safetensors", options).status().message()),
      Contains("which denoiser"));
  CHECK_FALSE(env->FileExists("/z.safetensors"));
}

}  // namespace
}  // namespace wanlite
