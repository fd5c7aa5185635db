// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/activation_stream.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/run_pass.h"
#include "tests/testing/sample_sets.h"
#include "tests/testing/tiny_wan.h"
#include "tests/testing/toy_model.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/linear_tap.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using testing::WriteSampleSet;

std::vector<Values> ToyInputs(int count) {
  at::Generator generator = at::detail::createCPUGenerator(5);
  std::vector<Values> inputs;
  for (int i = 0; i < count; ++i) inputs.push_back({{"input", at::randn({3 + i, 4}, generator)}});
  return inputs;
}

// Calls `edit` on every block of the component between AdvanceReference() and Advance(), in the
// order of the program; the rest is met twice.
template <typename Edit>
absl::Status StreamThrough(ActivationStream& stream, ModelView& view, const Edit& edit) {
  const Component& component = *view.FindComponent(stream.component());
  const std::vector<BlockProgram::Step> steps = ProgramOf(component)->Steps();
  for (size_t i = 0; i < steps.size(); ++i) {
    const std::string block = BlockPath(component, steps[i]);
    if (i + 1 < steps.size()) WANLITE_RETURN_IF_ERROR(stream.Enter(block));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, view.Lease(block));
    WANLITE_RETURN_IF_ERROR(stream.AdvanceReference(lease));
    WANLITE_RETURN_IF_ERROR(edit(lease));
    WANLITE_RETURN_IF_ERROR(stream.Advance(lease));
  }
  return absl::OkStatus();
}

absl::Status Nothing(const BlockLease&) { return absl::OkStatus(); }

ModelView TinyWan(Env& env) {
  if (!env.FolderExists("/model")) {
    testing::TinyWanOptions options;
    options.layers = 3;
    REQUIRE_OK(testing::WriteTinyWan(env, "/model", options));
  }
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(env, "/model", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  return view;
}

struct WanCase {
  std::string component;
  std::vector<Values> inputs;
};

std::vector<WanCase> WanCases() {
  at::Generator generator = at::detail::createCPUGenerator(3);
  WanCase dit{"transformer", {}}, umt5{"text_encoder", {}};
  for (int64_t i = 0; i < 3; ++i) {
    dit.inputs.push_back({{"hidden_states", at::randn({1, 4, 1 + i, 4, 6}, generator)},
                          {"timestep", at::full({1}, 640 - i, at::kLong)},
                          {"encoder_hidden_states", at::randn({1, 16, 16}, generator)}});
    Values text{{"input_ids", at::arange(1 + i, 9 + i, at::kLong).reshape({1, 8})}};
    // The last one has no mask: a value that is not there.
    if (i < 2) {
      text["attention_mask"] = at::ones({1, 8}, at::kLong);
      text["attention_mask"].narrow(1, 5, 3).zero_();
    }
    umt5.inputs.push_back(std::move(text));
  }
  // Of the same shape as the first: its positions are the same.
  dit.inputs.push_back(dit.inputs.front());
  dit.inputs.back()["timestep"] = at::full({1}, 12, at::kLong);
  return {dit, umt5};
}

TEST_CASE("a streamed forward is the forward, bit for bit") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  ModelView whole = TinyWan(*env);
  REQUIRE_OK(whole.LoadAll());
  for (const WanCase& wan : WanCases()) {
    // All samples in one file, and each in its own.
    for (const int64_t memory : {int64_t{1} << 20, int64_t{1}}) {
      CAPTURE(wan.component, memory);
      ModelView view = TinyWan(*env);
      REQUIRE(view.streaming());
      REQUIRE_OK(env->RemoveAll("/samples"));
      const SampleSet set = WriteSampleSet(*env, "/samples", wan.component, wan.inputs);
      REQUIRE_OK(set.CheckFits(view));
      StreamOptions options;
      options.memory_bytes = memory;
      ASSERT_OK_AND_ASSIGN(const auto stream, ActivationStream::Open(*env, "/stream", view, set,
                                                                     wan.component, options));
      REQUIRE(stream->size() == static_cast<int64_t>(wan.inputs.size()));
      REQUIRE_OK(StreamThrough(*stream, view, Nothing));
      CHECK(stream->block().empty());
      const BlockProgram* program = ProgramOf(*whole.FindComponent(wan.component));
      for (int64_t i = 0; i < stream->size(); ++i) {
        ASSERT_OK_AND_ASSIGN(const Values values, stream->Input(i));
        CHECK(at::equal(values.at(program->Output()),
                        program->Run(wan.inputs[static_cast<size_t>(i)])));
      }
      CHECK(absl::IsOutOfRange(stream->Input(stream->size()).status()));
      REQUIRE_OK(stream->Remove());
      CHECK_FALSE(env->FolderExists("/stream"));
    }
  }
}

