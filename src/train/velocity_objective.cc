// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/velocity_objective.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/train/sample_batch.h"
#include "src/train/sample_order.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

enum VelocityStream : uint64_t { kSampleSeed = 2 };  // 1 is the order of samples

absl::Status CheckStep(const Component& component, const char* whose, size_t step) {
  const BlockProgram* program = ProgramOf(component);
  const size_t steps = program->Steps().size();
  if (step < steps) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("features are matched after step ", step,
                                                 " of the ", whose, ", which has ", steps));
}

// KL(softmax(b) || softmax(a)) over dim 1, the mean over all else.
at::Tensor KlOverChannels(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wanted = b.log_softmax(1);
  return (wanted.exp() * (wanted - a.log_softmax(1))).sum(1).mean();
}

}  // namespace

VelocityObjective::VelocityObjective(const Component& student,
                                     std::vector<TrainedTensor> parameters,
                                     const Component* teacher, const Dataset& data,
                                     VelocityOptions options)
    : student_(student),
      parameters_(std::move(parameters)),
      teacher_(teacher),
      data_(data),
      options_(std::move(options)),
      order_(std::make_unique<SampleOrder>(data.size(), options_.seed)) {}

VelocityObjective::~VelocityObjective() = default;

absl::StatusOr<std::unique_ptr<VelocityObjective>> VelocityObjective::Create(
    const Component& student, std::vector<TrainedTensor> parameters, const Component* teacher,
    const Dataset& data, VelocityOptions options) {
  const LossMix& mix = options.mix;
  double sum = 0;
  const auto add = [&](const char* name, double weight) -> absl::Status {
    if (!(weight >= 0 && std::isfinite(weight))) {
      return absl::InvalidArgumentError(
          absl::StrCat("the weight of the term '", name, "' is ", weight, ", wanted at least 0"));
    }
    sum += weight;
    return absl::OkStatus();
  };
  WANLITE_RETURN_IF_ERROR(add("data", mix.data));
  WANLITE_RETURN_IF_ERROR(add("teacher", mix.teacher));
  WANLITE_RETURN_IF_ERROR(add("kl", mix.kl));
  for (const FeatureMatch& match : mix.features) {
    WANLITE_RETURN_IF_ERROR(add("features", match.weight));
  }
  if (sum == 0) return absl::InvalidArgumentError("no term of the loss has a weight");
  if (mix.kl > 0 && !(mix.temperature > 0 && std::isfinite(mix.temperature))) {
    return absl::InvalidArgumentError(
        absl::StrCat("the temperature of the term 'kl' is ", mix.temperature, ", wanted above 0"));
  }
  if (sum > mix.data && teacher == nullptr) {
    return absl::InvalidArgumentError(
        "the terms 'teacher', 'kl' and 'features' compare with a teacher, and there is none");
  }
  for (const Component* component : {&student, teacher}) {
    if (component != nullptr && ProgramOf(*component) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("component '", component->name,
                                                     "' of architecture ", component->architecture,
                                                     " declares no block program"));
    }
  }
  if (options.features_after < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("features begin after step ", options.features_after, ", wanted at least 0"));
  }
  if (options.features_after > 0 && mix.data + mix.teacher + mix.kl == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the first ", options.features_after,
                     " steps are without features, and no other term has a weight"));
  }
  for (const FeatureMatch& match : mix.features) {
    WANLITE_RETURN_IF_ERROR(CheckStep(student, "student", match.student_step));
    WANLITE_RETURN_IF_ERROR(CheckStep(*teacher, "teacher", match.teacher_step));
  }
  if (data.size() < 1) return absl::InvalidArgumentError("the data set is empty");
  if (options.batch < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a batch of ", options.batch, " samples"));
  }
  return std::unique_ptr<VelocityObjective>(
      new VelocityObjective(student, std::move(parameters), teacher, data, std::move(options)));
}

