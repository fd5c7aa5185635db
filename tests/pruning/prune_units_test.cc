// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The passes prune-ffn, prune-heads, prune-width and prune-vae, on models and folders.
#include "src/pruning/prune_units.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/dump.h"
#include "src/model/unit_indices.h"
#include "src/proto/manifest.pb.h"
#include "src/proto/pruning.pb.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/seeded.h"
#include "tests/testing/toy_architecture.h"
#include "tests/testing/toy_model.h"
#include "tests/testing/wan_samples.h"
#include "wanlite/linear_tap.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::CompressWan;
using testing::FilesOf;
using testing::OutputOf;
using testing::RelativeL2;
using testing::ToyComponent;
using testing::ToyModel;
using testing::WanView;

ParsedRecipe UnitsRecipe(const std::string& text) {
  ASSERT_OK_AND_ASSIGN(ParsedRecipe recipe,
                       ParsedRecipe::Parse(text, "r.textproto", BuiltinPasses()));
  return recipe;
}

// "" or the error of planning a pass on a hollow copy of the model.
std::string PlanError(ModelView view, const std::string& pass) {
  return std::string(
      PlanRecipe(UnitsRecipe(absl::StrCat("passes { ", pass, " }")), view).status().message());
}

std::string ParseError(const std::string& pass) {
  return std::string(
      ParsedRecipe::Parse(absl::StrCat("passes { ", pass, " }"), "r.textproto", BuiltinPasses())
          .status()
          .message());
}

const AxisGroup& GroupOf(const ModelView& view, const std::string& name) {
  for (const AxisGroup& group : view.groups()) {
    if (group.name == name) return group;
  }
  FAIL("no group " << name);
  std::abort();
}

// A component of its own, with weights that its tensors' names tell.
Component NewComponent(const std::string& name, const std::string& architecture,
                       const std::string& config, at::ScalarType dtype = at::kFloat) {
  const Architecture* definition = BuiltinArchitectures().Find(architecture);
  REQUIRE(definition != nullptr);
  ASSERT_OK_AND_ASSIGN(const auto module, definition->build(config));
  const at::NoGradGuard no_grad;
  for (auto& parameter : module->named_parameters()) {
    parameter.value().set_data(
        testing::SeededParameter(parameter.key(), parameter.value().sizes()).to(dtype));
  }
  Component component;
  component.name = name;
  component.role = definition->role;
  component.architecture = architecture;
  component.config_json = config;
  component.module = module;
  component.definition = std::make_shared<const Architecture>(*definition);
  return component;
}

ModelView ViewOf(std::vector<Component> components) {
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  return view;
}

// A transformer of random sizes, and inputs for it.
struct RandomWan {
  explicit RandomWan(uint64_t seed) {
    Random random(seed);
    const int64_t heads = 2 + random.Below(4), head_dim = 2 * (3 + random.Below(4));
    const int64_t channels = 2 + random.Below(4), text_dim = 6 + random.Below(10);
    const int64_t text_len = 3 + random.Below(6);
    nlohmann::json json{{"_class_name", "WanTransformer3DModel"},
                        {"patch_size", {1, 2, 2}},
                        {"num_attention_heads", heads},
                        {"attention_head_dim", head_dim},
                        {"in_channels", channels},
                        {"out_channels", channels},
                        {"text_dim", text_dim},
                        {"freq_dim", 16},
                        {"ffn_dim", 5 + random.Below(40)},
                        {"num_layers", 1 + random.Below(3)},
                        {"cross_attn_norm", random.Below(2) == 0},
                        {"eps", 1e-6},
                        {"rope_max_seq_len", 64},
                        {"text_len", text_len}};
    if (random.Below(3) > 0) {
      json["qk_norm"] = "rms_norm_across_heads";
    } else {
      json["qk_norm"] = nullptr;
    }
    config = json.dump();
    at::Generator generator = at::detail::createCPUGenerator(seed);
    inputs = {{"hidden_states", at::randn({1, channels, 2, 4, 6}, generator)},
              {"timestep", at::full({1}, 400, at::kLong)},
              {"encoder_hidden_states", at::randn({1, text_len, text_dim}, generator)}};
  }
  Component New(const std::string& name = "transformer") const {
    return NewComponent(name, "WanTransformer3DModel", config);
  }
  std::string config;
  Values inputs;
};

