// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Faults put into compressed copies of a tiny Wan: the layer that is named is the one at fault.
#include "src/doctor/doctor.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/doctor/doctor_inputs.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/architecture.h"
#include "wanlite/pipeline.h"
#include "wanlite/registry.h"
#include "wanlite/runner.h"

namespace wanlite {
namespace {

// A disk with a tiny Wan, made once: writing one costs more than all the rest.
Env& Clinic() {
  static Env& env = *[] {
    Env* disk = NewMemEnv().release();
    testing::TinyWanOptions options;
    options.layers = 3;
    REQUIRE_OK(testing::WriteTinyWan(*disk, "/in", options));
    return disk;
  }();
  return env;
}

ModelFolder OpenModel(const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelFolder folder,
                       ModelFolder::Open(Clinic(), dir, OpenOptions(), BuiltinArchitectures()));
  return folder;
}

// /in by a recipe, in a folder named so; made when it is not there.
ModelFolder Made(const std::string& dir, const std::string& passes) {
  if (!Clinic().FolderExists(dir)) {
    ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                         ParsedRecipe::Parse(passes, "recipe.textproto", BuiltinPasses()));
    CompressOptions options;
    options.out_dir = dir;
    REQUIRE_OK(CompressFolder(Clinic(), recipe, OpenModel("/in"), BuiltinArchitectures(), options));
  }
  return OpenModel(dir);
}

ModelFolder Int8Copy() { return Made("/int8", "passes { quantize_int8 { } }"); }

// A copy of a folder with something done to it.
ModelFolder Altered(const ModelFolder& folder, const std::function<void(ModelView&)>& alter) {
  static int count = 0;
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  {
    const at::NoGradGuard no_grad;
    alter(view);
  }
  const std::string dir = absl::StrCat("/altered-", ++count);
  REQUIRE_OK(SaveCheckpoint(Clinic(), dir, view, &folder));
  return OpenModel(dir);
}

at::Tensor Tensor(ModelView& view, const std::string& path) {
  ASSERT_OK_AND_ASSIGN(at::Tensor tensor, view.FindTensor(path));
  return tensor;
}

std::vector<DoctorCase> Cases() {
  RunnerOptions options;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Runner> runner,
                       Runner::Open(Clinic(), "/in", BuiltinArchitectures(), options));
  std::vector<std::string> notes;
  ASSERT_OK_AND_ASSIGN(std::vector<DoctorCase> cases, CasesOfRequest(*runner, {}, notes));
  CHECK(notes.empty());
  return cases;
}

DoctorReport Examine(const ModelFolder& compressed) {
  DoctorOptions options;
  options.cases = Cases();
  ASSERT_OK_AND_ASSIGN(DoctorReport report, Diagnose(OpenModel("/in"), compressed, options));
  return report;
}

const ComponentCheck& Of(const DoctorReport& report, const std::string& name) {
  for (const ComponentCheck& component : report.components) {
    if (component.name == name) return component;
  }
  FAIL("no component " << name);
  return report.components.front();
}

TEST_CASE("without samples the doctor runs the text encoder and each expert at its own timesteps") {
  const std::vector<DoctorCase> cases = Cases();
  REQUIRE(cases.size() == 3);
  CHECK(cases[0].component == "text_encoder");
  CHECK(cases[1].component == "transformer");
  CHECK(cases[2].component == "transformer_2");
  CHECK(cases[1].inputs.at("timestep").item<float>() >= 875);
  CHECK(cases[2].inputs.at("timestep").item<float>() < 875);
  CHECK(cases[1].inputs.at("hidden_states").sizes() == at::IntArrayRef({1, 4, 2, 4, 4}));
  CHECK(at::equal(cases[1].inputs.at("hidden_states"), cases[2].inputs.at("hidden_states")));
}

TEST_CASE("a model beside itself has no error, and its sound copies are healthy") {
  const DoctorReport itself = Examine(OpenModel("/in"));
  CHECK(itself.healthy());
  for (const ComponentCheck& component : itself.components) {
    CHECK(component.output_error == 0);
    CHECK(component.output_cosine == Approx(1));
    CHECK(component.tensors.empty());
    for (const BlockCheck& block : component.blocks) {
      CHECK(block.error == 0);
      CHECK(block.max_compressed == block.max_original);
    }
  }
  const DoctorReport int8 = Examine(Int8Copy());
  INFO(DoctorText(int8));
  CHECK(int8.healthy());
  const ComponentCheck& expert = Of(int8, "transformer");
  CHECK(expert.output_error > 0.001);
  CHECK(expert.output_error < 0.1);
  // Embeddings, three blocks, head.
  CHECK(expert.blocks.size() == 5);
  CHECK(expert.layers.size() == 6 + 3 * 10);
  for (const LayerCheck& layer : expert.layers) {
    CAPTURE(layer.path);
    CHECK(layer.compared);
  }
  CHECK(Of(int8, "text_encoder").output_error == 0);

  const DoctorReport rotated =
      Examine(Made("/rotated", "passes { quantize_int8 { rotation: CONVROT rotation_group: 4 } }"));
  CHECK(rotated.healthy());
  const DoctorReport pruned = Examine(Made("/pruned",
                                           "passes { prune_magnitude { amount: 0.3 } }"
                                           "passes { quantize_int8 { } }"));
  INFO(DoctorText(pruned));
  CHECK(pruned.healthy());
}

