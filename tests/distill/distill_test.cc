// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The pass distill in recipes, on toys: its terms, who teaches, how it resumes.
#include "src/distill/distill.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/core/libtorch.h"
#include "src/distill/register.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/toy_architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/process_group.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::FilesOf;
using testing::ToyModel;

at::Tensor DistillPoints(int64_t n, uint64_t seed) {
  return at::randn({n, 4}, at::detail::createCPUGenerator(seed));
}

// Toys that say how wide they are: {"width": 8, "hidden": [12, …]}.
Architecture WideToy() {
  Architecture toy = testing::ToyArchitecture();
  toy.build = [](absl::string_view config) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> hidden, testing::ToyHidden(config));
    const auto json = nlohmann::json::parse(config.begin(), config.end());
    return std::make_shared<ToyModel>(json.value("width", 8), hidden);
  };
  toy.config_of = [narrow = toy.config_of](
                      absl::string_view config,
                      const torch::nn::Module& module) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(const std::string text, narrow(config, module));
    nlohmann::json json = nlohmann::json::parse(text);
    json["width"] = dynamic_cast<const ToyModel&>(module).embed->out_features();
    return json.dump();
  };
  return toy;
}

const ArchitectureRegistry& DistillToys() {
  static const auto& registry = *[] {
    auto* list = new ArchitectureRegistry();
    REQUIRE_OK(list->Register(WideToy()));
    list->weight_formats() = BuiltinWeightFormats();
    return list;
  }();
  return registry;
}

Component DistillToy(const std::string& name, int64_t width, int64_t blocks, uint64_t seed) {
  auto toy = std::make_shared<ToyModel>(
      width, std::vector<int64_t>(static_cast<size_t>(blocks), int64_t{12}));
  toy->Randomize(seed);
  {
    const at::NoGradGuard no_grad;
    for (const auto& block : toy->blocks) {
      block->down->named_parameters()["weight"].mul_(0.4);
      block->norm.fill_(1);
    }
  }
  Component component = testing::EditableToy(toy, name);
  component.definition = std::make_shared<const Architecture>(WideToy());
  component.config_json =
      *component.definition->config_of(component.config_json, *component.module);
  return component;
}

void SaveToys(Env& env, const std::string& dir, std::vector<Component> components) {
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create(std::move(components)));
  REQUIRE_OK(SaveCheckpoint(env, dir, view));
}

ModelView LoadToys(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(env, dir, {}, DistillToys()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

// The teacher /in, "toy" and "other" of three blocks; /half, with half of the channels; /samples of
// both, 4 of each of 10 prompts, with targets that are noise around 0.5.
std::unique_ptr<Env> DistillDisk() {
  std::unique_ptr<Env> env = NewMemEnv();
  std::vector<Component> toys;
  toys.push_back(DistillToy("toy", 8, 3, 't'));
  toys.push_back(DistillToy("other", 8, 3, 'o'));
  SaveToys(*env, "/in", std::move(toys));
  ModelView half = LoadToys(*env, "/in");
  for (const AxisGroup& group : std::vector<AxisGroup>(half.groups())) {
    REQUIRE_OK(half.KeepUnits(group.name, at::arange(6, at::kLong)));
  }
  REQUIRE_OK(SaveCheckpoint(*env, "/half", half));
  SampleSetInfo info;
  for (int i = 0; i < 10; ++i) info.prompts.push_back(absl::StrCat("prompt ", i));
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", info));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (const char* name : {"toy", "other"}) {
    for (int64_t i = 0; i < 40; ++i) {
      SampleInfo sample;
      sample.component = name;
      sample.prompt = i / 4;
      const std::string tensor = absl::StrCat(name, i);
      sample.values = {{"input", tensor}, {"target", tensor + "t"}};
      tensors.push_back({tensor, DistillPoints(3, 1000 + i + 100 * name[0])});
      tensors.push_back({tensor + "t", 0.5 + DistillPoints(3, 2000 + i).narrow(1, 0, 3)});
      samples.push_back(sample);
    }
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  return env;
}

absl::StatusOr<ParsedRecipe> DistillParse(const std::string& options) {
  PassRegistry passes;
  REQUIRE_OK(RegisterDistillPasses(passes));
  return ParsedRecipe::Parse(absl::StrCat("seed: 3 passes { distill { ", options, " } }"),
                             "r.textproto", passes);
}

std::string Looped(absl::string_view options, int64_t steps, absl::string_view loop = "batch: 8") {
  return absl::StrCat(options, " loop { steps: ", steps, " ", loop,
                      " learning_rate: 0.01 max_gradient_norm: 1 state_every: 3 }");
}

absl::StatusOr<RunReport> Distil(Env& env, const std::string& options, const std::string& in,
                                 const std::string& out) {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe parsed, DistillParse(options));
  CompressOptions run;
  run.out_dir = out;
  run.log_dir = out + ".log";
  WANLITE_ASSIGN_OR_RETURN(const SampleSet set, SampleSet::Open(env, "/samples"));
  run.samples = &set;
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder, ModelFolder::Open(env, in, {}, DistillToys()));
  return CompressFolder(env, parsed, folder, DistillToys(), run);
}

