// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The passes qat and convert in recipes, on toys whose layers four bits hurt.
#include "src/quant/qat.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/quant/decaying_branch.h"
#include "src/quant/register.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/toy_architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::FilesOf;
using testing::ToyModel;

constexpr char kInt4[] = "format { int4 { group: 4 activations: INT8 } }";
constexpr char kLoop[] =
    "batch: 16 learning_rate: 0.01 warmup_steps: 2 max_gradient_norm: 1 state_every: 3";

at::Tensor Points(int64_t n, uint64_t seed) {
  return at::randn({n, 4}, at::detail::createCPUGenerator(seed));
}

const ArchitectureRegistry& Architectures() {
  static const auto& registry =
      *new ArchitectureRegistry(testing::UniformToys<ToyModel>("ToyModel"));
  return registry;
}

// With the checkpoint /in: components toy and other; and /samples of both.
std::unique_ptr<Env> Disk(at::ScalarType dtype = at::kFloat, bool targets = false) {
  std::vector<Component> components;
  for (const char* name : {"toy", "other"}) {
    auto toy = testing::MakeToyModel(static_cast<uint64_t>(name[0]));
    components.push_back({name, ComponentRole::kDenoiser, "ToyModel",
                          testing::UniformToyConfig("ToyModel", 12), toy});
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  if (dtype != at::kFloat) REQUIRE_OK(view.Cast(dtype));
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "/in", view));
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", {}));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (const char* name : {"toy", "other"}) {
    for (int64_t i = 0; i < 64; ++i) {
      SampleInfo sample;
      sample.component = name;
      sample.values["input"] = absl::StrCat(name, i);
      tensors.push_back({absl::StrCat(name, i), Points(1, 1000 + i)});
      if (targets) {
        sample.values["target"] = absl::StrCat(name, i, "t");
        tensors.push_back({absl::StrCat(name, i, "t"), at::full({1, 3}, 0.5)});
      }
      samples.push_back(sample);
    }
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  return env;
}

PassRegistry Passes() {
  PassRegistry passes;
  REQUIRE_OK(RegisterQuantPasses(passes));
  return passes;
}

absl::StatusOr<ParsedRecipe> Parse(const std::string& passes) {
  return ParsedRecipe::Parse(absl::StrCat("seed: 3 ", passes), "r.textproto", Passes());
}
std::string Qat(const std::string& options, int64_t steps) {
  return absl::StrCat("passes { qat { ", options, " loop { steps: ", steps, " ", kLoop, " } } }");
}

absl::Status Compress(Env& env, const std::string& recipe, bool samples = true,
                      const std::string& out = "/out", const std::string& in = "/in") {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe parsed, Parse(recipe));
  CompressOptions options;
  options.out_dir = out;
  std::optional<SampleSet> set;
  if (samples) {
    WANLITE_ASSIGN_OR_RETURN(set, SampleSet::Open(env, "/samples"));
    options.samples = &*set;
  }
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(env, in, {}, Architectures()));
  return CompressFolder(env, parsed, folder, Architectures(), options).status();
}