TEST_CASE("between blocks only what changes is written, and constants once") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  ModelView view = TinyWan(*env);
  const WanCase wan = WanCases().front();
  const SampleSet set = WriteSampleSet(*env, "/samples", wan.component, wan.inputs);
  ASSERT_OK_AND_ASSIGN(const auto stream,
                       ActivationStream::Open(*env, "/stream", view, set, wan.component));
  const auto names = [&](const std::string& folder) {
    std::set<std::string> found;
    const auto source =
        OpenSafetensors(*env, absl::StrCat("/stream/", folder, "/00000000.safetensors"));
    REQUIRE_OK(source);
    for (const TensorInfo& info : (*source)->tensors()) {
      found.insert(info.name.substr(0, info.name.find('@')));
    }
    return found;
  };
  int64_t blocks = 0;
  REQUIRE_OK(StreamThrough(*stream, view, [&](const BlockLease& lease) -> absl::Status {
    if (lease.block() == "transformer") return absl::OkStatus();
    ++blocks;
    // The block's own input and nothing older.
    const auto found = env->ListFolder("/stream");
    REQUIRE_OK(found);
    REQUIRE(std::set<std::string>(found->begin(), found->end()) ==
            std::set<std::string>{absl::StrCat("input-000", blocks - 1), "input-0000-constants",
                                  "stream"});
    REQUIRE(names(absl::StrCat("input-000", blocks - 1)) ==
            std::set<std::string>{"0.x", "1.x", "2.x", "3.x"});
    return absl::OkStatus();
  }));
  CHECK(blocks == 3);
  const std::set<std::string> constants = names("input-0000-constants");
  CHECK(constants.contains("0.rotary"));
  CHECK(constants.contains("1.rotary"));
  CHECK_FALSE(constants.contains("3.rotary"));  // as the first sample's
  CHECK_FALSE(constants.contains("3.context"));
  CHECK(constants.contains("3.time"));
}

// A toy model in memory, or streaming from itself.
ModelView ToyView(bool streaming, int64_t layers = 3) {
  auto full = std::make_shared<testing::ToyModel>(8, 12, layers);
  full->Randomize(1);
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({testing::ToyComponent(full)}));
  if (!streaming) return view;
  std::shared_ptr<testing::ToyModel> hollow;
  {
    const nn::HollowGuard guard;
    hollow = std::make_shared<testing::ToyModel>(8, 12, layers);
  }
  ASSERT_OK_AND_ASSIGN(ModelView empty, ModelView::Create({testing::ToyComponent(hollow)}));
  empty.AttachSource(std::make_shared<testing::MapSource>(view.Tensors()));
  return empty;
}

// Halves what the block's "up" gives.
absl::Status HalveUp(ModelView& view, const BlockLease& lease) {
  const std::string path = lease.block() + ".up";
  if (view.FindLinear(path) == nullptr) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, view.Weight(path));
  return view.SetLinearWeight(path, MakeDenseWeight(weight->Dequantize() * 0.5));
}