at::Tensor ToyOutput(Env& env, const std::string& dir, const std::string& component,
                     uint64_t seed = 9) {
  const ModelView view = LoadToys(env, dir);
  const at::NoGradGuard no_grad;
  return ProgramOf(*view.FindComponent(component))->Run({{"input", DistillPoints(300, seed)}});
}

double FarFromToy(Env& env, const std::string& dir, const std::string& component = "toy",
                  const std::string& teacher = "toy") {
  const at::Tensor wanted = ToyOutput(env, "/in", teacher);
  return ((ToyOutput(env, dir, component) - wanted).norm() / wanted.norm()).item<double>();
}

// The lines of a log.
std::vector<nlohmann::json> LogOf(Env& env, const std::string& out, const std::string& component) {
  ASSERT_OK_AND_ASSIGN(
      const std::string text,
      env.ReadFile(absl::StrCat(out, ".log/stage-1-distill/", component, ".jsonl")));
  std::vector<nlohmann::json> lines;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    lines.push_back(nlohmann::json::parse(line.begin(), line.end()));
  }
  for (size_t i = 0; i < lines.size(); ++i) REQUIRE(lines[i]["step"] == i);
  return lines;
}

// The mean of a term over some lines.
double MeanTerm(const std::vector<nlohmann::json>& lines, size_t begin, size_t end,
                const std::string& term) {
  double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += lines[i]["terms"][term].get<double>();
  return sum / static_cast<double>(end - begin);
}

TEST_CASE("each term of distill lowers its own distance, and every step is logged") {
  const std::unique_ptr<Env> disk = DistillDisk();
  const std::map<std::string, std::string> terms = {
      {"squared_error", "squared_error { }"},
      {"kl", "kl { temperature: 2 }"},
      {"gaussian_kl", "gaussian_kl { variance: 0.1 }"},
      {"features", "features { outlier_sigmas: 3 }"},
      {"relation", "relation { rows: SAMPLES temperature: 0.5 }"}};
  for (const auto& [name, term] : terms) {
    const std::string out = absl::StrCat("/", name);
    ASSERT_OK_AND_ASSIGN(
        const RunReport report,
        Distil(*disk, Looped(absl::StrCat("teacher_path: \"/in\" terms { ", term, " }"), 60),
               "/half", out));
    for (const char* component : {"toy", "other"}) {
      const std::vector<nlohmann::json> lines = LogOf(*disk, out, component);
      REQUIRE(lines.size() == 60);
      const double before = MeanTerm(lines, 0, 5, name), after = MeanTerm(lines, 55, 60, name);
      INFO(name << " " << component << ": " << before << " -> " << after);
      CHECK(after < 0.6 * before);
      CHECK(lines[7]["loss"].get<double>() == Approx(lines[7]["terms"][name].get<double>()));
    }
    const std::map<std::string, double>& metrics = report.passes[0].metrics;
    CHECK(metrics.at("toy.steps") == 60);
    CHECK(metrics.at("toy.held_samples") == 4);
    // A softmax does not see what is added to a row, and relations no rotation.
    if (name == "kl" || name == "relation") continue;
    CHECK(metrics.at("toy.error_after") < 0.8 * metrics.at("toy.error_before"));
    if (name != "features") CHECK(FarFromToy(*disk, out) < 0.8 * FarFromToy(*disk, "/half"));
  }
}

