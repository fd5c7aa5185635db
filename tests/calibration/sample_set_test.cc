// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/sample_set.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/files_of.h"
#include "tests/testing/toy_model.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using testing::FilesOf;

SampleSetInfo ToyInfo() { return {"abc", 7, R"({"steps": 4})", {"a red digit", "ein Ö"}}; }

at::Tensor InputOf(int64_t i) { return at::arange(8, at::kFloat).reshape({2, 4}) + i; }

std::vector<SampleInfo> ToySamples() {
  std::vector<SampleInfo> samples;
  for (int64_t i = 0; i < 4; ++i) {
    SampleInfo sample;
    sample.component = i == 3 ? "other" : "toy";
    sample.weight = 0.1 + static_cast<double>(i);
    sample.prompt = i / 2;
    sample.branch = i % 2 == 0 ? "conditional" : "negative";
    sample.step = i;
    sample.timestep = 999.5 - static_cast<double>(i);
    // The first two share a tensor.
    sample.values["input"] = absl::StrCat("input.", std::max<int64_t>(i, 1));
    samples.push_back(sample);
  }
  return samples;
}

absl::Status WriteToySet(Env& env, const std::string& dir) {
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<SampleSetWriter> writer,
                           SampleSetWriter::Create(env, dir, ToyInfo()));
  if (writer->complete()) return absl::OkStatus();
  if (!writer->HasFile("a")) {
    WANLITE_RETURN_IF_ERROR(
        writer->WriteFile("a", {{"input.1", InputOf(1)}, {"input.2", InputOf(2)}}));
  }
  if (!writer->HasFile("b")) {
    WANLITE_RETURN_IF_ERROR(writer->WriteFile("b", {{"input.3", InputOf(3)}}));
  }
  return writer->Finish(ToySamples());
}

TEST_CASE("a sample set gives back what was written, by component") {
  const auto env = NewMemEnv();
  REQUIRE_OK(WriteToySet(*env, "/s"));
  SampleSetOptions verify;
  verify.verify = true;
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/s/", verify));
  CHECK(set.components() == std::vector<std::string>{"other", "toy"});
  CHECK(set.size("toy") == 3);
  CHECK(set.size("other") == 1);
  CHECK(set.size("none") == 0);
  CHECK(set.info().seed == 7);
  CHECK(set.info().prompts == ToyInfo().prompts);
  CHECK(set.info().settings_json == R"({"steps":4})");
  CHECK(set.sample("toy", 1).weight == 1.1);
  CHECK(set.sample("toy", 2).timestep == 997.5);
  CHECK(set.sample("toy", 1).branch == "negative");
  for (int64_t i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const Values values, set.Read("toy", i));
    REQUIRE(values.size() == 1);
    CHECK(at::equal(values.at("input"), InputOf(std::max<int64_t>(i, 1))));
  }
  CHECK(absl::IsOutOfRange(set.Read("toy", 3).status()));
  CHECK(absl::IsOutOfRange(set.Read("none", 0).status()));
}

TEST_CASE("the fingerprint of a sample set is of all that is in it") {
  const auto write = [](const SampleSetInfo& info, const at::Tensor& value,
                        std::vector<SampleInfo> samples) {
    const auto env = NewMemEnv();
    ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/s", info));
    REQUIRE_OK(writer->WriteFile("a", {{"v", value}}));
    for (SampleInfo& sample : samples) sample.values = {{"input", "v"}};
    REQUIRE_OK(writer->Finish(samples));
    ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/s"));
    return set.fingerprint();
  };
  const std::string base = write(ToyInfo(), InputOf(0), ToySamples());
  CHECK(base == write(ToyInfo(), InputOf(0), ToySamples()));
  CHECK(base != write(ToyInfo(), InputOf(1), ToySamples()));
  SampleSetInfo info = ToyInfo();
  info.model_fingerprint = "abd";
  CHECK(base != write(info, InputOf(0), ToySamples()));
  std::vector<SampleInfo> samples = ToySamples();
  samples[0].weight = 3;
  CHECK(base != write(ToyInfo(), InputOf(0), samples));
}

