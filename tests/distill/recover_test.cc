// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The pass recover in recipes, on toys that were cut: channels, whole blocks, single weights.
#include "src/distill/recover.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/distill/register.h"
#include "src/proto/manifest.pb.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/toy_architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/status.h"
#include "wanlite/weight_formats.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::FilesOf;
using testing::ToyModel;

constexpr char kLoop[] = "batch: 8 learning_rate: 0.01 max_gradient_norm: 1 state_every: 3";

at::Tensor RecoverPoints(int64_t n, uint64_t seed) {
  return at::randn({n, 4}, at::detail::createCPUGenerator(seed));
}

const ArchitectureRegistry& RecoverToys() {
  static const auto& registry = *[] {
    auto* list = new ArchitectureRegistry();
    REQUIRE_OK(list->Register(testing::ToyArchitecture()));
    list->weight_formats() = BuiltinWeightFormats();
    return list;
  }();
  return registry;
}

// Two components of three blocks each.
ModelView WholeModel(at::ScalarType dtype = at::kFloat) {
  std::vector<Component> components;
  for (const char* name : {"toy", "other"}) {
    auto toy = std::make_shared<ToyModel>(8, std::vector<int64_t>{12, 12, 12});
    toy->Randomize(static_cast<uint64_t>(name[0]));
    {
      const at::NoGradGuard no_grad;
      // So that no block drowns what comes before it.
      for (const auto& block : toy->blocks) {
        block->down->named_parameters()["weight"].mul_(0.4);
        block->norm.fill_(1);
      }
    }
    components.push_back(testing::EditableToy(toy, name));
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  if (dtype != at::kFloat) REQUIRE_OK(view.Cast(dtype));
  return view;
}

// With the checkpoint /in, and /samples of both components: 8 points of each of 10 prompts.
std::unique_ptr<Env> RecoverDisk(at::ScalarType dtype = at::kFloat, bool targets = false) {
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "/in", WholeModel(dtype)));
  SampleSetInfo info;
  for (int i = 0; i < 10; ++i) info.prompts.push_back(absl::StrCat("prompt ", i));
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", info));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (const char* name : {"toy", "other"}) {
    for (int64_t i = 0; i < 80; ++i) {
      SampleInfo sample;
      sample.component = name;
      sample.prompt = i / 8;
      sample.values["input"] = absl::StrCat(name, i);
      tensors.push_back({absl::StrCat(name, i), RecoverPoints(3, 1000 + i)});
      if (targets) {
        sample.values["target"] = absl::StrCat(name, i, "t");
        tensors.push_back({absl::StrCat(name, i, "t"), at::full({3, 3}, 0.5)});
      }
      samples.push_back(sample);
    }
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  return env;
}

ModelView RecoverLoad(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(env, dir, {}, RecoverToys()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

// /in with `edit` done to it, as the folder `out`.
template <typename Edit>
void SaveEdited(Env& env, const std::string& out, Edit edit) {
  ModelView view = RecoverLoad(env, "/in");
  edit(view);
  REQUIRE_OK(SaveCheckpoint(env, out, view));
}

void KeepHalf(ModelView& view) {
  for (const AxisGroup& group : std::vector<AxisGroup>(view.groups())) {
    REQUIRE_OK(view.KeepUnits(group.name, at::arange(6, at::kLong)));
  }
}

absl::StatusOr<ParsedRecipe> RecoverParse(const std::string& options) {
  PassRegistry passes;
  REQUIRE_OK(RegisterDistillPasses(passes));
  return ParsedRecipe::Parse(absl::StrCat("seed: 3 passes { recover { ", options, " } }"),
                             "r.textproto", passes);
}

std::string Training(absl::string_view method, absl::string_view options, int64_t steps) {
  return absl::StrCat("method: ", method, " ", options, " loop { steps: ", steps, " ", kLoop, " }");
}

absl::StatusOr<RunReport> Recover(Env& env, const std::string& options, const std::string& in,
                                  const std::string& out, bool samples = true) {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe parsed, RecoverParse(options));
  CompressOptions run;
  run.out_dir = out;
  std::optional<SampleSet> set;
  if (samples) {
    WANLITE_ASSIGN_OR_RETURN(set, SampleSet::Open(env, "/samples"));
    run.samples = &*set;
  }
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, ModelFolder::Open(env, in, {}, RecoverToys()));
  return CompressFolder(env, parsed, folder, RecoverToys(), run);
}