ModelView Load(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(env, dir, {}, Architectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

at::Tensor Output(Env& env, const std::string& dir, const std::string& component = "toy") {
  const ModelView view = Load(env, dir);
  const at::NoGradGuard no_grad;
  return ProgramOf(*view.FindComponent(component))->Run({{"input", Points(200, 9)}});
}

// Of the output, on points that took no part in training.
double ErrorOf(Env& env, const std::string& dir, const std::string& component = "toy") {
  const at::Tensor wanted = Output(env, "/in", component);
  return ((Output(env, dir, component) - wanted).norm() / wanted.norm()).item<double>();
}

TEST_CASE("qat leaves a real 4-bit model that is nearer to its teacher than rounding leaves it") {
  const std::unique_ptr<Env> disk = Disk();
  REQUIRE_OK(Compress(*disk,
                      absl::StrCat("passes { quantize_int4 { group: 4 activations: INT8 } }"),
                      false, "/ptq"));
  const double ptq = ErrorOf(*disk, "/ptq");
  CHECK(ptq > 0.02);
  const std::pair<const char*, const char*> kinds[] = {
      {"/computed", ""},
      {"/learned", "learned_scale: true"},
      {"/helped", "helper { rank: 3 }"},
      {"/both", "learned_scale: true helper { rank: 3 phases: 1 } recompute: true"}};
  for (const auto& [out, options] : kinds) {
    REQUIRE_OK(Compress(*disk, Qat(absl::StrCat(kInt4, " ", options), 150), true, out));
    const double qat = ErrorOf(*disk, out);
    INFO(out << ": " << ptq << " -> " << qat);
    CHECK(qat < 0.6 * ptq);
    CHECK(qat > 1e-3);
    const ModelView view = Load(*disk, out);
    for (const LinearInfo& linear : view.linears()) {
      ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(linear.path));
      CHECK(std::string(weight->format()) == (linear.sensitive ? "dense" : "int4"));
    }
  }
  // The same at another number of bits, and of the other expert.
  REQUIRE_OK(Compress(*disk, "passes { quantize_int8 { } }", false, "/ptq8"));
  REQUIRE_OK(Compress(*disk,
                      "passes { qat { format { int8 { } } loop { steps: 150 batch: 16 "
                      "learning_rate: 0.001 max_gradient_norm: 1 } } }",
                      true, "/qat8"));
  CHECK(ErrorOf(*disk, "/qat8", "other") < 0.95 * ErrorOf(*disk, "/ptq8", "other"));
}

TEST_CASE("a kept fake model computes what convert makes of it, to the bit") {
  for (const char* format :
       {"format { int8 { } }", "format { int8 { rotation: CONVROT rotation_group: 4 } }",
        "format { int4 { group: 4 } }", "format { fp8 { } }", kInt4,
        "format { int4 { group: 4 activations: SAME } }",
        "format { int4 { group: 4 zero_point: true activations: INT8 } }"}) {
    for (const char* learned : {"", "learned_scale: true"}) {
      INFO(format << " " << learned);
      const std::unique_ptr<Env> disk = Disk();
      const std::string options = absl::StrCat(format, " ", learned);
      REQUIRE_OK(Compress(*disk, Qat(options + " keep_fake: true", 9), true, "/fake"));
      REQUIRE_OK(Compress(*disk, "passes { convert { } }", false, "/converted", "/fake"));
      CHECK(at::equal(Output(*disk, "/converted"), Output(*disk, "/fake")));
      REQUIRE_OK(Compress(*disk, Qat(options, 9), true, "/out"));
      const ModelView converted = Load(*disk, "/converted"), direct = Load(*disk, "/out");
      const auto a = converted.Tensors(), b = direct.Tensors();
      REQUIRE(a.size() == b.size());
      for (size_t i = 0; i < a.size(); ++i) {
        INFO(a[i].name);
        CHECK(a[i].name == b[i].name);
        CHECK(at::equal(a[i].tensor, b[i].tensor));
      }
    }
  }
}

TEST_CASE("qat killed at any write goes on to the same bytes") {
  const std::string recipe = Qat(absl::StrCat(kInt4, " learned_scale: true helper { rank: 2 }"), 8);
  const std::unique_ptr<Env> whole = Disk();
  const auto counting = NewFaultEnv(*whole, -1);
  REQUIRE_OK(Compress(*counting, recipe));
  const std::map<std::string, std::string> expected = FilesOf(*whole, "/out");
  const int64_t writes = counting->writes();
  REQUIRE(writes > 30);
  // Every seventh write: they shift from step to step, so all kinds are met.
  for (int64_t fail_at = 0; fail_at < writes; fail_at += 7) {
    const std::unique_ptr<Env> disk = Disk();
    {
      const auto failing = NewFaultEnv(*disk, fail_at);
      // At the end nothing but cleaning up is left, which may fail without a word.
      if (Compress(*failing, recipe).ok()) REQUIRE(fail_at > writes - 12);
    }
    INFO("killed at write " << fail_at << " of " << writes);
    const absl::Status again = Compress(*disk, recipe);
    if (!absl::IsAlreadyExists(again)) REQUIRE_OK(again);
    REQUIRE(FilesOf(*disk, "/out") == expected);
  }
}

TEST_CASE("qat trains what is chosen and leaves the rest as it is") {
  const std::unique_ptr<Env> disk = Disk(at::kBFloat16);
  REQUIRE_OK(Compress(*disk, Qat(absl::StrCat(kInt4,
                                              " linears { components: \"toy\" kinds: \"mlp.up\" }"
                                              " train: \"*.up.*\" train: \"*.head.bias\""),
                                 6)));
  const ModelView before = Load(*disk, "/in"), after = Load(*disk, "/out");
  std::map<std::string, at::Tensor> was;
  for (const NamedTensor& named : before.Tensors()) was[named.name] = named.tensor;
  int changed = 0;
  for (const NamedTensor& named : after.Tensors()) {
    INFO(named.name);
    const auto found = was.find(named.name);
    if (absl::StrContains(named.name, ".up.weight")) continue;
    REQUIRE(found != was.end());
    CHECK(named.tensor.scalar_type() == found->second.scalar_type());
    const bool trained = absl::StartsWith(named.name, "toy.") &&
                         (absl::EndsWith(named.name, ".up.bias") || named.name == "toy.head.bias");
    CHECK(at::equal(named.tensor, found->second) == !trained);
    changed += trained;
  }
  CHECK(changed == 3);
  ASSERT_OK_AND_ASSIGN(const LinearWeight* other, after.Weight("other.blocks.0.up"));
  CHECK(other->dense() != nullptr);
}

TEST_CASE("without a teacher the targets of the samples are learned") {
  const std::unique_ptr<Env> disk = Disk(at::kFloat, /*targets=*/true);
  REQUIRE_OK(Compress(*disk, Qat(absl::StrCat(kInt4, " teacher: NO_TEACHER"), 150)));
  const auto far = [&](const char* dir) {
    return (Output(*disk, dir) - 0.5).abs().mean().item<double>();
  };
  INFO(far("/in") << " -> " << far("/out"));
  CHECK(far("/out") < 0.3 * far("/in"));
  const std::unique_ptr<Env> poor = Disk();
  CHECK_THAT(
      std::string(Compress(*poor, Qat(absl::StrCat(kInt4, " teacher: NO_TEACHER"), 2)).message()),
      Contains("\"target\""));
}

TEST_CASE("a model may be wrapped without training, trained further, and converted") {
  const std::unique_ptr<Env> disk = Disk();
  REQUIRE_OK(Compress(*disk, absl::StrCat("passes { qat { ", kInt4, " keep_fake: true } }"), false,
                      "/fake"));
  const ModelView fake = Load(*disk, "/fake");
  ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, fake.Weight("toy.blocks.0.up"));
  CHECK(std::string(weight->format()) == "fake_quant");
  REQUIRE_OK(
      Compress(*disk, "passes { quantize_int4 { group: 4 activations: INT8 } }", false, "/ptq"));
  CHECK(at::equal(Output(*disk, "/fake"), Output(*disk, "/ptq")));
  REQUIRE_OK(Compress(*disk, Qat(absl::StrCat(kInt4, " teacher_path: \"/in\" keep_fake: true"), 2),
                      true, "/more", "/fake"));
  CHECK_FALSE(at::equal(Output(*disk, "/more"), Output(*disk, "/fake")));
  CHECK_THAT(std::string(Compress(*disk, Qat(kInt4, 2), true, "/no", "/fake").message()),
             Contains("teacher_path"));
  // Of another format it is not trained further, and a real one not at all.
  CHECK_THAT(
      std::string(Compress(*disk, Qat("format { int8 { } }", 2), true, "/no", "/fake").message()),
      Contains("other.blocks.0.up") && Contains("int4"));
  CHECK_THAT(std::string(Compress(*disk, Qat(kInt4, 2), true, "/no", "/ptq").message()),
             Contains("other.blocks.0.up") && Contains("format int4"));
  CHECK_THAT(std::string(Compress(*disk, "passes { convert { } }", false, "/no", "/ptq").message()),
             Contains("made for training"));
  // One expert alone.
  REQUIRE_OK(Compress(*disk, "passes { convert { linears { components: \"other\" } } }", false,
                      "/half", "/fake"));
  const ModelView half = Load(*disk, "/half");
  ASSERT_OK_AND_ASSIGN(const LinearWeight* kept, half.Weight("toy.blocks.0.up"));
  CHECK(std::string(kept->format()) == "fake_quant");
  ASSERT_OK_AND_ASSIGN(const LinearWeight* real, half.Weight("other.blocks.0.up"));
  CHECK(std::string(real->format()) == "int4");
}