TEST_CASE(
    "a block's input is what its compressed predecessors make, its reference what the original "
    "ones did") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  const std::vector<Values> inputs = ToyInputs(3);
  const SampleSet set = WriteSampleSet(*env, "/samples", "toy", inputs);
  ModelView view = ToyView(/*streaming=*/true);
  // The same edits on a model in memory.
  ModelView edited = ToyView(false), original = ToyView(false);
  const auto states = [&](const ModelView& model, const Values& input, size_t steps) {
    const BlockProgram* program = ProgramOf(model.components().front());
    Values values = input;
    for (size_t i = 0; i < steps; ++i) program->RunStep(i, values);
    return values.at("x");
  };
  StreamOptions options;
  options.keep_reference = true;
  ASSERT_OK_AND_ASSIGN(const auto stream,
                       ActivationStream::Open(*env, "/stream", view, set, "toy", options));
  size_t step = 0;
  int differs = 0;
  REQUIRE_OK(StreamThrough(*stream, view, [&](const BlockLease& lease) -> absl::Status {
    if (step >= 1 && step <= 3) {
      for (int64_t i = 0; i < stream->size(); ++i) {
        const Values& input = inputs[static_cast<size_t>(i)];
        WANLITE_ASSIGN_OR_RETURN(const Values now, stream->Input(i));
        WANLITE_ASSIGN_OR_RETURN(const Values then, stream->Reference(i));
        REQUIRE(at::equal(now.at("x"), states(edited, input, step)));
        REQUIRE(at::equal(then.at("x"), states(original, input, step)));
        REQUIRE(at::equal(now.at("input"), input.at("input")));
        differs += !at::equal(now.at("x"), then.at("x"));
        // Run() is the block as it is: first untouched, then changed.
        WANLITE_ASSIGN_OR_RETURN(const Values ran, stream->Run(lease, then));
        REQUIRE(at::equal(ran.at("x"), states(original, input, step + 1)));
        WANLITE_ASSIGN_OR_RETURN(const Values teacher, stream->ReferenceOutput(i));
        REQUIRE(at::equal(teacher.at("x"), ran.at("x")));
      }
    }
    ++step;
    WANLITE_RETURN_IF_ERROR(HalveUp(view, lease));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease same, edited.Lease(lease.block()));
    return HalveUp(edited, same);
  }));
  CHECK(step == 5);
  CHECK(differs == 6);  // of every sample, from the second block on
  ASSERT_OK_AND_ASSIGN(const Values last, stream->Input(0));
  CHECK(at::equal(last.at("output"), ProgramOf(edited.components().front())->Run(inputs[0])));
  ASSERT_OK_AND_ASSIGN(const Values reference, stream->Reference(0));
  CHECK(
      at::equal(reference.at("output"), ProgramOf(original.components().front())->Run(inputs[0])));
}

TEST_CASE("a tap sees what a streamed block gets") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  const std::vector<Values> inputs = ToyInputs(2);
  const SampleSet set = WriteSampleSet(*env, "/samples", "toy", inputs);
  ModelView view = ToyView(true);
  ASSERT_OK_AND_ASSIGN(const auto stream,
                       ActivationStream::Open(*env, "/stream", view, set, "toy"));
  struct RowTap : LinearTap {
    void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
      rows[linear.path] += x.size(0);
    }
    std::map<std::string, int64_t> rows;
  };
  RowTap tap;
  REQUIRE_OK(StreamThrough(*stream, view, [&](const BlockLease& lease) -> absl::Status {
    WANLITE_ASSIGN_OR_RETURN(const TapGuard guard, TapLinears(view, lease.block(), tap));
    for (int64_t i = 0; i < stream->size(); ++i) {
      WANLITE_RETURN_IF_ERROR(stream->Run(lease, i).status());
    }
    return absl::OkStatus();
  }));
  CHECK(tap.rows.size() == 3 * 3 + 2);
  for (const auto& [path, rows] : tap.rows) CHECK(rows == 7);
}

// What a pipeline does with one block after the other, each published as a file; continues.
absl::Status CompressToy(Env& env, const SampleSet& set, std::map<std::string, at::Tensor>* seen) {
  ModelView view = ToyView(false);
  StreamOptions options;
  options.keep_reference = true;
  options.memory_bytes = 300;
  WANLITE_ASSIGN_OR_RETURN(const auto stream,
                           ActivationStream::Open(env, "/stream", view, set, "toy", options));
  for (const BlockInfo& block : view.blocks()) {
    const std::string file = absl::StrCat("/", block.path, ".safetensors");
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, view.Lease(block.path));
    if (env.FileExists(file)) continue;
    WANLITE_RETURN_IF_ERROR(stream->Enter(block.path));
    WANLITE_RETURN_IF_ERROR(stream->AdvanceReference(lease));
    WANLITE_RETURN_IF_ERROR(HalveUp(view, lease));
    // What is published depends on both streams.
    std::vector<NamedTensor> state = lease.State();
    for (int64_t i = 0; i < stream->size() && block.path != "toy"; ++i) {
      WANLITE_ASSIGN_OR_RETURN(const Values now, stream->Run(lease, i));
      WANLITE_ASSIGN_OR_RETURN(const Values then, stream->Reference(i));
      state.push_back({absl::StrCat("difference.", i), now.at("x") - then.at("x")});
      (*seen)[absl::StrCat(block.path, i)] = now.at("x");
    }
    WANLITE_RETURN_IF_ERROR(stream->Advance(lease));
    WANLITE_RETURN_IF_ERROR(WriteSafetensors(env, file, state).status());
  }
  return stream->Remove();
}