at::Tensor RecoverOutput(Env& env, const std::string& dir, const std::string& component) {
  ModelView view = RecoverLoad(env, dir);
  REQUIRE_OK(view.Cast(at::kFloat));
  const at::NoGradGuard no_grad;
  return ProgramOf(*view.FindComponent(component))->Run({{"input", RecoverPoints(300, 9)}});
}

// Of the output, on points that took no part in it.
double FarFromInput(Env& env, const std::string& dir, const std::string& component = "toy") {
  const at::Tensor wanted = RecoverOutput(env, "/in", component);
  return ((RecoverOutput(env, dir, component) - wanted).norm() / wanted.norm()).item<double>();
}

const std::vector<std::pair<std::string, std::string>>& AllMethods() {
  static const auto& methods = *new std::vector<std::pair<std::string, std::string>>{
      {"least", "teacher_path: \"/in\""},
      {"blocks", Training("BLOCKS", "teacher_path: \"/in\"", 60)},
      {"output", Training("MODEL", "teacher_path: \"/in\"", 60)},
      {"features", Training("MODEL",
                            "teacher_path: \"/in\" output: 1 features: 0.5 features_after: 20 "
                            "recompute: true",
                            60)}};
  return methods;
}

TEST_CASE("each method brings a model without half of its channels nearer to its teacher") {
  const std::unique_ptr<Env> disk = RecoverDisk();
  SaveEdited(*disk, "/half", KeepHalf);
  for (const auto& [name, options] : AllMethods()) {
    const std::string out = absl::StrCat("/", name);
    ASSERT_OK_AND_ASSIGN(const RunReport report, Recover(*disk, options, "/half", out));
    for (const char* component : {"toy", "other"}) {
      const double before = FarFromInput(*disk, "/half", component);
      const double after = FarFromInput(*disk, out, component);
      INFO(name << " " << component << ": " << before << " -> " << after);
      CHECK(before > 0.1);
      CHECK(after < 0.85 * before);
    }
    std::map<std::string, double> metrics = report.passes[0].metrics;
    REQUIRE(report.passes[0].notes.size() == 1);
    CHECK_THAT(report.passes[0].notes[0], Contains("/in"));
    if (name == "least") {
      CHECK(metrics.at("fitted_layers") == 6);
      CHECK(metrics.at("mean_error_after") < metrics.at("mean_error_before"));
    } else if (name == "blocks") {
      CHECK(metrics.at("trained_blocks") == 6);
      CHECK(metrics.at("steps") == 6 * 60);
      CHECK(metrics.at("mean_error_after") < 0.8 * metrics.at("mean_error_before"));
      CHECK(metrics.at("toy.blocks.2.error_after") < metrics.at("toy.blocks.2.error_before"));
    } else {
      CHECK(metrics.at("toy.steps") == 60);
      CHECK(metrics.at("toy.held_samples") == 8);
      CHECK(metrics.at("toy.error_after") < 0.85 * metrics.at("toy.error_before"));
    }
  }
}

TEST_CASE("a block makes up for those behind it that are gone") {
  const std::unique_ptr<Env> disk = RecoverDisk();
  SaveEdited(*disk, "/short", [](ModelView& view) {
    REQUIRE_OK(view.DropBlocks({"toy.blocks.1", "other.blocks.0"}));
  });
  for (const auto& [name, options] : AllMethods()) {
    const std::string out = absl::StrCat("/", name);
    REQUIRE_OK(Recover(*disk, options, "/short", out).status());
    const ModelView view = RecoverLoad(*disk, out);
    std::map<std::string, std::string> origin;
    for (const BlockInfo& block : view.blocks()) origin[block.path] = block.origin;
    CHECK(origin.at("toy.blocks.1") == "toy.blocks.2");
    CHECK(origin.at("other.blocks.0") == "other.blocks.1");
    if (name == "least") continue;  // it fits layers, and these are as they were
    const double before = FarFromInput(*disk, "/short"), after = FarFromInput(*disk, out);
    INFO(name << ": " << before << " -> " << after);
    CHECK(after < 0.85 * before);
  }
  // The first block is trained to what the teacher's first two give.
  const ModelView whole = RecoverLoad(*disk, "/in"), now = RecoverLoad(*disk, "/blocks");
  const auto behind = [](const ModelView& view, size_t steps) {
    const at::NoGradGuard no_grad;
    Values values = {{"input", RecoverPoints(300, 9)}};
    for (size_t i = 0; i < steps; ++i) ProgramOf(*view.FindComponent("toy"))->RunStep(i, values);
    return values.at("x");
  };
  const at::Tensor wanted = behind(whole, 3), short_of = behind(RecoverLoad(*disk, "/short"), 2);
  CHECK((behind(now, 2) - wanted).norm().item<double>() <
        0.8 * (short_of - wanted).norm().item<double>());
}