TEST_CASE("options of qat that cannot be meant are refused by field") {
  const auto error = [](const std::string& recipe) {
    const auto parsed = Parse(recipe);
    CHECK_FALSE(parsed.ok());
    return std::string(parsed.status().message());
  };
  CHECK_THAT(error(Qat("", 3)), Contains("qat.format") && Contains("names no format"));
  CHECK_THAT(error(absl::StrCat("passes { qat { ", kInt4, " } }")), Contains("qat.loop"));
  CHECK_THAT(
      error(absl::StrCat("passes { qat { ", kInt4, " keep_fake: true helper { rank: 2 } } }")),
      Contains("qat.helper"));
  CHECK_THAT(error(Qat(kInt4, 0)), Contains("loop.steps"));
  CHECK_THAT(error(Qat(absl::StrCat(kInt4, " helper { }"), 9)), Contains("helper.rank"));
  CHECK_THAT(error(Qat(absl::StrCat(kInt4, " helper { rank: 2 phases: 3 }"), 9)),
             Contains("halves to nothing in 2"));
  CHECK_THAT(error(Qat(absl::StrCat(kInt4, " helper { rank: 8 }"), 3)),
             Contains("4 phases in 3 steps"));
  CHECK_THAT(error(Qat(absl::StrCat(kInt4, " scale_rate: -1"), 9)), Contains("scale_rate"));
  CHECK_THAT(error(Qat("format { int8 { linears { skip: OUTER_BLOCKS } } }", 9)),
             Contains("format.int8.linears"));

  const std::unique_ptr<Env> disk = Disk();
  const auto refused = [&](const std::string& options) {
    return std::string(Compress(*disk, Qat(options, 8)).message());
  };
  CHECK_THAT(refused(absl::StrCat(kInt4, " train: \"*.sideways.*\"")),
             Contains("train[0]") && Contains("*.sideways.*"));
  CHECK_THAT(refused(absl::StrCat(kInt4, " helper { rank: 8 }")), Contains("helper.rank"));
  CHECK_THAT(refused("format { int4 { group: 64 } }"), Contains("other.blocks.0.up.weight"));
  CHECK_FALSE(Compress(*disk, Qat(kInt4, 8), /*samples=*/false).ok());
}

