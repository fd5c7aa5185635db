// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/objective.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/core/random.h"
#include "src/distill/losses.h"
#include "src/train/bf16_products.h"
#include "src/train/component_training.h"
#include "src/train/flow_values.h"
#include "src/train/sample_batch.h"
#include "wanlite/status.h"
#include "wanlite/velocity_objective.h"

namespace wanlite::distill {
namespace {

// 1 is the order of samples.
enum DistillStream : uint64_t { kDistillSample = 2, kProjection = 3 };
constexpr double kLeastVariance = 1e-6;

std::string SizesText(const at::Tensor& x) {
  return absl::StrCat("[", absl::StrJoin(x.sizes(), ", "), "]");
}

Values ValuesOn(const at::Device& device, Values values) {
  for (auto& [name, value] : values) {
    if (value.defined()) value = value.to(device);
  }
  return values;
}

// Of what a sample holds, what a network takes in.
Values InputsOf(Values values) {
  values.erase(kTargetValue);
  return values;
}

LevelWeights LevelsOf(const LevelWeighting& message) {
  LevelWeights weights;
  switch (message.kind()) {
    case wanlite::LevelWeighting::MIN_SNR:
      weights.kind = LevelRule::kMinSnr;
      break;
    case wanlite::LevelWeighting::SNR:
      weights.kind = LevelRule::kSnr;
      break;
    case wanlite::LevelWeighting::LOGIT_NORMAL:
      weights.kind = LevelRule::kLogitNormal;
      break;
    case wanlite::LevelWeighting::COS_MAP:
      weights.kind = LevelRule::kCosMap;
      break;
    case wanlite::LevelWeighting::INVERSE_SQUARE:
      weights.kind = LevelRule::kInverseSquare;
      break;
    default:
      break;
  }
  weights.cap = message.cap();
  weights.mean = message.mean();
  weights.std = message.std();
  return weights;
}

Prediction PredictionOf(const SquaredErrorTerm& term) {
  switch (term.of()) {
    case SquaredErrorTerm::CLEAN:
      return Prediction::kClean;
    case SquaredErrorTerm::NOISE:
      return Prediction::kNoise;
    default:
      return Prediction::kVelocity;
  }
}

// One vector for each sample: the mean over all axes between the first and the last.
at::Tensor Pooled(const at::Tensor& x) { return x.reshape({x.size(0), -1, x.size(-1)}).mean(1); }

// Rows of the relation, [..., n, d].
at::Tensor RelatedRows(const RelationTerm& term, const at::Tensor& x, const Values& inputs) {
  switch (term.rows()) {
    case RelationTerm::TOKENS:
      TORCH_CHECK_VALUE(x.dim() == 3, "tokens are ", x.sizes(),
                        ", wanted [batch, tokens, features]");
      return x;
    case RelationTerm::SAMPLES:
      TORCH_CHECK_VALUE(x.dim() >= 2, "samples are ", x.sizes());
      return Pooled(x);
    default: {
      const at::Tensor& noisy = ValueOf(inputs, train::kNoisyValue);
      TORCH_CHECK_VALUE(noisy.dim() == 5, train::kNoisyValue, " is ", noisy.sizes(),
                        ", wanted [batch, channels, frames, height, width]");
      return PerFrame(x, noisy.size(2));
    }
  }
}

at::Tensor UniformProjection(int64_t out, int64_t in, uint64_t seed) {
  // Keeps the variance of what comes in.
  const double bound = std::sqrt(3.0 / static_cast<double>(in));
  at::Tensor weight = at::empty({out, in}, at::kFloat);
  float* values = weight.mutable_data_ptr<float>();
  Random random(seed);
  for (int64_t i = 0; i < out * in; ++i) {
    values[i] = static_cast<float>(bound * (2 * random.Uniform() - 1));
  }
  return weight;
}

}  // namespace

std::vector<TeacherWants> WantsOf(const std::vector<ObjectiveTerm>& terms,
                                  const std::vector<std::string>& components) {
  std::vector<TeacherWants> wants;
  for (size_t i = 0; i < components.size(); ++i) {
    std::set<std::pair<size_t, std::string>> values;
    for (const ObjectiveTerm& term : terms) {
      for (const ComparedValue& pair : term.pairs) {
        values.insert({pair.teacher_steps[i], pair.value});
      }
    }
    wants.push_back({components[i], /*output=*/true, {values.begin(), values.end()}});
  }
  return wants;
}

bool NeedsTeacher(const LossTerm& term) {
  switch (term.term_case()) {
    case LossTerm::kSquaredError:
      return term.squared_error().wanted() == SquaredErrorTerm::TEACHER;
    case LossTerm::kClip:
      return false;
    default:
      return true;
  }
}

bool NeedsLevels(const LossTerm& term) {
  const auto weighted = [](const LevelWeighting& levels) {
    return levels.kind() != wanlite::LevelWeighting::UNIFORM;
  };
  switch (term.term_case()) {
    case LossTerm::kSquaredError:
      return term.squared_error().of() != SquaredErrorTerm::VELOCITY ||
             weighted(term.squared_error().levels());
    case LossTerm::kGaussianKl:
      return weighted(term.gaussian_kl().levels());
    case LossTerm::kClip:
      return true;
    default:
      return false;
  }
}

double TermWeight(const LossTerm& term, int64_t step) {
  if (step < term.from_step() || (term.until_step() > 0 && step >= term.until_step())) return 0;
  if (term.ramp_steps() <= 0) return term.weight();
  const double risen =
      static_cast<double>(step - term.from_step() + 1) / static_cast<double>(term.ramp_steps());
  return term.weight() * std::min(1.0, risen);
}

DistillObjective::DistillObjective(const Component& student,
                                   std::vector<train::TrainedTensor> parameters,
                                   const Teacher* teacher, const DistillSamples& samples,
                                   ObjectiveOptions options, const ObjectiveTools& tools)
    : student_(student),
      parameters_(std::move(parameters)),
      teacher_(teacher),
      samples_(samples),
      options_(std::move(options)),
      tools_(tools),
      order_(samples.size(), options_.seed),
      device_(parameters_.front().tensor.device()) {}

absl::StatusOr<std::unique_ptr<DistillObjective>> DistillObjective::Create(
    const Component& student, std::vector<train::TrainedTensor> parameters, const Teacher* teacher,
    const DistillSamples& samples, ObjectiveOptions options, const ObjectiveTools& tools) {
  if (samples.size() < 1) return absl::InvalidArgumentError("there are no samples to train on");
  if (parameters.empty()) return absl::InvalidArgumentError("nothing is to be trained");
  for (size_t i = 0; i < options.terms.size(); ++i) {
    const LossTerm& term = options.terms[i].options;
    if (NeedsTeacher(term) && teacher == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("terms[", i, "] compares with a teacher, and there is none"));
    }
    if (term.has_projected() && tools.reader == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("terms[", i, "] wants the network that reads the output"));
    }
    if (term.has_clip() && (tools.encoder == nullptr || tools.decoder == nullptr)) {
      return absl::InvalidArgumentError(
          absl::StrCat("terms[", i, "] wants a text-video encoder and a decoder"));
    }
  }
  std::unique_ptr<DistillObjective> objective(new DistillObjective(
      student, std::move(parameters), teacher, samples, std::move(options), tools));
  WANLITE_RETURN_IF_ERROR(CatchTorch([&] { return objective->Prepare(); }));
  return objective;
}

