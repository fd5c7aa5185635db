// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/smooth.h"

#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/wan/dit.h"
#include "src/proto/quant.pb.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "tests/testing/wan_samples.h"
#include "wanlite/input_scaling.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::CompressWan;
using testing::DiskWithWan;
using testing::OutputOf;
using testing::RelativeL2;
using testing::TransformerInputs;
using testing::Tree;
using testing::WanView;
using testing::WriteTransformerSamples;

at::Tensor Divisors(int64_t features, uint64_t seed) {
  return at::rand({features}, at::detail::createCPUGenerator(seed)).mul_(4).sub_(2).exp2_();
}

std::map<std::string, at::Tensor> Copies(const ModelView& view) {
  std::map<std::string, at::Tensor> copies;
  for (const NamedTensor& named : view.Tensors()) copies[named.name] = named.tensor.clone();
  return copies;
}

// Every input that a component says can be scaled, one after the other, and what that leaves of
// the output.
void CheckScalings(ModelView& view, const std::string& component, const Values& values,
                   size_t wanted, double tolerance) {
  const at::NoGradGuard no_grad;
  const at::Tensor before = OutputOf(view, component, values);
  const std::vector<InputScaling> scalings = InputScalingsOf(*view.FindComponent(component));
  CHECK(scalings.size() == wanted);
  uint64_t seed = 1;
  for (const InputScaling& scaling : scalings) {
    INFO(scaling.name);
    const auto old = Copies(view);
    const at::Tensor divisors = Divisors(scaling.features, seed++);
    for (const BlockInfo& block : view.blocks()) {
      REQUIRE_OK(ScaleInput(view, scaling, divisors, block.path));
    }
    CHECK(RelativeL2(OutputOf(view, component, values), before) < tolerance);
    // The readers' columns, and nothing but the sources, have changed.
    size_t changed = 0;
    for (const NamedTensor& named : view.Tensors()) {
      changed += !at::equal(named.tensor, old.at(named.name));
    }
    for (const std::string& reader : scaling.readers) {
      ASSERT_OK_AND_ASSIGN(const at::Tensor now, view.FindTensor(reader + ".weight"));
      CHECK(at::allclose(now, old.at(reader + ".weight") * divisors, 1e-5, 1e-7));
    }
    CHECK(changed > scaling.readers.size());
    CHECK(changed <= scaling.readers.size() + 2 * scaling.sources.size());
    // Half of it would not do.
    if (seed == 2) {
      REQUIRE_OK(view.SetLinearWeight(
          scaling.readers.front(),
          MakeDenseWeight(old.at(scaling.readers.front() + ".weight").clone())));
      CHECK(RelativeL2(OutputOf(view, component, values), before) > 10 * tolerance);
      for (const std::string& reader : scaling.readers) {
        REQUIRE_OK(
            view.SetLinearWeight(reader, MakeDenseWeight(old.at(reader + ".weight") * divisors)));
      }
    }
  }
}

// A model with a feature that stands out of the normed input of cross-attention, and one of the
// values of self-attention, by no change of what it computes.
void MakeOutliers(Env& env) {
  ModelView view = WanView(env, "/model");
  for (const InputScaling& scaling : InputScalingsOf(*view.FindComponent("transformer"))) {
    at::Tensor divisors = at::ones({scaling.features});
    divisors.slice(0, 3, scaling.features, 9).fill_(0.02);
    for (const BlockInfo& block : std::vector<BlockInfo>(view.blocks())) {
      REQUIRE_OK(ScaleInput(view, scaling, divisors, block.path));
    }
  }
  REQUIRE_OK(SaveCheckpoint(env, "/outliers", view));
}

}  // namespace

TEST_CASE("inputs that Wan says can be scaled leave the output as it was") {
  const auto env = DiskWithWan(/*text_encoder=*/true);
  ModelView view = WanView(*env, "/model");
  // Three of each block, and three of all blocks together.
  CheckScalings(view, "transformer", TransformerInputs(1, 5)[0], 3 * 3 + 3, 3e-6);
  const Values text = {{"input_ids", at::arange(3, 19, at::kLong).unsqueeze(0)},
                       {"attention_mask", at::ones({1, 16}, at::kLong)}};
  CheckScalings(view, "text_encoder", text, 2 * 4, 3e-6);
}

