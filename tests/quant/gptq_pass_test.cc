// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// gptq through the pipeline.
#include "src/quant/gptq_pass.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/proto/manifest.pb.h"
#include "src/proto/quant.pb.h"
#include "src/quant/gptq.h"
#include "src/quant/input_statistics.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/wan_samples.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::CompressWan;
using testing::DiskWithWan;
using testing::OutputOf;
using testing::TransformerInputs;
using testing::Tree;
using testing::WanView;
using testing::WriteTransformerSamples;

// With the weights that they stand for in fp32, so that rounded activations do not hide what
// rounded weights do.
ModelView Expanded(Env& env, const std::string& dir) {
  ModelView view = WanView(env, dir);
  for (const LinearInfo& linear : std::vector<LinearInfo>(view.linears())) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear.path));
    REQUIRE_OK(view.SetLinearWeight(linear.path, MakeDenseWeight(weight->Dequantize())));
  }
  return view;
}

double ErrorOn(const std::vector<Values>& inputs, const ModelView& original,
               const ModelView& compressed) {
  double error = 0, energy = 0;
  for (const Values& values : inputs) {
    const at::Tensor want = OutputOf(original, "transformer", values);
    error += (OutputOf(compressed, "transformer", values) - want).square().sum().item<double>();
    energy += want.square().sum().item<double>();
  }
  return std::sqrt(error / energy);
}

std::unique_ptr<Env> DiskWithSamples(int64_t samples = 8, int layers = 3) {
  std::unique_ptr<Env> env = DiskWithWan(/*text_encoder=*/false, layers);
  WriteTransformerSamples(*env, "/samples", TransformerInputs(samples, 1));
  return env;
}

// A format of GPTQ and the pass that rounds to it.
struct GptqFormat {
  std::string gptq, round;
};
std::vector<GptqFormat> GptqFormats() {
  std::vector<GptqFormat> formats;
  for (const auto& [name, options] : {std::pair<std::string, std::string>{"int8", ""},
                                      {"int8", "rotation: CONVROT rotation_group: 4"},
                                      {"int8", "activations: FLOAT"},
                                      {"int4", "group: 8"},
                                      {"int4", "group: 8 zero_point: true"}}) {
    formats.push_back({absl::StrCat("gptq { format { ", name, " { ", options, " } } }"),
                       absl::StrCat("quantize_", name, " { ", options, " }")});
  }
  return formats;
}

}  // namespace

TEST_CASE("gptq is nearer to the model than rounding, on samples it has not seen, in each format") {
  const GptqFormat format = GptqFormats()[static_cast<size_t>(GENERATE(0, 1, 2, 3, 4))];
  INFO(format.gptq);
  const auto env = DiskWithSamples();
  ASSERT_OK_AND_ASSIGN(const RunReport report,
                       CompressWan(*env, {format.gptq}, "/samples", "/gptq"));
  REQUIRE_OK(CompressWan(*env, {format.round}, "", "/round"));
  const ModelView original = WanView(*env, "/model");
  const std::vector<Values> unseen = TransformerInputs(6, 77);
  const double by_gptq = ErrorOn(unseen, original, Expanded(*env, "/gptq"));
  const double by_rounding = ErrorOn(unseen, original, Expanded(*env, "/round"));
  INFO("gptq " << by_gptq << ", rounded " << by_rounding);
  CHECK(by_gptq > 0);
  CHECK(by_gptq < 0.85 * by_rounding);
  const auto& metrics = report.passes[0].metrics;
  CHECK(metrics.at("quantized_layers") == 30);
  CHECK(metrics.at("mean_relative_output_error") > 0);
  CHECK(metrics.at("mean_relative_output_error") < metrics.at("mean_relative_error"));
}

