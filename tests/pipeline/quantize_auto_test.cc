// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// quantize-auto from a recipe: what it chooses, says, keeps and refuses.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"
#include "src/proto/manifest.pb.h"
#include "src/search/sensitivity_scan.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "wanlite/block_program.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using absl::StatusCode;
using testing::DiskWithModel;
using testing::OpenFolder;
using testing::Tree;

constexpr char kTwoFormats[] =
    "candidates { int8 { } } candidates { int8 { rotation: CONVROT rotation_group: 4 } } ";

absl::StatusOr<ParsedRecipe> AutoRecipe(const std::string& options) {
  return ParsedRecipe::Parse(absl::StrCat("seed: 7 passes { quantize_auto { ", options, " } }\n"),
                             "auto.textproto", BuiltinPasses());
}

constexpr int kPasses = 4;

// Steps of one trajectory of both components; toy_2 makes three times as many of the run's.
void WriteTrajectory(Env& env, const std::string& dir, uint64_t seed = 1) {
  SampleSetInfo info;
  info.prompts = {"a digit"};
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(env, dir, info));
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (int step = 0; step < kPasses; ++step) {
    const std::string name = absl::StrCat("rows.", step);
    tensors.push_back({name, at::randn({24, 4}, generator)});
    for (const char* component : {"toy", "toy_2"}) {
      SampleInfo sample;
      sample.component = component;
      sample.weight = std::string(component) == "toy_2" ? 3 : 1;
      sample.prompt = 0;
      sample.step = step;
      sample.values["input"] = name;
      samples.push_back(sample);
    }
  }
  REQUIRE_OK(writer->WriteFile("rows", tensors));
  REQUIRE_OK(writer->Finish(samples));
}

std::unique_ptr<Env> DiskWithTrajectory() {
  std::unique_ptr<Env> env = DiskWithModel();
  WriteTrajectory(*env, "/samples");
  return env;
}

absl::StatusOr<RunReport> Choose(Env& env, const std::string& options,
                                 const std::string& out = "/out",
                                 const std::string& samples = "/samples") {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe, AutoRecipe(options));
  CompressOptions compress;
  compress.out_dir = out;
  WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env, samples));
  compress.samples = &set;
  return testing::Compress(env, recipe, compress);
}

ModelView InMemory(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelView view, OpenFolder(env, dir).BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

// The error of a folder's model as the docs define it, computed anew.
double TrajectoryError(Env& env, const std::string& dir) {
  const at::NoGradGuard no_grad;
  const ModelView original = InMemory(env, "/in"), now = InMemory(env, dir);
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(env, "/samples"));
  double squares = 0;
  for (const auto& [component, share] : {std::pair("toy", 0.25), std::pair("toy_2", 0.75)}) {
    at::Tensor error, path;
    for (int64_t i = 0; i < kPasses; ++i) {
      const auto values = set.Read(component, i);
      REQUIRE_OK(values);
      const at::Tensor want =
          ProgramOf(*original.FindComponent(component))->Run(*values).to(at::kDouble);
      const at::Tensor found =
          ProgramOf(*now.FindComponent(component))->Run(*values).to(at::kDouble);
      error = error.defined() ? error + (found - want) : found - want;
      path = path.defined() ? path + want : want;
    }
    squares += std::pow(share * error.norm().item<double>() / path.norm().item<double>(), 2);
  }
  return std::sqrt(squares);
}

int64_t MatrixBytes(const ModelView& view) {
  int64_t bytes = 0;
  for (const LinearInfo& linear : view.linears()) {
    if (!linear.sensitive) bytes += (*view.Weight(linear.path))->bytes();
  }
  return bytes;
}

TEST_CASE("formats under a budget of bytes: within it, better than chance, and as measured") {
  const auto env = DiskWithTrajectory();
  const double fraction = GENERATE(0.5, 0.7, 0.9);
  CAPTURE(fraction);
  ASSERT_OK_AND_ASSIGN(
      const RunReport report,
      Choose(*env, absl::StrCat(kTwoFormats, "budget { bytes_fraction: ", fraction, " }")));
  const ModelView before = InMemory(*env, "/in"), after = InMemory(*env, "/out");
  const double kept =
      static_cast<double>(MatrixBytes(after)) / static_cast<double>(MatrixBytes(before));
  CHECK(kept <= fraction);
  CHECK(kept > fraction - 0.1);
  const auto& metrics = report.passes[0].metrics;
  CHECK(metrics.at("cost_fraction") == Approx(kept));
  // What was measured is what the written model does.
  CHECK(metrics.at("error_found") == Approx(TrajectoryError(*env, "/out")).epsilon(1e-6));
  for (const char* random : {"error_random_1", "error_random_2", "error_random_3"}) {
    CHECK(metrics.at("error_found") < metrics.at(random));
  }
  CHECK(metrics.at("beats_random") == 1);
  CHECK(metrics.at("error_found") < metrics.at("error_all_int8"));

  const std::string notes = absl::StrJoin(report.passes[0].notes, "\n");
  INFO(notes);
  const auto manifest = OpenFolder(*env, "/out").manifest();
  CHECK(absl::StrJoin(manifest->lineage(0).notes(), "\n") == notes);
  for (const LinearInfo& linear : after.linears()) {
    CHECK(absl::StrContains(notes, linear.path) == !linear.sensitive);
  }
  CHECK(absl::StrContains(notes, "of the best of 3 random allocations"));
}