TEST_CASE("they do at the sizes of Wan-Digits, with heads and channels removed and without") {
  const at::NoGradGuard no_grad;
  wan::DitConfig config;
  config.num_heads = 4;
  config.head_dim = 32;
  config.ffn_dim = 512;
  config.num_layers = 6;
  config.in_channels = config.out_channels = 8;
  config.text_dim = 64;
  config.text_len = 16;
  const auto model = std::make_shared<wan::Dit>(config);
  for (auto& parameter : model->named_parameters()) {
    parameter.value().copy_(testing::SeededParameter(parameter.key(), parameter.value().sizes()));
  }
  ASSERT_OK_AND_ASSIGN(
      ModelView view,
      ModelView::Create({{"transformer", ComponentRole::kDenoiser, "Wan", "{}", model}}));
  at::Generator generator = at::detail::createCPUGenerator(1);
  const Values values = {{"hidden_states", at::randn({1, 8, 2, 8, 8}, generator)},
                         {"timestep", at::full({1}, 700, at::kLong)},
                         {"encoder_hidden_states", at::randn({1, 16, 64}, generator)}};
  REQUIRE_OK(view.KeepUnits("transformer.blocks.2.self_attn.heads", at::tensor({0, 3}, at::kLong)));
  CheckScalings(view, "transformer", values, 6 * 3 + 3, 1e-5);
}

TEST_CASE("smooth leaves the model's output as it was, and moves outliers into the weights") {
  const bool awq = GENERATE(false, true);
  const auto env = DiskWithWan();
  MakeOutliers(*env);
  WriteTransformerSamples(*env, "/samples", TransformerInputs(6, 1));
  const std::string smooth =
      awq ? "smooth { method: AWQ format { int8 { } } }" : "smooth { alpha: 0.8 }";
  const auto compress = [&](const std::vector<std::string>& passes, const std::string& samples,
                            const std::string& out) {
    std::string text;
    for (const std::string& pass : passes) absl::StrAppend(&text, "passes { ", pass, " }\n");
    ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                         ParsedRecipe::Parse(text, "recipe", BuiltinPasses()));
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*env, "/outliers", {}, BuiltinArchitectures()));
    CompressOptions options;
    options.out_dir = out;
    std::optional<SampleSet> set;
    if (!samples.empty()) {
      set = *SampleSet::Open(*env, samples);
      options.samples = &*set;
    }
    auto report = CompressFolder(*env, recipe, folder, BuiltinArchitectures(), options);
    REQUIRE_OK(report);
    return *std::move(report);
  };
  const RunReport report = compress({smooth}, "/samples", "/smooth");
  CHECK(report.passes[0].metrics.at("smoothed_inputs") == 12);
  if (awq) {
    CHECK(report.passes[0].metrics.at("search_error_ratio") < 0.7);
    CHECK(report.passes[0].metrics.at("search_error_ratio") > 0);
  }
  compress({smooth, "quantize_int8 { }"}, "/samples", "/both");
  compress({"quantize_int8 { }"}, "", "/plain");
  const ModelView original = WanView(*env, "/outliers"), made = WanView(*env, "/smooth"),
                  both = WanView(*env, "/both"), plain = WanView(*env, "/plain");
  double by_both = 0, by_plain = 0;
  for (const Values& values : TransformerInputs(4, 77)) {
    const at::Tensor want = OutputOf(original, "transformer", values);
    CHECK(RelativeL2(OutputOf(made, "transformer", values), want) < 1e-5);
    by_both += RelativeL2(OutputOf(both, "transformer", values), want);
    by_plain += RelativeL2(OutputOf(plain, "transformer", values), want);
  }
  INFO("smoothed and quantized " << by_both / 4 << ", quantized " << by_plain / 4);
  CHECK(by_both < 0.6 * by_plain);
}

