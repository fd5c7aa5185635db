// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/record.h"

#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/runner/select_forwards.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/block_program.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

std::unique_ptr<Env> DiskWithTiny() {
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(testing::WriteTinyWan(*env, "/tiny"));
  return env;
}

RecordRequest TinyRequest() {
  RecordRequest request;
  request.prompts = {"a red digit moves right", "a blue digit moves left", "the green digit"};
  request.generate.steps = 6;
  request.generate.frames = 1;
  request.generate.seed = 11;
  request.samples = 10;
  return request;
}

absl::StatusOr<RecordReport> Record(Env& env, const RecordRequest& request,
                                    const CancellationToken* cancel = nullptr) {
  RunnerOptions options;
  options.cancel = cancel;
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<Runner> runner,
                           Runner::Open(env, "/tiny", BuiltinArchitectures(), options));
  return RecordSamples(env, *runner, request, "/samples");
}

std::map<std::string, std::string> SampleFiles(Env& env) {
  std::map<std::string, std::string> files;
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, env.ListFolder("/samples"));
  for (const std::string& name : names) {
    ASSERT_OK_AND_ASSIGN(files[name], env.ReadFile(JoinPath("/samples", name)));
  }
  return files;
}

TEST_CASE("what is recorded is what a generation puts into the networks") {
  const auto env = DiskWithTiny();
  RecordRequest request = TinyRequest();
  request.samples = 0;
  ASSERT_OK_AND_ASSIGN(const RecordReport report, Record(*env, request));
  ASSERT_OK_AND_ASSIGN(const SampleSet set, SampleSet::Open(*env, "/samples"));
  CHECK(report.fingerprint == set.fingerprint());
  CHECK_FALSE(report.resumed);

  // The same by hand: one generation after the other, with its prompt in words.
  ASSERT_OK_AND_ASSIGN(const auto runner, Runner::Open(*env, "/tiny", BuiltinArchitectures(), {}));
  CHECK(set.info().model_fingerprint == runner->folder().fingerprint());
  std::map<std::string, int64_t> at;
  for (size_t prompt = 0; prompt < request.prompts.size(); ++prompt) {
    GenerateRequest generate = request.generate;
    generate.prompt = request.prompts[prompt];
    generate.seed = request.generate.seed + prompt;
    generate.decode = false;
    generate.before_forward = [&](const ForwardCall& call,
                                  const std::map<std::string, at::Tensor>& inputs) {
      const int64_t i = at[call.component]++;
      REQUIRE(i < set.size(call.component));
      const SampleInfo& sample = set.sample(call.component, i);
      CHECK(sample.prompt == static_cast<int64_t>(prompt));
      CHECK(sample.step == call.step);
      CHECK(sample.timestep == call.timestep);
      CHECK(sample.branch == (call.negative ? "negative" : "conditional"));
      CHECK(sample.weight == 1);
      const auto values = set.Read(call.component, i);
      REQUIRE_OK(values);
      REQUIRE(values->size() == inputs.size());
      for (const auto& [name, value] : inputs) {
        CAPTURE(name);
        CHECK(at::equal(values->at(name), value));
        CHECK(values->at(name).scalar_type() == value.scalar_type());
      }
      return absl::OkStatus();
    };
    REQUIRE_OK(runner->Generate(generate));
  }
  CHECK(at.size() == 2);
  for (const auto& [component, count] : at) {
    CHECK(set.size(component) == count);
    CHECK(report.samples.at(component) == count);
  }
  // Both networks, so that they can be run on it.
  ASSERT_OK_AND_ASSIGN(ModelView view, runner->folder().BuildView());
  REQUIRE_OK(set.CheckFits(view));
  REQUIRE_OK(view.LoadAll());
  const at::NoGradGuard no_grad;
  REQUIRE(set.size("text_encoder") == 4);  // three prompts and the negative one
  CHECK(set.sample("text_encoder", 3).weight == 3);
  ASSERT_OK_AND_ASSIGN(const Values tokens, set.Read("text_encoder", 1));
  const at::Tensor hidden = ProgramOf(*view.FindComponent("text_encoder"))->Run(tokens);
  ASSERT_OK_AND_ASSIGN(const at::Tensor embedding, runner->EncodePrompt(request.prompts[1]));
  CHECK(at::equal(hidden * tokens.at("attention_mask").unsqueeze(-1).to(at::kFloat), embedding));
}