TEST_CASE("gptq calibrates on what the layers before have become, within a block too") {
  const auto env = DiskWithSamples(3);
  REQUIRE_OK(CompressWan(*env, {"gptq { format { int4 { group: 8 } } }"}, "/samples", "/out"));
  // Its result for the last layer of block 1 follows from the compressed model alone: the moments
  // of what that makes of the samples.
  const at::NoGradGuard no_grad;
  const std::string path = "transformer.blocks.1.ffn.2";
  ASSERT_OK_AND_ASSIGN(const SampleSet samples, SampleSet::Open(*env, "/samples"));
  LinearFormat format;
  format.mutable_int4()->set_group(8);
  ASSERT_OK_AND_ASSIGN(const auto quantizer, MakeWeightQuantizer(format, "format"));
  const ModelView original = WanView(*env, "/model");
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, original.Weight(path));
  const auto rounded_on = [&](const ModelView& model) {
    InputTap tap({path}, {quantizer.get(), nullptr, /*moments=*/true});
    auto guard = TapLinears(model, "transformer.blocks.1", tap);
    REQUIRE_OK(guard);
    for (int64_t i = 0; i < samples.size("transformer"); ++i) {
      tap.BeginSample(samples.sample("transformer", i).weight, 0);
      OutputOf(model, "transformer", *samples.Read("transformer", i));
    }
    ASSERT_OK_AND_ASSIGN(at::Tensor moment, tap.TakeMoment(path));
    ASSERT_OK_AND_ASSIGN(const MomentFactor factor, MomentFactor::Make(std::move(moment), {}));
    ASSERT_OK_AND_ASSIGN(const GptqResult result,
                         GptqRound(*weight->dense(), factor, *quantizer->Grid(40, 1)));
    return result.rounded;
  };
  const ModelView compressed = WanView(*env, "/out");
  ASSERT_OK_AND_ASSIGN(const LinearWeight* made, compressed.Weight(path));
  CHECK(at::equal(made->Dequantize(), rounded_on(compressed)));
  CHECK_FALSE(at::equal(made->Dequantize(), rounded_on(original)));
}

TEST_CASE("gptq killed at any write continues to the bytes of an unbroken run") {
  const std::vector<std::string> passes = {
      "gptq { format { int4 { group: 8 } } activation_order: true "
      "linears { kinds: 'self_attn.*' } }"};
  const auto unbroken = DiskWithSamples(1, 2);
  REQUIRE_OK(CompressWan(*unbroken, passes, "/samples", "/out"));
  const auto expected = Tree(*unbroken, "/out");
  // Again, it gives the same bytes.
  REQUIRE_OK(CompressWan(*unbroken, passes, "/samples", "/again"));
  CHECK(Tree(*unbroken, "/again") == expected);
  int64_t kill = 0, resumed = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const auto disk = DiskWithSamples(1, 2);
    const absl::Status killed =
        CompressWan(*NewFaultEnv(*disk, kill), passes, "/samples", "/out").status();
    if (killed.ok()) break;
    REQUIRE(killed.code() == absl::StatusCode::kResourceExhausted);
    ASSERT_OK_AND_ASSIGN(const RunReport report, CompressWan(*disk, passes, "/samples", "/out"));
    resumed += report.passes[0].resumed;
    REQUIRE(Tree(*disk, "/out") == expected);
    REQUIRE(*disk->ListFolder("/") == std::vector<std::string>{"model", "out", "samples"});
  }
  CHECK(kill > 50);
  CHECK(resumed > kill / 2);
}

TEST_CASE(
    "gptq calibrates a model that earlier passes have compressed, on a schedule of few steps") {
  const auto env = DiskWithWan();
  // Two steps, of several generations.
  const auto two_steps = [](uint64_t first_seed) {
    std::vector<Values> inputs;
    for (uint64_t seed = first_seed; seed < first_seed + 6; ++seed) {
      for (Values& values : TransformerInputs(2, seed)) inputs.push_back(std::move(values));
    }
    return inputs;
  };
  WriteTransformerSamples(*env, "/samples", two_steps(1));
  const std::string prune = "prune_magnitude { amount: 0.3 }";
  const std::string int4 = "int4 { group: 8 }";
  REQUIRE_OK(CompressWan(*env, {prune}, "", "/pruned"));
  REQUIRE_OK(CompressWan(*env, {prune, "gptq { format { " + int4 + " } }"}, "/samples", "/gptq"));
  REQUIRE_OK(CompressWan(*env, {prune, "quantize_" + int4}, "", "/round"));
  const ModelView pruned = WanView(*env, "/pruned");
  const std::vector<Values> unseen = two_steps(77);
  const double by_gptq = ErrorOn(unseen, pruned, WanView(*env, "/gptq"));
  const double by_rounding = ErrorOn(unseen, pruned, WanView(*env, "/round"));
  INFO("gptq " << by_gptq << ", rounded " << by_rounding);
  CHECK(by_gptq < 0.95 * by_rounding);
}