TEST_CASE("smooth killed at any write continues to the bytes of an unbroken run") {
  const std::vector<std::string> passes = {"smooth { }"};
  const auto disk_with_samples = [] {
    auto env = DiskWithWan(/*text_encoder=*/false, /*layers=*/2);
    WriteTransformerSamples(*env, "/samples", TransformerInputs(2, 1));
    return env;
  };
  const auto unbroken = disk_with_samples();
  REQUIRE_OK(CompressWan(*unbroken, passes, "/samples", "/out"));
  const auto expected = Tree(*unbroken, "/out");
  int64_t kill = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const auto disk = disk_with_samples();
    const absl::Status killed =
        CompressWan(*NewFaultEnv(*disk, kill), passes, "/samples", "/out").status();
    if (killed.ok()) break;
    REQUIRE(killed.code() == absl::StatusCode::kResourceExhausted);
    REQUIRE_OK(CompressWan(*disk, passes, "/samples", "/out"));
    REQUIRE(Tree(*disk, "/out") == expected);
  }
  CHECK(kill > 30);
}

TEST_CASE("smooth touches what is selected alone, and the plan says what it leaves") {
  const auto env = DiskWithWan();
  const ModelView model = WanView(*env, "/model", /*load=*/false);
  const auto plan = [&](const std::function<void(LinearSelector&)>& select) {
    SmoothOptions options;
    select(*options.mutable_linears());
    auto pass = MakeSmooth(options);
    REQUIRE_OK(pass);
    return (*pass)->Plan(model);
  };
  const auto notes = [](const absl::StatusOr<PassNotes>& plan) {
    REQUIRE_OK(plan);
    std::string text;
    for (const std::string& note : plan->notes) absl::StrAppend(&text, note, "\n");
    return text;
  };
  const auto all = plan([](LinearSelector&) {});
  CHECK(all->value_changes.size() == 12);
  CHECK_THAT(notes(all), Contains("3 layers of kind ffn.down keep their inputs"));
  // Of what all blocks share a part cannot be scaled.
  const auto outer = plan([](LinearSelector& linears) { linears.add_blocks()->set_from(1); });
  CHECK(outer->value_changes.size() == 6);
  CHECK_THAT(notes(outer),
             Contains("transformer.blocks.0.self_attn.q reads it too and is not selected"));
  const auto without = plan([](LinearSelector& linears) {
    linears.add_kinds("self_attn.o");
    linears.add_exclude("*.blocks.1.self_attn.v");
  });
  CHECK(without->value_changes.size() == 2);
  CHECK_THAT(notes(without), Contains("transformer.blocks.1.self_attn.v makes it and is excluded"));
  const absl::Status none =
      plan([](LinearSelector& linears) { linears.add_kinds("ffn.down"); }).status();
  CHECK_THAT(std::string(none.message()), Contains("none of the selected layers has an input"));
}

TEST_CASE("smooth refuses options that cannot be meant") {
  const auto refused = [](const char* text, const char* said) {
    const absl::Status status =
        ParsedRecipe::Parse(absl::StrCat("passes { smooth { ", text, " } }"), "recipe",
                            BuiltinPasses())
            .status();
    INFO(status.ToString());
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Contains(said));
  };
  refused("alpha: 1.5", "1.5 is not in [0, 1]");
  refused("search_steps: 3", "search_steps");
  refused("format { int8 { } }", "format");
  refused("method: AWQ", "format");
  refused("method: AWQ alpha: 0.5 format { int8 { } }", "alpha");
  refused("method: AWQ search_steps: 0 format { int8 { } }", "0 is not in [1, 1000]");
}

TEST_CASE("smooth says which layer's inputs are not known, all zero or not finite") {
  const auto env = DiskWithWan();
  std::vector<Values> inputs = TransformerInputs(2, 1);
  inputs[1]["encoder_hidden_states"] = at::full({1, 16, 16}, std::nanf(""));
  WriteTransformerSamples(*env, "/nan", inputs);
  const absl::Status nan = CompressWan(*env, {"smooth { }"}, "/nan", "/out").status();
  INFO(nan.ToString());
  CHECK(nan.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(nan.message()),
             Contains("transformer.blocks.0.cross_attn.") && Contains("a NaN or an infinity"));
  const absl::Status none = CompressWan(*env, {"smooth { }"}, "", "/out_2").status();
  CHECK_THAT(std::string(none.message()), Contains("smooth: needs recorded inputs"));
}

}  // namespace wanlite