// What a pass would decide of the model.
PruneUnitsDecision Decided(ModelView& view, const std::string& pass) {
  const ParsedRecipe recipe = UnitsRecipe(absl::StrCat("passes { ", pass, " }"));
  PassContext context;
  context.seed = recipe.stages()[0].seed;
  ASSERT_OK_AND_ASSIGN(const auto decision, recipe.stages()[0].pass->Decide(view, context));
  return static_cast<const PruneUnitsDecision&>(*decision);
}

absl::Status PruneInMemory(ModelView& view, const std::string& pass) {
  return CompressInMemory(UnitsRecipe(absl::StrCat("passes { ", pass, " }")), view).status();
}

// Zeroes what makes the units that a decision removes, and what reads them.
void Mask(const ModelView& view, const PruneUnitsDecision& decision) {
  const at::NoGradGuard no_grad;
  for (const auto& entry : decision.groups()) {
    const AxisGroup& group = GroupOf(view, entry.name());
    at::Tensor gone = at::ones({group.units}, at::kBool);
    for (const int64_t unit : entry.kept()) gone[unit] = false;
    for (const AxisRef& ref : group.refs) {
      if (ref.role != AxisRole::kSliced) continue;
      const at::Tensor index = UnitIndices(ref, group.units, gone.nonzero().flatten());
      std::vector<std::string> tensors{ref.tensor};
      if (view.FindLinear(ref.tensor) != nullptr) {
        tensors = {ref.tensor + ".weight"};
        if (ref.dim == 0 && view.FindTensor(ref.tensor + ".bias").ok()) {
          tensors.push_back(ref.tensor + ".bias");
        }
      }
      for (const std::string& path : tensors) {
        ASSERT_OK_AND_ASSIGN(at::Tensor tensor, view.FindTensor(path));
        tensor.index_fill_(ref.dim, index, 0);
      }
    }
  }
}

TEST_CASE("hidden channels and heads: pruned is masked, on random shapes") {
  double error = 0, effect = 1e30;
  for (uint64_t seed = 1; seed <= 24; ++seed) {
    const RandomWan wan(seed);
    Random random(seed);
    const std::string criterion =
        absl::StrCat("amount: ", 0.2 + 0.5 * random.Uniform(),
                     " criterion { score: ", random.Below(2) == 0 ? "L1" : "RANDOM",
                     random.Below(2) == 0 ? " scope: GLOBAL" : "", " }");
    for (const char* name : {"prune_ffn", "prune_heads"}) {
      const std::string pass = absl::StrCat(name, " { ", criterion, " }");
      CAPTURE(seed, pass, wan.config);
      ModelView pruned = ViewOf({wan.New()}), masked = ViewOf({wan.New()});
      const at::Tensor before = OutputOf(masked, "transformer", wan.inputs);
      const PruneUnitsDecision decision = Decided(masked, pass);
      if (decision.groups().empty()) continue;
      Mask(masked, decision);
      REQUIRE_OK(PruneInMemory(pruned, pass));
      for (const auto& entry : decision.groups()) {
        CHECK(GroupOf(pruned, entry.name()).units == entry.kept_size());
        CHECK(entry.kept_size() < GroupOf(masked, entry.name()).units);
      }
      const at::Tensor want = OutputOf(masked, "transformer", wan.inputs);
      error = std::max(error, RelativeL2(OutputOf(pruned, "transformer", wan.inputs), want));
      effect = std::min(effect, RelativeL2(want, before));
      REQUIRE(error < 2e-5);
    }
  }
  std::printf("pruned against masked: at most %.2e; effect of pruning: at least %.2e\n", error,
              effect);
  CHECK(effect > 1e-4);
}

// The tensors of a network of the pruned one's sizes, cut by hand.
void FillByHand(const ModelView& whole, const AxisGroup& group, const at::Tensor& kept,
                const ModelView& small) {
  const at::NoGradGuard no_grad;
  for (const NamedTensor& named : small.Tensors()) {
    ASSERT_OK_AND_ASSIGN(at::Tensor value, whole.FindTensor(named.name));
    for (int64_t dim = 0; dim < value.dim(); ++dim) {
      const int64_t copies = value.size(dim) / group.units;
      if (value.size(dim) == named.tensor.size(dim)) continue;
      REQUIRE(value.size(dim) == copies * group.units);
      REQUIRE(named.tensor.size(dim) == copies * kept.numel());
      std::vector<at::Tensor> parts;
      for (int64_t copy = 0; copy < copies; ++copy) parts.push_back(kept + copy * group.units);
      value = value.index_select(dim, at::cat(parts));
    }
    at::Tensor(named.tensor).set_data(value.clone());
  }
}

