// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Passes that want activations, from a recipe: streamed, resumed, refused.
#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/proto/manifest.pb.h"
#include "tests/pipeline/toy_gptq.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/temp_folder.h"
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
using testing::SeenMoments;
using testing::ToyArchitectures;
using testing::Tree;

ParsedRecipe GridRecipe(const std::string& type, int value) {
  PassRegistry registry = BuiltinPasses();
  REQUIRE_OK(testing::RegisterToyGptq(registry));
  ASSERT_OK_AND_ASSIGN(
      ParsedRecipe recipe,
      ParsedRecipe::Parse(absl::StrCat("passes { custom { [type.googleapis.com/google.protobuf.",
                                       type, "] { value: ", value, " } } }\n"),
                          "toy.textproto", registry));
  return recipe;
}
ParsedRecipe Gptq(int bits) { return GridRecipe("UInt32Value", bits); }
ParsedRecipe Round(int bits) { return GridRecipe("UInt64Value", bits); }

// Rows that vary in few directions, as activations do.
at::Tensor ToyRows(int64_t rows, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor directions =
      at::randn({2, 4}, at::detail::createCPUGenerator(99), at::TensorOptions());
  return at::randn({rows, 2}, generator).mm(directions) + 0.1 * at::randn({rows, 4}, generator);
}

constexpr int kSamples = 3;

// Of both components of the toy on `env`, or of the first alone.
void WriteToySamples(Env& env, const std::string& dir, bool both = true, uint64_t seed = 1) {
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(env, dir, {}));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (int i = 0; i < kSamples; ++i) {
    const std::string name = absl::StrCat("rows.", i);
    tensors.push_back({name, ToyRows(24 + i, seed + static_cast<uint64_t>(i))});
    for (const char* component : {"toy", "toy_2"}) {
      if (!both && absl::string_view(component) == "toy_2") continue;
      SampleInfo sample;
      sample.component = component;
      sample.weight = 1 + i;
      sample.values["input"] = name;
      samples.push_back(sample);
    }
  }
  REQUIRE_OK(writer->WriteFile("rows", tensors));
  REQUIRE_OK(writer->Finish(samples));
}

std::unique_ptr<Env> DiskWithSamples() {
  std::unique_ptr<Env> env = DiskWithModel();
  WriteToySamples(*env, "/samples");
  return env;
}

absl::StatusOr<RunReport> Calibrate(Env& env, const ParsedRecipe& recipe,
                                    const std::string& samples = "/samples",
                                    const std::string& out = "/out") {
  CompressOptions options;
  options.out_dir = out;
  WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env, samples));
  options.samples = &set;
  return testing::Compress(env, recipe, options);
}

