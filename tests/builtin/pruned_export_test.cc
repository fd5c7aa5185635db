// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Pruned networks in the layouts of other programs: what is padded computes the same, what other
// programs compute from it is in the golden file, and the rest is refused by name.

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"
#include "src/model/wan/dit.h"
#include "src/model/wan/umt5.h"
#include "src/model/wan/vae.h"
#include "src/quant/weight_int8.h"
#include "src/quant/weight_int8_static.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using testing::RelativeL2;
using testing::SeededUniform;

constexpr char kExportGolden[] = "tests/golden/data/pruned_export.safetensors";

// A network of this config under its own weights, a function of the names of its tensors.
Component Network(const std::string& name, const std::string& architecture_name,
                  const nlohmann::json& config) {
  const Architecture* architecture = BuiltinArchitectures().Find(architecture_name);
  REQUIRE(architecture != nullptr);
  ASSERT_OK_AND_ASSIGN(const std::string normal, architecture->normalize_config(config.dump()));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<torch::nn::Module> module, architecture->build(normal));
  const at::NoGradGuard no_grad;
  for (auto& item : module->named_parameters()) {
    item.value().copy_(
        testing::SeededParameter(absl::StrCat(name, ".", item.key()), item.value().sizes()));
  }
  Component component{name, architecture->role, architecture->name, normal, std::move(module)};
  component.definition = std::make_shared<const Architecture>(*architecture);
  return component;
}

nlohmann::json DitSizes(int64_t heads, int64_t head_dim, int64_t ffn_dim, int64_t layers) {
  return {{"_class_name", "WanTransformer3DModel"},
          {"num_attention_heads", heads},
          {"attention_head_dim", head_dim},
          {"in_channels", 4},
          {"out_channels", 4},
          {"text_dim", 10},
          {"freq_dim", 16},
          {"ffn_dim", ffn_dim},
          {"num_layers", layers},
          {"cross_attn_norm", true},
          {"rope_max_seq_len", 64}};
}

nlohmann::json Umt5Sizes(int64_t heads, int64_t d_ff, int64_t layers) {
  return {{"architectures", {"UMT5EncoderModel"}},
          {"model_type", "umt5"},
          {"vocab_size", 50},
          {"d_model", 10},
          {"d_kv", 4},
          {"d_ff", d_ff},
          {"num_layers", layers},
          {"num_heads", heads},
          {"relative_attention_num_buckets", 8},
          {"relative_attention_max_distance", 20},
          {"feed_forward_proj", "gated-gelu"},
          {"is_gated_act", true},
          {"dense_act_fn", "gelu_new"}};
}

nlohmann::json VaeSizes() {
  return {{"_class_name", "AutoencoderKLWan"},
          {"base_dim", 6},
          {"z_dim", 4},
          {"dim_mult", {1, 2, 3}},
          {"num_res_blocks", 1},
          {"attn_scales", nlohmann::json::array()},
          {"temperal_downsample", {true, false}},
          {"latents_mean", {0, 0, 0, 0}},
          {"latents_std", {1, 1, 1, 1}}};
}

// What each network of the model gives for the inputs of this name, by "component.output".
std::map<std::string, at::Tensor> Outputs(const ModelView& view, const std::string& name) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> outputs;
  for (const Component& component : view.components()) {
    if (component.role == ComponentRole::kDenoiser) {
      auto& dit = dynamic_cast<wan::Dit&>(*component.module);
      dit.set_numerics(wan::Numerics::kDiffusers);
      outputs[component.name + ".sample"] =
          dit.forward(SeededUniform(name + ".latents", {2, 4, 3, 4, 6}), at::tensor({900, 120}),
                      SeededUniform(name + ".text", {2, 7, dit.config().text_dim}));
    } else if (component.role == ComponentRole::kTextEncoder) {
      const auto& encoder = dynamic_cast<const wan::Umt5&>(*component.module);
      const at::Tensor ids = ((SeededUniform(name + ".ids", {2, 9}) + 1) / 2 * 50).to(at::kLong);
      outputs[component.name + ".out"] = encoder.forward(ids, at::ones({2, 9}, at::kLong));
    } else {
      const auto& vae = dynamic_cast<const wan::Vae&>(*component.module);
      outputs[component.name + ".mean"] =
          vae.Encode(SeededUniform(name + ".video", {1, 3, 5, 8, 12})).mean;
      outputs[component.name + ".decoded"] =
          vae.Decode(SeededUniform(name + ".z", {1, 4, 3, 2, 3}));
    }
  }
  return outputs;
}