TEST_CASE("a stream killed at any write continues to the bytes of an unbroken one") {
  const at::NoGradGuard no_grad;
  const auto contents = [](Env& env) {
    std::map<std::string, std::string> files;
    for (const char* block : {"toy", "toy.blocks.0", "toy.blocks.1", "toy.blocks.2"}) {
      ASSERT_OK_AND_ASSIGN(files[block], env.ReadFile(absl::StrCat("/", block, ".safetensors")));
    }
    CHECK_FALSE(env.FolderExists("/stream"));
    return files;
  };
  std::map<std::string, at::Tensor> seen;
  const auto unbroken = NewMemEnv();
  REQUIRE_OK(
      CompressToy(*unbroken, WriteSampleSet(*unbroken, "/samples", "toy", ToyInputs(3)), &seen));
  CHECK(seen.size() == 9);
  const auto expected = contents(*unbroken);
  int64_t kill = 0;
  for (;; ++kill) {
    INFO("killed at write " << kill);
    const auto disk = NewMemEnv();
    const SampleSet set = WriteSampleSet(*disk, "/samples", "toy", ToyInputs(3));
    const absl::Status killed = CompressToy(*NewFaultEnv(*disk, kill), set, &seen);
    if (killed.ok()) break;
    REQUIRE(absl::IsResourceExhausted(killed));
    REQUIRE_OK(CompressToy(*disk, set, &seen));
    REQUIRE(contents(*disk) == expected);
  }
  CHECK(kill > 100);
}

TEST_CASE("values that go from block to block may be rounded in files") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  const std::vector<Values> inputs = ToyInputs(2);
  const SampleSet set = WriteSampleSet(*env, "/samples", "toy", inputs);
  ModelView view = ToyView(false);
  StreamOptions options;
  options.dtype = at::kBFloat16;
  ASSERT_OK_AND_ASSIGN(const auto stream,
                       ActivationStream::Open(*env, "/stream", view, set, "toy", options));
  REQUIRE_OK(stream->Enter("toy"));
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease("toy"));
    REQUIRE_OK(stream->Advance(lease));
  }
  Values exact = inputs[1];
  ProgramOf(view.components().front())->RunStep(0, exact);
  ASSERT_OK_AND_ASSIGN(const Values rounded, stream->Input(1));
  CHECK(rounded.at("x").scalar_type() == at::kFloat);
  CHECK(at::equal(rounded.at("x"), exact.at("x").to(at::kBFloat16).to(at::kFloat)));
}

// Steps of a toy that are as a test wants them; only declared, never run.
class StrangeProgram : public testing::ToyModel {
 public:
  explicit StrangeProgram(std::vector<std::string> order) : order_(std::move(order)) {}
  std::vector<Step> Steps() const override {
    std::vector<Step> steps;
    for (const std::string& block : order_) steps.push_back({block, {"x"}});
    return steps;
  }

 private:
  const std::vector<std::string> order_;
};

TEST_CASE("a program is streamed when each block runs once, and the rest before or behind them") {
  const auto open = [](const std::vector<std::string>& order) {
    const auto env = NewMemEnv();
    const SampleSet set = WriteSampleSet(*env, "/samples", "toy", ToyInputs(1));
    ASSERT_OK_AND_ASSIGN(
        const ModelView view,
        ModelView::Create({testing::ToyComponent(std::make_shared<StrangeProgram>(order))}));
    const auto stream = ActivationStream::Open(*env, "/stream", view, set, "toy");
    // Which of rest and blocks a pipeline would have activations of.
    if (stream.ok()) {
      CHECK((*stream)->Covers("toy") == order.front().empty());
      CHECK((*stream)->Covers("toy.blocks.1"));
      CHECK_FALSE((*stream)->Covers("toy.blocks.7"));
      CHECK((*stream)->block() == (order.front().empty() ? "toy" : "toy." + order.front()));
    }
    return stream.status();
  };
  CHECK(open({"", "", "blocks.0", "blocks.1", ""}).ok());
  CHECK(open({"blocks.0", "blocks.0", "blocks.1", "", ""}).ok());
  CHECK(open({"blocks.0", "blocks.1"}).ok());
  CHECK(open({"", "blocks.0", "", "blocks.1"}) ==
        absl::UnimplementedError("toy: its program runs toy between blocks, and activations are "
                                 "streamed through each block once"));
  CHECK(absl::StrContains(open({"", "blocks.0", "blocks.1", "blocks.0"}).message(),
                          "runs toy.blocks.0 twice"));
}