TEST_CASE("the residual stream: pruned is the small network, and not the masked one") {
  double least = 1e30, most = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const RandomWan wan(seed);
    const std::string pass = "prune_width { amount: 0.3 criterion { score: L1 } }";
    CAPTURE(seed, wan.config);
    ModelView pruned = ViewOf({wan.New()}), masked = ViewOf({wan.New()}),
              whole = ViewOf({wan.New()});
    const PruneUnitsDecision decision = Decided(masked, pass);
    REQUIRE(decision.groups_size() == 1);
    Mask(masked, decision);
    REQUIRE_OK(PruneInMemory(pruned, pass));
    const at::Tensor got = OutputOf(pruned, "transformer", wan.inputs);

    const Component& component = pruned.components()[0];
    ASSERT_OK_AND_ASSIGN(const std::string config,
                         component.definition->config_of(component.config_json, *component.module));
    ModelView small = ViewOf({NewComponent("transformer", "WanTransformer3DModel", config)});
    const auto& kept = decision.groups(0).kept();
    FillByHand(whole, GroupOf(whole, decision.groups(0).name()),
               at::tensor(std::vector<int64_t>(kept.begin(), kept.end()), at::kLong), small);
    CHECK(at::equal(got, OutputOf(small, "transformer", wan.inputs)));
    const double distance = RelativeL2(got, OutputOf(masked, "transformer", wan.inputs));
    least = std::min(least, distance);
    most = std::max(most, distance);
  }
  std::printf("width: pruned differs from masked by %.2e to %.2e\n", least, most);
  CHECK(least > 1e-3);
}

constexpr char kSmallVae[] = R"({
  "_class_name": "AutoencoderKLWan", "base_dim": 6, "z_dim": 3, "dim_mult": [1, 2, 2, 3],
  "num_res_blocks": 1, "attn_scales": [], "temperal_downsample": [false, true, true],
  "dropout": 0.0, "latents_mean": [0.1, -0.2, 0.3], "latents_std": [1.5, 0.7, 1.0]
})";

Component SmallVae() { return NewComponent("vae", "AutoencoderKLWan", kSmallVae, at::kDouble); }

TEST_CASE("channels of the autoencoder: pruned is masked, whichever groups go") {
  at::Generator generator = at::detail::createCPUGenerator(4);
  const Values latents{{"latents", at::randn({1, 3, 2, 3, 4}, generator, at::kDouble)}};
  const auto check = [&](const std::string& pass, bool decoder) {
    CAPTURE(pass);
    ModelView pruned = ViewOf({SmallVae()}), masked = ViewOf({SmallVae()});
    const at::Tensor before = OutputOf(masked, "vae", latents);
    const PruneUnitsDecision decision = Decided(masked, pass);
    REQUIRE(decision.groups_size() > 3);
    Mask(masked, decision);
    REQUIRE_OK(PruneInMemory(pruned, pass));
    const at::Tensor want = OutputOf(masked, "vae", latents);
    CHECK(RelativeL2(OutputOf(pruned, "vae", latents), want) < 1e-9);
    CHECK((RelativeL2(want, before) > 1e-3) == decoder);
    for (const auto& entry : decision.groups()) {
      CHECK(absl::StartsWith(entry.name(), "vae.decoder.") == decoder);
    }
    // A network of its config has its sizes.
    const Component& component = pruned.components()[0];
    ASSERT_OK_AND_ASSIGN(const std::string config,
                         component.definition->config_of(component.config_json, *component.module));
    ModelView again = ViewOf({NewComponent("vae", "AutoencoderKLWan", config, at::kDouble)});
    CHECK(DumpModel(again) == DumpModel(pruned));
  };
  check("prune_vae { amount: 0.3 units { include: 'vae.decoder.*' } }", true);
  check("prune_vae { amount: 0.3 units { include: 'vae.encoder.*' } }", false);
  check(
      "prune_vae { amount: 0.4 criterion { score: L1 scope: GLOBAL } "
      "units { include: 'vae.decoder.*' exclude: '*.width.0' } }",
      true);
}

