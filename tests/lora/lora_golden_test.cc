// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// LoRA files in diffusers and PEFT (tests/golden/generate_lora.py): theirs here, and ours there.

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/wan/dit.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "wanlite/checkpoint.h"
#include "wanlite/lora.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using testing::RelativeL2;
using testing::SeededUniform;

constexpr char kLoraGolden[] = "tests/golden/data/lora.safetensors";
constexpr char kDiffusersFile[] = "tests/golden/data/lora_diffusers.safetensors";
constexpr const char* kNamings[] = {"peft", "kohya", "comfy"};

ModelView GoldenModel() {
  const nlohmann::json config = {{"_class_name", "WanTransformer3DModel"},
                                 {"num_attention_heads", 2},
                                 {"attention_head_dim", 12},
                                 {"ffn_dim", 40},
                                 {"num_layers", 2},
                                 {"in_channels", 4},
                                 {"out_channels", 4},
                                 {"text_dim", 10},
                                 {"freq_dim", 16},
                                 {"cross_attn_norm", true},
                                 {"rope_max_seq_len", 64}};
  const Architecture* architecture = BuiltinArchitectures().Find("WanTransformer3DModel");
  REQUIRE(architecture != nullptr);
  ASSERT_OK_AND_ASSIGN(const std::string normal, architecture->normalize_config(config.dump()));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<torch::nn::Module> module, architecture->build(normal));
  ASSERT_OK_AND_ASSIGN(const TensorNames names, architecture->names(normal));
  const at::NoGradGuard no_grad;
  for (auto& item : module->named_parameters()) {
    item.value().copy_(testing::SeededParameter(names(item.key()), item.value().sizes()));
  }
  Component component{"transformer", architecture->role, architecture->name, normal,
                      std::move(module)};
  component.definition = std::make_shared<const Architecture>(*architecture);
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({std::move(component)}));
  return view;
}

at::Tensor Sample(const ModelView& model) {
  const at::NoGradGuard no_grad;
  auto dit = std::dynamic_pointer_cast<wan::Dit>(model.components()[0].module);
  REQUIRE(dit != nullptr);
  dit->set_numerics(wan::Numerics::kDiffusers);
  return dit->forward(SeededUniform("lora.latents", {2, 4, 3, 4, 6}), at::tensor({900, 120}),
                      SeededUniform("lora.text", {2, 7, 10}));
}

// An adapter of every linear inside the blocks, with ranks and alphas of their own.
void Adapt(ModelView& model) {
  for (const LinearInfo& linear : std::vector<LinearInfo>(model.linears())) {
    if (linear.block == "transformer") continue;
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, model.Weight(linear.path));
    const int64_t rank = 2 + static_cast<int64_t>(linear.path.size() % 2);
    LoraBranch branch{"golden", SeededUniform(linear.path + ".a", {rank, weight->in_features()}),
                      SeededUniform(linear.path + ".b", {weight->out_features(), rank}) * 0.5,
                      linear.path.back() == 'q' ? 3.0 : 1.0, 0.5};
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> base, weight->Share());
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> adapted,
                         MakeLoraWeight(std::move(base), {branch}));
    REQUIRE_OK(model.SetLinearWeight(linear.path, std::move(adapted)));
  }
}

TEST_CASE("writes the LoRA files that the golden file is made from", "[golden]") {
  const char* folder = std::getenv("WANLITE_EXPORTS");
  if (folder == nullptr) return;
  ModelView model = GoldenModel();
  Adapt(model);
  for (const char* name : kNamings) {
    ASSERT_OK_AND_ASSIGN(const LoraNaming naming, ParseLoraNaming(name));
    REQUIRE_OK(ExportLora(PosixEnv(), model, JoinPath(folder, absl::StrCat(name, ".safetensors")),
                          {naming}));
  }
}

TEST_CASE("diffusers computes from exported adapters what we do, under every naming", "[golden]") {
  ASSERT_OK_AND_ASSIGN(const auto golden, OpenSafetensors(PosixEnv(), kLoraGolden));
  ModelView model = GoldenModel();
  ASSERT_OK_AND_ASSIGN(const at::Tensor base, golden->Read("base.sample"));
  CHECK(RelativeL2(Sample(model), base) < 2e-6);
  Adapt(model);
  const at::Tensor ours = Sample(model);
  CHECK(RelativeL2(ours, base) > 0.05);
  for (const char* name : kNamings) {
    INFO(name);
    ASSERT_OK_AND_ASSIGN(const at::Tensor theirs, golden->Read(absl::StrCat(name, ".sample")));
    CHECK(RelativeL2(ours, theirs) < 5e-6);
  }
}

TEST_CASE("what save_lora_weights() wrote does here what it does there", "[golden]") {
  ASSERT_OK_AND_ASSIGN(const auto golden, OpenSafetensors(PosixEnv(), kLoraGolden));
  ASSERT_OK_AND_ASSIGN(const at::Tensor theirs, golden->Read("diffusers.sample"));
  ASSERT_OK_AND_ASSIGN(const at::Tensor base, golden->Read("base.sample"));
  ModelView model = GoldenModel();
  ASSERT_OK_AND_ASSIGN(const LoraSet loras, LoraSet::Open(PosixEnv(), {{kDiffusersFile}}, model));
  REQUIRE_OK(loras.Apply(model));
  CHECK(loras.branches() == 10);
  CHECK(RelativeL2(Sample(model), theirs) < 5e-6);
  CHECK(RelativeL2(Sample(model), base) > 0.01);
  // Merged it is the same up to rounding.
  for (const LinearInfo& linear : std::vector<LinearInfo>(model.linears())) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, model.Weight(linear.path));
    if (LoraBranches(*weight).empty()) continue;
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> merged, weight->Merge());
    REQUIRE_OK(model.SetLinearWeight(linear.path, std::move(merged)));
  }
  CHECK(RelativeL2(Sample(model), theirs) < 5e-6);
}

}  // namespace
}  // namespace wanlite
