// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Repeats: rounds, schedules, and floors that end a run and take it back.
#include <cmath>
#include <string>

#include "src/core/libtorch.h"
#include "src/proto/manifest.pb.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "wanlite/block_program.h"
#include "wanlite/pipeline.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using testing::Compress;
using testing::DiskWithModel;
using testing::OpenFolder;
using testing::ToyRecipe;
using testing::Tree;

// The fraction of weights of the blocks that are not zero.
class NonZeroGauge : public QualityGauge {
 public:
  absl::string_view name() const override { return "non-zero"; }
  absl::StatusOr<double> Measure(const ModelFolder& original, const ModelFolder& now,
                                 PassContext& context) const override {
    ++measured;
    WANLITE_ASSIGN_OR_RETURN(ModelView view, now.BuildView());
    WANLITE_RETURN_IF_ERROR(view.LoadAll());
    double weights = 0, left = 0;
    for (const LinearInfo& linear : view.linears()) {
      if (linear.sensitive) continue;
      const at::Tensor matrix = (*view.Weight(linear.path))->Dequantize();
      weights += static_cast<double>(matrix.numel());
      left += static_cast<double>(at::count_nonzero(matrix).item<int64_t>());
    }
    return left / weights;
  }
  mutable int measured = 0;
};

double NonZero(Env& env, const std::string& dir) {
  PassContext context;
  const ModelFolder folder = OpenFolder(env, dir);
  ASSERT_OK_AND_ASSIGN(const double value, NonZeroGauge().Measure(folder, folder, context));
  return value;
}

std::string Repeat(int rounds, const std::string& passes, const std::string& rest = "") {
  return absl::StrCat("passes { repeat { rounds: ", rounds, " ", passes, " ", rest, " } }\n");
}
const char kPrune[] = "passes { prune_magnitude { amount: 0.75 } }";
const char kScale[] =
    "passes { custom { [type.googleapis.com/google.protobuf.DoubleValue] { value: 1 } } }";

absl::StatusOr<RunReport> CompressGauged(Env& env, const ParsedRecipe& recipe,
                                         const NonZeroGauge& gauge) {
  CompressOptions options;
  options.gauges = {&gauge};
  return Compress(env, recipe, options);
}

TEST_CASE("a repeat is its rounds in a row, each a part of the way to the target") {
  const ParsedRecipe recipe =
      ToyRecipe("seed: 4\npasses { quantize_int8 { linears { include: \"toy.head\" } } }\n" +
                Repeat(3, std::string(kPrune) + kScale));
  std::vector<std::string> labels;
  std::vector<uint64_t> seeds;
  for (const RecipeStage& stage : recipe.stages()) {
    labels.push_back(absl::StrCat(stage.round, ": ", stage.label));
    seeds.push_back(stage.seed);
    CHECK_FALSE(stage.judged);
  }
  CHECK(labels == std::vector<std::string>{"0: 1/7 quantize-int8", "1: 1/3 prune-magnitude",
                                           "1: 1/3 scale-model", "2: 2/3 prune-magnitude",
                                           "2: 2/3 scale-model", "3: 3/3 prune-magnitude",
                                           "3: 3/3 scale-model"});
  CHECK(seeds[0] == 4);
  CHECK(seeds[1] == seeds[2]);
  CHECK(seeds[1] != seeds[0]);
  CHECK(seeds[3] != seeds[1]);

  const auto fractions = [&](const std::string& schedule) {
    const std::unique_ptr<Env> env = DiskWithModel();
    ASSERT_OK_AND_ASSIGN(const RunReport report,
                         Compress(*env, ToyRecipe(Repeat(3, kPrune, schedule))));
    CHECK(NonZero(*env, "/out") == 0.25);
    std::vector<double> zeros;
    for (const PassReport& pass : report.passes) {
      zeros.push_back(pass.metrics.at("zero_fraction"));
      CHECK(pass.accepted);
      CHECK_FALSE(pass.gauge.has_value());
    }
    return zeros;
  };
  CHECK(fractions("") == std::vector<double>{0.25, 0.5, 0.75});
  const std::vector<double> cubic = fractions("schedule: CUBIC");
  REQUIRE(cubic.size() == 3);
  for (int r = 1; r <= 3; ++r) {
    CHECK(cubic[r - 1] == Approx(0.75 * (1 - std::pow(1 - r / 3.0, 3))).margin(0.01));
  }
}