TEST_CASE("structured passes refuse options that mean nothing") {
  CHECK_THAT(ParseError("prune_ffn { }"), Contains("prune_ffn.amount: and keep are missing"));
  CHECK_THAT(ParseError("prune_ffn { amount: 0.5 keep: 3 }"), Contains("and keep are both given"));
  CHECK_THAT(ParseError("prune_heads { amount: 1 }"), Contains("prune_heads.amount: 1 is not in"));
  CHECK_THAT(ParseError("prune_heads { amount: nan }"),
             Contains("prune_heads.amount: wants a finite number"));
  CHECK_THAT(ParseError("prune_width { keep: 0 }"), Contains("prune_width.keep: 0 leaves nothing"));
  CHECK_THAT(ParseError("prune_vae { amount: 0.1 multiple: 0 }"),
             Contains("prune_vae.multiple: 0"));
  CHECK_THAT(ParseError("prune_ffn { keep: 4 criterion { scope: GLOBAL } }"),
             Contains("prune_ffn.keep: says what stays of each group"));
  CHECK_THAT(ParseError("prune_vae { amount: 0.1 criterion { score: TAYLOR } }"),
             Contains("prune_vae.criterion.score: TAYLOR looks at recorded inputs"));
}

ModelView TinyExperts(Env& env, bool load) {
  testing::TinyWanOptions options;
  options.text_encoder = false;  // its tokenizer wants a library of its own
  if (!env.FolderExists("/model")) REQUIRE_OK(testing::WriteTinyWan(env, "/model", options));
  return WanView(env, "/model", load);
}

TEST_CASE("plans refuse what groups cannot give, naming one, and read nothing") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const auto error = [&](const std::string& pass) {
    return PlanError(TinyExperts(*env, /*load=*/false), pass);
  };
  CHECK_THAT(error("prune_ffn { keep: 41 }"),
             Contains("keep: 41 is more than the 40 units of transformer.blocks.0.ffn.channels"));
  CHECK_THAT(error("prune_heads { keep: 3 }"),
             Contains("3 is more than the 2 units of transformer.blocks.0.self_attn.heads"));
  CHECK_THAT(error("prune_ffn { amount: 0.5 multiple: 64 }"),
             Contains("multiple: 64 is more than the 40 units of"));
  CHECK_THAT(error("prune_ffn { amount: 0.1 multiple: 16 }"),
             Contains("40 units of transformer.blocks.0.ffn.channels are no multiple of 16"));
  CHECK_THAT(error("prune_ffn { amount: 0.5 multiple: 16 criterion { scope: GLOBAL } }"),
             Contains("are no multiple of 16, and GLOBAL may leave all of them"));
  CHECK_THAT(error("prune_ffn { amount: 0.5 units { blocks { from: 2 } } }"),
             Contains("units.blocks[0]"));
  CHECK_THAT(error("prune_ffn { amount: 0.5 experts_together: true units { exclude: "
                   "'transformer_2.blocks.1.*' } }"),
             Contains("experts_together: transformer.blocks.1.ffn.channels has no twin in "
                      "transformer_2"));
  CHECK(error("prune_ffn { amount: 0.5 experts_together: true }").empty());
  CHECK(error("prune_vae { keep: 2 }").empty());
  // The toy's channels are read by a layer with a bias; without one nothing can take the mean.
  auto toy = std::make_shared<ToyModel>();
  CHECK(PlanError(ViewOf({ToyComponent(toy)}), "prune_ffn { amount: 0.5 mean_to_bias: true }")
            .empty());
  toy->blocks[1]->down->SetBias(std::nullopt);
  CHECK_THAT(PlanError(ViewOf({ToyComponent(toy)}), "prune_ffn { amount: 0.5 mean_to_bias: true }"),
             Contains("toy.blocks.1.channels is read by toy.blocks.1.down, which has no bias"));
}

TEST_CASE("experts that lose units together must have as many") {
  auto other = std::make_shared<ToyModel>(8, std::vector<int64_t>{12, 10});
  CHECK_THAT(
      PlanError(ViewOf({ToyComponent(std::make_shared<ToyModel>()), ToyComponent(other, "toy_2")}),
                "prune_ffn { amount: 0.5 experts_together: true }"),
      Contains("toy.blocks.1.channels has 12 units and toy_2.blocks.1.channels has 10"));
}