TEST_CASE("a stream is misused with a clear error") {
  const at::NoGradGuard no_grad;
  const auto env = NewMemEnv();
  const SampleSet set = WriteSampleSet(*env, "/samples", "toy", ToyInputs(2));
  ModelView view = ToyView(false);
  CHECK(absl::IsNotFound(ActivationStream::Open(*env, "/stream", view, set, "other").status()));
  ASSERT_OK_AND_ASSIGN(const auto stream,
                       ActivationStream::Open(*env, "/stream", view, set, "toy"));
  CHECK(stream->CanEnter("toy"));
  CHECK_FALSE(stream->CanEnter("toy.blocks.0"));
  CHECK(stream->Covers("toy.blocks.0"));
  CHECK_FALSE(stream->Covers("toy.blocks.9"));
  CHECK(absl::IsNotFound(stream->Enter("toy.blocks.0")));
  CHECK(absl::IsNotFound(stream->Enter("toy.blocks.9")));
  CHECK(absl::IsFailedPrecondition(stream->Reference(0).status()));
  CHECK(absl::IsFailedPrecondition(stream->ReferenceOutput(0).status()));
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease("toy.blocks.1"));
    CHECK(absl::StrContains(stream->Run(lease, 0).status().message(),
                            "the activations are those of toy, leased is toy.blocks.1"));
  }
  CancellationToken cancel;
  cancel.Cancel();
  ASSERT_OK_AND_ASSIGN(const BlockLease lease, view.Lease("toy"));
  CHECK(absl::IsCancelled(stream->Advance(lease, &cancel)));
  REQUIRE_OK(stream->Enter("toy"));
  REQUIRE_OK(stream->Advance(lease));
  CHECK(stream->CanEnter("toy.blocks.0"));
  {
    // What somebody removed meanwhile is an error, as is a step behind the last.
    const std::string pack = "/stream/input-0000/00000000.safetensors";
    ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile(pack));
    REQUIRE_OK(env->RemoveFile(pack));
    ASSERT_OK_AND_ASSIGN(const BlockLease block, view.Lease("toy.blocks.0"));
    CHECK(absl::StrContains(stream->Advance(block).message(), "sample 0"));
    REQUIRE_OK(env->WriteFileAtomically(pack, bytes));
    REQUIRE_OK(stream->Advance(block));
    for (const char* name : {"toy.blocks.1", "toy.blocks.2"}) {
      ASSERT_OK_AND_ASSIGN(const BlockLease next, view.Lease(name));
      REQUIRE_OK(stream->Advance(next));
    }
    REQUIRE_OK(stream->Advance(lease));
    CHECK(absl::IsFailedPrecondition(stream->Advance(lease)));
    CHECK(absl::IsFailedPrecondition(stream->Run(lease, 0).status()));
    CHECK(absl::IsFailedPrecondition(stream->ReferenceOutput(0).status()));
  }

  StreamOptions other;
  other.keep_reference = true;
  CHECK(absl::IsFailedPrecondition(
      ActivationStream::Open(*env, "/stream", view, set, "toy", other).status()));
  // What the first step says of a sample that does not fit names the sample.
  const SampleSet wrong = [&] {
    REQUIRE_OK(env->RemoveAll("/samples"));
    return WriteSampleSet(*env, "/samples", "toy", {{{"input", at::zeros({2, 5})}}});
  }();
  ASSERT_OK_AND_ASSIGN(const auto bad, ActivationStream::Open(*env, "/bad", view, wrong, "toy"));
  REQUIRE_OK(bad->Enter("toy"));
  CHECK(absl::StrContains(bad->Advance(lease).message(), "sample 0: toy"));
}

}  // namespace
}  // namespace wanlite