TEST_CASE("a narrow student learns a wide teacher's features through projections") {
  const std::unique_ptr<Env> disk = DistillDisk();
  std::vector<Component> narrow;
  narrow.push_back(DistillToy("toy", 5, 3, 'n'));
  narrow.push_back(DistillToy("other", 5, 3, 'm'));
  SaveToys(*disk, "/narrow", std::move(narrow));
  REQUIRE_OK(Distil(*disk,
                    Looped("teacher_path: \"/in\" terms { features { } }"
                           " terms { squared_error { } }",
                           150),
                    "/narrow", "/out"));
  const std::vector<nlohmann::json> lines = LogOf(*disk, "/out", "toy");
  const double before = MeanTerm(lines, 0, 5, "features");
  const double after = MeanTerm(lines, 145, 150, "features");
  INFO(before << " -> " << after);
  CHECK(after < 0.5 * before);
  // What it keeps is a model of the student's shape, without them.
  const ModelView made = LoadToys(*disk, "/out"), was = LoadToys(*disk, "/narrow");
  CHECK(made.Fingerprint() == was.Fingerprint());
  CHECK(FarFromToy(*disk, "/out") < 0.7 * FarFromToy(*disk, "/narrow"));

  const auto refused = [&](const std::string& terms) {
    const absl::Status status =
        Distil(*disk, Looped(absl::StrCat("teacher_path: \"/in\" ", terms), 3), "/narrow", "/no")
            .status();
    CHECK_FALSE(status.ok());
    REQUIRE_OK(disk->RemoveAll("/no.run"));
    return std::string(status.message());
  };
  CHECK_THAT(refused("terms { features { projection: NEVER } }"),
             Contains("terms[0] (features)") && Contains("x after other.blocks.0 is [3, 5]") &&
                 Contains("after blocks.0 of the teacher [3, 8]"));
  CHECK_THAT(refused("terms { kl { pairs { block: \"blocks.1\" } } }"),
             Contains("x after other.blocks.1 is [3, 5]"));
}

TEST_CASE("cached targets are the teacher's, bit for bit where samples come one by one") {
  const std::unique_ptr<Env> disk = DistillDisk();
  const std::string terms =
      "teacher_path: \"/in\" terms { squared_error { } } terms { features { } weight: 0.5 }";
  const auto run = [&](const std::string& more, const std::string& loop, const std::string& out) {
    REQUIRE_OK(Distil(*disk, Looped(terms + more, 10, loop), "/half", out));
    return FilesOf(*disk, out);
  };
  const auto tensors = [](std::map<std::string, std::string> files) {
    files.erase("wanlite.json");  // the lineage says that they were cached
    return files;
  };
  const std::string one_by_one = "batch: 4 accumulate: 4";
  CHECK(tensors(run("", one_by_one, "/live")) ==
        tensors(run(" cache: true", one_by_one, "/cached")));
  // A batch at once is up to rounding the same.
  run("", "batch: 4", "/live4");
  run(" cache: true", "batch: 4", "/cached4");
  const ModelView a = LoadToys(*disk, "/live4"), b = LoadToys(*disk, "/cached4");
  const std::vector<NamedTensor> x = a.Tensors(), y = b.Tensors();
  for (size_t i = 0; i < x.size(); ++i) CHECK(at::allclose(x[i].tensor, y[i].tensor, 1e-3, 1e-4));
}