TEST_CASE("layers that gptq leaves alone stay bit-identical, and activations flow through them") {
  const auto env = DiskWithSamples(2);
  REQUIRE_OK(
      CompressWan(*env,
                  {"gptq { format { int8 { } } linears { kinds: 'ffn.*' blocks { from: 1 to: "
                   "-1 } } }"},
                  "/samples", "/out"));
  const ModelView original = WanView(*env, "/model"), made = WanView(*env, "/out");
  int quantized = 0;
  for (const LinearInfo& linear : original.linears()) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* before, original.Weight(linear.path));
    ASSERT_OK_AND_ASSIGN(const LinearWeight* after, made.Weight(linear.path));
    if (absl::StrContains(linear.path, "blocks.1.ffn.")) {
      CHECK(after->format() == "int8");
      ++quantized;
    } else {
      INFO(linear.path);
      REQUIRE(after->dense() != nullptr);
      CHECK(at::equal(*after->dense(), *before->dense()));
    }
  }
  CHECK(quantized == 2);
}

TEST_CASE("gptq is refused without samples of what it changes, and for layers that none reaches") {
  const auto env = DiskWithWan();
  const std::vector<std::string> passes = {"gptq { format { int8 { } } }"};
  const auto refused = [&](const absl::Status& status, const char* said) {
    INFO(status.ToString());
    CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
    CHECK_THAT(std::string(status.message()), Contains(said));
  };
  refused(CompressWan(*env, passes, "", "/out").status(), "gptq: needs recorded inputs");
  const auto two = NewMemEnv();
  testing::TinyWanOptions options;
  options.vae = options.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*two, "/model", options));
  WriteTransformerSamples(*two, "/samples", TransformerInputs(2, 1), "transformer_2");
  refused(CompressWan(*two, passes, "/samples", "/out").status(),
          "gptq: changes transformer.blocks.0, and the sample set has none of 'transformer'");
  // Chosen by name, the layers of that component alone can be done.
  REQUIRE_OK(CompressWan(*two,
                         {"gptq { format { int8 { } } linears { components: 'transformer_2' } }"},
                         "/samples", "/out"));
  WriteTransformerSamples(*env, "/samples", TransformerInputs(2, 1));
  refused(CompressWan(*env, {"gptq { format { int8 { } } linears { include: '*head.head' } }"},
                      "/samples", "/out")
              .status(),
          "transformer.head.head: no sample reaches it");
  // Inputs of another width than the model takes.
  std::vector<Values> wide = TransformerInputs(2, 1);
  for (Values& values : wide) values["encoder_hidden_states"] = at::randn({1, 16, 20});
  WriteTransformerSamples(*env, "/wide", wide);
  const absl::Status misfit = CompressWan(*env, passes, "/wide", "/out_wide").status();
  INFO(misfit.ToString());
  CHECK(misfit.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(misfit.message()), Contains("encoder_hidden_states"));
}

TEST_CASE("gptq refuses options that cannot be meant") {
  const auto refused = [](const char* text, const char* said) {
    const absl::Status status = ParsedRecipe::Parse(absl::StrCat("passes { gptq { ", text, " } }"),
                                                    "recipe", BuiltinPasses())
                                    .status();
    INFO(status.ToString());
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Contains(said));
  };
  refused("", "format");
  refused("format { int8 { linears { include: '*' } } }", "linears");
  refused("format { int8 { } } damping: 0", "0 is not in (0, 1]");
  refused("format { int8 { } } damping: 1.5", "1.5 is not in (0, 1]");
  GptqOptions options;
  options.mutable_format()->mutable_int8();
  ASSERT_OK_AND_ASSIGN(const auto pass, MakeGptq(options));
  CHECK(dynamic_cast<const GptqOptions&>(pass->options()).damping() == 0.01);
}

TEST_CASE("gptq's plan says what the moments take, and refuses groups that do not fit") {
  const auto env = DiskWithWan();
  const ModelView model = WanView(*env, "/model", /*load=*/false);
  GptqOptions options;
  options.mutable_format()->mutable_int8();
  ASSERT_OK_AND_ASSIGN(const auto pass, MakeGptq(options));
  ASSERT_OK_AND_ASSIGN(const PassNotes notes, pass->Plan(model));
  // Of the widest layer, [24, 40]: two matrices of moments at least.
  CHECK(notes.block_scratch_bytes > 2 * 4 * 40 * 40);
  CHECK(GptqScratchBytes(5120, 13824) > int64_t{2} * 4 * 13824 * 13824);
  CHECK(GptqScratchBytes(5120, 13824) < (int64_t{3} << 30));
  options.mutable_format()->mutable_int4()->set_group(64);
  ASSERT_OK_AND_ASSIGN(const auto wide, MakeGptq(options));
  const absl::Status misfit = wide->Plan(model).status();
  CHECK(misfit.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(misfit.message()), Contains("transformer.blocks.0.self_attn.q"));
}

}  // namespace wanlite