TEST_CASE("experts lose the same units together, and their own apart") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const auto kept = [&](const std::string& together) {
    ModelView view = TinyExperts(*env, /*load=*/true);
    std::map<std::string, std::vector<int64_t>> units;
    const PruneUnitsDecision decision =
        Decided(view, absl::StrCat("prune_ffn { amount: 0.4 ", together, " }"));
    CHECK(decision.notes_size() == 4);
    for (const auto& entry : decision.groups()) {
      units[entry.name()] = {entry.kept().begin(), entry.kept().end()};
    }
    return units;
  };
  auto together = kept("experts_together: true"), apart = kept("");
  auto global = kept("experts_together: true criterion { scope: GLOBAL }");
  REQUIRE(together.size() == 4);
  for (const char* block : {"blocks.0", "blocks.1"}) {
    const std::string first = absl::StrCat("transformer.", block, ".ffn.channels");
    const std::string second = absl::StrCat("transformer_2.", block, ".ffn.channels");
    CHECK(together[first].size() == 24);
    CHECK(together[first] == together[second]);
    CHECK(global[first] == global[second]);
    CHECK(apart[first] != apart[second]);
  }
  CHECK(global["transformer.blocks.0.ffn.channels"].size() +
            global["transformer.blocks.1.ffn.channels"].size() ==
        48);
}

TEST_CASE("a plan says what each kind loses, and that a width is not exact") {
  const std::unique_ptr<Env> env = NewMemEnv();
  const auto plan = [&](const std::string& pass) {
    ModelView view = TinyExperts(*env, /*load=*/false);
    const ParsedRecipe recipe = UnitsRecipe(absl::StrCat("passes { ", pass, " }"));
    ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans, PlanRecipe(recipe, view));
    return plans[0];
  };
  PassPlan found = plan("prune_ffn { amount: 0.25 }");
  CHECK_FALSE(found.estimated);
  CHECK(found.notes[0] == "transformer: ffn.channels: 80 -> 60 units in 2 groups");
  CHECK(found.notes.size() == 2);
  CHECK(found.changes.size() == 2 * 2 * 3);
  CHECK(found.parameters_after - found.parameters_before == -4 * 10 * (24 + 1 + 24));
  found = plan("prune_ffn { amount: 0.25 criterion { scope: GLOBAL score: RANDOM } }");
  CHECK(found.estimated);
  CHECK_THAT(found.notes[0], Contains("80 -> 60 units in 2 groups, the cheapest of all"));
  CHECK(found.notes[2] == "units are drawn at random: a control");
  found = plan("prune_ffn { amount: 0.01 }");
  CHECK(found.changes.empty());
  CHECK_THAT(found.notes[0], Contains("nothing is removed of the 80 units"));
  found = plan("prune_width { keep: 20 }");
  CHECK_THAT(found.notes.back(), Contains("not exact"));
  CHECK_FALSE(found.estimated);
}

// "in" of the second as of the first, tensor by tensor.
void CheckSame(const ModelView& got, const ModelView& want) {
  CHECK(DumpModel(got) == DumpModel(want));
  for (const NamedTensor& named : want.Tensors()) {
    CAPTURE(named.name);
    ASSERT_OK_AND_ASSIGN(const at::Tensor tensor, got.FindTensor(named.name));
    CHECK(tensor.equal(named.tensor));
  }
}