TEST_CASE("a sample set killed at any write continues to the same bytes") {
  const auto unbroken = NewMemEnv();
  REQUIRE_OK(WriteToySet(*unbroken, "/s"));
  const auto expected = FilesOf(*unbroken, "/s");
  CHECK(expected.size() == 3);
  int64_t kill = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const auto disk = NewMemEnv();
    const auto dying = NewFaultEnv(*disk, kill);
    const absl::Status killed = WriteToySet(*dying, "/s");
    if (killed.ok()) break;
    REQUIRE(absl::IsResourceExhausted(killed));
    const absl::StatusOr<SampleSet> half = SampleSet::Open(*disk, "/s");
    // Complete, or no sample set.
    if (!disk->FileExists("/s/samples.json")) REQUIRE_FALSE(half.ok());
    REQUIRE_OK(WriteToySet(*disk, "/s"));
    REQUIRE(FilesOf(*disk, "/s") == expected);
  }
  CHECK(kill > 15);
}

TEST_CASE("a sample set is made in no folder of somebody else") {
  const auto env = NewMemEnv();
  REQUIRE_OK(env->CreateFolders("/mine"));
  REQUIRE_OK(env->WriteFileAtomically("/mine/notes.txt", "x"));
  CHECK(WriteToySet(*env, "/mine") ==
        absl::AlreadyExistsError("/mine: holds notes.txt, a sample set wants a folder of its own"));
  REQUIRE_OK(WriteToySet(*env, "/s"));
  CHECK(absl::IsAlreadyExists(WriteToySet(*env, "/s")));

  ASSERT_OK_AND_ASSIGN(auto writer, SampleSetWriter::Create(*env, "/u", ToyInfo()));
  CHECK(SampleSetWriter::Create(*env, "/u", ToyInfo()).status() ==
        absl::UnavailableError("/u: another process writes there"));
  CHECK(absl::IsFailedPrecondition(SampleSet::Open(*env, "/u").status()));
  writer = nullptr;
  SampleSetInfo other = ToyInfo();
  other.seed = 8;
  CHECK(absl::IsFailedPrecondition(SampleSetWriter::Create(*env, "/u", other).status()));
  REQUIRE_OK(WriteToySet(*env, "/u"));
}

TEST_CASE("a file that was damaged is written again, and found out when it is read") {
  const auto env = NewMemEnv();
  {
    ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/s", ToyInfo()));
    REQUIRE_OK(writer->WriteFile("a", {{"input.1", InputOf(9)}}));
    REQUIRE(writer->HasFile("a"));
    std::string bytes = *env->ReadFile("/s/a.safetensors");
    bytes.back() ^= 1;
    REQUIRE_OK(env->WriteFileAtomically("/s/a.safetensors", bytes));
    CHECK_FALSE(writer->HasFile("a"));
  }
  REQUIRE_OK(WriteToySet(*env, "/s"));
  std::string bytes = *env->ReadFile("/s/b.safetensors");
  bytes.back() ^= 1;
  REQUIRE_OK(env->WriteFileAtomically("/s/b.safetensors", bytes));
  SampleSetOptions verify;
  verify.verify = true;
  CHECK(absl::IsDataLoss(SampleSet::Open(*env, "/s", verify).status()));
  REQUIRE_OK(env->WriteFileAtomically("/s/b.safetensors", bytes + "x"));
  CHECK(absl::IsDataLoss(SampleSet::Open(*env, "/s").status()));
  REQUIRE_OK(env->RemoveFile("/s/b.safetensors"));
  CHECK(SampleSet::Open(*env, "/s").status() ==
        absl::InvalidArgumentError("/s/b.safetensors: is missing, the sample set lists it"));
}