TEST_CASE("rounds from one magnitude pruning leave what one pruning leaves") {
  const std::unique_ptr<Env> rounds = DiskWithModel(), once = DiskWithModel();
  REQUIRE_OK(Compress(*rounds, ToyRecipe(Repeat(3, kPrune))));
  REQUIRE_OK(Compress(*once, ToyRecipe(kPrune)));
  for (const auto& [name, bytes] : Tree(*once, "/out")) {
    if (name.find(".safetensors") == std::string::npos) continue;
    INFO(name);
    CHECK(*rounds->ReadFile("/out/" + name) == bytes);
  }
}

TEST_CASE("a round below the floor ends the run, and the one before is the result") {
  // Zeros after the rounds: 15, 30, 45, 60, 75 %.
  const ParsedRecipe recipe = ToyRecipe(
      Repeat(5, std::string(kPrune) + kScale, "floor { gauge: 'non-zero' at_least: 0.6 }") +
      "passes { quantize_int8 {} }");
  const std::unique_ptr<Env> env = DiskWithModel();
  const NonZeroGauge gauge;
  ASSERT_OK_AND_ASSIGN(const RunReport report, CompressGauged(*env, recipe, gauge));
  CHECK(gauge.measured == 3);
  REQUIRE(report.passes.size() == 6);
  for (int i = 0; i < 6; ++i) {
    CHECK(report.passes[i].accepted == (i < 4));
    CHECK(report.passes[i].gauge.has_value() == (i % 2 == 1));
  }
  CHECK(*report.passes[3].gauge == Approx(0.7).margin(0.01));
  CHECK(*report.passes[5].gauge == Approx(0.55).margin(0.01));
  CHECK(report.stopped.find("3/5 scale-model left non-zero 0.5") == 0);
  CHECK(report.stopped.find("below the floor of 0.6") != std::string::npos);
  CHECK(NonZero(*env, "/out") == Approx(0.7).margin(0.01));
  const ModelFolder out = OpenFolder(*env, "/out");
  REQUIRE(out.manifest()->lineage_size() == 4);
  CHECK(out.manifest()->lineage(3).pass() == "scale-model");
  CHECK(*env->ListFolder("/") == std::vector<std::string>{"in", "out"});
}

TEST_CASE("a floor that every round keeps changes nothing, and what follows the repeat runs") {
  const std::string after = "passes { quantize_int8 {} }";
  const std::unique_ptr<Env> free = DiskWithModel(), gated = DiskWithModel();
  const NonZeroGauge gauge;
  REQUIRE_OK(Compress(*free, ToyRecipe("name: 'r' " + Repeat(3, kPrune) + after)));
  ASSERT_OK_AND_ASSIGN(
      const RunReport report,
      CompressGauged(
          *gated,
          ToyRecipe("name: 'r' " + Repeat(3, kPrune, "floor { gauge: 'non-zero' at_least: 0.25 }") +
                    after),
          gauge));
  CHECK(report.stopped.empty());
  CHECK(report.passes.size() == 4);
  CHECK(Tree(*gated, "/out") == Tree(*free, "/out"));
}

TEST_CASE("a relative floor is a fraction of the original's quality, which is measured once") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe =
      ToyRecipe(Repeat(5, kPrune, "floor { gauge: 'non-zero' at_least: 0.6 relative: true }"));
  const NonZeroGauge gauge;
  ASSERT_OK_AND_ASSIGN(const RunReport report, CompressGauged(*env, recipe, gauge));
  CHECK(gauge.measured == 3 + 1);
  CHECK(report.passes.size() == 3);
  CHECK_FALSE(report.passes[2].accepted);
}

TEST_CASE("when already the first round falls below the floor, nothing is published") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe =
      ToyRecipe(Repeat(5, kPrune, "floor { gauge: 'non-zero' at_least: 0.99 }"));
  const NonZeroGauge gauge;
  // The same answer when it is asked again, without doing it again.
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = CompressGauged(*env, recipe, gauge).status();
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(std::string(status.message()).find("no round kept its floor: 1/5 prune-magnitude") !=
          std::string::npos);
    CHECK(gauge.measured == 1);
  }
  CHECK_FALSE(env->FolderExists("/out"));
  // After a stage that counts by itself, that one is the result.
  const std::unique_ptr<Env> other = DiskWithModel();
  REQUIRE_OK(
      CompressGauged(*other,
                     ToyRecipe("passes { prune_magnitude { amount: 0.1 } }" +
                               Repeat(2, kPrune, "floor { gauge: 'non-zero' at_least: 0.8 }")),
                     gauge));
  CHECK(NonZero(*other, "/out") == Approx(0.9).margin(0.01));
}