ModelFolder OpenAt(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelFolder folder, ModelFolder::Open(env, dir, {}, BuiltinArchitectures()));
  return folder;
}

ModelView LoadAt(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelView view, OpenAt(env, dir).BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

absl::Status Export(Env& env, const std::string& from, const std::string& to, ExportOptions options,
                    std::vector<std::string>* notes = nullptr) {
  if (notes != nullptr) {
    options.note = [notes](absl::string_view note) { notes->emplace_back(note); };
  }
  return ExportFolder(env, OpenAt(env, from), to, options);
}

ExportOptions Padded(int64_t multiple = 1) {
  ExportOptions options;
  options.pad = true;
  options.pad_multiple = multiple;
  return options;
}

// Every `step`-th unit from `first` on.
at::Tensor Every(int64_t units, int64_t first, int64_t step) {
  return at::arange(first, units, step, at::kLong);
}

int64_t UnitsOf(const ModelView& view, const std::string& group) {
  for (const AxisGroup& item : view.groups()) {
    if (item.name == group) return item.units;
  }
  FAIL("no group " << group);
  return 0;
}

// Cases of the golden file: pruned models that are exported to "export/NAME" of `env`.
const char* const kExportCases[] = {"ffn", "depth", "padded"};

ModelView GoldenModel(const std::string& name) {
  std::vector<Component> components{
      Network("transformer", "WanTransformer3DModel", DitSizes(3, 10, 24, 4))};
  if (name == "padded") {
    components.push_back(Network("transformer_2", "WanTransformer3DModel", DitSizes(2, 8, 20, 2)));
    components.push_back(Network("text_encoder", "UMT5EncoderModel", Umt5Sizes(3, 14, 2)));
    components.push_back(Network("vae", "AutoencoderKLWan", VaeSizes()));
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  const auto keep = [&](const std::string& group, int64_t first, int64_t step) {
    REQUIRE_OK(view.KeepUnits(group, Every(UnitsOf(view, group), first, step)));
  };
  if (name == "ffn") {
    for (int64_t i = 0; i < 4; ++i) {
      keep(absl::StrCat("transformer.blocks.", i, ".ffn.channels"), i % 2, 2);
    }
  } else if (name == "depth") {
    REQUIRE_OK(view.DropBlocks({"transformer.blocks.1", "transformer.blocks.2"}));
  } else {
    keep("transformer.blocks.1.ffn.channels", 1, 3);
    keep("transformer.blocks.2.ffn.channels", 0, 2);
    keep("transformer.blocks.0.self_attn.heads", 1, 1);
    keep("transformer.blocks.3.cross_attn.heads", 0, 2);
    REQUIRE_OK(view.DropBlocks({"transformer.blocks.1"}));
    keep("transformer_2.blocks.1.ffn.channels", 3, 1);
    keep("text_encoder.blocks.0.attn.heads", 1, 1);
    keep("text_encoder.blocks.1.ffn.channels", 2, 2);
    for (const AxisGroup& group : std::vector<AxisGroup>(view.groups())) {
      if (absl::StartsWith(group.name, "vae.")) keep(group.name, group.units % 2, 2);
    }
  }
  return view;
}

void ExportGolden(Env& env, const std::string& name, const std::string& root) {
  REQUIRE_OK(env.CreateFolders(root));
  REQUIRE_OK(SaveCheckpoint(env, JoinPath(root, "pruned_" + name), GoldenModel(name)));
  REQUIRE_OK(Export(env, JoinPath(root, "pruned_" + name), JoinPath(root, name),
                    name == "padded" ? Padded(16) : ExportOptions()));
}

// Folders for tests/golden/generate_pruned_export.py.
TEST_CASE("writes the exports that the golden file is made from", "[.write]") {
  const char* root = std::getenv("WANLITE_EXPORTS");
  REQUIRE(root != nullptr);
  for (const char* name : kExportCases) ExportGolden(PosixEnv(), name, root);
}

TEST_CASE("other programs load exports of pruned models and compute the same", "[golden]") {
  ASSERT_OK_AND_ASSIGN(const auto golden, OpenSafetensors(PosixEnv(), kExportGolden));
  size_t compared = 0;
  for (const std::string name : kExportCases) {
    const std::unique_ptr<Env> env = NewMemEnv();
    ExportGolden(*env, name, "g");
    for (const char* dir : {"g/pruned_", "g/"}) {
      for (const auto& [output, value] : Outputs(LoadAt(*env, dir + name), name)) {
        CAPTURE(name, dir, output);
        ASSERT_OK_AND_ASSIGN(const at::Tensor want, golden->Read(absl::StrCat(name, ".", output)));
        CHECK(RelativeL2(value, want) < 5e-6);
        ++compared;
      }
    }
  }
  CHECK(compared == 2 * golden->tensors().size());
}

TEST_CASE("a model padded with zeros computes what the pruned one does, whatever was pruned") {
  for (unsigned seed = 1; seed <= 8; ++seed) {
    std::mt19937 random(seed);
    const auto draw = [&](int64_t low, int64_t high) {
      return low + static_cast<int64_t>(random() % static_cast<unsigned>(high - low + 1));
    };
    ASSERT_OK_AND_ASSIGN(
        ModelView view,
        ModelView::Create({Network("transformer", "WanTransformer3DModel",
                                   DitSizes(draw(2, 4), 2 * draw(3, 6), draw(5, 30), draw(2, 4))),
                           Network("text_encoder", "UMT5EncoderModel",
                                   Umt5Sizes(draw(2, 4), draw(5, 20), draw(1, 3))),
                           Network("vae", "AutoencoderKLWan", VaeSizes())}));
    std::vector<std::string> pruned;
    for (const AxisGroup& group : std::vector<AxisGroup>(view.groups())) {
      if (!group.exact() || group.units == 1 || draw(0, 2) == 0) continue;
      const at::Tensor order = at::argsort(SeededUniform(group.name, {group.units}));
      const at::Tensor keep =
          std::get<0>(order.slice(0, 0, draw(1, group.units - 1)).sort()).contiguous();
      REQUIRE_OK(view.KeepUnits(group.name, keep));
      pruned.push_back(group.name);
    }
    // A quantized layer is expanded first.
    for (const LinearInfo& linear : std::vector<LinearInfo>(view.linears())) {
      if (linear.sensitive || draw(0, 9) != 0) continue;
      ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear.path));
      ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> int8,
                           MakeInt8Weight(weight->Dequantize(), 0));
      REQUIRE_OK(view.SetLinearWeight(linear.path, MakeInt8WeightOnly(std::move(int8))));
    }
    const std::unique_ptr<Env> env = NewMemEnv();
    REQUIRE_OK(SaveCheckpoint(*env, "m", view));
    const int64_t multiple = draw(1, 3) * 8;
    ExportOptions options = Padded(multiple);
    options.layout = seed % 2 == 0 ? FolderLayout::kOriginal : FolderLayout::kDiffusers;
    std::vector<std::string> notes;
    CAPTURE(seed, multiple, absl::StrJoin(pruned, " "));
    REQUIRE_OK(Export(*env, "m", "padded", options, &notes));
    const ModelView padded = LoadAt(*env, "padded");
    for (const AxisGroup& group : padded.groups()) {
      CHECK(group.units >= UnitsOf(view, group.name));
      if (absl::EndsWith(group.name, "ffn.channels")) CHECK(group.units % multiple == 0);
    }
    for (const LinearInfo& linear : padded.linears()) {
      ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, padded.Weight(linear.path));
      CHECK(weight->dense() != nullptr);
    }
    const auto want = Outputs(view, "x");
    for (const auto& [output, value] : Outputs(padded, "x")) {
      CAPTURE(output);
      CHECK(RelativeL2(value, want.at(output)) < 1e-5);
    }
    // The notes name the bytes that the zeros take: those that the files have grown by.
    std::vector<std::string> told;
    for (const std::string& note : notes) {
      if (absl::StrContains(note, "is padded with zeros")) told.push_back(note);
    }
    CHECK_FALSE(told.empty());
    CHECK(absl::StrContains(absl::StrJoin(told, "\n"), "ffn.channels of "));
  }
}

