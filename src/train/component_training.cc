// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/component_training.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/match.h"
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

// Values that the backward pass wants of an operation beside its input: of it and what it makes.
double KeptBy(const ElementwiseInfo& info) {
  switch (info.op) {
    case ElementwiseOp::kLayerNorm:
      // The residual stream that it reads, what it makes, and between the two what is scaled.
      return info.of == ElementwiseInfo::Of::kInput ? 3 : 2;
    case ElementwiseOp::kRmsNorm:
      return 2;  // before and after its weight
    case ElementwiseOp::kGelu:
    case ElementwiseOp::kSilu:
    case ElementwiseOp::kRotary:
    case ElementwiseOp::kGate:
      return 1;
    case ElementwiseOp::kResidual:
    case ElementwiseOp::kGatedResidual:
      return 0;  // read by the next norm
  }
  return 0;
}

void AddTokens(TokenStream stream, double bytes, TokenBytes& tokens) {
  if (stream == TokenStream::kVideo) tokens.video += bytes;
  if (stream == TokenStream::kText) tokens.text += bytes;
}

double WidthOf(const ModelView& model, const ElementwiseInfo& info) {
  if (info.of == ElementwiseInfo::Of::kTensor) {
    const auto weight = model.FindTensor(info.path);
    return weight.ok() ? static_cast<double>(weight->numel()) : 0;
  }
  const auto weight = model.Weight(info.path);
  if (!weight.ok()) return 0;
  return static_cast<double>(info.of == ElementwiseInfo::Of::kInput ? (*weight)->in_features()
                                                                    : (*weight)->out_features());
}

// What a block keeps for the backward pass. product: bytes of a value that a matrix product reads
// or makes.
TokenBytes KeptInBlock(const ModelView& model, const std::string& block, double product) {
  constexpr double kFloat = 4;
  TokenBytes kept;
  std::set<std::string> linears;
  for (const LinearInfo& linear : model.linears()) {
    if (linear.block != block) continue;
    linears.insert(linear.path);
    const auto weight = model.Weight(linear.path);
    if (!weight.ok()) continue;
    AddTokens(linear.stream,
              product * linear.token_share * static_cast<double>((*weight)->out_features()), kept);
  }
  for (const ElementwiseInfo& info : model.elementwise()) {
    if (!linears.contains(info.path) && !absl::StartsWith(info.path, block + ".")) continue;
    AddTokens(info.stream, kFloat * KeptBy(info) * WidthOf(model, info), kept);
  }
  for (const AttentionInfo& attention : model.attentions()) {
    if (!linears.contains(attention.query)) continue;
    const auto weight = model.Weight(attention.query);
    if (!weight.ok()) continue;
    AddTokens(attention.queries, product * static_cast<double>((*weight)->out_features()), kept);
  }
  return kept;
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

std::string TeacherRef(const std::string& path, bool before) {
  if (!path.empty()) return path;
  return before ? "before" : "input";
}

std::string TeacherText(const std::string& path, bool before) {
  if (!path.empty()) return path;
  return before ? "the model before this pass" : "the model that the recipe began with";
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

absl::StatusOr<std::vector<std::string>> TrainedComponents(
    const ModelView& model, const std::vector<std::string>& patterns) {
  for (size_t i = 0; i < patterns.size(); ++i) {
    const bool fits =
        std::any_of(model.components().begin(), model.components().end(),
                    [&](const Component& one) { return GlobMatch(patterns[i], one.name); });
    if (fits) continue;
    return OptionError(
        absl::StrCat("components[", i, "]"),
        absl::StrCat("the pattern \"", patterns[i], "\" fits no component of the model"));
  }
  std::vector<std::string> names;
  for (const Component& component : model.components()) {
    const bool wanted = patterns.empty() ? component.role == ComponentRole::kDenoiser
                                         : std::any_of(patterns.begin(), patterns.end(),
                                                       [&](const std::string& pattern) {
                                                         return GlobMatch(pattern, component.name);
                                                       });
    if (!wanted) continue;
    if (ProgramOf(component) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("component '", component.name, "' of architecture ", component.architecture,
                       " declares no block program, which training runs it by"));
    }
    names.push_back(component.name);
  }
  if (!names.empty()) return names;
  return absl::InvalidArgumentError(
      "the model has no denoiser; name what is trained by components");
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

TrainingNote NoteTraining(const ModelView& model, const std::string& component,
                          const TrainingPlan& plan) {
  TrainingNote note;
  note.component = component;
  note.steps = plan.loop.steps;
  note.batch = plan.loop.batch;
  note.pieces = plan.loop.accumulate;
  note.teacher = plan.teacher;
  note.recompute = plan.recompute;
  note.bf16 = plan.loop.bf16;
  std::set<std::string> by_muon;
  for (const LinearInfo& linear : model.linears()) {
    if (plan.muon && !linear.sensitive) by_muon.insert(linear.path + ".weight");
  }
  for (const NamedTensor& named : model.Tensors()) {
    if (model.ComponentOf(named.name).name != component) continue;
    const int64_t values = named.tensor.numel();
    note.values += values;
    const bool trains =
        plan.patterns.empty() ||
        std::any_of(plan.patterns.begin(), plan.patterns.end(),
                    [&](const std::string& pattern) { return GlobMatch(pattern, named.name); });
    if (!trains) continue;
    note.trained += values;
    note.optimizer +=
        values * ((by_muon.contains(named.name) ? 1 : 2) + (plan.loop.ema_decay > 0 ? 1 : 0));
  }
  if (plan.teacher != "input") note.teacher_values = plan.teacher.empty() ? 0 : note.values;
  double largest = 0;
  for (const BlockInfo& block : model.blocks()) {
    if (model.ComponentOf(block.path).name != component || block.path == component) continue;
    const TokenBytes kept = KeptInBlock(model, block.path, note.bf16 ? 2 : 4);
    note.all_blocks.video += kept.video;
    note.all_blocks.text += kept.text;
    if (kept.video + kept.text > largest) {
      largest = kept.video + kept.text;
      note.largest_block = kept;
    }
    // The residual stream: as wide as what the block's first linear reads.
    for (const LinearInfo& linear : model.linears()) {
      if (linear.block != block.path || linear.stream != TokenStream::kVideo) continue;
      const auto weight = model.Weight(linear.path);
      if (weight.ok())
        note.between_blocks.video += 4.0 * static_cast<double>((*weight)->in_features());
      break;
    }
  }
  return note;
}

int64_t TrainingBytesPerValue(const LoopOptions& loop, bool teacher) {
  return 16 + (loop.ema_decay > 0 ? 4 : 0) + (teacher ? 4 : 0);
}

int64_t MemoryOf(const TrainingNote& note) {
  TrainingPlace alone;
  alone.teacher_values = note.values;
  return CostOf(note, alone).memory();
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