Objective::Terms VelocityObjective::LossOf(const Values& batch, bool with_features) const {
  const LossMix& mix = options_.mix;
  const size_t matched = with_features ? mix.features.size() : 0;
  const bool taught = teacher_ != nullptr && (mix.teacher > 0 || mix.kl > 0 || matched > 0);
  Values inputs = batch;
  inputs.erase(kTargetValue);
  std::vector<at::Tensor> features(matched);
  at::Tensor wanted;
  if (taught) {
    const at::NoGradGuard no_grad;
    ProgramRun run;
    run.observe = [&](size_t step, const Values& values) {
      for (size_t i = 0; i < features.size(); ++i) {
        if (mix.features[i].teacher_step != step) continue;
        features[i] = ValueOf(values, mix.features[i].value.c_str()).to(at::kFloat);
      }
    };
    wanted = RunProgram(*teacher_, inputs, run).to(at::kFloat);
  }
  at::Tensor feature_loss;
  ProgramRun run;
  run.recompute = options_.recompute;
  run.observe = [&](size_t step, const Values& values) {
    for (size_t i = 0; i < features.size(); ++i) {
      const FeatureMatch& match = mix.features[i];
      if (match.student_step != step) continue;
      const at::Tensor found = ValueOf(values, match.value.c_str()).to(at::kFloat);
      TORCH_CHECK_VALUE(found.sizes() == features[i].sizes(), "'", match.value, "' after step ",
                        step, " is ", found.sizes(), ", after step ", match.teacher_step,
                        " of the teacher ", features[i].sizes());
      const at::Tensor term = match.weight * (found - features[i]).square().mean() /
                              features[i].square().mean().clamp_min(1e-12);
      feature_loss = feature_loss.defined() ? feature_loss + term : term;
    }
  };
  const at::Tensor output = RunProgram(student_, std::move(inputs), run).to(at::kFloat);

  Terms terms;
  const auto add = [&](const char* name, double weight, const at::Tensor& term) {
    terms.named.emplace_back(name, term.item<double>());
    const at::Tensor weighted = weight == 1 ? term : weight * term;
    terms.total = terms.total.defined() ? terms.total + weighted : weighted;
  };
  if (mix.data > 0) add("data", mix.data, at::mse_loss(output, ValueOf(batch, kTargetValue)));
  if (mix.teacher > 0) add("teacher", mix.teacher, at::mse_loss(output, wanted));
  if (mix.kl > 0) {
    const double t = mix.temperature;
    add("kl", mix.kl, t * t * KlOverChannels(output / t, wanted / t));
  }
  if (feature_loss.defined()) {
    add("features", 1, feature_loss);
  } else if (!mix.features.empty()) {
    terms.named.emplace_back("features", 0);
  }
  return terms;
}

Objective::Terms VelocityObjective::Loss(int64_t step, int part, int parts) {
  std::map<std::string, std::vector<Values>> by_shape;
  int64_t count = 0;
  for (int64_t i = part; i < options_.batch; i += parts) {
    const int64_t position = step * options_.batch + i;
    const absl::StatusOr<Values> sample =
        data_.Read(order_->At(position),
                   MixSeed(options_.seed, {kSampleSeed, static_cast<uint64_t>(position)}));
    TORCH_CHECK(sample.ok(), std::string(sample.status().message()));
    by_shape[ShapesText(*sample)].push_back(*sample);
    ++count;
  }
  Terms all;
  for (const auto& [shapes, samples] : by_shape) {
    Terms terms = LossOf(Stacked(samples), step >= options_.features_after);
    if (by_shape.size() == 1) return terms;
    const double share = static_cast<double>(samples.size()) / static_cast<double>(count);
    all.total = all.total.defined() ? all.total + share * terms.total : share * terms.total;
    if (all.named.empty()) {
      all.named = terms.named;
      for (auto& [name, value] : all.named) value = 0;
    }
    for (size_t i = 0; i < terms.named.size(); ++i) {
      all.named[i].second += share * terms.named[i].second;
    }
  }
  return all;
}

Identity VelocityObjective::identity() const {
  const LossMix& mix = options_.mix;
  Identity identity = {
      {"data", data_.fingerprint()},         {"seed", absl::StrCat(options_.seed)},
      {"loss.data", absl::StrCat(mix.data)}, {"loss.teacher", absl::StrCat(mix.teacher)},
      {"loss.kl", absl::StrCat(mix.kl)},     {"loss.temperature", absl::StrCat(mix.temperature)}};
  if (options_.features_after > 0) {
    identity["loss.features_after"] = absl::StrCat(options_.features_after);
  }
  for (size_t i = 0; i < mix.features.size(); ++i) {
    const FeatureMatch& match = mix.features[i];
    identity[absl::StrCat("loss.features[", i, "]")] =
        absl::StrCat(match.value, " after ", match.student_step, " as after ", match.teacher_step,
                     " of the teacher, weight ", match.weight);
  }
  return identity;
}

}  // namespace wanlite::train