ModelView Loaded(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelView view, OpenFolder(env, dir).BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

at::Tensor OutputOf(const ModelView& view, const std::string& component, const at::Tensor& rows) {
  const at::NoGradGuard no_grad;
  return ProgramOf(*view.FindComponent(component))->Run({{"input", rows}});
}

TEST_CASE(
    "GPTQ through the pipeline is nearer to the model than rounding, on rows it has not seen") {
  const auto env = DiskWithSamples();
  REQUIRE_OK(Calibrate(*env, Gptq(4), "/samples", "/gptq"));
  REQUIRE_OK(Calibrate(*env, Round(4), "/samples", "/round"));
  const ModelView original = Loaded(*env, "/in");
  const ModelView gptq = Loaded(*env, "/gptq"), round = Loaded(*env, "/round");
  const at::Tensor rows = ToyRows(200, 1000);
  for (const char* component : {"toy", "toy_2"}) {
    const at::Tensor want = OutputOf(original, component, rows);
    const double by_gptq = (OutputOf(gptq, component, rows) - want).norm().item<double>();
    const double by_round = (OutputOf(round, component, rows) - want).norm().item<double>();
    INFO(component << ": gptq " << by_gptq << ", round " << by_round << " of "
                   << want.norm().item<double>());
    CHECK(by_gptq > 0);
    CHECK(by_gptq < 0.75 * by_round);
  }
}

TEST_CASE("what a block is calibrated on is what its compressed predecessors make") {
  const at::NoGradGuard no_grad;
  const auto env = DiskWithSamples();
  SeenMoments().clear();
  REQUIRE_OK(Calibrate(*env, Gptq(3)));
  CHECK(SeenMoments().size() == 2 * 2 * 3);
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  const auto moment_into_block_1 = [&](const ModelView& view, const std::string& component) {
    const BlockProgram* program = ProgramOf(*view.FindComponent(component));
    at::Tensor moment = at::zeros({8, 8}, at::kDouble);
    for (int64_t i = 0; i < kSamples; ++i) {
      const auto read = set.Read(component, i);
      REQUIRE_OK(read);
      Values values = *read;
      program->RunStep(0, values);
      program->RunStep(1, values);
      const at::Tensor x = values.at("x").to(at::kDouble);
      moment += set.sample(component, i).weight * x.t().mm(x);
    }
    return moment;
  };
  const ModelView compressed = Loaded(*env, "/out"), original = Loaded(*env, "/in");
  for (const std::string component : {"toy", "toy_2"}) {
    const at::Tensor seen = SeenMoments().at(component + ".blocks.1.up");
    CHECK(at::allclose(seen, moment_into_block_1(compressed, component), 1e-12));
    CHECK_FALSE(at::allclose(seen, moment_into_block_1(original, component), 1e-3));
  }
}

TEST_CASE("a calibrated run killed at any write continues to the bytes of an unbroken run") {
  // With a block that the pass passes by, through which activations still flow.
  const int bits = GENERATE(3, 103);
  const ParsedRecipe recipe = Gptq(bits);
  const auto unbroken = DiskWithSamples();
  REQUIRE_OK(Calibrate(*unbroken, recipe));
  const auto expected = Tree(*unbroken, "/out");
  int64_t kill = 0, resumed = 0;
  for (;; ++kill) {
    INFO("bits " << bits << ", killed at write " << kill);
    const auto disk = DiskWithSamples();
    const absl::StatusOr<RunReport> killed = Calibrate(*NewFaultEnv(*disk, kill), recipe);
    if (killed.ok()) break;
    REQUIRE(killed.status().code() == StatusCode::kResourceExhausted);
    ASSERT_OK_AND_ASSIGN(const RunReport report, Calibrate(*disk, recipe));
    resumed += report.passes[0].resumed;
    REQUIRE(Tree(*disk, "/out") == expected);
    REQUIRE(*disk->ListFolder("/") == std::vector<std::string>{"in", "out", "samples"});
  }
  CHECK(kill > 100);
  CHECK(resumed > kill / 2);
}

TEST_CASE("a calibrated run killed again and again still gives the bytes of an unbroken run") {
  const ParsedRecipe recipe = Gptq(3);
  const auto unbroken = DiskWithSamples();
  REQUIRE_OK(Calibrate(*unbroken, recipe));
  const auto disk = DiskWithSamples();
  int runs = 0;
  for (; runs < 100; ++runs) {
    if (Calibrate(*NewFaultEnv(*disk, 61), recipe).ok()) break;
  }
  INFO("after " << runs << " runs");
  CHECK(runs > 1);
  REQUIRE(runs < 100);
  CHECK(Tree(*disk, "/out") == Tree(*unbroken, "/out"));
}

TEST_CASE("a damaged block of a calibrated run is made again, with all that come after it") {
  const ParsedRecipe recipe = Gptq(3);
  const auto unbroken = DiskWithSamples();
  REQUIRE_OK(Calibrate(*unbroken, recipe));
  const std::string block = "/out.run/stage-1-gptq/toy/blocks.0.safetensors";
  for (int64_t kill = 80;; kill += 5) {
    const auto disk = DiskWithSamples();
    REQUIRE_FALSE(Calibrate(*NewFaultEnv(*disk, kill), recipe).ok());
    // The inputs of the first block are gone by now.
    if (!disk->FileExists("/out.run/stage-1-gptq/toy/blocks.1.safetensors")) continue;
    std::string bytes = *disk->ReadFile(block);
    bytes.back() ^= 1;
    REQUIRE_OK(disk->WriteFileAtomically(block, bytes));
    REQUIRE_OK(Calibrate(*disk, recipe));
    CHECK(Tree(*disk, "/out") == Tree(*unbroken, "/out"));
    break;
  }
}

TEST_CASE("a model in memory is calibrated to the same values as its folder") {
  const auto env = DiskWithSamples();
  const ParsedRecipe recipe = Gptq(3);
  REQUIRE_OK(Calibrate(*env, recipe));
  const ModelView want = Loaded(*env, "/out");
  ModelView model = Loaded(*env, "/in");
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  const testing::TempFolder temp;
  InMemoryOptions options;
  options.samples = &set;
  CHECK(absl::StrContains(CompressInMemory(recipe, model, options).status().message(), "scratch"));
  options.scratch_dir = temp / "scratch";
  REQUIRE_OK(CompressInMemory(recipe, model, options));
  for (const NamedTensor& named : want.Tensors()) {
    ASSERT_OK_AND_ASSIGN(const at::Tensor found, model.FindTensor(named.name));
    CHECK(at::equal(found, named.tensor));
  }
}

TEST_CASE("a pass that needs samples is refused without fitting ones before anything is written") {
  const auto env = DiskWithSamples();
  WriteToySamples(*env, "/half", /*both=*/false);
  const auto before = Tree(*env, "/");
  const auto refused = [&](const absl::Status& status, const std::string& said) {
    INFO(status.ToString());
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK(absl::StrContains(status.message(), said));
    CHECK(Tree(*env, "/") == before);
  };
  refused(testing::Compress(*env, Gptq(3)).status(),
          "gptq: needs recorded inputs of the model: make them with wanlite record");
  refused(Calibrate(*env, Gptq(3), "/half").status(),
          "gptq: changes toy_2.blocks.0, and the sample set has none of 'toy_2'");
  ModelView model = Loaded(*env, "/in");
  refused(CompressInMemory(Gptq(3), model).status(), "needs recorded inputs");
  // Where nobody needs them they do not matter.
  REQUIRE_OK(testing::Compress(*env, Round(3)));
}

TEST_CASE("samples are a part of a run's identity and of the lineage") {
  const auto env = DiskWithSamples();
  WriteToySamples(*env, "/others", true, /*seed=*/50);
  const ParsedRecipe recipe = Gptq(3);
  REQUIRE_FALSE(Calibrate(*NewFaultEnv(*env, 60), recipe).ok());
  REQUIRE(env->FolderExists("/out.run"));
  const absl::Status other = Calibrate(*env, recipe, "/others").status();
  CHECK(other.code() == StatusCode::kFailedPrecondition);
  CHECK(absl::StrContains(other.message(), "of another sample set"));
  REQUIRE_OK(Calibrate(*env, recipe));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  CHECK(OpenFolder(*env, "/out").manifest()->lineage(0).samples_fingerprint() == set.fingerprint());
  REQUIRE_OK(Calibrate(*env, recipe, "/others", "/out_2"));
  CHECK(Tree(*env, "/out") != Tree(*env, "/out_2"));
  REQUIRE_OK(Calibrate(*env, Round(3), "/samples", "/out_3"));
  CHECK(OpenFolder(*env, "/out_3").manifest()->lineage(0).samples_fingerprint().empty());
}

}  // namespace
}  // namespace wanlite