TEST_CASE("a repeat with a floor, killed at any write, resumes in any round to the same bytes") {
  const ParsedRecipe recipe =
      ToyRecipe(Repeat(4,
                       "passes { prune_magnitude { amount: 0.75 linears { include: "
                       "'toy.blocks.*' } } }",
                       "floor { gauge: 'non-zero' at_least: 0.8 relative: true }"));
  const NonZeroGauge gauge;
  const std::unique_ptr<Env> whole = DiskWithModel();
  ASSERT_OK_AND_ASSIGN(const RunReport unbroken, CompressGauged(*whole, recipe, gauge));
  REQUIRE(unbroken.passes.size() == 3);  // the third falls below
  REQUIRE_FALSE(unbroken.stopped.empty());
  const auto expected = Tree(*whole, "/out");
  int64_t kill = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const std::unique_ptr<Env> disk = DiskWithModel();
    const std::unique_ptr<FaultEnv> dying = NewFaultEnv(*disk, kill);
    const absl::StatusOr<RunReport> killed = CompressGauged(*dying, recipe, gauge);
    if (killed.ok()) break;
    REQUIRE(killed.status().code() == StatusCode::kResourceExhausted);
    ASSERT_OK_AND_ASSIGN(const RunReport report, CompressGauged(*disk, recipe, gauge));
    REQUIRE(Tree(*disk, "/out") == expected);
    REQUIRE(*disk->ListFolder("/") == std::vector<std::string>{"in", "out"});
    CHECK(report.stopped == unbroken.stopped);
    REQUIRE(report.passes.size() == 3);
    for (int i = 0; i < 3; ++i) {
      CHECK(report.passes[i].gauge == unbroken.passes[i].gauge);
      CHECK(report.passes[i].accepted == (i < 2));
    }
  }
  CHECK(kill > 100);
}

TEST_CASE("a gauge that nobody brought is refused before anything is written") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe =
      ToyRecipe(Repeat(2, kPrune, "floor { gauge: 'beauty' at_least: 0.5 }"));
  const absl::Status status = Compress(*env, recipe).status();
  CHECK(status ==
        absl::InvalidArgumentError("the recipe has a floor of the gauge 'beauty', which is not "
                                   "known here; there are: weight-cosine, output-cosine"));
  CHECK(*env->ListFolder("/") == std::vector<std::string>{"in"});
  ModelView model = *OpenFolder(*env, "/in").BuildView();
  REQUIRE_OK(model.LoadAll());
  CHECK(CompressInMemory(recipe, model).status().code() == StatusCode::kUnimplemented);
  REQUIRE_OK(CompressInMemory(ToyRecipe(Repeat(2, kPrune)), model));
}

TEST_CASE("weight-cosine is 1 for equal weights and falls as they go") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ModelFolder in = OpenFolder(*env, "/in");
  PassContext context;
  context.progress = &SilentProgress();
  const QualityGauge& gauge = WeightCosineGauge();
  CHECK(*gauge.Measure(in, in, context) == Approx(1).epsilon(1e-12));
  double last = 1;
  for (const char* passes :
       {"passes { quantize_int8 {} }", "passes { prune_magnitude { amount: 0.3 } }",
        "passes { prune_magnitude { amount: 0.7 } }"}) {
    REQUIRE_OK(Compress(*env, ToyRecipe(passes)));
    ASSERT_OK_AND_ASSIGN(const double cosine, gauge.Measure(in, OpenFolder(*env, "/out"), context));
    CHECK(cosine < last);
    last = cosine;
    REQUIRE_OK(env->RemoveAll("/out"));
  }
  CHECK(last > 0.5);
  // Held against one vector of all weights.
  REQUIRE_OK(Compress(*env, ToyRecipe("passes { prune_magnitude { amount: 0.5 } }")));
  ModelView before = *in.BuildView(), after = *OpenFolder(*env, "/out").BuildView();
  REQUIRE_OK(before.LoadAll());
  REQUIRE_OK(after.LoadAll());
  std::vector<at::Tensor> a, b;
  for (const LinearInfo& linear : before.linears()) {
    a.push_back((*before.Weight(linear.path))->Dequantize().flatten());
    b.push_back((*after.Weight(linear.path))->Dequantize().flatten());
  }
  const at::Tensor x = at::cat(a).to(at::kDouble), y = at::cat(b).to(at::kDouble);
  CHECK(*gauge.Measure(in, OpenFolder(*env, "/out"), context) ==
        Approx((x.dot(y) / (x.norm() * y.norm())).item<double>()).epsilon(1e-6));
  REQUIRE_OK(env->RemoveAll("/out"));
  REQUIRE_OK(Compress(*env, ToyRecipe(testing::KeepUnits(6))));
  CHECK(gauge.Measure(in, OpenFolder(*env, "/out"), context).status().code() ==
        StatusCode::kUnimplemented);
}