TEST_CASE("padding says what it costs, and costs that") {
  const std::unique_ptr<Env> env = NewMemEnv();
  ASSERT_OK_AND_ASSIGN(
      ModelView view,
      ModelView::Create({Network("transformer", "WanTransformer3DModel", DitSizes(2, 8, 20, 2))}));
  REQUIRE_OK(view.KeepUnits("transformer.blocks.0.ffn.channels", at::arange(7, at::kLong)));
  REQUIRE_OK(SaveCheckpoint(*env, "m", view));
  std::vector<std::string> notes;
  REQUIRE_OK(Export(*env, "m", "padded", Padded(16), &notes));
  // 25 more rows with a bias and 25 more columns in one block, 12 in the other.
  const int64_t cost = (25 + 12) * (16 + 1 + 16) * 4;
  const int64_t before = OpenAt(*env, "m").bytes();
  CHECK(OpenAt(*env, "padded").bytes() == before + cost);
  REQUIRE_FALSE(notes.empty());
  CHECK(absl::StrContains(
      notes.front(),
      absl::StrCat("transformer is padded with zeros: ffn.channels of 7 to 20 become "
                   "32; ",
                   cost, " bytes more than ", before, " (")));
  // Nothing is added where nothing is wanted.
  REQUIRE_OK(Export(*env, "padded", "again", Padded(16), &notes));
  CHECK(OpenAt(*env, "again").bytes() == before + cost);
}