TEST_CASE("effective bits count scales, and a layer that is left alone keeps its bits") {
  const auto env = DiskWithTrajectory();
  REQUIRE_OK(Choose(*env, absl::StrCat(kTwoFormats, "budget { effective_bits: 22 } ",
                                       "linears { exclude: \"*.gate\" }")));
  const ModelView before = InMemory(*env, "/in"), after = InMemory(*env, "/out");
  double bits = 0, weights = 0;
  for (const LinearInfo& linear : after.linears()) {
    const LinearWeight& weight = **after.Weight(linear.path);
    if (absl::EndsWith(linear.path, ".gate")) CHECK(weight.format() == "dense");
    if (weight.format() == "dense") {
      CHECK(at::equal(*weight.dense(), *(*before.Weight(linear.path))->dense()));
    }
    if (linear.sensitive || absl::EndsWith(linear.path, ".gate")) continue;
    bits += 8 * static_cast<double>(weight.bytes());
    weights += static_cast<double>(weight.in_features() * weight.out_features());
  }
  CHECK(bits / weights <= 22);
  CHECK(bits / weights > 18);
}

TEST_CASE("a search that is killed at any write ends with the bytes of an unbroken one") {
  const std::string scan = GENERATE("", "scan: \"/scores/scan.json\"");
  const std::string options =
      absl::StrCat(kTwoFormats, "budget { bytes_fraction: 0.6 } samples: 2 controls: 1 ",
                   "linears { components: \"toy\" kinds: \"mlp.up\" } ", scan);
  const auto unbroken = DiskWithTrajectory();
  REQUIRE_OK(Choose(*unbroken, options));
  const auto expected = Tree(*unbroken, "/");
  CHECK(unbroken->FileExists("/scores/scan.json") == !scan.empty());
  int64_t kill = 0;
  for (;; ++kill) {
    INFO(scan << " killed at write " << kill);
    const auto disk = DiskWithTrajectory();
    const absl::StatusOr<RunReport> killed = Choose(*NewFaultEnv(*disk, kill), options);
    if (killed.ok()) break;
    REQUIRE(killed.status().code() == StatusCode::kResourceExhausted);
    REQUIRE_OK(Choose(*disk, options));
    REQUIRE(Tree(*disk, "/") == expected);
  }
  CHECK(kill > 50);
}

TEST_CASE("a scan serves other budgets and candidates, and is believed") {
  const auto env = DiskWithTrajectory();
  const std::string scan = "scan: \"/scan.json\" ";
  REQUIRE_OK(Choose(*env, "candidates { int8 { } } budget { bytes_fraction: 0.6 } " + scan));
  ASSERT_OK_AND_ASSIGN(SensitivityScan known, ReadScan(*env, "/scan.json"));
  REQUIRE(known.items.size() == 12);
  // Somebody scored this layer as hopeless.
  for (auto& [format, score] : known.items.at("toy.blocks.1.up").scores) {
    score.trajectory_error = 1000;
  }
  REQUIRE_OK(WriteScan(*env, "/scan.json", known));
  REQUIRE_OK(Choose(*env, "candidates { int8 { } } budget { bytes_fraction: 0.5 } " + scan, "/b"));
  CHECK((*InMemory(*env, "/b").Weight("toy.blocks.1.up"))->format() == "dense");
  // Another candidate is added to what is there.
  REQUIRE_OK(Choose(*env, kTwoFormats + ("budget { bytes_fraction: 0.5 } " + scan), "/c"));
  ASSERT_OK_AND_ASSIGN(const SensitivityScan more, ReadScan(*env, "/scan.json"));
  for (const auto& [path, layer] : more.items) {
    CHECK(layer.scores.size() == 2);
    for (const auto& [format, score] : known.items.at(path).scores) {
      CHECK(layer.scores.at(format).trajectory_error == score.trajectory_error);
    }
  }
}