absl::StatusOr<DistillObjective::Group> DistillObjective::ReadGroup(const DistillSamples& samples,
                                                                    int64_t i) const {
  Group group;
  group.component = samples.component(i);
  group.numbers = {samples.number(i)};
  group.prompts = {samples.prompt(i)};
  WANLITE_ASSIGN_OR_RETURN(group.values, samples.Read(i, 0));
  return group;
}

DistillObjective::StudentGives DistillObjective::RunStudent(const Values& inputs) const {
  StudentGives gives;
  train::ProgramRun run;
  run.recompute = options_.recompute;
  run.observe = [&](size_t step, const Values& values) {
    for (const ObjectiveTerm& term : options_.terms) {
      for (const ComparedValue& pair : term.pairs) {
        if (pair.student_step != step) continue;
        at::Tensor& kept = gives.values[{step, pair.value}];
        if (!kept.defined()) kept = ValueOf(values, pair.value.c_str()).to(at::kFloat);
      }
    }
  };
  gives.output = train::RunProgram(student_, inputs, run).to(at::kFloat);
  return gives;
}

TeacherGives DistillObjective::AskTeacher(const Group& group, const Values& inputs) const {
  return teacher_ == nullptr ? TeacherGives()
                             : teacher_->Give(group.component, group.numbers, inputs);
}