TEST_CASE("a recording killed at any write continues to the same bytes") {
  const auto unbroken = DiskWithTiny();
  REQUIRE_OK(Record(*unbroken, TinyRequest()));
  const auto expected = SampleFiles(*unbroken);
  int64_t kill = 0, resumed = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const auto disk = DiskWithTiny();
    const absl::Status killed = Record(*NewFaultEnv(*disk, kill), TinyRequest()).status();
    if (killed.ok()) break;
    REQUIRE(absl::IsResourceExhausted(killed));
    ASSERT_OK_AND_ASSIGN(const RecordReport report, Record(*disk, TinyRequest()));
    resumed += report.resumed;
    REQUIRE(SampleFiles(*disk) == expected);
  }
  CHECK(kill > 30);
  CHECK(resumed > kill / 2);
}

TEST_CASE("a recording that was cancelled continues, another one is refused") {
  const auto disk = DiskWithTiny();
  CancellationToken cancel;
  struct Sink : ProgressSink {
    explicit Sink(CancellationToken& token) : token(token) {}
    void Begin(absl::string_view what, int64_t total) override { recording = what == "record"; }
    void Update(int64_t done, absl::string_view) override {
      if (recording && done == 9) token.Cancel();
    }
    void End() override {}
    CancellationToken& token;
    bool recording = false;
  } sink(cancel);
  RecordRequest request = TinyRequest();
  request.progress = &sink;
  CHECK(absl::IsCancelled(Record(*disk, request, &cancel).status()));
  RecordRequest other = TinyRequest();
  other.generate.steps = 7;
  CHECK(absl::IsFailedPrecondition(Record(*disk, other).status()));
  ASSERT_OK_AND_ASSIGN(const RecordReport report, Record(*disk, TinyRequest()));
  CHECK(report.resumed);
  const auto unbroken = DiskWithTiny();
  REQUIRE_OK(Record(*unbroken, TinyRequest()));
  CHECK(SampleFiles(*disk) == SampleFiles(*unbroken));
  CHECK(absl::IsAlreadyExists(Record(*disk, TinyRequest()).status()));
}

TEST_CASE("the seed decides about noise and selection, and what was cut is told") {
  const auto disk = DiskWithTiny();
  RecordRequest request = TinyRequest();
  for (int i = 0; i < 20; ++i) request.prompts[2] += " moves";
  ASSERT_OK_AND_ASSIGN(const RecordReport first, Record(*disk, request));
  REQUIRE(first.warnings.size() == 1);
  CHECK(absl::StrContains(first.warnings[0], "the prompt is longer than the 16 tokens"));
  REQUIRE_OK(disk->RemoveAll("/samples"));
  request.generate.seed = 12;
  ASSERT_OK_AND_ASSIGN(const RecordReport second, Record(*disk, request));
  CHECK(first.fingerprint != second.fingerprint);
  request.prompts = {};
  REQUIRE_OK(disk->RemoveAll("/samples"));
  ASSERT_OK_AND_ASSIGN(const RecordReport own, Record(*disk, request));
  CHECK(own.samples.at("text_encoder") == 2);  // the folder's own prompt and the negative one
}

