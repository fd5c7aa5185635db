// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/network_gradients.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/calibration/activation_files.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/float32_block.h"
#include "src/model/rest_block.h"
#include "wanlite/env.h"
#include "wanlite/linear_weight.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Values of several passes are written together, as many as fit.
constexpr int64_t kPackBytes = int64_t{64} << 20;
constexpr char kValues[] = "values";        // that a part makes
constexpr char kGradients[] = "gradients";  // of what a part starts from

// Layers of a leased block whose format is not dense become the matrices that they stand for.
absl::StatusOr<Trial::Undo> UseMatrices(ModelView& model, const std::string& block) {
  std::map<std::string, std::unique_ptr<LinearWeight>> weights;
  for (const LinearInfo& linear : model.linears()) {
    if (linear.block != block) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    if (weight->dense() == nullptr) weights[linear.path] = MakeDenseWeight(weight->Dequantize());
  }
  return ExchangeWeights(model, std::move(weights));
}

}  // namespace

NetworkGradients::NetworkGradients(ModelView& model, const PassContext& context,
                                   std::string component)
    : model_(model), context_(context), component_(std::move(component)) {}

absl::StatusOr<std::unique_ptr<NetworkGradients>> NetworkGradients::Create(
    ModelView& model, const PassContext& context, absl::string_view component,
    std::vector<int64_t> passes, std::set<std::string> linears) {
  const Component* found = model.FindComponent(component);
  if (found == nullptr || ProgramOf(*found) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", component, "' has no program to run it block by block"));
  }
  std::unique_ptr<NetworkGradients> made(
      new NetworkGradients(model, context, std::string(component)));
  made->parts_ = BlockStepsOf(*found);
  made->passes_ = std::move(passes);
  made->linears_ = std::move(linears);
  made->env_ = context.env;
  WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, "scoring by gradients"));
  made->dir_ = JoinPath(scratch, absl::StrCat("gradients-", RestBlock(component)));
  WANLITE_RETURN_IF_ERROR(made->Remove());
  return made;
}

absl::Status NetworkGradients::Remove() { return env_->RemoveAll(dir_); }

absl::StatusOr<Values> NetworkGradients::Sample(size_t pass) const {
  return context_.samples->Read(component_, passes_[pass]);
}

std::set<std::string> NetworkGradients::GatedIn(size_t part) const {
  std::set<std::string> gated;
  for (const std::string& linear : linears_) {
    if (model_.BlockOf(linear) == parts_[part].block) gated.insert(linear);
  }
  return gated;
}

std::string NetworkGradients::FolderOf(const char* what, size_t part) const {
  return JoinPath(dir_, absl::StrCat(what, "-", absl::Dec(part, absl::kZeroPad4)));
}

std::set<std::string> NetworkGradients::MadeBefore(size_t part) const {
  std::set<std::string> made;
  for (size_t i = 0; i < part; ++i) made.insert(parts_[i].changes.begin(), parts_[i].changes.end());
  return made;
}

absl::StatusOr<Values> NetworkGradients::Before(size_t part, size_t pass) const {
  WANLITE_ASSIGN_OR_RETURN(Values values, Sample(pass));
  std::map<std::string, size_t> makers;
  for (size_t i = 0; i < part; ++i) {
    for (const std::string& name : parts_[i].changes) makers[name] = i;
  }
  std::set<size_t> folders;
  for (const auto& [name, maker] : makers) folders.insert(maker);
  // In order, so that what is newer wins.
  for (const size_t folder : folders) {
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<ActivationReader> reader,
                             ActivationReader::Open(*env_, FolderOf(kValues, folder)));
    WANLITE_RETURN_IF_ERROR(reader->Read(static_cast<int64_t>(pass), values));
  }
  return values;
}

absl::Status NetworkGradients::RunPart(size_t part, const Gates& gates, bool matrices,
                                       const std::string& folder, const MakeValues& make) {
  const std::string& block = parts_[part].block;
  WANLITE_RETURN_IF_ERROR(env_->RemoveAll(folder));
  WANLITE_RETURN_IF_ERROR(env_->CreateFolders(folder));
  ActivationWriter writer(*env_, folder, kPackBytes, /*dtype=*/std::nullopt, /*share=*/false);
  std::vector<Trial::Undo> undo;
  const auto run = [&]() -> absl::Status {
    gates_.clear();
    if (matrices) {
      WANLITE_ASSIGN_OR_RETURN(undo.emplace_back(), UseMatrices(model_, block));
    }
    if (gates || matrices) {
      for (const std::string& linear : GatedIn(part)) {
        gates_[linear] = {std::make_shared<at::Tensor>()};
      }
      WANLITE_ASSIGN_OR_RETURN(undo.emplace_back(), GateLayers(model_, gates_));
    }
    for (size_t pass = 0; pass < passes_.size(); ++pass) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context_.cancel));
      for (const auto& [linear, gate] : gates_) {
        WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model_.Weight(linear));
        *gate.input =
            gates ? gates(pass, linear).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true)
                  : at::ones({weight->in_features()});
      }
      WANLITE_ASSIGN_OR_RETURN(const Values made, make(pass));
      WANLITE_RETURN_IF_ERROR(writer.Add(made));
    }
    return absl::OkStatus();
  };
  WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model_.Lease(block));
  WANLITE_RETURN_IF_ERROR(CatchTorch([&]() -> absl::Status {
    const Float32Block wide(model_, block);
    absl::Status status = CatchTorch(run);
    for (; !undo.empty(); undo.pop_back()) {
      if (!undo.back()) continue;
      const absl::Status undone = undo.back()();
      if (status.ok()) status = undone;
    }
    return Annotate(status, block);
  }));
  return writer.Finish();
}