std::string DistillObjective::StepName(const ComparedValue& pair) const {
  return absl::StrCat(pair.value, " after ",
                      BlockPath(student_, ProgramOf(student_)->Steps()[pair.student_step]));
}

absl::Status DistillObjective::Prepare() {
  const at::NoGradGuard no_grad;
  std::set<size_t> components;
  for (int64_t i = 0; i < samples_.size(); ++i) components.insert(samples_.component(i));
  std::vector<std::string> names(components.empty() ? 0 : *components.rbegin() + 1);
  wants_ = WantsOf(options_.terms, names);
  projections_.resize(options_.terms.size());
  for (size_t term = 0; term < options_.terms.size(); ++term) {
    projections_[term].resize(options_.terms[term].pairs.size());
  }
  std::vector<double> losses(options_.terms.size(), 1);
  for (const size_t component : components) {
    int64_t first = 0;
    while (samples_.component(first) != component) ++first;
    WANLITE_ASSIGN_OR_RETURN(const Group group, ReadGroup(samples_, first));
    const Values inputs = ValuesOn(device_, InputsOf(group.values));
    const StudentGives student = RunStudent(inputs);
    const TeacherGives teacher = AskTeacher(group, inputs);
    for (size_t term = 0; term < options_.terms.size(); ++term) {
      const std::string what =
          absl::StrCat("terms[", term, "] (", options_.terms[term].options.name(), ")");
      WANLITE_RETURN_IF_ERROR(
          Annotate(CatchTorch([&]() -> absl::Status {
                     WANLITE_RETURN_IF_ERROR(PrepareTerm(term, student, teacher, group));
                     losses[term] = TermLoss(term, student, teacher, group).item<double>();
                     return absl::OkStatus();
                   }),
                   what));
    }
  }
  for (size_t term = 0; term < options_.terms.size(); ++term) {
    const std::string& name = options_.terms[term].options.name();
    for (size_t pair = 0; pair < projections_[term].size(); ++pair) {
      const Projection& projection = projections_[term][pair];
      if (!projection.weight.defined()) continue;
      const std::string path = absl::StrCat("projection.", name, ".", pair);
      parameters_.push_back({path + ".weight", projection.weight});
      parameters_.push_back({path + ".bias", projection.bias, 1, /*decay=*/false});
    }
  }
  if (!options_.uncertainty) return absl::OkStatus();
  for (size_t term = 0; term < options_.terms.size(); ++term) {
    // Where it would end if the loss stayed as it is.
    const double start = std::isfinite(losses[term]) ? losses[term] : 1;
    log_variances_.push_back(at::full({1}, std::log(std::max(start, kLeastVariance)),
                                      at::TensorOptions().dtype(at::kFloat).device(device_)));
    parameters_.push_back({absl::StrCat("log_variance.", options_.terms[term].options.name()),
                           log_variances_.back(), options_.balance_rate, /*decay=*/false});
  }
  return absl::OkStatus();
}