TEST_CASE("the layer that a fault was put into is the first to be named") {
  struct Fault {
    std::string path;   // what must be named
    std::string cause;  // what must be said
    std::function<void(ModelView&, const std::string&)> put;
  };
  const auto scale = [](double factor) {
    return [factor](ModelView& view, const std::string& path) {
      Tensor(view, path + ".weight_scale").mul_(factor);
    };
  };
  const std::vector<Fault> faults = {
      {"transformer.blocks.1.ffn.2", "times the original's", scale(100)},
      {"transformer_2.blocks.2.self_attn.o", "times the original's", scale(0.3)},
      {"transformer.blocks.0.cross_attn.k", "scales are zero",
       [](ModelView& view, const std::string& path) {
         Tensor(view, path + ".weight_scale").slice(0, 2, 12).zero_();
       }},
      {"transformer_2.blocks.1.self_attn.v", "weight_scale are NaN or infinite",
       [](ModelView& view, const std::string& path) {
         Tensor(view, path + ".weight_scale")[3].fill_(NAN);
       }},
      {"transformer.blocks.2.self_attn.q",
       "it holds the weights of transformer.blocks.2.self_attn.k",
       [](ModelView& view, const std::string& path) {
         for (const char* name : {".weight", ".weight_scale"}) {
           const std::string other = "transformer.blocks.2.self_attn.k";
           const at::Tensor q = Tensor(view, path + name).clone();
           Tensor(view, path + name).copy_(Tensor(view, other + name));
           Tensor(view, other + name).copy_(q);
         }
       }},
      {"transformer.blocks.1.self_attn.k", "its weights were rotated in groups of 4",
       [](ModelView& view, const std::string& path) {
         ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, view.Weight(path));
         ASSERT_OK_AND_ASSIGN(const std::unique_ptr<LinearWeight> rotated,
                              MakeInt8Weight(weight->Dequantize(), 4));
         WeightState state;
         for (const WeightTensor& tensor : rotated->State()) state[tensor.name] = tensor.tensor;
         ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> wrong,
                              Int8WeightFromState(state, "{}", WeightFormatRegistry()));
         REQUIRE_OK(view.SetLinearWeight(path, std::move(wrong)));
       }},
      {"transformer.blocks.1.self_attn.norm_k.weight", "its values are others",
       [](ModelView& view, const std::string& path) { Tensor(view, path).mul_(3); }},
      {"transformer_2.blocks.0.modulation", "it holds NaN",
       [](ModelView& view, const std::string& path) {
         Tensor(view, path).flatten()[1].fill_(NAN);
       }},
      {"transformer.head.head", "it is not quantized, and its weights are others",
       [](ModelView& view, const std::string& path) {
         Tensor(view, path + ".weight").copy_(at::roll(Tensor(view, path + ".weight"), 5));
       }},
  };
  for (const Fault& fault : faults) {
    const DoctorReport report =
        Examine(Altered(Int8Copy(), [&](ModelView& view) { fault.put(view, fault.path); }));
    INFO(fault.path << "\n" << DoctorText(report));
    REQUIRE_FALSE(report.healthy());
    CHECK(report.findings.front().path == fault.path);
    CHECK(absl::StrContains(report.findings.front().because, fault.cause));
    CHECK(absl::StrContains(DoctorText(report), "FIRST OUT OF ITS BAND: " + fault.path));
    // What comes behind the fault is not blamed for it.
    const size_t number = fault.path.find("blocks.") + 7;
    const bool in_block = fault.path.find("blocks.") != std::string::npos;
    const std::string block = in_block ? fault.path.substr(0, number + 1) : fault.path;
    for (const Finding& finding : report.findings) {
      CAPTURE(finding.path);
      CHECK(absl::StartsWith(finding.path, block));
    }
  }
}