TEST_CASE(
    "a model pruned every way streams, saves, loads, runs, and is pruned and quantized again") {
  const at::NoGradGuard no_grad;
  const std::unique_ptr<Env> env = NewMemEnv();
  TinyExperts(*env, /*load=*/false);
  const std::vector<std::string> all{
      "prune_ffn { amount: 0.3 criterion { score: L1 } experts_together: true }",
      "prune_heads { keep: 1 criterion { scope: LOCAL } units { kinds: 'self_attn.heads' } }",
      "prune_width { amount: 0.25 multiple: 3 }",
      "prune_vae { amount: 0.3 units { include: 'vae.decoder.*' } }",
      "quantize_int8 { linears { kinds: 'ffn.*' } }",
      "prune_ffn { amount: 0.2 criterion { scope: GLOBAL } }"};
  REQUIRE_OK(CompressWan(*env, all, "", "/out"));
  const ModelView got = WanView(*env, "/out");

  ModelView want = TinyExperts(*env, /*load=*/true);
  std::string text;
  for (const std::string& pass : all) absl::StrAppend(&text, "passes { ", pass, " }\n");
  REQUIRE_OK(CompressInMemory(UnitsRecipe(text), want));
  CheckSame(got, want);

  // Counts: 40 -> 28 -> 23 on average, 24 -> 18 wide, one head.
  int64_t hidden = 0;
  for (const AxisGroup& group : got.groups()) {
    if (group.kind == "width") CHECK(group.units == 18);
    if (group.kind == "self_attn.heads") CHECK(group.units == 1);
    if (group.kind == "cross_attn.heads") CHECK(group.units == 2);
    if (group.name.starts_with("transformer.") && group.kind == "ffn.channels") {
      hidden += group.units;
      CHECK(got.OriginalUnits(group) == 40);
    }
  }
  CHECK(hidden == 56 - 11);
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, got.Weight("transformer.blocks.0.ffn.0"));
  CHECK(weight->format() == "int8");

  const at::Tensor output = OutputOf(got, "transformer", testing::TransformerInputs(1, 3).front());
  CHECK(output.isfinite().all().item<bool>());
  const at::Tensor video = OutputOf(got, "vae", {{"latents", at::ones({1, 4, 2, 4, 4})}});
  CHECK(video.isfinite().all().item<bool>());

  // A second run, on what the first left.
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/out", {}, BuiltinArchitectures()));
  CompressOptions options;
  options.out_dir = "/again";
  REQUIRE_OK(CompressFolder(*env,
                            UnitsRecipe("passes { prune_width { keep: 12 } } "
                                        "passes { prune_vae { amount: 0.4 } } "
                                        "passes { prune_heads { keep: 1 } }"),
                            folder, BuiltinArchitectures(), options));
  const ModelView again = WanView(*env, "/again");
  CHECK(GroupOf(again, "transformer.width").units == 12);
  CHECK(GroupOf(again, "transformer_2.blocks.1.cross_attn.heads").units == 1);
  CHECK(again.OriginalUnits(GroupOf(again, "transformer.width")) == 24);
  CHECK(OutputOf(again, "transformer", testing::TransformerInputs(1, 3).front())
            .isfinite()
            .all()
            .item<bool>());
}

TEST_CASE("what a format cannot be cut at is refused by the plan, naming group and layer") {
  const std::unique_ptr<Env> env = NewMemEnv();
  TinyExperts(*env, /*load=*/false);
  const ParsedRecipe recipe = UnitsRecipe(
      "passes { quantize_int4 { group: 8 linears { kinds: 'ffn.down' } } } "
      "passes { prune_ffn { amount: 0.4 } }");
  ModelView view = TinyExperts(*env, /*load=*/false);
  const absl::Status refused = PlanRecipe(recipe, view).status();
  CHECK_THAT(std::string(refused.message()),
             Contains("transformer.blocks.0.ffn.channels: transformer.blocks.0.ffn.2"));
}

TEST_CASE("rounds of a schedule come to what one shot leaves") {
  const std::unique_ptr<Env> env = testing::DiskWithWan(/*text_encoder=*/false, /*layers=*/2);
  const auto counts = [&](const std::string& recipe, const std::string& out) {
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*env, "/model", {}, BuiltinArchitectures()));
    CompressOptions options;
    options.out_dir = out;
    REQUIRE_OK(CompressFolder(*env, UnitsRecipe(recipe), folder, BuiltinArchitectures(), options));
    std::vector<int64_t> units;
    for (const AxisGroup& group : WanView(*env, out).groups()) {
      if (group.kind == "ffn.channels") units.push_back(group.units);
    }
    return units;
  };
  const std::string pass = "passes { prune_ffn { amount: 0.5 multiple: 4 } }";
  CHECK(counts(pass, "/shot") == std::vector<int64_t>{20, 20});
  CHECK(counts(absl::StrCat("passes { repeat { rounds: 10 ", pass, " } }"), "/rounds") ==
        std::vector<int64_t>{20, 20});
  // Of 80, 34 stay.
  const std::string global = "passes { prune_ffn { amount: 0.57 criterion { scope: GLOBAL } } }";
  const std::vector<int64_t> left =
      counts(absl::StrCat("passes { repeat { rounds: 7 ", global, " } }"), "/g");
  CHECK(left[0] + left[1] == 34);

  // The lineage has what each round did to the model that it found.
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/rounds", {}, BuiltinArchitectures()));
  const auto& lineage = folder.manifest()->lineage();
  REQUIRE(lineage.size() == 10);
  CHECK_THAT(lineage[0].options_text(), Contains("amount: 0.05"));
  CHECK(lineage[9].metrics().at("kept_units") == 40);
  // 22 of 40 round up to 24: there is something to do in the last round.
  CHECK(lineage[9].metrics().at("units") == 48);
  CHECK(lineage[0].notes(0).starts_with("transformer.blocks.0.ffn.channels: 40 of 40 stay"));
}

