// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/component_training.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "wanlite/model_library.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"
#include "wanlite/velocity_objective.h"

namespace wanlite::train {
namespace {

bool FitsAny(const ModelView& model, const std::string& pattern,
             const std::vector<std::string>& components, absl::string_view block) {
  for (const NamedTensor& named : block.empty() ? model.Tensors() : model.BlockTensors(block)) {
    const std::string& component = model.ComponentOf(named.name).name;
    if (std::find(components.begin(), components.end(), component) != components.end() &&
        GlobMatch(pattern, named.name)) {
      return true;
    }
  }
  return false;
}

}  // namespace

TrainedAlone::TrainedAlone(const ModelView& model, absl::string_view component,
                           const std::vector<TrainedTensor>& trained) {
  std::set<std::string> names;
  for (const TrainedTensor& tensor : trained) names.insert(tensor.name);
  for (const NamedTensor& named : model.Tensors()) {
    if (model.ComponentOf(named.name).name != component || !named.tensor.requires_grad() ||
        names.contains(named.name)) {
      continue;
    }
    named.tensor.set_requires_grad(false);
    spared_.push_back(named.tensor);
  }
}

TrainedAlone::~TrainedAlone() {
  for (const at::Tensor& tensor : spared_) tensor.set_requires_grad(true);
}

absl::StatusOr<ModelView> OpenTeacher(const PassContext& context, absl::string_view pass,
                                      absl::string_view ref, const std::string& component) {
  if (context.models == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(pass, " with a teacher runs over folders alone"));
  }
  return context.models->Open(ref, {component});
}

absl::Status LoadTeacher(ModelView& teacher) {
  WANLITE_RETURN_IF_ERROR(teacher.LoadAll());
  return teacher.Cast(at::kFloat);
}

absl::Status CheckTrainPatterns(const ModelView& model, const std::vector<std::string>& components,
                                const std::vector<std::string>& patterns) {
  for (size_t i = 0; i < patterns.size(); ++i) {
    if (FitsAny(model, patterns[i], components, "")) continue;
    return OptionError(absl::StrCat("train[", i, "]"),
                       absl::StrCat("the pattern \"", patterns[i],
                                    "\" fits no tensor of the components that are trained"));
  }
  return absl::OkStatus();
}

std::vector<std::string> PatternsFor(const ModelView& model, absl::string_view component,
                                     const std::vector<std::string>& patterns,
                                     absl::string_view block) {
  std::vector<std::string> fitting;
  for (const std::string& pattern : patterns) {
    if (FitsAny(model, pattern, {std::string(component)}, block)) fitting.push_back(pattern);
  }
  return fitting;
}

int64_t TrainingBytesPerValue(const LoopOptions& loop, bool teacher) {
  return 16 + (loop.ema_decay > 0 ? 4 : 0) + (teacher ? 4 : 0);
}

double OutputError(const Component& student, const Component* teacher, const Dataset& data) {
  const at::NoGradGuard no_grad;
  const int64_t count = std::min(data.size(), kComparedSamples);
  double error = 0, norm = 0;
  for (int64_t i = 0; i < count; ++i) {
    const absl::StatusOr<Values> sample = data.Read(i * data.size() / count, 0);
    TORCH_CHECK(sample.ok(), std::string(sample.status().message()));
    Values inputs = *sample;
    inputs.erase(kTargetValue);
    const at::Tensor wanted =
        teacher == nullptr ? ValueOf(*sample, kTargetValue) : RunProgram(*teacher, inputs, {});
    const at::Tensor found = RunProgram(student, inputs, {});
    error += (found - wanted).square().sum(at::kDouble).item<double>();
    norm += wanted.square().sum(at::kDouble).item<double>();
  }
  return norm > 0 ? std::sqrt(error / norm) : 0;
}

}  // namespace wanlite::train