TEST_CASE("one student learns two experts, each on the samples that were recorded of it") {
  const std::unique_ptr<Env> disk = DistillDisk();
  std::vector<Component> single;
  single.push_back(DistillToy("toy", 8, 3, 's'));
  SaveToys(*disk, "/single", std::move(single));
  // Samples of both are drawn alike, so it ends between its teachers.
  for (const bool cache : {false, true}) {
    const std::string out = cache ? "/cached" : "/live";
    REQUIRE_OK(Distil(*disk,
                      Looped(absl::StrCat("teacher_path: \"/in\" teacher_components: \"toy\" "
                                          "teacher_components: \"other\" cache: ",
                                          cache),
                             200),
                      "/single", out));
    const at::Tensor mean = (ToyOutput(*disk, "/in", "toy") + ToyOutput(*disk, "/in", "other")) / 2;
    const auto far = [&](const at::Tensor& wanted) {
      return (ToyOutput(*disk, out, "toy") - wanted).norm().item<double>();
    };
    CHECK(far(mean) < 0.8 * far(ToyOutput(*disk, "/in", "toy")));
    CHECK(far(mean) < 0.8 * far(ToyOutput(*disk, "/in", "other")));
  }
  CHECK_THAT(
      std::string(Distil(*disk, Looped("teacher_path: \"/in\" teacher_components: \"toy\"", 3),
                         "/half", "/no")
                      .status()
                      .message()),
      Contains("teacher_components") && Contains("one student"));
}

TEST_CASE("learned weights become the inverse of what their terms leave") {
  const std::unique_ptr<Env> disk = DistillDisk();
  // Targets are noise, which nobody learns; features can be learned well.
  REQUIRE_OK(Distil(*disk,
                    Looped("teacher_path: \"/in\" components: \"toy\" balance: UNCERTAINTY "
                           "terms { squared_error { wanted: DATA } name: \"data\" } "
                           "terms { features { } } train: \"*.down.*\"",
                           400),
                    "/half", "/out"));
  const std::vector<nlohmann::json> lines = LogOf(*disk, "/out", "toy");
  for (const char* term : {"data", "features"}) {
    const double loss = MeanTerm(lines, 340, 400, term);
    const double weight = MeanTerm(lines, 340, 400, absl::StrCat("weight.", term));
    INFO(term << ": " << loss << ", weight " << weight);
    CHECK(loss * weight == Approx(1).epsilon(0.2));
  }
  CHECK(MeanTerm(lines, 340, 400, "data") > 2 * MeanTerm(lines, 340, 400, "features"));
}

TEST_CASE("terms count when their schedule says so") {
  const std::unique_ptr<Env> disk = DistillDisk();
  REQUIRE_OK(Distil(*disk,
                    Looped("teacher_path: \"/in\" components: \"toy\" "
                           "terms { squared_error { } weight: 2 } "
                           "terms { features { } from_step: 4 until_step: 9 ramp_steps: 2 }",
                           12),
                    "/half", "/out"));
  const std::vector<nlohmann::json> lines = LogOf(*disk, "/out", "toy");
  for (size_t i = 0; i < lines.size(); ++i) {
    const double error = lines[i]["terms"]["squared_error"].get<double>();
    const double features = lines[i]["terms"]["features"].get<double>();
    CHECK((features > 0) == (i >= 4 && i < 9));
    CHECK(lines[i]["loss"].get<double>() ==
          Approx(2 * error + (i == 4 ? 0.5 : 1) * features).epsilon(1e-5));
  }
}

