// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The pass distill-blocks in recipes, on a tiny Wan model that was cut.
#include "src/distill/distill_blocks.h"

#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/seeded.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/wan_samples.h"
#include "wanlite/pipeline.h"
#include "wanlite/process_group.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::CompressWan;
using testing::FilesOf;
using testing::OutputOf;
using testing::WanView;

constexpr char kCutFfn[] = "prune_ffn { amount: 0.5 }";

std::string BlocksPass(const std::string& options, int steps = 30) {
  return absl::StrCat("distill_blocks { ", options, " loop { steps: ", steps,
                      " batch: 4 learning_rate: 0.003 state_every: 3 } }");
}

// /model with inputs at /samples, of 9 prompts, so that one is kept out of the training.
std::unique_ptr<Env> DiskForBlocks(int layers = 3) {
  std::unique_ptr<Env> env = testing::DiskWithWan(/*text_encoder=*/false, layers);
  const std::vector<Values> inputs = testing::TransformerInputs(18, 5);
  SampleSetInfo info;
  for (int i = 0; i < 9; ++i) info.prompts.push_back(absl::StrCat("prompt ", i));
  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/samples", info));
  std::vector<NamedTensor> tensors;
  std::vector<SampleInfo> samples;
  for (size_t i = 0; i < inputs.size(); ++i) {
    SampleInfo sample;
    sample.component = "transformer";
    sample.prompt = static_cast<int64_t>(i / 2);
    sample.timestep = inputs[i].at("timestep").item<double>();
    for (const auto& [name, value] : inputs[i]) {
      sample.values[name] = absl::StrCat(i, ".", name);
      tensors.push_back({sample.values[name], value});
    }
    samples.push_back(sample);
  }
  REQUIRE_OK(writer->WriteFile("all", tensors));
  REQUIRE_OK(writer->Finish(samples));
  return env;
}

// Of the output on inputs that took no part.
double FarFromModel(Env& env, const std::string& dir) {
  const ModelView now = WanView(env, dir), teacher = WanView(env, "/model");
  double worst = 0;
  for (const Values& values : testing::TransformerInputs(4, 77)) {
    worst = std::max(worst, testing::RelativeL2(OutputOf(now, "transformer", values),
                                                OutputOf(teacher, "transformer", values)));
  }
  return worst;
}

TEST_CASE("distill_blocks brings a cut model nearer to its teacher, from either one's inputs") {
  const std::unique_ptr<Env> disk = DiskForBlocks();
  REQUIRE_OK(CompressWan(*disk, {kCutFfn}, "", "/cut").status());
  const double cut = FarFromModel(*disk, "/cut");
  for (const std::string inputs : {"STUDENT", "TEACHER"}) {
    const std::string out = "/" + inputs;
    ASSERT_OK_AND_ASSIGN(
        const RunReport report,
        CompressWan(*disk, {kCutFfn, BlocksPass("inputs: " + inputs)}, "/samples", out));
    const std::map<std::string, double>& metrics = report.passes[1].metrics;
    INFO(inputs << ": " << cut << " -> " << FarFromModel(*disk, out));
    CHECK(metrics.at("trained_blocks") == 3);
    CHECK(metrics.at("steps") == 90);
    CHECK(metrics.at("mean_error_after") < 0.9 * metrics.at("mean_error_before"));
    CHECK(FarFromModel(*disk, out) < 0.7 * cut);
  }
}

TEST_CASE("recover by blocks is distill_blocks with its defaults") {
  const std::unique_ptr<Env> disk = DiskForBlocks();
  const std::string loop = "loop { steps: 5 batch: 4 learning_rate: 0.003 }";
  REQUIRE_OK(CompressWan(*disk, {kCutFfn, absl::StrCat("distill_blocks { ", loop, " }")},
                         "/samples", "/distilled")
                 .status());
  REQUIRE_OK(CompressWan(*disk, {kCutFfn, absl::StrCat("recover { method: BLOCKS ", loop, " }")},
                         "/samples", "/recovered")
                 .status());
  std::map<std::string, std::string> a = FilesOf(*disk, "/distilled"),
                                     b = FilesOf(*disk, "/recovered");
  a.erase("wanlite.json");
  b.erase("wanlite.json");
  CHECK(a == b);
}