// Of the first component alone, with weights 1, 2, 3.
SampleSet GaugeSamples(Env& env, const std::string& dir, uint64_t seed) {
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(env, dir, {}));
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (int i = 0; i < 3; ++i) {
    SampleInfo sample;
    sample.component = "toy";
    sample.weight = 1 + i;
    sample.values["input"] = absl::StrCat("rows.", i);
    tensors.push_back({sample.values["input"], at::randn({5, 4}, generator)});
    samples.push_back(sample);
  }
  REQUIRE_OK(writer->WriteFile("rows", tensors));
  REQUIRE_OK(writer->Finish(samples));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(env, dir));
  return set;
}

TEST_CASE("output-cosine compares what two models make of samples, whatever their structure") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ModelFolder in = OpenFolder(*env, "/in");
  const SampleSet samples = GaugeSamples(*env, "/samples", 1);
  PassContext context;
  context.progress = &SilentProgress();
  const QualityGauge& gauge = OutputCosineGauge();
  CHECK(gauge.Measure(in, in, context).status().code() == StatusCode::kFailedPrecondition);
  context.samples = &samples;
  CHECK(*gauge.Measure(in, in, context) == Approx(1).epsilon(1e-12));

  REQUIRE_OK(Compress(*env, ToyRecipe(testing::KeepUnits(6))));
  const ModelFolder out = OpenFolder(*env, "/out");
  ModelView before = *in.BuildView(), after = *out.BuildView();
  REQUIRE_OK(before.LoadAll());
  REQUIRE_OK(after.LoadAll());
  const at::NoGradGuard no_grad;
  double wanted = 0;
  for (int i = 0; i < 3; ++i) {
    const Values values = *samples.Read("toy", i);
    const at::Tensor a = ProgramOf(*before.FindComponent("toy"))->Run(values).flatten(),
                     b = ProgramOf(*after.FindComponent("toy"))->Run(values).flatten();
    wanted += (1 + i) / 6.0 * (a.dot(b) / (a.norm() * b.norm())).item<double>();
  }
  CHECK(wanted < 0.99);
  CHECK(*gauge.Measure(in, out, context) == Approx(wanted).epsilon(1e-5));
}

TEST_CASE("a floor of output-cosine needs samples, which belong to the run") {
  const std::unique_ptr<Env> env = DiskWithModel();
  const ParsedRecipe recipe =
      ToyRecipe(Repeat(4, kPrune, "floor { gauge: 'output-cosine' at_least: 0.9 }"));
  const absl::Status status = Compress(*env, recipe).status();
  CHECK(status.code() == StatusCode::kFailedPrecondition);
  CHECK(std::string(status.message()).find("wanlite record") != std::string::npos);
  CHECK(*env->ListFolder("/") == std::vector<std::string>{"in"});

  const SampleSet samples = GaugeSamples(*env, "/samples", 1);
  const SampleSet others = GaugeSamples(*env, "/others", 2);
  CompressOptions options;
  options.samples = &samples;
  const auto dying = NewFaultEnv(*env, 20);
  REQUIRE_FALSE(Compress(*dying, recipe, options).ok());
  options.samples = &others;
  CHECK(Compress(*env, recipe, options).status().code() == StatusCode::kFailedPrecondition);
  options.samples = &samples;
  ASSERT_OK_AND_ASSIGN(const RunReport report, Compress(*env, recipe, options));
  CHECK_FALSE(report.stopped.empty());
  const std::vector<PassReport>& rounds = report.passes;
  REQUIRE(rounds.size() >= 2);
  CHECK(*rounds[rounds.size() - 2].gauge >= 0.9);
  CHECK(*rounds.back().gauge < 0.9);
}

}  // namespace
}  // namespace wanlite