TEST_CASE("what other programs cannot load is refused by the name of its field") {
  struct Case {
    const char* group;
    const char* field;
    bool pads;
  };
  const Case cases[] = {
      {"transformer.blocks.1.ffn.channels", "wanlite_ffn_dims", true},
      {"transformer.blocks.0.self_attn.heads", "wanlite_self_attn_heads", true},
      {"transformer.blocks.0.cross_attn.heads", "wanlite_cross_attn_heads", true},
      {"transformer.width", "wanlite_dim", false},
      {"text_encoder.blocks.0.ffn.channels", "wanlite_ffn_dims", true},
      {"text_encoder.blocks.0.attn.heads", "wanlite_attn_heads", true},
      {"vae.encoder.width.0", "wanlite_encoder_widths", true},
      {"vae.decoder.middle.0.channels", "wanlite_decoder_inner", true},
  };
  for (const Case& item : cases) {
    CAPTURE(item.group);
    const std::unique_ptr<Env> env = NewMemEnv();
    ASSERT_OK_AND_ASSIGN(
        ModelView view,
        ModelView::Create({Network("transformer", "WanTransformer3DModel", DitSizes(2, 8, 20, 2)),
                           Network("text_encoder", "UMT5EncoderModel", Umt5Sizes(2, 14, 2)),
                           Network("vae", "AutoencoderKLWan", VaeSizes())}));
    REQUIRE_OK(view.KeepUnits(item.group, Every(UnitsOf(view, item.group), 1, 1)));
    REQUIRE_OK(SaveCheckpoint(*env, "m", view));
    for (const FolderLayout layout : {FolderLayout::kDiffusers, FolderLayout::kOriginal}) {
      ExportOptions options;
      options.layout = layout;
      const absl::Status refused = Export(*env, "m", "out", options);
      INFO(refused.ToString());
      CHECK(absl::IsFailedPrecondition(refused));
      CHECK(absl::StrContains(refused.message(), item.field));
      CHECK(absl::StrContains(refused.message(), "--pad") == item.pads);
      CHECK_FALSE(env->FolderExists("out"));
    }
    const absl::Status padded = Export(*env, "m", "out", Padded());
    INFO(padded.ToString());
    CHECK(padded.ok() == item.pads);
    if (!item.pads) CHECK(absl::StrContains(padded.message(), item.field));
  }
}

TEST_CASE("absurd paddings are refused") {
  const std::unique_ptr<Env> env = NewMemEnv();
  ASSERT_OK_AND_ASSIGN(
      const ModelView view,
      ModelView::Create({Network("transformer", "WanTransformer3DModel", DitSizes(2, 8, 20, 2))}));
  REQUIRE_OK(SaveCheckpoint(*env, "m", view));
  for (const int64_t multiple : {int64_t{0}, int64_t{-1}, int64_t{1} << 40}) {
    const absl::Status status = Export(*env, "m", "out", Padded(multiple));
    CHECK(absl::IsInvalidArgument(status));
    CHECK(absl::StrContains(status.message(), "pad_multiple"));
  }
  ExportOptions options = Padded();
  options.layout = FolderLayout::kWanlite;
  CHECK(absl::IsInvalidArgument(Export(*env, "m", "out", options)));
  CHECK_FALSE(env->FolderExists("out"));
}

}  // namespace
}  // namespace wanlite