TEST_CASE("A block stands for those of the teacher that are gone, the first of all too") {
  const std::unique_ptr<Env> disk = DiskForBlocks(/*layers=*/4);
  const std::string cut = "student { keep_blocks: [1, 3] }";
  REQUIRE_OK(CompressWan(*disk, {cut}, "", "/cut").status());
  for (const std::string inputs : {"STUDENT", "TEACHER"}) {
    const std::string out = "/" + inputs;
    ASSERT_OK_AND_ASSIGN(
        const RunReport report,
        CompressWan(*disk, {cut, BlocksPass("inputs: " + inputs, 60)}, "/samples", out));
    const std::map<std::string, double>& metrics = report.passes[1].metrics;
    CHECK(metrics.at("transformer.blocks.0.error_after") <
          0.9 * metrics.at("transformer.blocks.0.error_before"));
    if (inputs == "STUDENT") {
      CHECK(metrics.at("transformer.blocks.1.error_after") <
            metrics.at("transformer.blocks.1.error_before"));
    } else {
      // It is the teacher's own, on the teacher's own inputs.
      CHECK(metrics.at("transformer.blocks.1.error_before") == 0);
    }
    CHECK(FarFromModel(*disk, out) < FarFromModel(*disk, "/cut"));
  }
}

TEST_CASE("A narrower student is taught through a projection that is not kept") {
  const std::unique_ptr<Env> disk = DiskForBlocks();
  const std::string cut = "prune_width { keep: 16 }";
  REQUIRE_OK(CompressWan(*disk, {cut}, "", "/cut").status());
  for (const std::string rate : {"0", "1"}) {
    const std::string out = "/wide" + rate;
    ASSERT_OK_AND_ASSIGN(
        const RunReport report,
        CompressWan(*disk,
                    {cut, BlocksPass(absl::StrCat("projection: true projection_rate: ", rate), 60)},
                    "/samples", out));
    const std::map<std::string, double>& metrics = report.passes[1].metrics;
    // The output is not compared: the head still reads what it was cut for.
    INFO("rate " << rate << ": " << metrics.at("mean_error_before") << " -> "
                 << metrics.at("mean_error_after"));
    CHECK(metrics.at("mean_error_after") < 0.9 * metrics.at("mean_error_before"));
    CHECK(WanView(*disk, out, /*load=*/false).Fingerprint() ==
          WanView(*disk, "/cut", /*load=*/false).Fingerprint());
  }
  const absl::Status refused =
      CompressWan(*disk, {cut, BlocksPass("")}, "/samples", "/no").status();
  CHECK_THAT(std::string(refused.message()),
             Contains("transformer.blocks.0") && Contains("of another width"));
}

TEST_CASE("Zeros that were put into matrices stay, by AdamW and Muon, unless told otherwise") {
  const std::unique_ptr<Env> disk = DiskForBlocks();
  const std::string cut = "prune_magnitude { amount: 0.5 }";
  REQUIRE_OK(CompressWan(*disk, {cut}, "", "/cut").status());
  const ModelView before = WanView(*disk, "/cut");
  const auto kept_zeros = [&](const std::string& dir) {
    const ModelView now = WanView(*disk, dir);
    int64_t same = 0, layers = 0;
    for (const LinearInfo& linear : before.linears()) {
      if (linear.sensitive) continue;
      ASSERT_OK_AND_ASSIGN(const LinearWeight* a, before.Weight(linear.path));
      ASSERT_OK_AND_ASSIGN(const LinearWeight* b, now.Weight(linear.path));
      CHECK(std::string(b->format()) == "dense");
      CHECK_FALSE(at::equal(*a->dense(), *b->dense()));
      same += at::equal(*a->dense() != 0, *b->dense() != 0);
      ++layers;
    }
    REQUIRE(layers == 30);
    return same;
  };
  const std::string loops[] = {"", " muon: true"};
  for (const std::string& muon : loops) {
    const std::string loop =
        absl::StrCat("loop { steps: 4 batch: 4 learning_rate: 0.003", muon, " }");
    const std::string out = muon.empty() ? "/adamw" : "/muon";
    REQUIRE_OK(
        CompressWan(*disk, {cut, absl::StrCat("distill_blocks { ", loop, " }")}, "/samples", out)
            .status());
    CHECK(kept_zeros(out) == 30);
    REQUIRE_OK(CompressWan(*disk, {cut, absl::StrCat("recover { method: MODEL ", loop, " }")},
                           "/samples", out + "-model")
                   .status());
    CHECK(kept_zeros(out + "-model") == 30);
  }
  REQUIRE_OK(CompressWan(*disk, {cut, BlocksPass("keep_zeros: false", 4)}, "/samples", "/filled")
                 .status());
  CHECK(kept_zeros("/filled") == 0);
}