absl::StatusOr<std::vector<at::Tensor>> NetworkGradients::Forward(const Gates& gates) {
  const at::NoGradGuard no_grad;
  ProgressSink& progress = context_.progress != nullptr ? *context_.progress : SilentProgress();
  progress.Begin("forward", static_cast<int64_t>(parts_.size()));
  std::vector<at::Tensor> outputs(passes_.size());
  const std::string output = program().Output();
  for (size_t part = 0; part < parts_.size(); ++part) {
    const auto run = [&](size_t pass) -> absl::StatusOr<Values> {
      WANLITE_ASSIGN_OR_RETURN(Values values, Before(part, pass));
      parts_[part].Run(program(), values);
      Values made;
      for (const std::string& name : parts_[part].changes) made[name] = values[name];
      if (part + 1 == parts_.size()) outputs[pass] = ValueOf(values, output.c_str());
      return made;
    };
    WANLITE_RETURN_IF_ERROR(RunPart(part, gates, /*matrices=*/false, FolderOf(kValues, part), run));
    progress.Update(static_cast<int64_t>(part) + 1, parts_[part].block);
  }
  progress.End();
  return outputs;
}

absl::StatusOr<Values> NetworkGradients::BackwardPass(size_t part, size_t pass,
                                                      const Values& gradients, const Visit& visit) {
  WANLITE_ASSIGN_OR_RETURN(Values values, Before(part, pass));
  const BlockSteps& steps = parts_[part];
  std::vector<std::string> names;  // of values whose gradient is wanted
  torch::autograd::variable_list wanted, made, into;
  for (const std::string& name : MadeBefore(part)) {
    at::Tensor& value = values[name];
    if (!value.defined() || !value.is_floating_point()) continue;
    value = value.detach().set_requires_grad(true);
    names.push_back(name);
    wanted.push_back(value);
  }
  for (const auto& [linear, gate] : gates_) {
    gate.input->set_requires_grad(true);
    wanted.push_back(*gate.input);
  }
  {
    const at::AutoGradMode with_gradients(true);
    steps.Run(program(), values);
  }
  Values before;
  for (const auto& [name, gradient] : gradients) {
    if (!steps.changes.contains(name)) {
      before[name] = gradient;
      continue;
    }
    const at::Tensor& value = values[name];
    if (!value.defined() || !value.requires_grad()) continue;
    made.push_back(value);
    into.push_back(gradient);
  }
  if (made.empty()) return before;
  const torch::autograd::variable_list found =
      torch::autograd::grad(made, wanted, into, /*retain_graph=*/std::nullopt,
                            /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < names.size(); ++i) {
    if (!found[i].defined()) continue;
    at::Tensor& sum = before[names[i]];
    sum = sum.defined() ? sum + found[i] : found[i];
  }
  size_t next = names.size();
  for (const auto& [linear, gate] : gates_) {
    const at::Tensor& gradient = found[next++];
    if (gradient.defined()) WANLITE_RETURN_IF_ERROR(visit(pass, linear, gradient.to(at::kDouble)));
  }
  return before;
}

absl::Status NetworkGradients::Backward(const Gates& gates,
                                        const std::vector<at::Tensor>& gradients,
                                        const Visit& visit) {
  // Before the first gate nothing is wanted.
  size_t first = 0;
  while (first < parts_.size() && GatedIn(first).empty()) ++first;
  ProgressSink& progress = context_.progress != nullptr ? *context_.progress : SilentProgress();
  progress.Begin("backward", static_cast<int64_t>(parts_.size() - first));
  const std::string output = program().Output();
  for (size_t part = parts_.size(); part-- > first;) {
    const std::string behind = FolderOf(kGradients, part + 1), here = FolderOf(kGradients, part);
    std::unique_ptr<ActivationReader> reader;
    if (part + 1 < parts_.size()) {
      WANLITE_ASSIGN_OR_RETURN(reader, ActivationReader::Open(*env_, behind));
    }
    const auto run = [&](size_t pass) -> absl::StatusOr<Values> {
      Values after;
      if (reader == nullptr) {
        after[output] = gradients[pass];
      } else {
        WANLITE_RETURN_IF_ERROR(reader->Read(static_cast<int64_t>(pass), after));
      }
      return BackwardPass(part, pass, after, visit);
    };
    WANLITE_RETURN_IF_ERROR(RunPart(part, gates, /*matrices=*/true, here, run));
    reader = nullptr;
    WANLITE_RETURN_IF_ERROR(env_->RemoveAll(behind));
    WANLITE_RETURN_IF_ERROR(env_->RemoveAll(FolderOf(kValues, part)));
    progress.Update(static_cast<int64_t>(parts_.size() - part), parts_[part].block);
  }
  progress.End();
  return absl::OkStatus();
}

}  // namespace wanlite
