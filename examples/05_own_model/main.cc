// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A model of one's own, compressed by passes of one's own: calibrated on recorded inputs, pruned
// structurally, trained by a pass, quantized; killed on the way, and continued to the same bytes.
//
//   example_own_model OUT_DIR
//
//   regressor.h   the network, and what wanlite must know of it
//   passes.h      two passes that know no network
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randn.h>

#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "passes.h"
#include "regressor.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace {

constexpr char kRecipe[] = R"(
  name: "own_model"
  seed: 1
  # Half of the hidden channels, those that carry least on the samples, go; training makes up for it.
  passes { custom { [type.googleapis.com/google.protobuf.DoubleValue] { value: 0.5 } } }
  passes { custom { [type.googleapis.com/google.protobuf.Int64Value] { value: 200 } } }
  # Without patterns, passes take the linears of denoisers; this model has none, so name them.
  passes { quantize_int8 { linears { include: "regressor.blocks.*" } } }
)";

// Inputs that lie in an eighth of the directions, as those of real networks do in few.
at::Tensor Inputs(uint64_t seed, int64_t n) {
  at::Generator directions = at::make_generator<at::CPUGeneratorImpl>(7);
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const int64_t rank = Regressor::kWidth / 8;
  return at::randn({n, rank}, generator).matmul(at::randn({rank, Regressor::kWidth}, directions)) /
         std::sqrt(static_cast<double>(rank));
}

absl::Status WriteSamples(wanlite::Env& env, const std::string& dir,
                          const wanlite::ModelFolder& model) {
  wanlite::SampleSetInfo info;
  info.model_fingerprint = model.fingerprint();
  WANLITE_ASSIGN_OR_RETURN(const auto writer, wanlite::SampleSetWriter::Create(env, dir, info));
  std::vector<wanlite::NamedTensor> tensors;
  std::vector<wanlite::SampleInfo> samples;
  for (int i = 0; i < 16; ++i) {
    const std::string name = absl::StrCat("x.", i);
    tensors.push_back({name, Inputs(100 + i, 32)});
    wanlite::SampleInfo sample;
    sample.component = "regressor";
    sample.values["x"] = name;
    samples.push_back(sample);
  }
  WANLITE_RETURN_IF_ERROR(writer->WriteFile("inputs", tensors));
  return writer->Finish(samples);
}

absl::StatusOr<std::shared_ptr<Regressor>> Load(const wanlite::ModelFolder& folder) {
  WANLITE_ASSIGN_OR_RETURN(wanlite::ModelView view, folder.BuildView());
  WANLITE_RETURN_IF_ERROR(view.LoadAll());
  return std::dynamic_pointer_cast<Regressor>(view.FindComponent("regressor")->module);
}

// Contents of all files of a folder, by path.
absl::StatusOr<std::map<std::string, std::string>> Files(wanlite::Env& env,
                                                         const std::string& dir) {
  std::map<std::string, std::string> files;
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
  for (const std::string& name : names) {
    const std::string path = wanlite::JoinPath(dir, name);
    if (env.FolderExists(path)) {
      WANLITE_ASSIGN_OR_RETURN(const auto below, Files(env, path));
      for (const auto& [file, contents] : below) files[wanlite::JoinPath(name, file)] = contents;
    } else {
      WANLITE_ASSIGN_OR_RETURN(files[name], env.ReadFile(path));
    }
  }
  return files;
}