TEST_CASE("Massive values of the teacher have no part in the loss when they are told to") {
  const std::unique_ptr<Env> disk = DiskForBlocks();
  {
    ModelView view = WanView(*disk, "/model");
    ASSERT_OK_AND_ASSIGN(const at::Tensor bias,
                         view.FindTensor("transformer.patch_embedding.bias"));
    const at::Tensor massive = bias.detach().clone();
    massive[0] = 1000;
    REQUIRE_OK(view.SetTensor("transformer.patch_embedding.bias", massive));
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*disk, "/model", {}, BuiltinArchitectures()));
    REQUIRE_OK(SaveCheckpoint(*disk, "/massive", view, &folder));
    REQUIRE_OK(disk->Rename("/model", "/plain"));
    REQUIRE_OK(disk->Rename("/massive", "/model"));
  }
  double before[2];
  for (const bool masked : {false, true}) {
    ASSERT_OK_AND_ASSIGN(
        const RunReport report,
        CompressWan(*disk, {kCutFfn, BlocksPass(masked ? "outlier_sigma: 4" : "", 2)}, "/samples",
                    masked ? "/masked" : "/all"));
    before[masked] = report.passes[1].metrics.at("mean_error_before");
  }
  INFO(before[0] << " " << before[1]);
  CHECK(before[1] > 20 * before[0]);
}

TEST_CASE("distill_blocks, killed at any write, goes on to the same bytes") {
  const std::vector<std::string> options = {"", "inputs: TEACHER", "projection: true"};
  for (const std::string& option : options) {
    const std::string cut = option == "projection: true" ? "prune_width { keep: 16 }" : kCutFfn;
    const std::vector<std::string> recipe = {cut, BlocksPass(option, 4)};
    const std::unique_ptr<Env> whole = DiskForBlocks(/*layers=*/2);
    const auto counting = NewFaultEnv(*whole, -1);
    REQUIRE_OK(CompressWan(*counting, recipe, "/samples", "/out").status());
    const std::map<std::string, std::string> expected = FilesOf(*whole, "/out");
    const int64_t writes = counting->writes();
    for (int64_t fail_at = 2; fail_at < writes; fail_at += writes / 6) {
      const std::unique_ptr<Env> disk = DiskForBlocks(/*layers=*/2);
      {
        const auto failing = NewFaultEnv(*disk, fail_at);
        if (CompressWan(*failing, recipe, "/samples", "/out").ok()) REQUIRE(fail_at > writes - 10);
      }
      INFO(option << ": killed at write " << fail_at << " of " << writes);
      const absl::Status again = CompressWan(*disk, recipe, "/samples", "/out").status();
      if (!absl::IsAlreadyExists(again)) REQUIRE_OK(again);
      REQUIRE(FilesOf(*disk, "/out") == expected);
    }
  }
}