TEST_CASE("numbers of units in a manifest that are none are refused") {
  const std::unique_ptr<Env> env = testing::DiskWithWan(/*text_encoder=*/false, /*layers=*/1);
  REQUIRE_OK(CompressWan(*env, {"prune_ffn { amount: 0.5 }"}, "", "/out"));
  ASSERT_OK_AND_ASSIGN(const std::string manifest, env->ReadFile("/out/wanlite.json"));
  const std::string entry = "\"blocks.0.ffn.channels\": 40";
  REQUIRE(absl::StrContains(manifest, entry));
  for (const char* number :
       {"0", "-40", "4.5", "\"40\"", "null", "9223372036854775807", "18446744073709551615"}) {
    std::string broken = manifest;
    broken.replace(broken.find(entry), entry.size(),
                   absl::StrCat("\"blocks.0.ffn.channels\": ", number));
    REQUIRE_OK(env->WriteFileAtomically("/out/wanlite.json", broken));
    const absl::Status opened =
        ModelFolder::Open(*env, "/out", {}, BuiltinArchitectures()).status();
    CAPTURE(number, opened.ToString());
    CHECK(absl::IsInvalidArgument(opened));
    CHECK(absl::StrContains(opened.message(), "unit_origin['blocks.0.ffn.channels'] is"));
  }
}

// Mean of what a layer gives, over the samples by their weight.
class OutputMean : public LinearTap {
 public:
  OutputMean(const ModelView& view, std::string path) : view_(view), path_(std::move(path)) {}
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    if (linear.path != path_) return;
    const at::Tensor matrix = (*view_.Weight(path_))->Dequantize();
    const at::Tensor bias = *view_.FindTensor(path_ + ".bias");
    const at::Tensor y = at::linear(x.reshape({-1, x.size(-1)}), matrix, bias).to(at::kDouble);
    sum = sum + weight * y.sum(0);
    rows += weight * static_cast<double>(y.size(0));
  }
  double weight = 1, rows = 0;
  at::Tensor sum = at::zeros({}, at::kDouble);

 private:
  const ModelView& view_;
  const std::string path_;
};

at::Tensor MeanOutput(const ModelView& view, const std::string& path,
                      const std::vector<Values>& inputs) {
  OutputMean tap(view, path);
  ASSERT_OK_AND_ASSIGN(const TapGuard guard, TapLinears(view, view.BlockOf(path), tap));
  for (size_t i = 0; i < inputs.size(); ++i) {
    tap.weight = static_cast<double>(i + 1);
    OutputOf(view, "transformer", inputs[i]);
  }
  return tap.sum / tap.rows;
}