absl::Status DistillObjective::PrepareTerm(size_t number, const StudentGives& student,
                                           const TeacherGives& teacher, const Group& group) {
  const ObjectiveTerm& term = options_.terms[number];
  const auto same = [&](absl::string_view what, const at::Tensor& own,
                        const at::Tensor& other) -> absl::Status {
    if (own.sizes() == other.sizes()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("the student's ", what, " is ", SizesText(own),
                                                   ", wanted is ", SizesText(other)));
  };
  if (NeedsLevels(term.options)) {
    for (const char* name : {train::kTimestepValue, train::kNoisyValue}) {
      const bool wanted = name == train::kTimestepValue || term.options.has_clip();
      if (!wanted || group.values.contains(name)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("needs noise levels, and the network has no input \"", name, "\""));
    }
  }
  if (term.options.has_squared_error() &&
      term.options.squared_error().wanted() == SquaredErrorTerm::DATA) {
    const auto target = group.values.find(kTargetValue);
    if (target == group.values.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("learns from data, but the samples hold no value \"", kTargetValue,
                       "\"; wanlite record --clips makes samples that do"));
    }
    return same("output", student.output, target->second);
  }
  if (term.options.has_projected()) {
    const std::string& mask = term.options.projected().mask();
    if (!group.values.contains(mask)) {
      return absl::InvalidArgumentError(absl::StrCat("the samples hold no value \"", mask, "\""));
    }
  }
  if (NeedsTeacher(term.options) && term.pairs.empty()) {
    return same("output", student.output, teacher.output);
  }
  for (size_t i = 0; i < term.pairs.size(); ++i) {
    const ComparedValue& pair = term.pairs[i];
    const at::Tensor& own = student.values.at({pair.student_step, pair.value});
    const at::Tensor other = PairOf(number, i, student, teacher, group.component).second;
    const auto shapes = [&] {
      return absl::StrCat(StepName(pair), " is ", SizesText(own), ", after ",
                          pair.teacher_blocks[group.component], " of the teacher ",
                          SizesText(other));
    };
    const bool rows = own.dim() == other.dim() && own.dim() >= 1 &&
                      own.sizes().slice(0, own.dim() - 1) == other.sizes().slice(0, own.dim() - 1);
    if (!rows && !(term.options.has_relation() && own.dim() >= 2 && other.dim() >= 2 &&
                   term.options.relation().rows() != RelationTerm::TOKENS)) {
      return absl::InvalidArgumentError(shapes());
    }
    if (term.options.has_relation()) continue;
    const bool wide = own.sizes() == other.sizes();
    if (!term.options.has_features()) {
      if (!wide) return absl::InvalidArgumentError(shapes());
      continue;
    }
    const FeatureTerm::Projection wanted = term.options.features().projection();
    if (wanted == FeatureTerm::NEVER) {
      if (!wide) {
        return absl::InvalidArgumentError(
            absl::StrCat(shapes(), "; a projection would map one to the other"));
      }
      continue;
    }
    if (wanted == FeatureTerm::WHERE_WIDTHS_DIFFER && wide) continue;
    Projection& projection = projections_[number][i];
    if (!projection.weight.defined()) {
      projection.weight = UniformProjection(other.size(-1), own.size(-1),
                                            MixSeed(options_.seed, {kProjection, number, i}))
                              .to(device_);
      projection.bias = at::zeros({other.size(-1)}, projection.weight.options());
    } else if (projection.weight.size(0) != other.size(-1)) {
      return absl::InvalidArgumentError(
          absl::StrCat(shapes(), "; another teacher gives ", projection.weight.size(0)));
    }
  }
  return absl::OkStatus();
}

std::pair<at::Tensor, at::Tensor> DistillObjective::PairOf(size_t term, size_t number,
                                                           const StudentGives& student,
                                                           const TeacherGives& teacher,
                                                           size_t component) const {
  const ComparedValue& pair = options_.terms[term].pairs[number];
  const auto& values = wants_[component].values;
  const std::pair<size_t, std::string> key = {pair.teacher_steps[component], pair.value};
  const size_t place =
      static_cast<size_t>(std::find(values.begin(), values.end(), key) - values.begin());
  at::Tensor own = student.values.at({pair.student_step, pair.value});
  const Projection& projection = projections_[term][number];
  if (projection.weight.defined()) own = at::linear(own, projection.weight, projection.bias);
  return {own, teacher.values[place]};
}