// `high` guided steps of one expert, `low` unguided ones of the other.
std::vector<ForwardCall> Calls(int64_t high, int64_t low) {
  std::vector<ForwardCall> calls;
  for (int64_t step = 0; step < high + low; ++step) {
    const std::string component = step < high ? "transformer" : "transformer_2";
    const double timestep = 1000.0 - static_cast<double>(step);
    calls.push_back({step, timestep, component, false});
    if (step < high) calls.push_back({step, timestep, component, true});
  }
  return calls;
}

TEST_CASE("forward passes are selected by each expert's share, evenly over time and prompts") {
  const std::vector<ForwardCall> calls = Calls(10, 20);  // 20 passes each, of one prompt
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ASSERT_OK_AND_ASSIGN(const auto selected, SelectForwards(calls, 4, 40, seed));
    REQUIRE(selected.size() == 40);
    std::map<std::string, int64_t> of_component;
    std::map<int64_t, int64_t> of_step, of_prompt;
    std::map<bool, int64_t> of_branch;
    std::set<std::pair<int64_t, int64_t>> unique;
    double weight = 0;
    for (const SelectedForward& item : selected) {
      const ForwardCall& call = calls[static_cast<size_t>(item.call)];
      ++of_component[call.component];
      ++of_step[call.step];
      ++of_prompt[item.prompt];
      if (call.component == "transformer") ++of_branch[call.negative];
      unique.emplace(item.prompt, item.call);
      weight += item.weight;
    }
    CHECK(unique.size() == 40);
    CHECK(of_component ==
          std::map<std::string, int64_t>{{"transformer", 20}, {"transformer_2", 20}});
    // Two of every guided step, one of every other.
    CHECK(of_step.size() == 30);
    for (const auto& [step, count] : of_step) CHECK(count == (step < 10 ? 2 : 1));
    for (const auto& [prompt, count] : of_prompt) CHECK(count == 10);
    CHECK(of_branch == std::map<bool, int64_t>{{false, 10}, {true, 10}});
    CHECK(weight == Approx(4 * 40));  // of all passes
  }
  ASSERT_OK_AND_ASSIGN(const auto a, SelectForwards(calls, 4, 7, 1));
  ASSERT_OK_AND_ASSIGN(const auto b, SelectForwards(calls, 4, 7, 1));
  ASSERT_OK_AND_ASSIGN(const auto c, SelectForwards(calls, 4, 7, 2));
  const auto key = [](const std::vector<SelectedForward>& items) {
    std::vector<std::pair<int64_t, int64_t>> keys;
    for (const SelectedForward& item : items) keys.emplace_back(item.prompt, item.call);
    return keys;
  };
  CHECK(key(a) == key(b));
  CHECK(key(a) != key(c));
}

TEST_CASE("every expert that runs gets a sample, and all passes are all passes") {
  const std::vector<ForwardCall> calls = Calls(1, 60);
  ASSERT_OK_AND_ASSIGN(const auto few, SelectForwards(calls, 3, 5, 0));
  REQUIRE(few.size() == 5);
  int64_t high = 0;
  for (const SelectedForward& item : few) {
    const bool is_high = calls[static_cast<size_t>(item.call)].component == "transformer";
    high += is_high;
    CHECK(item.weight == (is_high ? 6.0 : 180.0 / 4));
  }
  CHECK(high == 1);
  CHECK(absl::IsInvalidArgument(SelectForwards(calls, 3, 1, 0).status()));
  CHECK(absl::IsInvalidArgument(SelectForwards(calls, 3, -1, 0).status()));
  for (const int64_t count : {0, 186, 1000}) {
    ASSERT_OK_AND_ASSIGN(const auto all, SelectForwards(calls, 3, count, 5));
    REQUIRE(all.size() == 186);
    for (size_t i = 0; i < all.size(); ++i) {
      CHECK(all[i].prompt == static_cast<int64_t>(i / 62));
      CHECK(all[i].call == static_cast<int64_t>(i % 62));
      CHECK(all[i].weight == 1);
    }
  }
}

}  // namespace
}  // namespace wanlite