TEST_CASE("a model that is its own teacher stays what it is") {
  const std::unique_ptr<Env> disk = RecoverDisk();
  ASSERT_OK_AND_ASSIGN(const RunReport fitted, Recover(*disk, "", "/in", "/least"));
  CHECK(FarFromInput(*disk, "/least") < 1e-4);
  CHECK(fitted.passes[0].metrics.at("mean_error_before") < 5e-3);
  CHECK_THAT(fitted.passes[0].notes[0], Contains("the recipe began with"));
  ASSERT_OK_AND_ASSIGN(
      const RunReport trained,
      Recover(*disk, Training("BLOCKS", "teacher: BEFORE train: \"*.up.weight\"", 2), "/in",
              "/blocks"));
  CHECK(trained.passes[0].metrics.at("mean_error_before") == 0);
}

TEST_CASE("zeros stay zeros: of a mask, of a pruned matrix") {
  const std::unique_ptr<Env> disk = RecoverDisk();
  const std::string layers[] = {"toy.blocks.0.down", "toy.blocks.1.up", "toy.blocks.2.down"};
  for (const bool masked : {true, false}) {
    const std::string in = masked ? "/masked" : "/zeros";
    std::map<std::string, at::Tensor> masks;
    SaveEdited(*disk, in, [&](ModelView& view) {
      const at::NoGradGuard no_grad;
      for (const std::string& layer : layers) {
        ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(layer));
        const at::Tensor matrix = weight->Dequantize();
        const at::Tensor mask = matrix.abs() > matrix.abs().median();
        masks[layer] = mask;
        std::unique_ptr<LinearWeight> sparse =
            MakeDenseWeight(matrix.masked_fill(mask.logical_not(), 0));
        if (masked) {
          ASSERT_OK_AND_ASSIGN(sparse, MakeMaskedWeight(std::move(sparse), mask));
        }
        REQUIRE_OK(view.SetLinearWeight(layer, std::move(sparse)));
      }
    });
    const std::string select = "linears { kinds: \"mlp.*\" components: \"toy\" }";
    std::vector<std::pair<std::string, std::string>> methods = AllMethods();
    methods[0].second = absl::StrCat("teacher_path: \"/in\" ", select);
    for (const auto& [name, options] : methods) {
      const std::string out = absl::StrCat(in, "-", name);
      REQUIRE_OK(Recover(*disk, options, in, out).status());
      const ModelView view = RecoverLoad(*disk, out);
      for (const std::string& layer : layers) {
        INFO(out << " " << layer);
        ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(layer));
        CHECK(std::string(weight->format()) == (masked ? "masked" : "dense"));
        const at::Tensor matrix = weight->Dequantize();
        CHECK(at::equal(matrix != 0, masks.at(layer)));
        CHECK_FALSE(at::equal(matrix, RecoverLoad(*disk, in).Weight(layer).value()->Dequantize()));
      }
      const double before = FarFromInput(*disk, in), after = FarFromInput(*disk, out);
      INFO(out << ": " << before << " -> " << after);
      CHECK(after < 0.95 * before);
    }
  }
}

TEST_CASE("what is stored in bf16 is recovered in fp32 and stored in bf16 again") {
  const std::unique_ptr<Env> disk = RecoverDisk(at::kBFloat16);
  SaveEdited(*disk, "/half", KeepHalf);
  for (const auto& [name, options] : AllMethods()) {
    const std::string out = absl::StrCat("/", name);
    REQUIRE_OK(Recover(*disk, options, "/half", out).status());
    const double before = FarFromInput(*disk, "/half"), after = FarFromInput(*disk, out);
    INFO(name << ": " << before << " -> " << after);
    CHECK(after < 0.85 * before);
    std::map<std::string, at::ScalarType> dtypes;
    for (const NamedTensor& named : RecoverLoad(*disk, "/half").Tensors()) {
      dtypes[named.name] = named.tensor.scalar_type();
    }
    for (const NamedTensor& named : RecoverLoad(*disk, out).Tensors()) {
      CHECK(named.tensor.scalar_type() == dtypes.at(named.name));
    }
  }
}