// What each process of a group does; without assertions, since threads call it.
absl::Status RunRank(Env& env, const std::string& text, ProcessGroup& group) {
  WANLITE_ASSIGN_OR_RETURN(const ParsedRecipe recipe,
                           ParsedRecipe::Parse(text, "recipe", BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(const ModelFolder folder,
                           ModelFolder::Open(env, "/model", {}, BuiltinArchitectures()));
  WANLITE_ASSIGN_OR_RETURN(const SampleSet samples, SampleSet::Open(env, "/samples"));
  CompressOptions options;
  options.out_dir = "/out";
  options.samples = &samples;
  options.group = &group;
  if (group.rank() > 0) return AssistFolder(env, recipe, folder, BuiltinArchitectures(), options);
  return CompressFolder(env, recipe, folder, BuiltinArchitectures(), options).status();
}

std::vector<absl::Status> RunRanks(const std::vector<Env*>& envs, const std::string& text) {
  const testing::TempFolder temp;
  std::vector<absl::Status> results(envs.size());
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < envs.size(); ++rank) {
    threads.emplace_back([&, rank] {
      auto group =
          JoinLocalGroup(temp / "group", static_cast<int>(rank), static_cast<int>(envs.size()), 60);
      results[rank] = group.ok() ? RunRank(*envs[rank], text, **group) : group.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

TEST_CASE("Processes share independent blocks, with the bytes of one process, after a kill too") {
  constexpr int kLayers = 4;
  const std::string text = absl::StrCat(
      "seed: 0 passes { ", kCutFfn, " } passes { ",
      BlocksPass(
          "inputs: TEACHER train: \"*.blocks.0.*\" train: \"*.blocks.2.*\" train: \"*.blocks.3.*\"",
          4),
      " }");
  const std::unique_ptr<Env> alone = DiskForBlocks(kLayers);
  {
    ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                         ParsedRecipe::Parse(text, "recipe", BuiltinPasses()));
    ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                         ModelFolder::Open(*alone, "/model", {}, BuiltinArchitectures()));
    ASSERT_OK_AND_ASSIGN(const SampleSet samples, SampleSet::Open(*alone, "/samples"));
    CompressOptions options;
    options.out_dir = "/out";
    options.samples = &samples;
    REQUIRE_OK(CompressFolder(*alone, recipe, folder, BuiltinArchitectures(), options).status());
  }
  const std::map<std::string, std::string> expected = FilesOf(*alone, "/out");
  for (const size_t ranks : {2, 3}) {
    const std::unique_ptr<Env> disk = DiskForBlocks(kLayers);
    for (const absl::Status& status : RunRanks(std::vector<Env*>(ranks, disk.get()), text)) {
      REQUIRE_OK(status);
    }
    CHECK(FilesOf(*disk, "/out") == expected);
    CHECK_FALSE(disk->FolderExists("/out.run"));
  }
  // Either process fails; both end, and the run goes on with another number of them.
  for (const size_t failing : {0, 1}) {
    for (const int64_t at : {30, 75}) {
      const std::unique_ptr<Env> disk = DiskForBlocks(kLayers);
      const auto broken = NewFaultEnv(*disk, at);
      std::vector<Env*> envs = {disk.get(), disk.get()};
      envs[failing] = broken.get();
      const std::vector<absl::Status> results = RunRanks(envs, text);
      if (results[0].ok()) continue;  // it had not so many writes
      CHECK_FALSE(results[1].ok());
      for (const absl::Status& status : RunRanks(std::vector<Env*>(3, disk.get()), text)) {
        REQUIRE_OK(status);
      }
      CHECK(FilesOf(*disk, "/out") == expected);
    }
  }
}

TEST_CASE("distill_blocks refuses what it cannot do before anything is read") {
  const auto error = [](const std::string& options) {
    const auto parsed =
        ParsedRecipe::Parse(absl::StrCat("passes { distill_blocks { ", options, " } }"),
                            "r.textproto", BuiltinPasses());
    CHECK_FALSE(parsed.ok());
    return std::string(parsed.status().message());
  };
  const std::string loop = "loop { steps: 1 batch: 1 learning_rate: 0.1 } ";
  CHECK_THAT(error(""), Contains("distill_blocks.loop") && Contains("is missing"));
  CHECK_THAT(error("loop { steps: 0 batch: 1 learning_rate: 0.1 }"), Contains("loop.steps"));
  CHECK_THAT(error(loop + "teacher: BEFORE teacher_path: \"x\""), Contains("teacher_path"));
  CHECK_THAT(error(loop + "outlier_sigma: 0"), Contains("outlier_sigma: 0 is not above 0"));
  CHECK_THAT(error(loop + "projection_rate: 1"), Contains("of projection alone"));
  CHECK_THAT(error(loop + "projection: true projection_rate: -1"), Contains("projection_rate: -1"));
  CHECK_THAT(error(loop + "projection: true inputs: TEACHER"), Contains("distill_blocks.inputs"));

  const std::unique_ptr<Env> disk = NewMemEnv();
  testing::TinyWanOptions wan;
  wan.vae = wan.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*disk, "/model", wan));
  testing::WriteTransformerSamples(*disk, "/samples", testing::TransformerInputs(2, 1));
  const auto refused = [&](const std::string& options) {
    const absl::Status status =
        CompressWan(*disk, {"distill_blocks { " + loop + options + " }"}, "/samples", "/no")
            .status();
    CHECK_FALSE(disk->FolderExists("/no.run"));
    return std::string(status.message());
  };
  // The samples are of the first expert alone.
  const char wanted[] = "needs recorded inputs of 'transformer_2'";
  CHECK_THAT(refused(""), Contains(wanted));
  CHECK_THAT(refused("inputs: TEACHER"), Contains(wanted));
  CHECK_THAT(refused("train: \"*.sideways\""), Contains("distill-blocks: train[0]"));
  CHECK_THAT(refused("train: \"*.head.*\""), Contains("blocks alone are trained"));
  CHECK_THAT(refused("components: \"vae\""), Contains("distill-blocks: components[0]"));
  for (const char* pass :
       {"recover { method: MODEL loop { steps: 1 batch: 1 learning_rate: 0.1 } }",
        "qat { format { int8 { } } loop { steps: 1 batch: 1 learning_rate: 0.1 } }",
        "prune_ffn { amount: 0.5 criterion { score: TAYLOR } }",
        "drop_blocks { count: 1 score: OUTPUT_ERROR }"}) {
    INFO(pass);
    const absl::Status status = CompressWan(*disk, {pass}, "/samples", "/no").status();
    CHECK_THAT(std::string(status.message()), Contains(wanted));
    CHECK_FALSE(disk->FolderExists("/no.run"));
  }
}

}  // namespace
}  // namespace wanlite