TEST_CASE("a manifest that is wrong is refused with the place") {
  const auto env = NewMemEnv();
  REQUIRE_OK(WriteToySet(*env, "/s"));
  const std::string good = *env->ReadFile("/s/samples.json");
  const auto refused = [&](const std::string& text, const std::string& said) {
    REQUIRE_OK(env->WriteFileAtomically("/s/samples.json", text));
    const absl::Status status = SampleSet::Open(*env, "/s").status();
    INFO(status.ToString());
    CHECK_FALSE(status.ok());
    CHECK(absl::StrContains(status.message(), "/s/samples.json"));
    CHECK(absl::StrContains(status.message(), said));
  };
  const auto edited = [&](const std::string& from, const std::string& to) {
    REQUIRE(absl::StrContains(good, from));
    return absl::StrReplaceAll(good, {{from, to}});
  };
  refused("", "JSON");
  refused("[]", "object");
  refused(good.substr(0, good.size() / 2), "JSON");
  refused(edited("\"format_version\": 1", "\"format_version\": 2"), "reads 1");
  refused(edited("\"seed\": 7", "\"seed\": -7"), "seed");
  refused(edited("\"seed\": 7", "\"seed\": 8"), "was changed");
  refused(edited("\"seed\": 7", "\"seed\": 7, \"sed\": 7"), "sed");
  refused(edited("\"a.safetensors\"", "\"../a.safetensors\""), "files[0]");
  refused(edited("\"a.safetensors\"", "\"b.safetensors\""), "files[1]");
  refused(edited("\"weight\": 1.1", "\"weight\": 0"), "samples[1]");
  refused(edited("\"weight\": 1.1", "\"weight\": \"1\""), "samples[1] has weight");
  refused(edited("\"prompt\": 1", "\"prompt\": 2"), "has prompt = 2, there are 2");
  refused(edited("\"input\": \"input.3\"", "\"input\": 3"), "values");
  REQUIRE_OK(env->WriteFileAtomically("/s/samples.json", good));
  REQUIRE_OK(SampleSet::Open(*env, "/s"));
}

TEST_CASE("samples are finished only with tensors that are there, each once") {
  const auto env = NewMemEnv();
  ASSERT_OK_AND_ASSIGN(auto writer, SampleSetWriter::Create(*env, "/s", ToyInfo()));
  REQUIRE_OK(writer->WriteFile("a", {{"input.1", InputOf(1)}}));
  CHECK(absl::IsInvalidArgument(writer->Finish(ToySamples())));
  REQUIRE_OK(writer->WriteFile("b", {{"input.1", InputOf(1)}}));
  CHECK(absl::IsInvalidArgument(writer->Finish({})));
  CHECK(absl::IsInvalidArgument(writer->WriteFile("../c", {{"x", InputOf(1)}})));
  SampleSetInfo info = ToyInfo();
  info.settings_json = "steps";
  CHECK(absl::IsInvalidArgument(SampleSetWriter::Create(*env, "/t", info).status()));
}

TEST_CASE("samples fit a model whose programs they give all inputs") {
  const auto env = NewMemEnv();
  REQUIRE_OK(WriteToySet(*env, "/s"));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/s"));
  const auto fits = [&](const std::string& name) {
    ASSERT_OK_AND_ASSIGN(const ModelView view,
                         ModelView::Create({testing::ToyComponent(testing::MakeToyModel(), name)}));
    return set.CheckFits(view);
  };
  CHECK(fits("toy").ok());
  CHECK(absl::StrContains(fits("toy_2").message(), "has samples of"));

  Component block{"toy", ComponentRole::kOther, "Block", "{}",
                  std::make_shared<testing::ToyBlock>(8, 12)};
  ASSERT_OK_AND_ASSIGN(const ModelView plain, ModelView::Create({block}));
  CHECK(absl::StrContains(set.CheckFits(plain).message(), "has no program"));

  ASSERT_OK_AND_ASSIGN(const auto writer, SampleSetWriter::Create(*env, "/w", ToyInfo()));
  REQUIRE_OK(writer->WriteFile("a", {{"v", InputOf(1)}}));
  SampleInfo sample;
  sample.component = "toy";
  sample.values = {{"inputs", "v"}};
  REQUIRE_OK(writer->Finish({sample}));
  ASSERT_OK_AND_ASSIGN(const SampleSet wrong, SampleSet::Open(*env, "/w"));
  ASSERT_OK_AND_ASSIGN(const ModelView view,
                       ModelView::Create({testing::ToyComponent(testing::MakeToyModel())}));
  CHECK(wrong.CheckFits(view) ==
        absl::FailedPreconditionError("/w: samples[0] does not give the input input of toy"));
}

}  // namespace
}  // namespace wanlite