TEST_CASE("recover trains what is asked for and leaves the rest as it is") {
  const std::unique_ptr<Env> disk = RecoverDisk();
  SaveEdited(*disk, "/half", KeepHalf);
  const std::string chosen = "teacher_path: \"/in\" components: \"to?\" train: \"*.1.down.*\"";
  REQUIRE_OK(Recover(*disk, Training("BLOCKS", chosen, 3), "/half", "/blocks").status());
  REQUIRE_OK(Recover(*disk, Training("MODEL", chosen, 3), "/half", "/model").status());
  REQUIRE_OK(Recover(*disk, "teacher_path: \"/in\" linears { include: \"toy.blocks.1.down\" }",
                     "/half", "/least")
                 .status());
  for (const char* out : {"/blocks", "/model", "/least"}) {
    const ModelView before = RecoverLoad(*disk, "/half"), after = RecoverLoad(*disk, out);
    const std::vector<NamedTensor> a = before.Tensors(), b = after.Tensors();
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      INFO(out << " " << a[i].name);
      CHECK(at::equal(a[i].tensor, b[i].tensor) ==
            !absl::StartsWith(a[i].name, "toy.blocks.1.down."));
    }
  }
}

TEST_CASE("with data alone the targets of the samples are learned") {
  const std::unique_ptr<Env> disk = RecoverDisk(at::kFloat, /*targets=*/true);
  REQUIRE_OK(Recover(*disk, Training("MODEL", "teacher: NO_TEACHER", 150), "/in", "/out").status());
  const auto far = [&](const char* dir) {
    return (RecoverOutput(*disk, dir, "toy") - 0.5).abs().mean().item<double>();
  };
  INFO(far("/in") << " -> " << far("/out"));
  CHECK(far("/out") < 0.3 * far("/in"));
  // Beside a teacher they pull as well.
  REQUIRE_OK(
      Recover(*disk, Training("MODEL", "data: 20 output: 0.1", 100), "/in", "/both").status());
  CHECK(far("/both") < far("/in"));
  const std::unique_ptr<Env> poor = RecoverDisk();
  CHECK_THAT(std::string(Recover(*poor, Training("MODEL", "teacher: NO_TEACHER", 2), "/in", "/out")
                             .status()
                             .message()),
             Contains("\"target\""));
}

TEST_CASE("recover killed at any write goes on to the same bytes") {
  for (const auto& [name, options] : std::vector<std::pair<std::string, std::string>>{
           {"least", "teacher_path: \"/in\""},
           {"blocks", Training("BLOCKS", "teacher_path: \"/in\"", 5)},
           {"model", Training("MODEL", "teacher_path: \"/in\" output: 1 features: 1", 5)}}) {
    const auto fresh = [] {
      std::unique_ptr<Env> disk = RecoverDisk();
      SaveEdited(*disk, "/cut", [](ModelView& view) {
        KeepHalf(view);
        REQUIRE_OK(view.DropBlocks({"toy.blocks.1", "other.blocks.2"}));
      });
      return disk;
    };
    const std::unique_ptr<Env> whole = fresh();
    const auto counting = NewFaultEnv(*whole, -1);
    REQUIRE_OK(Recover(*counting, options, "/cut", "/out").status());
    const std::map<std::string, std::string> expected = FilesOf(*whole, "/out");
    const int64_t writes = counting->writes();
    REQUIRE(writes > 20);
    // Every so many writes: they shift from block to block, so all kinds are met.
    for (int64_t fail_at = 0; fail_at < writes; fail_at += 1 + writes / 40) {
      const std::unique_ptr<Env> disk = fresh();
      {
        const auto failing = NewFaultEnv(*disk, fail_at);
        // At the end nothing but cleaning up is left, which may fail without a word.
        if (Recover(*failing, options, "/cut", "/out").ok()) REQUIRE(fail_at > writes - 14);
      }
      INFO(name << " killed at write " << fail_at << " of " << writes);
      const absl::Status again = Recover(*disk, options, "/cut", "/out").status();
      if (!absl::IsAlreadyExists(again)) REQUIRE_OK(again);
      REQUIRE(FilesOf(*disk, "/out") == expected);
    }
  }
}