at::Tensor DistillObjective::Embedded(const std::vector<std::string>& prompts,
                                      const at::Tensor& like) const {
  const std::lock_guard lock(embedded_mutex_);
  std::vector<at::Tensor> rows;
  for (const std::string& prompt : prompts) {
    at::Tensor& row = embedded_[prompt];
    if (!row.defined()) {
      const absl::StatusOr<at::Tensor> made = tools_.encoder->EmbedText({prompt});
      TORCH_CHECK(made.ok(), tools_.encoder->name(), ": ", std::string(made.status().message()));
      row = made->to(like.options());
    }
    rows.push_back(row);
  }
  return at::cat(rows);
}

at::Tensor DistillObjective::ProjectedLoss(const ProjectedTerm& term, const at::Tensor& own,
                                           const at::Tensor& other, const Group& group) const {
  // Whoever reads the output gets zeros for padding.
  const at::Tensor mask =
      ValueOf(group.values, term.mask().c_str()).to(own.device(), own.scalar_type());
  TORCH_CHECK_VALUE(own.dim() == 3 && mask.sizes() == own.sizes().slice(0, 2), "'", term.mask(),
                    "' is ", mask.sizes(), ", the output ", own.sizes());
  const at::Tensor wide = mask.unsqueeze(-1);
  const at::Tensor found = tools_.reader->Read(own * wide);
  at::Tensor wanted;
  {
    const at::NoGradGuard no_grad;
    wanted = tools_.reader->Read(other * wide);
  }
  return MaskedTokenError(found, wanted, mask, term.cosine());
}

at::Tensor DistillObjective::ClipLoss(const ClipTerm& term, const at::Tensor& output,
                                      const Group& group) const {
  const at::Tensor sigma = train::SigmaOf(group.values);
  std::vector<int64_t> places;
  std::vector<std::string> prompts;
  for (size_t i = 0; i < group.prompts.size(); ++i) {
    const auto place = static_cast<int64_t>(i);
    if (group.prompts[i].empty() || sigma[place].item<double>() > term.max_sigma()) continue;
    places.push_back(place);
    prompts.push_back(group.prompts[i]);
  }
  if (places.empty()) return output.sum() * 0;
  const at::Tensor chosen = at::tensor(places, at::kLong);
  const at::Tensor noisy =
      ValueOf(group.values, train::kNoisyValue).index_select(0, chosen).to(output.options());
  const at::Tensor clean = CleanFrom(noisy, sigma.index_select(0, chosen).to(output.device()),
                                     output.index_select(0, chosen.to(output.device())));
  const at::Tensor video = tools_.decoder->DecodeLatents(clean).clamp(-1, 1);
  const at::Tensor seen = tools_.encoder->EmbedVideo(video);
  const at::Tensor said = Embedded(prompts, seen);
  return term.form() == ClipTerm::CONTRASTIVE ? ContrastiveAlignment(seen, said, term.scale())
                                              : CosineAlignment(seen, said);
}