TEST_CASE("a scan of another model, other samples or other passes is refused, not overwritten") {
  const auto env = DiskWithTrajectory();
  const std::string options =
      "candidates { int8 { } } budget { bytes_fraction: 0.6 } scan: \"/scan.json\" ";
  REQUIRE_OK(Choose(*env, options));
  const std::string scan = *env->ReadFile("/scan.json");
  const auto refused = [&](const absl::Status& status, const std::string& said) {
    INFO(status.ToString());
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(absl::StrContains(status.message(), said));
    CHECK(*env->ReadFile("/scan.json") == scan);
    CHECK_FALSE(env->FileExists("/scan.json.lock"));
  };
  WriteTrajectory(*env, "/others", /*seed=*/9);
  refused(Choose(*env, options, "/b", "/others").status(),
          "/scan.json: holds scores of other samp");
  refused(Choose(*env, options + "samples: 2", "/c").status(), "other forward passes of toy");
  const auto other = DiskWithModel(/*seed=*/40);
  WriteTrajectory(*other, "/samples");
  REQUIRE_OK(other->WriteFileAtomically("/scan.json", scan));
  CHECK(absl::StrContains(Choose(*other, options).status().message(), "toy with other weights"));
}

TEST_CASE("a budget of time is met by what was measured") {
  const auto env = DiskWithTrajectory();
  ASSERT_OK_AND_ASSIGN(const RunReport report,
                       Choose(*env, absl::StrCat(kTwoFormats, "budget { latency_fraction: 1 } ",
                                                 "scan: \"/scan.json\"")));
  CHECK(report.passes[0].metrics.at("cost_fraction") <= 1);
  ASSERT_OK_AND_ASSIGN(const SensitivityScan scan, ReadScan(*env, "/scan.json"));
  for (const auto& [path, layer] : scan.items) {
    CHECK(layer.rows == 24);
    CHECK(layer.seconds.size() == 3);
    for (const auto& [format, seconds] : layer.seconds) CHECK(seconds > 0);
  }
}

TEST_CASE("the plan of a search is an estimate near its budget, and says what scoring costs") {
  const auto env = DiskWithTrajectory();
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                       AutoRecipe(absl::StrCat(kTwoFormats, "budget { bytes_fraction: 0.6 }")));
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans,
                       PlanRecipe(recipe, OpenFolder(*env, "/in")));
  CHECK(plans[0].estimated);
  const double matrices = static_cast<double>(MatrixBytes(InMemory(*env, "/in")));
  const double saved = static_cast<double>(plans[0].bytes_before - plans[0].bytes_after);
  CHECK(saved >= 0.4 * matrices);
  CHECK(saved < 0.5 * matrices);
  CHECK(plans[0].peak_memory_bytes > 0);
  CHECK(absl::StrContains(absl::StrJoin(plans[0].notes, "\n"), "scoring takes the time of about"));
}

TEST_CASE("what a search cannot do is refused by the field that asks for it") {
  const auto env = DiskWithTrajectory();
  const std::string budget = "budget { bytes_fraction: 0.5 } ";
  const std::string formats = kTwoFormats;
  const std::pair<std::string, std::string> wrong[] = {
      {budget, "candidates: names no format"},
      {formats, "budget: is missing"},
      {formats + "budget { bytes_fraction: 1.5 }", "budget.bytes_fraction: 1.5 is not"},
      {formats + "budget { latency_fraction: 0 }", "budget.latency_fraction: 0 is not"},
      {formats + "budget { effective_bits: -1 }", "budget.effective_bits: -1 is not"},
      {formats + budget + "samples: 0", "samples: 0, wanted at least 1"},
      {formats + budget + "controls: -1", "controls: -1 is not"},
      {budget + "candidates { }", "candidates[0]: names no format"},
      {budget + "candidates { int8 { } } candidates { int8 { } }", "candidates[1]: is the same"},
      {budget + "candidates { int8 { rotation_group: 4 } }", "candidates[0].int8.rotation_group"},
  };
  for (const auto& [options, said] : wrong) {
    const absl::Status status = AutoRecipe(options).status();
    INFO(options << ": " << status.ToString());
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(absl::StrContains(status.message(), said));
  }
  // From shapes, before anything is written.
  const auto before = Tree(*env, "/");
  const absl::Status little = Choose(*env, formats + "budget { bytes_fraction: 0.2 }").status();
  CHECK(little.code() == StatusCode::kInvalidArgument);
  CHECK(absl::StrContains(little.message(), "the cheapest formats take"));
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe, AutoRecipe(formats + budget));
  CHECK(testing::Compress(*env, recipe).status().code() == StatusCode::kFailedPrecondition);
  CHECK(Tree(*env, "/") == before);
}

}  // namespace
}  // namespace wanlite