TEST_CASE("recover says what it cannot do: options by field, models by layer") {
  const auto error = [](const std::string& options) {
    const auto parsed = RecoverParse(options);
    CHECK_FALSE(parsed.ok());
    return std::string(parsed.status().message());
  };
  CHECK_THAT(error("method: BLOCKS"), Contains("recover.loop") && Contains("is missing"));
  CHECK_THAT(error("method: MODEL"), Contains("recover.loop"));
  CHECK_THAT(error("loop { steps: 1 }"), Contains("recover.loop: is an option of BLOCKS"));
  CHECK_THAT(error("train: \"*\""), Contains("recover.train"));
  CHECK_THAT(error("components: \"toy\""), Contains("linears { components }"));
  CHECK_THAT(error("damping: 0"), Contains("recover.damping: 0 is not in (0, 1]"));
  CHECK_THAT(error("teacher: NO_TEACHER"), Contains("recover.teacher"));
  CHECK_THAT(error("teacher: BEFORE"), Contains("nothing to teach"));
  CHECK_THAT(error("teacher: BEFORE teacher_path: \"/x\""), Contains("recover.teacher_path"));
  CHECK_THAT(error(Training("BLOCKS", "damping: 0.1", 3)), Contains("recover.damping"));
  CHECK_THAT(error(Training("BLOCKS", "linears { kinds: \"*\" }", 3)), Contains("recover.linears"));
  CHECK_THAT(error(Training("BLOCKS", "data: 1", 3)), Contains("recover.data"));
  CHECK_THAT(error(Training("BLOCKS", "features_after: 1", 3)), Contains("features_after"));
  CHECK_THAT(error(Training("MODEL", "data: -1", 3)), Contains("recover.data: -1"));
  CHECK_THAT(error(Training("MODEL", "data: 0", 3)), Contains("nothing is left"));
  CHECK_THAT(error(Training("MODEL", "data: 1", 3)), Contains("say NO_TEACHER"));
  CHECK_THAT(error(Training("MODEL", "teacher: NO_TEACHER features: 1", 3)),
             Contains("recover.features"));
  CHECK_THAT(error(Training("MODEL", "features: 1 features_after: 3", 3)),
             Contains("[0, loop.steps = 3)"));
  CHECK_THAT(error(Training("MODEL", "features: 1 features_after: 2", 3)),
             Contains("would have no loss"));
  CHECK_THAT(error(Training("MODEL", "features_after: 2", 3)), Contains("features_after"));
  CHECK_THAT(error(Training("MODEL", "", 0)), Contains("loop.steps"));

  const std::unique_ptr<Env> disk = RecoverDisk();
  const auto refused = [&](const std::string& options, const std::string& in = "/in",
                           bool samples = true) {
    const absl::Status status = Recover(*disk, options, in, "/no", samples).status();
    CHECK_FALSE(status.ok());
    REQUIRE_OK(disk->RemoveAll("/no.run"));
    return std::string(status.message());
  };
  CHECK_THAT(refused(Training("MODEL", "train: \"*.sideways\"", 3)), Contains("train[0]"));
  CHECK_THAT(refused(Training("BLOCKS", "train: \"*.head.*\"", 3)),
             Contains("blocks alone are trained"));
  CHECK_THAT(refused(Training("MODEL", "components: \"vae\"", 3)), Contains("components[0]"));
  CHECK_THAT(refused("linears { kinds: \"attn\" }"), Contains("linears.kinds[0]"));
  CHECK_THAT(refused("", "/in", /*samples=*/false), Contains("recorded inputs"));
  CHECK_THAT(refused("teacher_path: \"/nowhere\""), Contains("/nowhere"));
  // Of a teacher that does not fit.
  SaveEdited(*disk, "/half", KeepHalf);
  SaveEdited(*disk, "/short",
             [](ModelView& view) { REQUIRE_OK(view.DropBlocks({"other.blocks.1"})); });
  for (const auto& options :
       {std::string("teacher_path: \"/short\""), Training("BLOCKS", "teacher_path: \"/short\"", 3),
        Training("MODEL", "teacher_path: \"/short\" features: 1", 3)}) {
    CHECK_THAT(refused(options), Contains("no block other.blocks.1"));
  }
  CHECK_THAT(refused("teacher_path: \"/in\" linears { kinds: \"mlp.up\" }", "/half"),
             Contains("other.blocks.0.up: gives 6 features, the teacher's 12"));
  SaveEdited(*disk, "/int8", [](ModelView& view) {
    ASSERT_OK_AND_ASSIGN(
        std::unique_ptr<LinearWeight> int8,
        BuiltinWeightFormats().Build(
            "int8", {{"weight", at::zeros({8, 12}, at::kChar)}, {"weight_scale", at::ones({8, 1})}},
            "{}"));
    REQUIRE_OK(view.SetLinearWeight("toy.blocks.2.down", std::move(int8)));
  });
  CHECK_THAT(refused("teacher_path: \"/in\"", "/int8"),
             Contains("toy.blocks.2.down") && Contains("format int8"));
}

}  // namespace
}  // namespace wanlite