TEST_CASE("what removed channels give on average goes to the bias of the layer that reads them") {
  const at::NoGradGuard no_grad;
  const std::unique_ptr<Env> env = testing::DiskWithWan(/*text_encoder=*/false, /*layers=*/2);
  const std::vector<Values> inputs = testing::TransformerInputs(4, 5);
  testing::WriteTransformerSamples(*env, "/samples", inputs);
  const std::string options = "amount: 0.5 units { include: 'transformer.blocks.1.*' } ";
  REQUIRE_OK(CompressWan(*env, {absl::StrCat("prune_ffn { ", options, "}")}, "", "/plain"));
  REQUIRE_OK(CompressWan(*env, {absl::StrCat("prune_ffn { ", options, "mean_to_bias: true }")},
                         "/samples", "/mean"));
  const ModelView before = WanView(*env, "/model"), plain = WanView(*env, "/plain"),
                  mean = WanView(*env, "/mean");
  const std::string reader = "transformer.blocks.1.ffn.2";
  const at::Tensor want = MeanOutput(before, reader, inputs);
  CHECK(RelativeL2(MeanOutput(mean, reader, inputs), want) < 1e-5);
  CHECK(RelativeL2(MeanOutput(plain, reader, inputs), want) > 1e-2);
  double with = 0, without = 0;
  for (const Values& values : inputs) {
    const at::Tensor output = OutputOf(before, "transformer", values);
    with += RelativeL2(OutputOf(mean, "transformer", values), output);
    without += RelativeL2(OutputOf(plain, "transformer", values), output);
  }
  std::printf("mean to bias: error %.3f, without %.3f\n", with / 4, without / 4);
  CHECK(with < without);

  // The norms of queries and keys see fewer heads, so that those that stay change too: the mean is
  // nearer, not the same.
  const std::string heads = "keep: 1 units { include: 'transformer.blocks.1.cross_attn.heads' } ";
  const std::string output = "transformer.blocks.1.cross_attn.o";
  REQUIRE_OK(CompressWan(*env, {absl::StrCat("prune_heads { ", heads, "}")}, "", "/plain_heads"));
  REQUIRE_OK(CompressWan(*env, {absl::StrCat("prune_heads { ", heads, "mean_to_bias: true }")},
                         "/samples", "/mean_heads"));
  const at::Tensor heads_want = MeanOutput(before, output, inputs);
  CHECK(RelativeL2(MeanOutput(WanView(*env, "/mean_heads"), output, inputs), heads_want) <
        0.5 * RelativeL2(MeanOutput(WanView(*env, "/plain_heads"), output, inputs), heads_want));
}

TEST_CASE("a run that wants recorded inputs of a component without any is refused") {
  const std::unique_ptr<Env> env = NewMemEnv();
  TinyExperts(*env, /*load=*/false);
  testing::WriteTransformerSamples(*env, "/samples", testing::TransformerInputs(2, 5));
  const absl::Status refused =
      CompressWan(*env, {"prune_ffn { amount: 0.5 mean_to_bias: true }"}, "/samples", "/out")
          .status();
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK_THAT(std::string(refused.message()),
             Contains("changes transformer_2.blocks.0, and the sample set has none"));
  const absl::Status unscored =
      CompressWan(*env, {"prune_ffn { amount: 0.5 criterion { score: ACTIVATION } }"}, "/samples",
                  "/out")
          .status();
  CHECK(absl::IsFailedPrecondition(unscored));
  CHECK_THAT(std::string(unscored.message()),
             Contains("prune-ffn: needs recorded inputs of 'transformer_2'"));
  CHECK_FALSE(env->FolderExists("/out.run"));
}

TEST_CASE("a structured run killed at any write continues to the same bytes") {
  const std::vector<std::string> passes{
      "prune_ffn { amount: 0.4 mean_to_bias: true criterion { score: RANDOM scope: GLOBAL } }",
      "prune_width { amount: 0.25 }"};
  const auto disk = [] {
    std::unique_ptr<Env> env = testing::DiskWithWan(/*text_encoder=*/false, /*layers=*/2);
    testing::WriteTransformerSamples(*env, "/samples", testing::TransformerInputs(2, 5));
    return env;
  };
  std::map<std::string, std::string> expected;
  {
    const std::unique_ptr<Env> env = disk();
    REQUIRE_OK(CompressWan(*env, passes, "/samples", "/out", 9));
    expected = FilesOf(*env, "/out");
  }
  int64_t kill = 0;
  for (;; kill += 3) {
    INFO("killed at write " << kill);
    const std::unique_ptr<Env> env = disk();
    const absl::StatusOr<RunReport> killed =
        CompressWan(*NewFaultEnv(*env, kill), passes, "/samples", "/out", 9);
    if (env->FolderExists("/out")) REQUIRE(FilesOf(*env, "/out") == expected);
    if (killed.ok()) break;
    REQUIRE(absl::IsResourceExhausted(killed.status()));
    REQUIRE_OK(CompressWan(*env, passes, "/samples", "/out", 9));
    REQUIRE(FilesOf(*env, "/out") == expected);
  }
  CHECK(kill > 50);
}

}  // namespace
}  // namespace wanlite