TEST_CASE("blocks that were dropped are paired by what they were") {
  const ModelFolder dropped = Altered(
      Int8Copy(), [](ModelView& view) { REQUIRE_OK(view.DropBlocks({"transformer.blocks.1"})); });
  const DoctorReport report = Examine(dropped);
  INFO(DoctorText(report));
  const ComponentCheck& expert = Of(report, "transformer");
  REQUIRE(expert.blocks.size() == 4);
  CHECK(expert.blocks[2].path == "transformer.blocks.1");
  CHECK(expert.blocks[2].original == "transformer.blocks.2");
  CHECK(expert.blocks[2].dropped == std::vector<std::string>{"transformer.blocks.1"});
  // On the original's input it is as good as ever; what flows on is not.
  CHECK(expert.blocks[2].own_error < 0.1);
  CHECK(expert.blocks[2].error > 2 * expert.blocks[1].error);
  for (const LayerCheck& layer : expert.layers) CHECK(layer.healthy());
  CHECK(absl::StrContains(DoctorText(report), "(transformer.blocks.1)"));
  // The other way round the compressed model has a block that the original does not have.
  DoctorOptions options;
  options.cases = Cases();
  const absl::Status more = Diagnose(dropped, OpenModel("/in"), options).status();
  CHECK(more.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(absl::StrContains(more.message(), "transformer.blocks.1"));
}

TEST_CASE("a pruned model is compared where it has the original's sizes") {
  const DoctorReport report = Examine(Altered(OpenModel("/in"), [](ModelView& view) {
    const at::Tensor keep = at::arange(39, at::kLong);
    REQUIRE_OK(view.KeepUnits("transformer.blocks.1.ffn.channels", keep));
  }));
  INFO(DoctorText(report));
  CHECK(report.healthy());
  int compared = 0, others = 0;
  for (const LayerCheck& layer : Of(report, "transformer").layers) {
    (layer.compared ? compared : others) += 1;
    if (!layer.compared) CHECK(absl::StrContains(layer.path, "blocks.1.ffn"));
  }
  CHECK(others == 2);
  CHECK(compared == 6 + 3 * 10 - 2);
  CHECK(Of(report, "transformer").output_error > 0);
}

TEST_CASE("the noise of four bits is no smoothing") {
  const ModelFolder int4 = Made("/int4", "passes { quantize_int4 { group: 4 } }");
  const DoctorReport report = Examine(int4);
  INFO(DoctorText(report));
  for (const ComponentCheck& component : report.components) CHECK(component.smoothed == 0);
  CHECK_FALSE(absl::StrContains(DoctorText(report), "smoothed"));
  // Another program's model, which says nothing of how it was made: all that is left are weights.
  ASSERT_OK_AND_ASSIGN(ModelView view, int4.BuildView());
  REQUIRE_OK(view.LoadAll());
  REQUIRE_OK(SaveCheckpoint(Clinic(), "/int4-foreign", view, nullptr));
  CHECK(Of(Examine(OpenModel("/int4-foreign")), "transformer").smoothed > 0);
}

TEST_CASE("four bits after smoothing are compared with a smoothed original") {
  at::Generator generator = at::detail::createCPUGenerator(6);
  const std::vector<Values> inputs = {
      {{"hidden_states", at::randn({1, 4, 2, 4, 4}, generator)},
       {"timestep", at::full({1}, 950, at::kLong)},
       {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}}};
  if (Clinic().FolderExists("/smoothing4")) REQUIRE_OK(Clinic().RemoveAll("/smoothing4"));
  const SampleSet samples = testing::WriteSampleSet(Clinic(), "/smoothing4", "transformer", inputs);
  ASSERT_OK_AND_ASSIGN(
      const ParsedRecipe recipe,
      ParsedRecipe::Parse("passes { smooth { linears { components: \"transformer\" } } }"
                          "passes { quantize_int4 { group: 4 } }",
                          "recipe.textproto", BuiltinPasses()));
  CompressOptions options;
  options.out_dir = "/smoothed4";
  options.samples = &samples;
  REQUIRE_OK(CompressFolder(Clinic(), recipe, OpenModel("/in"), BuiltinArchitectures(), options));
  const DoctorReport report = Examine(OpenModel("/smoothed4"));
  INFO(DoctorText(report));
  CHECK(report.healthy());
  CHECK(Of(report, "transformer").smoothed > 3);
  CHECK(Of(report, "transformer_2").smoothed == 0);
}

TEST_CASE("a smoothed model is sound, and a fault in it is found all the same") {
  at::Generator generator = at::detail::createCPUGenerator(5);
  std::vector<Values> inputs;
  for (int64_t i = 0; i < 2; ++i) {
    inputs.push_back({{"hidden_states", at::randn({1, 4, 2, 4, 4}, generator)},
                      {"timestep", at::full({1}, 950 - 10 * i, at::kLong)},
                      {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}});
  }
  if (Clinic().FolderExists("/smoothing")) REQUIRE_OK(Clinic().RemoveAll("/smoothing"));
  const SampleSet samples = testing::WriteSampleSet(Clinic(), "/smoothing", "transformer", inputs);
  ASSERT_OK_AND_ASSIGN(
      const ParsedRecipe recipe,
      ParsedRecipe::Parse("passes { smooth { linears { components: \"transformer\" } } }"
                          "passes { quantize_int8 { } }",
                          "recipe.textproto", BuiltinPasses()));
  CompressOptions options;
  options.out_dir = "/smoothed";
  options.samples = &samples;
  REQUIRE_OK(CompressFolder(Clinic(), recipe, OpenModel("/in"), BuiltinArchitectures(), options));
  const DoctorReport sound = Examine(OpenModel("/smoothed"));
  INFO(DoctorText(sound));
  CHECK(sound.healthy());
  CHECK(Of(sound, "transformer").smoothed > 3);
  CHECK(Of(sound, "transformer_2").smoothed == 0);
  for (const LayerCheck& layer : Of(sound, "transformer").layers) {
    CAPTURE(layer.path);
    CHECK(layer.error < 0.05);
  }
  for (const char* path : {"transformer.blocks.1.cross_attn.q", "transformer.blocks.2.self_attn.o",
                           "transformer.blocks.0.self_attn.v", "transformer.blocks.0.ffn.0"}) {
    const DoctorReport report = Examine(Altered(OpenModel("/smoothed"), [&](ModelView& view) {
      Tensor(view, absl::StrCat(path, ".weight_scale")).mul_(20);
    }));
    INFO(path << "\n" << DoctorText(report));
    REQUIRE_FALSE(report.healthy());
    CHECK(report.findings.front().path == path);
  }
}

TEST_CASE("recorded passes are examined in place of noise") {
  at::Generator generator = at::detail::createCPUGenerator(3);
  std::vector<Values> inputs;
  for (int64_t i = 0; i < 3; ++i) {
    inputs.push_back({{"hidden_states", at::randn({1, 4, 1 + i, 4, 6}, generator)},
                      {"timestep", at::full({1}, 640 - i, at::kLong)},
                      {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}});
  }
  if (Clinic().FolderExists("/samples")) REQUIRE_OK(Clinic().RemoveAll("/samples"));
  const SampleSet samples = testing::WriteSampleSet(Clinic(), "/samples", "transformer_2", inputs);
  DoctorOptions options;
  ASSERT_OK_AND_ASSIGN(options.cases, CasesOfSamples(samples, {"transformer", "transformer_2"}));
  REQUIRE(options.cases.size() == 1);
  CHECK(at::equal(options.cases[0].inputs.at("hidden_states"), inputs[1].at("hidden_states")));
  ASSERT_OK_AND_ASSIGN(const DoctorReport report, Diagnose(OpenModel("/in"), Int8Copy(), options));
  CHECK(report.healthy());
  CHECK(report.components.size() == 1);
}

TEST_CASE("the examination of one model holds one block of each in memory") {
  // Weights are read through the lease alone: nothing is loaded before or left behind.
  DoctorOptions options;
  options.cases = Cases();
  CancellationToken cancel;
  cancel.Cancel();
  options.cancel = &cancel;
  CHECK(Diagnose(OpenModel("/in"), Int8Copy(), options).status().code() ==
        absl::StatusCode::kCancelled);
}

TEST_CASE("the report as JSON has all that the text says, with no number that JSON lacks") {
  const DoctorReport report = Examine(Altered(Int8Copy(), [](ModelView& view) {
    Tensor(view, "transformer.blocks.0.ffn.0.weight_scale")[0].fill_(INFINITY);
  }));
  const auto json = nlohmann::json::parse(DoctorJson(report), nullptr, false);
  REQUIRE(json.is_object());
  CHECK(json["healthy"] == false);
  CHECK(json["findings"][0]["path"] == "transformer.blocks.0.ffn.0");
  CHECK(json["components"].size() == 3);
  bool found = false;
  for (const auto& layer : json["components"][1]["layers"]) {
    if (layer["path"] != "transformer.blocks.0.ffn.0") continue;
    found = true;
    CHECK(layer["healthy"] == false);
    CHECK(layer["finite"] == false);
    CHECK(layer["scales"][0]["broken"] == 1);
  }
  CHECK(found);
}

}  // namespace
}  // namespace wanlite