TEST_CASE("svdquant in a recipe smooths by recorded inputs where it is told to") {
  const auto recipe = [](const char* smooth_by) {
    return absl::StrCat(
        "passes { quantize_int4 { group: 4 activations: INT8 low_rank { rank: 2 smooth_by: ",
        smooth_by, " } } }");
  };
  const std::unique_ptr<Env> disk = Disk();
  const absl::Status without = Compress(*disk, recipe("INPUTS"), /*samples=*/false);
  CHECK(absl::IsFailedPrecondition(without));
  const auto divisor = [&](const std::string& out) {
    const ModelView view = Load(*disk, out);
    ASSERT_OK_AND_ASSIGN(const at::Tensor tensor,
                         view.FindTensor("toy.blocks.1.down.smooth_divisor"));
    return tensor;
  };
  REQUIRE_OK(Compress(*disk, recipe("INPUTS"), true, "/inputs"));
  REQUIRE_OK(Compress(*disk, recipe("WEIGHTS"), false, "/weights"));
  CHECK_FALSE(at::equal(divisor("/inputs"), divisor("/weights")));
  // A second run makes the same bytes, and both are nearer than four bits alone.
  REQUIRE_OK(Compress(*disk, recipe("INPUTS"), true, "/again"));
  CHECK(FilesOf(*disk, "/again") == FilesOf(*disk, "/inputs"));
  REQUIRE_OK(
      Compress(*disk, "passes { quantize_int4 { group: 4 activations: INT8 } }", false, "/plain"));
  CHECK(ErrorOf(*disk, "/inputs") < ErrorOf(*disk, "/plain"));
  CHECK(ErrorOf(*disk, "/weights") < ErrorOf(*disk, "/plain"));
}