TEST_CASE("distill killed at any write goes on to the same bytes and the same log") {
  const std::string options = Looped(
      "teacher_path: \"/in\" balance: UNCERTAINTY terms { squared_error { } } "
      "terms { features { projection: ALWAYS } from_step: 2 } cache: true",
      5);
  const std::unique_ptr<Env> whole = DistillDisk();
  const auto counting = NewFaultEnv(*whole, -1);
  REQUIRE_OK(Distil(*counting, options, "/half", "/out").status());
  const std::map<std::string, std::string> expected = FilesOf(*whole, "/out");
  const std::map<std::string, std::string> log = FilesOf(*whole, "/out.log");
  CHECK(log.size() == 2);
  const int64_t writes = counting->writes();
  for (int64_t fail_at = 0; fail_at < writes; fail_at += 1 + writes / 60) {
    const std::unique_ptr<Env> disk = DistillDisk();
    {
      const auto failing = NewFaultEnv(*disk, fail_at);
      if (Distil(*failing, options, "/half", "/out").ok()) REQUIRE(fail_at > writes - 14);
    }
    INFO("killed at write " << fail_at << " of " << writes);
    const absl::Status again = Distil(*disk, options, "/half", "/out").status();
    if (!absl::IsAlreadyExists(again)) REQUIRE_OK(again);
    REQUIRE(FilesOf(*disk, "/out") == expected);
    REQUIRE(FilesOf(*disk, "/out.log") == log);
  }
}

TEST_CASE("two processes distil as one does, whether they share a teacher's answers or not") {
  const testing::TempFolder temp;
  for (const bool cache : {false, true}) {
    const std::string options =
        Looped(absl::StrCat("teacher_path: \"/in\" terms { squared_error { } } "
                            "terms { features { projection: ALWAYS } } cache: ",
                            cache),
               6, "batch: 8 accumulate: 2");
    const std::unique_ptr<Env> alone = DistillDisk(), shared = DistillDisk();
    REQUIRE_OK(Distil(*alone, options, "/half", "/out"));
    ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe, DistillParse(options));
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*shared, "/half", {}, DistillToys()));
    ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*shared, "/samples"));
    absl::Status results[2];
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([&, rank] {
        const auto run = [&]() -> absl::Status {
          WANLITE_ASSIGN_OR_RETURN(
              const std::unique_ptr<ProcessGroup> group,
              JoinLocalGroup(temp / absl::StrCat("group", cache), rank, 2, 60));
          CompressOptions shared_options;
          shared_options.out_dir = "/out";
          shared_options.log_dir = "/out.log";
          shared_options.samples = &set;
          shared_options.group = group.get();
          if (rank > 0) return AssistFolder(*shared, recipe, folder, DistillToys(), shared_options);
          return CompressFolder(*shared, recipe, folder, DistillToys(), shared_options).status();
        };
        results[rank] = run();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const absl::Status& result : results) REQUIRE_OK(result);
    // Sums of two pieces have one order.
    CHECK(FilesOf(*shared, "/out") == FilesOf(*alone, "/out"));
    CHECK(FilesOf(*shared, "/out.log") == FilesOf(*alone, "/out.log"));
  }
}

TEST_CASE("another teacher is refused by a run that goes on") {
  for (const bool cache : {false, true}) {
    const std::unique_ptr<Env> disk = DistillDisk();
    const std::string options = Looped(absl::StrCat("teacher_path: \"/other\" cache: ", cache), 5);
    const auto teach = [&](uint64_t seed) {
      if (disk->FolderExists("/other")) REQUIRE_OK(disk->RemoveAll("/other"));
      std::vector<Component> toys;
      toys.push_back(DistillToy("toy", 8, 3, seed));
      toys.push_back(DistillToy("other", 8, 3, seed + 1));
      SaveToys(*disk, "/other", std::move(toys));
    };
    teach(1);
    const auto counting = NewFaultEnv(*disk, -1);
    REQUIRE_OK(Distil(*counting, options, "/half", "/out").status());
    REQUIRE_OK(disk->RemoveAll("/out"));
    {
      const auto failing = NewFaultEnv(*disk, counting->writes() * 2 / 3);
      REQUIRE_FALSE(Distil(*failing, options, "/half", "/out").ok());
    }
    teach(5);
    CHECK_THAT(std::string(Distil(*disk, options, "/half", "/out").status().message()),
               Contains("teacher"));
    teach(1);
    REQUIRE_OK(Distil(*disk, options, "/half", "/out").status());
  }
}