absl::Status Run(const std::string& out_dir) {
  const auto path = [&](const char* name) { return wanlite::JoinPath(out_dir, name); };
  wanlite::Env& env = wanlite::PosixEnv();
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(out_dir));

  // The model, as a checkpoint.
  auto regressor = std::make_shared<Regressor>(std::vector<int64_t>{256, 256, 256});
  regressor->Randomize(/*seed=*/1);
  wanlite::ArchitectureRegistry architectures;
  architectures.weight_formats() = wanlite::BuiltinWeightFormats();
  WANLITE_RETURN_IF_ERROR(architectures.Register(Regressor::Definition()));
  std::vector<wanlite::Component> components;
  components.push_back(
      {.name = "regressor",
       .role = wanlite::ComponentRole::kOther,
       .architecture = "Regressor",
       .config_json = regressor->Config(),
       .module = regressor,
       .definition = std::make_shared<wanlite::Architecture>(Regressor::Definition())});
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ModelView model,
                           wanlite::ModelView::Create(std::move(components)));
  WANLITE_RETURN_IF_ERROR(wanlite::SaveCheckpoint(env, path("original"), model));
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ModelFolder original,
                           wanlite::ModelFolder::Open(env, path("original"), {}, architectures));

  // What it is calibrated and trained on.
  WANLITE_RETURN_IF_ERROR(WriteSamples(env, path("samples"), original));
  WANLITE_ASSIGN_OR_RETURN(const wanlite::SampleSet samples,
                           wanlite::SampleSet::Open(env, path("samples")));

  wanlite::PassRegistry passes = wanlite::BuiltinPasses();
  WANLITE_RETURN_IF_ERROR(RegisterOwnPasses(passes));
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ParsedRecipe recipe,
                           wanlite::ParsedRecipe::Parse(kRecipe, "own_model", passes));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<wanlite::PassPlan> plans,
                           wanlite::PlanRecipe(recipe, original));
  for (const wanlite::PassPlan& plan : plans) {
    std::cout << plan.pass << " will leave " << plan.bytes_after << " of " << plan.bytes_before
              << " bytes\n";
  }

  // Once without a break, counting what is written to the disk.
  wanlite::CompressOptions options;
  options.samples = &samples;
  options.out_dir = path("unbroken");
  const auto counted = wanlite::NewFaultEnv(env, /*fail_at=*/-1);
  WANLITE_RETURN_IF_ERROR(
      wanlite::CompressFolder(*counted, recipe, original, architectures, options).status());

  // And once more on a disk that dies half-way, as in a kill or a power cut; the same command then
  // goes on from what is there.
  options.out_dir = path("compressed");
  const int64_t half = counted->writes() / 2;
  const auto dying = wanlite::NewFaultEnv(env, /*fail_at=*/half);
  if (wanlite::CompressFolder(*dying, recipe, original, architectures, options).ok()) {
    return absl::InternalError("a run on a dying disk came to its end");
  }
  WANLITE_ASSIGN_OR_RETURN(const wanlite::RunReport report,
                           wanlite::CompressFolder(env, recipe, original, architectures, options));
  WANLITE_ASSIGN_OR_RETURN(const auto unbroken, Files(env, path("unbroken")));
  WANLITE_ASSIGN_OR_RETURN(const auto continued, Files(env, path("compressed")));
  if (unbroken != continued) return absl::InternalError("the continued run left other bytes");
  std::cout << "killed at write " << half << " of " << counted->writes()
            << " and continued: the same " << continued.size() << " files, byte for byte\n";
  for (const wanlite::PassReport& pass : report.passes) {
    std::cout << pass.pass << ": " << pass.bytes_before << " -> " << pass.bytes_after << " bytes"
              << (pass.resumed ? ", from before the kill\n" : "\n");
  }

  // On inputs that took no part.
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ModelFolder compressed,
                           wanlite::ModelFolder::Open(env, path("compressed"), {}, architectures));
  WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<Regressor> small, Load(compressed));
  const at::NoGradGuard no_grad;
  const at::Tensor x = Inputs(/*seed=*/1, 256);
  const at::Tensor before = regressor->forward(x), after = small->forward(x);
  const double error =
      (at::linalg_vector_norm(after - before) / at::linalg_vector_norm(before)).item<double>();
  std::cout << "relative L2 error of the output on new inputs: " << error << "\n";
  if (!(error < 0.2)) return absl::InternalError("the compressed model is far from its original");
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: example_own_model OUT_DIR\n";
    return 2;
  }
  const absl::Status status = Run(argv[1]);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
