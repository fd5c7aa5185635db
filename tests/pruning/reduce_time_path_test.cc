// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The pass reduce-time-path, and the weight format that it leaves.
#include "src/pruning/reduce_time_path.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/dump.h"
#include "src/pruning/curve_factors.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/wan_samples.h"
#include "wanlite/factored_weight.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"
#include "wanlite/time_path.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::CompressWan;
using testing::DiskWithWan;
using testing::FilesOf;
using testing::OutputOf;
using testing::TransformerInputs;
using testing::WanView;

at::Tensor NormalOf(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed));
}

// A curve that turns in few directions of many.
at::Tensor Turning(int64_t points, int64_t in, int64_t directions) {
  const at::Tensor t = at::linspace(0, 3, points, at::kDouble).unsqueeze(1);
  const at::Tensor waves = at::sin(t * at::arange(1, directions + 1).to(at::kDouble));
  return waves.matmul(NormalOf({directions, in}, 3).to(at::kDouble)) + NormalOf({in}, 4);
}

TEST_CASE("a factored weight is the product of its factors") {
  const at::Tensor a = NormalOf({3, 8}, 1), b = NormalOf({6, 3}, 2), bias = NormalOf({6}, 3);
  ASSERT_OK_AND_ASSIGN(const auto weight, MakeFactoredWeight(a, b));
  const at::Tensor x = NormalOf({2, 5, 8}, 4);
  CHECK(at::allclose(weight->Apply(x, bias), at::linear(x, b.matmul(a), bias), 1e-5, 1e-5));
  CHECK(at::allclose(weight->Dequantize(), b.matmul(a), 1e-6, 1e-6));
  CHECK(weight->parameters() == 3 * (8 + 6));
  CHECK(weight->bytes() == 4 * 3 * (8 + 6));
  CHECK(weight->arithmetic().realised_fraction == Approx(42.0 / 48));
  CHECK(weight->NonZero() == 1);
  CHECK(weight->dense() == nullptr);
  CHECK(weight->Merge().status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(weight->Apply(x.to(at::kBFloat16), bias).scalar_type() == at::kBFloat16);

  const at::Tensor keep = at::tensor({4, 1, 2}, at::kLong);
  for (const int64_t dim : {0, 1}) {
    ASSERT_OK_AND_ASSIGN(const auto cut, weight->Select(dim, keep));
    CHECK(at::allclose(cut->Dequantize(), b.matmul(a).index_select(dim, keep), 1e-6, 1e-6));
    for (const WeightTensor& state : cut->State()) {
      CHECK_FALSE(state.tensor.is_same(a));
      CHECK_FALSE(state.tensor.is_same(b));
    }
  }
  CHECK_FALSE(weight->Select(2, keep).ok());

  // Both factors train.
  at::Tensor live_a = a.clone().set_requires_grad(true), live_b = b.clone().set_requires_grad(true);
  ASSERT_OK_AND_ASSIGN(const auto trained, MakeFactoredWeight(live_a, live_b));
  trained->Apply(x, bias).square().sum().backward();
  CHECK(live_a.grad().defined());
  CHECK(live_b.grad().defined());
  for (const WeightTensor& state : trained->State()) CHECK(state.trains);
}

TEST_CASE("factors that do not fit each other, and states of another format, are refused") {
  const at::Tensor a = NormalOf({3, 8}, 1), b = NormalOf({6, 3}, 2);
  for (const auto& [left, right] : std::vector<std::pair<at::Tensor, at::Tensor>>{
           {at::Tensor(), b},
           {a, at::Tensor()},
           {a, NormalOf({6, 2}, 1)},
           {a[0], b},
           {a.slice(0, 0, 0), b.slice(1, 0, 0)},
           {a.to(at::kBFloat16), b},
           {a.to(at::kInt), b.to(at::kInt)},
       }) {
    CHECK(MakeFactoredWeight(left, right).status().code() == absl::StatusCode::kInvalidArgument);
  }
  const WeightFormatRegistry formats = BuiltinWeightFormats();
  CHECK(formats.Build("factored", {{"factor_a", a}, {"factor_b", b}}, "{}").ok());
  CHECK_FALSE(formats.Build("factored", {{"factor_a", a}}, "{}").ok());
  CHECK_FALSE(formats.Build("factored", {{"factor_a", a}, {"factor_b", b}, {"c", b}}, "{}").ok());
  CHECK_FALSE(formats.Build("factored", {{"factor_a", a}, {"factor_b", b}}, "{\"rank\": 3}").ok());
}

TEST_CASE("factors give what the layer gives along the curve, with as few ranks as can be") {
  const bool with_bias = GENERATE(true, false);
  for (int64_t trial = 0; trial < 6; ++trial) {
    const auto seed = static_cast<uint64_t>(trial);
    const int64_t directions = 1 + trial, in = 16 + 3 * trial, out = 20 + 7 * trial;
    const at::Tensor x = Turning(60, in, directions);
    const at::Tensor weight = NormalOf({out, in}, 10 + seed);
    std::optional<at::Tensor> bias;
    if (with_bias) bias = NormalOf({out}, 20 + seed);
    CAPTURE(with_bias, trial);
    const OutputCurve curve(x, weight, bias);
    // Without a bias the common part is one more direction.
    const int64_t all = directions + (with_bias ? 0 : 1);
    CHECK(curve.RankFor(1e-5) <= all);
    const auto error_of = [&](int64_t rank) {
      const CurveFactors factors = curve.Factors(rank);
      return LargestCurveError(x, weight, bias, x, factors.a, factors.b, factors.bias);
    };
    CHECK(error_of(all) < 1e-5);
    CHECK(error_of(all + 2) < 1e-5);  // zeros
    for (const double tolerance : {0.3, 0.1, 0.01, 1e-3}) {
      const int64_t rank = curve.RankFor(tolerance);
      CHECK(error_of(rank) <= tolerance * (1 + 1e-6));
      if (rank > 1) CHECK(error_of(rank - 1) > tolerance * (1 - 1e-6));
    }
  }
}

TEST_CASE("a Wan's time path is reduced, and its output stays within the tolerance") {
  const std::unique_ptr<Env> env = DiskWithWan();
  ASSERT_OK_AND_ASSIGN(const RunReport report,
                       CompressWan(*env, {"reduce_time_path { tolerance: 0.3 }"}, "", "/out"));
  const ModelView before = WanView(*env, "/model"), after = WanView(*env, "/out");
  int64_t factored = 0;
  for (const std::string& linear : TimeLinearsOf(*after.FindComponent("transformer"))) {
    const LinearWeight& weight = **after.Weight(linear);
    if (weight.format() != "factored") continue;
    ++factored;
    CHECK(weight.parameters() < (*before.Weight(linear))->parameters());
  }
  CHECK(factored >= 1);
  CHECK(report.passes[0].metrics.at("reduced_layers") == static_cast<double>(factored));
  CHECK(report.passes[0].metrics.at("parameters_after") <
        report.passes[0].metrics.at("parameters_before"));
  CHECK(report.passes[0].bytes_after < report.passes[0].bytes_before);
  Random random(7);
  Values values = TransformerInputs(1, 5)[0];
  for (int i = 0; i < 50; ++i) {
    values["timestep"] = at::full({1}, 1000 * random.Uniform());
    const at::Tensor want = OutputOf(before, "transformer", values);
    const at::Tensor found = OutputOf(after, "transformer", values);
    CHECK(((found - want).norm() / want.norm()).item<double>() < 0.6);
  }
  // A timestep for each token.
  values["timestep"] = at::linspace(0, 1000, 2 * 2 * 3).unsqueeze(0);
  const at::Tensor want = OutputOf(before, "transformer", values);
  CHECK(((OutputOf(after, "transformer", values) - want).norm() / want.norm()).item<double>() <
        0.6);
  ASSERT_OK_AND_ASSIGN(const std::string manifest, env->ReadFile("/out/wanlite.json"));
  CHECK_THAT(manifest, Contains("hardly less time") && Contains("time_projection.1"));
}

TEST_CASE("a rank that is given is planned exactly, and is what the layers get") {
  const std::unique_ptr<Env> env = DiskWithWan();
  ASSERT_OK_AND_ASSIGN(
      const ParsedRecipe recipe,
      ParsedRecipe::Parse("passes { reduce_time_path { rank: 3 } }", "r", BuiltinPasses()));
  const ModelView model = WanView(*env, "/model", /*load=*/false);
  ASSERT_OK_AND_ASSIGN(const PassNotes notes, recipe.stages()[0].pass->Plan(model));
  CHECK(notes.exact);
  REQUIRE_OK(CompressWan(*env, {"reduce_time_path { rank: 3 timesteps: 50 }"}, "", "/out"));
  const ModelView after = WanView(*env, "/out");
  for (const std::string& linear : TimeLinearsOf(*after.FindComponent("transformer"))) {
    const LinearWeight& weight = **after.Weight(linear);
    REQUIRE(weight.format() == "factored");
    CHECK(weight.State()[0].tensor.size(0) == 3);
  }
}

TEST_CASE("a reduced time path is cast, cut, quantized around, exported and opened again") {
  const std::unique_ptr<Env> env = DiskWithWan();
  const std::string reduce = "reduce_time_path { tolerance: 1e-3 timesteps: 101 }";
  REQUIRE_OK(CompressWan(
      *env, {reduce, "quantize_int8 { }", "drop_blocks { blocks: \"*.blocks.1\" }"}, "", "/later"));
  REQUIRE_OK(CompressWan(*env, {"drop_blocks { blocks: \"*.blocks.1\" }", reduce}, "", "/first"));
  CHECK(WanView(*env, "/later").blocks().size() == 1 + 2);
  ModelView cast = WanView(*env, "/later");
  REQUIRE_OK(cast.Cast(at::kBFloat16));
  CHECK(OutputOf(cast, "transformer", TransformerInputs(1, 5)[0]).isfinite().all().item<bool>());
  ModelView cut = WanView(*env, "/first");
  const AxisGroup* width = nullptr;
  for (const AxisGroup& group : cut.groups()) {
    if (group.kind == "width") width = &group;
  }
  REQUIRE(width != nullptr);
  REQUIRE_OK(cut.KeepUnits(width->name, at::arange(width->units - 2)));
  // Twice is an error that names the layer.
  CHECK_THAT(std::string(CompressWan(*env, {reduce, reduce}, "", "/twice").status().message()),
             Contains("time_") && Contains("factored"));
}

TEST_CASE("a killed reduction goes on to the same bytes") {
  const auto run = [](Env& env) {
    return CompressWan(env, {"reduce_time_path { tolerance: 1e-3 timesteps: 51 }"}, "", "/out")
        .status();
  };
  const std::unique_ptr<Env> whole = DiskWithWan();
  REQUIRE_OK(run(*whole));
  int64_t kill = 0;
  for (;; kill += 4) {
    const std::unique_ptr<Env> env = DiskWithWan();
    if (run(*NewFaultEnv(*env, kill)).ok()) break;
    INFO("killed at write " << kill);
    REQUIRE_OK(run(*env));
    CHECK(FilesOf(*env, "/out") == FilesOf(*whole, "/out"));
  }
  CHECK(kill > 12);
}

TEST_CASE("a reduction that cannot be meant is refused by the plan") {
  const std::unique_ptr<Env> env = DiskWithWan();
  const ModelView model = WanView(*env, "/model", /*load=*/false);
  const auto error = [&](const std::string& options) -> std::string {
    const absl::StatusOr<ParsedRecipe> recipe = ParsedRecipe::Parse(
        absl::StrCat("passes { reduce_time_path { ", options, " } }"), "r", BuiltinPasses());
    if (!recipe.ok()) return std::string(recipe.status().message());
    return std::string(recipe->stages()[0].pass->Plan(model).status().message());
  };
  for (const auto& [options, words] : std::vector<std::pair<std::string, std::string>>{
           {"rank: 3 tolerance: 0.1", "beside rank"},
           {"rank: 0", "rank"},
           {"rank: 60 timesteps: 50", "timesteps"},
           {"rank: 900", "smaller"},
           {"tolerance: 0", "tolerance"},
           {"tolerance: nan", "tolerance"},
           {"tolerance: 1", "tolerance"},
           {"timesteps: 1", "timesteps"},
           {"components: \"vae\"", "fits no component"},
       }) {
    CAPTURE(options);
    CHECK_THAT(error(options), Contains(words));
  }
  CHECK(error("").empty());
}

}  // namespace
}  // namespace wanlite
