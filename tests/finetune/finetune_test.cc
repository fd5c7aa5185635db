// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/finetune/finetune.h"

#include <functional>
#include <map>

#include "tests/finetune/clips.h"
#include "tests/testing/files_of.h"
#include "wanlite/checkpoint.h"
#include "wanlite/lora.h"
#include "wanlite/runner.h"

namespace wanlite::finetune {
namespace {

using testing::DiskWithClips;
using testing::FilesOf;

FinetuneRun Run(Env& env) {
  FinetuneRun run;
  run.env = &env;
  run.architectures = &BuiltinArchitectures();
  run.model = "/model";
  run.clips = "/clips";
  run.out_dir = "/out";
  run.seed = 4;
  TrainLoop& loop = *run.options.mutable_loop();
  loop.set_steps(4);
  loop.set_batch(2);
  loop.set_learning_rate(0.01);
  loop.set_max_gradient_norm(1);
  loop.set_state_every(2);
  run.options.set_caption_dropout(0.1);
  return run;
}

std::map<std::string, at::Tensor> TensorsOf(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(env, dir, {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  std::map<std::string, at::Tensor> tensors;
  for (const NamedTensor& named : view.Tensors()) tensors[named.name] = named.tensor.detach();
  return tensors;
}

TEST_CASE("A model is trained on clips, each expert on its own, and the rest stays as it was") {
  const std::unique_ptr<Env> env = DiskWithClips();
  ASSERT_OK_AND_ASSIGN(const std::vector<FinetuneReport> reports, Finetune(Run(*env)));
  REQUIRE(reports.size() == 2);
  CHECK(reports[0].component == "transformer");
  CHECK(reports[1].component == "transformer_2");
  CHECK(reports[1].steps == 4);
  const std::map<std::string, at::Tensor> before = TensorsOf(*env, "/model"),
                                          after = TensorsOf(*env, "/out");
  REQUIRE(before.size() == after.size());
  for (const auto& [name, value] : before) {
    INFO(name);
    const at::Tensor& now = after.at(name);
    CHECK(now.scalar_type() == value.scalar_type());
    CHECK(now.isfinite().all().item<bool>());
    const bool trained = name.rfind("transformer", 0) == 0;
    if (!trained) CHECK(at::equal(now, value));
    if (trained && name.find("ffn") != std::string::npos) CHECK_FALSE(at::equal(now, value));
  }
  CHECK_FALSE(env->FolderExists("/out.run"));
  CHECK(absl::IsAlreadyExists(Finetune(Run(*env)).status()));

  // One component alone, and of it some tensors.
  FinetuneRun some = Run(*env);
  some.out_dir = "/some";
  some.options.add_components("transformer_2");
  some.options.add_include("*.self_attn.*");
  REQUIRE_OK(Finetune(some));
  for (const auto& [name, value] : TensorsOf(*env, "/some")) {
    const bool trained = name.rfind("transformer_2.", 0) == 0 &&
                         name.find(".self_attn.") != std::string::npos &&
                         name.find("weight") != std::string::npos;
    INFO(name);
    if (trained) CHECK_FALSE(at::equal(value, before.at(name)));
    if (name.find(".self_attn.") == std::string::npos) CHECK(at::equal(value, before.at(name)));
  }
}

TEST_CASE("With adapters these alone are trained, and stay unmerged") {
  const std::unique_ptr<Env> env = DiskWithClips();
  FinetuneRun run = Run(*env);
  run.lora_rank = 2;
  run.lora_alpha = 4;
  run.options.add_components("transformer_2");
  REQUIRE_OK(Finetune(run));
  const std::map<std::string, at::Tensor> before = TensorsOf(*env, "/model");
  int64_t adapters = 0;
  for (const auto& [name, value] : TensorsOf(*env, "/out")) {
    INFO(name);
    if (name.find(".lora_") == std::string::npos) {
      REQUIRE(before.contains(name));
      CHECK(at::equal(value, before.at(name)));
      CHECK(value.scalar_type() == before.at(name).scalar_type());
      continue;
    }
    CHECK(name.rfind("transformer_2.", 0) == 0);
    // B began as zero.
    CHECK(at::count_nonzero(value).item<int64_t>() > 0);
    ++adapters;
  }
  // Ten layers in each of two blocks.
  CHECK(adapters == 2 * 2 * 10);

  // What it learnt is in a file that does the same.
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "/out", {}, BuiltinArchitectures()));
  ASSERT_OK_AND_ASSIGN(ModelView tuned, folder.BuildView());
  ASSERT_OK_AND_ASSIGN(const int64_t layers,
                       ExportLora(*env, tuned, "/adapter.safetensors", {LoraNaming::kKohya}));
  CHECK(layers == 20);
  const auto latents = [&](const std::string& model, const std::vector<LoraSpec>& loras) {
    RunnerOptions options;
    options.loras = loras;
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Runner> runner,
                         Runner::Open(*env, model, BuiltinArchitectures(), options));
    GenerateRequest request;
    request.prompt = "a red digit moves right";
    request.decode = false;
    ASSERT_OK_AND_ASSIGN(const GenerateResult result, runner->Generate(request));
    return result.latents;
  };
  const at::Tensor adapted = latents("/out", {});
  CHECK(at::equal(latents("/model", {{"/adapter.safetensors"}}), adapted));
  CHECK_FALSE(at::equal(latents("/model", {}), adapted));
  CHECK(at::equal(latents("/model", {{"/adapter.safetensors", "", 0}}), latents("/model", {})));
  CHECK_FALSE(at::equal(latents("/model", {{"/adapter.safetensors", "", 0.5}}), adapted));
  RunnerOptions wrong;
  wrong.loras = {{"/adapter.safetensors", "vae"}};
  CHECK(absl::IsInvalidArgument(
      Runner::Open(*env, "/model", BuiltinArchitectures(), wrong).status()));
}

TEST_CASE("Fine-tuning that was killed goes on to the same bytes") {
  const std::unique_ptr<Env> whole = DiskWithClips(2);
  const auto counting = NewFaultEnv(*whole, -1);
  REQUIRE_OK(Finetune(Run(*counting)));
  const std::map<std::string, std::string> expected = FilesOf(*whole, "/out");
  // Every write is tried by the tests of the pipeline and of the loop: here some.
  for (int64_t fail_at = 3; fail_at < counting->writes(); fail_at += 41) {
    const std::unique_ptr<Env> disk = DiskWithClips(2);
    {
      const auto failing = NewFaultEnv(*disk, fail_at);
      REQUIRE_FALSE(Finetune(Run(*failing)).ok());
    }
    INFO("killed at write " << fail_at << " of " << counting->writes());
    const absl::Status again = Finetune(Run(*disk)).status();
    if (!absl::IsAlreadyExists(again)) REQUIRE_OK(again);
    REQUIRE(FilesOf(*disk, "/out") == expected);
  }
}

TEST_CASE("A run goes on with the same clips and options alone") {
  const std::unique_ptr<Env> env = DiskWithClips();
  CancellationToken cancel;
  {
    const auto failing = NewFaultEnv(*env, 60);
    REQUIRE_FALSE(Finetune(Run(*failing)).ok());
  }
  REQUIRE(env->FolderExists("/out.run"));
  FinetuneRun other = Run(*env);
  other.options.mutable_loop()->set_learning_rate(0.02);
  CHECK(Finetune(other).status().code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE_OK(env->WriteFileAtomically("/clips/clip1.txt", "something else"));
  CHECK(Finetune(Run(*env)).status().code() == absl::StatusCode::kFailedPrecondition);
  FinetuneRun restart = Run(*env);
  restart.restart = true;
  REQUIRE_OK(Finetune(restart));
}

TEST_CASE("What cannot be meant is refused before anything is written") {
  const std::unique_ptr<Env> env = DiskWithClips();
  const auto refused = [&](const std::function<void(FinetuneRun&)>& spoil,
                           const std::string& named) {
    FinetuneRun run = Run(*env);
    spoil(run);
    const absl::Status status = Finetune(run).status();
    INFO(named << ": " << status.ToString());
    CHECK_FALSE(status.ok());
    CHECK(std::string(status.message()).find(named) != std::string::npos);
    CHECK_FALSE(env->FolderExists("/out.run"));
  };
  refused([](FinetuneRun& r) { r.options.mutable_loop()->set_steps(0); }, "loop.steps");
  refused([](FinetuneRun& r) { r.options.set_caption_dropout(1); }, "caption_dropout");
  refused([](FinetuneRun& r) { r.options.set_shift(-1); }, "shift");
  refused([](FinetuneRun& r) { r.options.add_components("vae"); },
          "no denoiser 'vae'; it has: transformer, transformer_2");
  refused([](FinetuneRun& r) { r.options.add_include("*.atn.*"); }, "*.atn.*");
  refused([](FinetuneRun& r) { r.clips = "/model/vae"; }, "no clips");
  refused([](FinetuneRun& r) { r.model = "/nowhere"; }, "/nowhere");
}

}  // namespace
}  // namespace wanlite::finetune