TEST_CASE("phases of a helper halve its ranks, and the rate goes on from one to the next") {
  ASSERT_OK_AND_ASSIGN(const std::vector<DecayPhase> phases, DecayPhases(10, 0, 21));
  REQUIRE(phases.size() == 4);
  int64_t at = 0, rank = 10;
  train::LoopOptions loop;
  loop.steps = 21;
  loop.learning_rate = 0.1;
  loop.warmup_steps = 2;
  double previous = 1;
  for (const DecayPhase& phase : phases) {
    CHECK(phase.first_step == at);
    CHECK(phase.rank == rank);
    CHECK(phase.kept == rank / 2);
    at += phase.steps;
    rank /= 2;
    const train::LoopOptions part = LoopOfPhase(loop, phase);
    CHECK(part.steps == phase.steps);
    CHECK(train::LearningRate(part, part.steps - 1) ==
          Approx(train::LearningRate(loop, at - 1)).margin(1e-12));
    if (phase.first_step > 0) CHECK(train::LearningRate(part, 0) <= previous);
    previous = train::LearningRate(part, part.steps - 1);
    float gate = 1;
    for (int64_t step = 0; step < phase.steps; ++step) {
      CHECK(GateAt(phase, step) < gate);
      gate = GateAt(phase, step);
    }
    CHECK(gate == 0);
  }
  CHECK(at == 21);
  CHECK(rank == 0);
  ASSERT_OK_AND_ASSIGN(const std::vector<DecayPhase> one, DecayPhases(10, 1, 21));
  CHECK((one.size() == 1 && one[0].kept == 0 && one[0].steps == 21));
}

TEST_CASE("a helper begins as what rounding loses, and cutting what has faded changes nothing") {
  const at::Tensor matrix = at::randn({24, 16}, at::detail::createCPUGenerator(1));
  const at::Tensor x = at::randn({5, 16}, at::detail::createCPUGenerator(2));
  const auto gate = std::make_shared<FadingGate>(1.0f);
  const auto whole = HelpedWeight::Begin(MakeDenseWeight(at::zeros({24, 16})), matrix, 15, 7, gate);
  const at::Tensor y = at::linear(x, matrix);
  CHECK((whole->Apply(x, {}) - y).norm().item<double>() < 0.2 * y.norm().item<double>());
  gate->store(0);
  const at::Tensor faded = whole->Apply(x, {});
  CHECK((faded - y).norm().item<double>() > 0.2 * y.norm().item<double>());
  ASSERT_OK_AND_ASSIGN(const auto cut, whole->Cut(7, 3));
  gate->store(1);
  CHECK(at::allclose(cut->Apply(x, {}), faded, 1e-4, 1e-4));
  CHECK(at::allclose(cut->Dequantize().matmul(x.t()).t(), faded, 1e-4, 1e-4));
  for (const WeightTensor& tensor : cut->State()) CHECK(tensor.trains);
}

}  // namespace
}  // namespace wanlite