at::Tensor DistillObjective::TermLoss(size_t number, const StudentGives& student,
                                      const TeacherGives& teacher, const Group& group) const {
  const ObjectiveTerm& term = options_.terms[number];
  const auto sigma = [&] { return train::SigmaOf(group.values).to(device_); };
  // The mean over pairs.
  const auto over_pairs = [&](auto&& loss) {
    at::Tensor sum;
    for (size_t i = 0; i < term.pairs.size(); ++i) {
      const auto [own, other] = PairOf(number, i, student, teacher, group.component);
      const at::Tensor one = loss(own, other);
      sum = sum.defined() ? sum + one : one;
    }
    return sum / static_cast<double>(term.pairs.size());
  };
  switch (term.options.term_case()) {
    case LossTerm::kSquaredError: {
      const SquaredErrorTerm& squared = term.options.squared_error();
      const at::Tensor wanted =
          squared.wanted() == SquaredErrorTerm::DATA
              ? ValueOf(group.values, kTargetValue).to(student.output.options())
              : teacher.output;
      if (!NeedsLevels(term.options)) return SquaredError(student.output, wanted);
      const at::Tensor levels = sigma();
      return SquaredError(student.output, wanted,
                          PredictionWeights(levels, PredictionOf(squared)) *
                              WeightsOf(levels, LevelsOf(squared.levels())));
    }
    case LossTerm::kKl: {
      const double temperature = term.options.kl().temperature();
      if (term.pairs.empty()) return SoftmaxKl(student.output, teacher.output, temperature);
      return over_pairs([&](const at::Tensor& own, const at::Tensor& other) {
        return SoftmaxKl(own, other, temperature);
      });
    }
    case LossTerm::kGaussianKl: {
      const GaussianKlTerm& gaussian = term.options.gaussian_kl();
      at::Tensor variance = at::full({}, gaussian.variance(), student.output.options());
      if (NeedsLevels(term.options)) {
        variance = variance / WeightsOf(sigma(), LevelsOf(gaussian.levels()));
      }
      return GaussianKl(student.output, teacher.output, variance);
    }
    case LossTerm::kFeatures:
      return over_pairs([&](const at::Tensor& own, const at::Tensor& other) {
        return FeatureError(own, other, term.options.features().outlier_sigmas());
      });
    case LossTerm::kRelation: {
      const RelationTerm& relation = term.options.relation();
      return over_pairs([&](const at::Tensor& own, const at::Tensor& other) {
        return RelationalKl(RelatedRows(relation, own, group.values),
                            RelatedRows(relation, other, group.values), relation.temperature());
      });
    }
    case LossTerm::kProjected:
      return ProjectedLoss(term.options.projected(), student.output, teacher.output, group);
    default:
      return ClipLoss(term.options.clip(), student.output, group);
  }
}

std::vector<at::Tensor> DistillObjective::LossesOf(const Group& group, int64_t step) const {
  const Values inputs = ValuesOn(device_, InputsOf(group.values));
  bool taught = false;
  for (const ObjectiveTerm& term : options_.terms) {
    taught = taught || (TermWeight(term.options, step) > 0 && NeedsTeacher(term.options));
  }
  const TeacherGives teacher = taught ? AskTeacher(group, inputs) : TeacherGives();
  const StudentGives student = RunStudent(inputs);
  // Distances are computed in fp32, whatever the networks are.
  const train::Bf16Products exact(false, device_.type());
  std::vector<at::Tensor> losses(options_.terms.size());
  for (size_t i = 0; i < losses.size(); ++i) {
    if (TermWeight(options_.terms[i].options, step) > 0) {
      losses[i] = TermLoss(i, student, teacher, group);
    }
  }
  return losses;
}