TEST_CASE("distill says what it cannot do, by field") {
  const auto error = [](const std::string& options) {
    const auto parsed = DistillParse(options);
    CHECK_FALSE(parsed.ok());
    return std::string(parsed.status().message());
  };
  CHECK_THAT(error(""), Contains("distill.loop") && Contains("is missing"));
  CHECK_THAT(error(Looped("", 0)), Contains("loop.steps"));
  CHECK_THAT(error(Looped("", 3, "batch: 2 workers: 4")), Contains("loop."));
  CHECK_THAT(error(Looped("teacher: BEFORE teacher_path: \"/x\"", 3)), Contains("teacher_path"));
  CHECK_THAT(error(Looped("terms { }", 3)), Contains("terms[0]") && Contains("no kind"));
  CHECK_THAT(error(Looped("terms { squared_error { } weight: -1 }", 3)),
             Contains("terms[0].weight: -1"));
  CHECK_THAT(error(Looped("terms { squared_error { } } terms { squared_error { } }", 3)),
             Contains("terms[1].name"));
  CHECK_THAT(error(Looped("terms { kl { temperature: 0 } }", 3)),
             Contains("terms[0].kl.temperature"));
  CHECK_THAT(error(Looped("terms { squared_error { } until_step: 2 }", 3)),
             Contains("terms[0].until_step") && Contains("no term counts at step 2"));
  CHECK_THAT(error(Looped("terms { squared_error { } from_step: 1 }", 3)),
             Contains("none counts at the first step"));
  CHECK_THAT(error(Looped("terms { squared_error { } from_step: 3 }", 3)),
             Contains("terms[0].from_step"));
  CHECK_THAT(error(Looped("teacher: NO_TEACHER terms { features { } }", 3)),
             Contains("terms[0].features") && Contains("NO_TEACHER"));
  CHECK_THAT(error(Looped("terms { squared_error { wanted: DATA } }", 3)),
             Contains("say NO_TEACHER"));
  CHECK_THAT(error(Looped("teacher: NO_TEACHER cache: true", 3)), Contains("distill.cache"));
  CHECK_THAT(error(Looped("terms { relation { rows: SAMPLES } }", 3, "batch: 4 accumulate: 4")),
             Contains("terms[0].relation") && Contains("fewer than two"));

  const std::unique_ptr<Env> disk = DistillDisk();
  const auto refused = [&](const std::string& options) {
    const absl::Status status = Distil(*disk, Looped(options, 3), "/in", "/no").status();
    CHECK_FALSE(status.ok());
    REQUIRE_OK(disk->RemoveAll("/no.run"));
    return std::string(status.message());
  };
  CHECK_THAT(refused("components: \"vae\""), Contains("components[0]"));
  CHECK_THAT(refused("train: \"*.sideways\""), Contains("train[0]"));
  CHECK_THAT(refused("terms { features { pairs { block: \"blocks.7\" } } }"),
             Contains("terms[0].features.pairs[0].block"));
  CHECK_THAT(refused("terms { features { pairs { block: \"blocks.1\" value: \"y\" } } }"),
             Contains("terms[0].features.pairs[0].value"));
  CHECK_THAT(refused("terms { squared_error { of: CLEAN } }"),
             Contains("noise levels") && Contains("\"timestep\""));
  CHECK_THAT(refused("teacher: NO_TEACHER terms { clip { } } "
                     "terms { squared_error { wanted: DATA } }"),
             Contains("--clip"));
  // A plan says what softmax does to a velocity.
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe, DistillParse(Looped("terms { kl { } }", 3)));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*disk, "/in", {}, DistillToys()));
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans, PlanRecipe(recipe, folder));
  REQUIRE(plans[0].notes.size() == 2);
  CHECK_THAT(plans[0].notes[0], Contains("is no distribution"));
}

}  // namespace
}  // namespace wanlite