train::Objective::Terms DistillObjective::Loss(int64_t step, int part, int parts) {
  std::map<std::string, std::pair<Group, std::vector<Values>>> groups;
  int64_t count = 0;
  for (int64_t i = part; i < options_.batch; i += parts) {
    const int64_t position = step * options_.batch + i;
    const int64_t sample = order_.At(position);
    absl::StatusOr<Values> values = samples_.Read(
        sample, MixSeed(options_.seed, {kDistillSample, static_cast<uint64_t>(position)}));
    TORCH_CHECK(values.ok(), std::string(values.status().message()));
    auto& [group, parts_of] =
        groups[absl::StrCat(samples_.component(sample), " ", train::ShapesText(*values))];
    group.component = samples_.component(sample);
    group.numbers.push_back(samples_.number(sample));
    group.prompts.push_back(samples_.prompt(sample));
    parts_of.push_back(*std::move(values));
    ++count;
  }
  std::vector<at::Tensor> losses(options_.terms.size());
  for (auto& [shapes, entry] : groups) {
    auto& [group, values] = entry;
    group.values = train::Stacked(values);
    const std::vector<at::Tensor> found = LossesOf(group, step);
    const double share = static_cast<double>(values.size()) / static_cast<double>(count);
    for (size_t i = 0; i < losses.size(); ++i) {
      if (!found[i].defined()) continue;
      const at::Tensor part_of = groups.size() == 1 ? found[i] : share * found[i];
      losses[i] = losses[i].defined() ? losses[i] + part_of : part_of;
    }
  }
  Terms terms;
  std::vector<at::Tensor> shown;  // read back together: each reading waits for the device
  for (size_t i = 0; i < losses.size(); ++i) {
    const double weight = TermWeight(options_.terms[i].options, step);
    if (!losses[i].defined()) {
      shown.push_back(at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(device_)));
      continue;
    }
    shown.push_back(losses[i].detach());
    at::Tensor weighted = losses[i];
    if (options_.uncertainty) {
      weighted = UncertaintyWeighted(losses[i].reshape({1}), log_variances_[i]);
    }
    if (weight != 1) weighted = weight * weighted;
    terms.total = terms.total.defined() ? terms.total + weighted : weighted;
  }
  for (const at::Tensor& log_variance : log_variances_) {
    shown.push_back((-log_variance.detach()).exp().reshape({}));
  }
  const at::Tensor numbers = at::stack(shown).to(at::kCPU, at::kDouble);
  for (size_t i = 0; i < shown.size(); ++i) {
    const size_t term = i % options_.terms.size();
    const std::string& name = options_.terms[term].options.name();
    terms.named.emplace_back(i < options_.terms.size() ? name : absl::StrCat("weight.", name),
                             numbers[static_cast<int64_t>(i)].item<double>());
  }
  return terms;
}

train::Identity DistillObjective::identity() const {
  train::Identity identity = {
      {"data", samples_.fingerprint()},
      {"seed", absl::StrCat(options_.seed)},
      {"balance", options_.uncertainty
                      ? absl::StrCat("uncertainty, rate times ", options_.balance_rate)
                      : "fixed"}};
  for (size_t i = 0; i < options_.terms.size(); ++i) {
    std::string text = absl::StrReplaceAll(ResolvedText(options_.terms[i].options), {{"\n", " "}});
    for (const ComparedValue& pair : options_.terms[i].pairs) {
      absl::StrAppend(&text, "; ", pair.value, " after ", pair.student_step, " as after ",
                      absl::StrJoin(pair.teacher_steps, ", "));
    }
    identity[absl::StrCat("terms[", i, "]")] = text;
    if (options_.terms[i].options.has_clip()) {
      identity["clip"] = absl::StrCat(tools_.encoder->name(), " ", tools_.encoder->fingerprint());
    }
  }
  return identity;
}

absl::StatusOr<double> DistillObjective::OutputError(const DistillSamples& samples) const {
  return CatchTorch([&]() -> absl::StatusOr<double> {
    const at::NoGradGuard no_grad;
    const int64_t count = std::min(samples.size(), train::kComparedSamples);
    double error = 0, norm = 0;
    for (int64_t i = 0; i < count; ++i) {
      WANLITE_ASSIGN_OR_RETURN(const Group group, ReadGroup(samples, i * samples.size() / count));
      const Values inputs = ValuesOn(device_, InputsOf(group.values));
      at::Tensor wanted = AskTeacher(group, inputs).output;
      if (!wanted.defined()) {
        const auto target = group.values.find(kTargetValue);
        if (target == group.values.end()) return 0.0;
        wanted = target->second.to(device_);
      }
      at::Tensor found = train::RunProgram(student_, inputs, {}).to(at::kFloat);
      for (const ObjectiveTerm& term : options_.terms) {
        if (!term.options.has_projected()) continue;
        // Padding is nobody's.
        const at::Tensor mask = ValueOf(inputs, term.options.projected().mask().c_str());
        found = found * mask.unsqueeze(-1);
        wanted = wanted * mask.unsqueeze(-1);
      }
      error += (found - wanted).square().sum(at::kDouble).item<double>();
      norm += wanted.square().sum(at::kDouble).item<double>();
    }
    return norm > 0 ? std::sqrt(error / norm) : 0;
  });
}

}  // namespace wanlite::distill
