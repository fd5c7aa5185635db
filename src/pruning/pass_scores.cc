// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/pass_scores.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numbers>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/core/sha256.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/unit_axes.h"
#include "src/search/gated_weight.h"
#include "src/search/network_gradients.h"
#include "src/search/network_trials.h"
#include "wanlite/dataset.h"
#include "wanlite/linear_tap.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"
#include "wanlite/visit_blocks.h"

namespace wanlite {
namespace {

// What the values of all trials that run together may take.
constexpr int64_t kTrialBytes = int64_t{256} << 20;
constexpr int64_t kTrialsAtOnce = 64;

using GroupList = std::vector<const AxisGroup*>;

// Input features of a layer that are units of a group.
struct UnitReader {
  const AxisGroup* group;
  AxisRef ref;
};

const std::string& ComponentNameOf(const ModelView& model, const AxisGroup& group) {
  return model.ComponentOf(group.name).name;
}

// The groups of each component.
std::map<std::string, GroupList> GroupsByComponent(const ModelView& model,
                                                   const std::vector<AxisGroup>& groups) {
  std::map<std::string, GroupList> components;
  for (const AxisGroup& group : groups) components[ComponentNameOf(model, group)].push_back(&group);
  return components;
}

// Scores of a group's units, forward pass by forward pass.
class PassScores {
 public:
  // values: fp64 [units]. A pass that is added twice gets the sum of both.
  void Add(double timestep, double weight, const at::Tensor& values) {
    at::Tensor& sum = sums_[timestep];
    sum = sum.defined() ? sum + weight * values : weight * values;
  }
  // Costs are of means over passes; weights: of all passes, by timestep.
  UnitScores Finish(UnitCriterion::Over over, const std::map<double, double>& weights,
                    const std::function<at::Tensor(const at::Tensor&)>& cost_of) const {
    UnitScores scores;
    at::Tensor sum, largest;
    double sum_of_weights = 0, most = -1;
    for (const auto& [timestep, values] : sums_) {
      const double weight = weights.at(timestep);
      const at::Tensor cost = cost_of(values / weight);
      sum = sum.defined() ? sum + values : values;
      sum_of_weights += weight;
      largest = largest.defined() ? at::maximum(largest, cost) : cost;
      const double together = cost.sum().item<double>();
      // What is not finite is found out about in the cost.
      if (scores.worst.defined() && !(together > most)) continue;
      most = together;
      scores.worst = cost;
      scores.worst_timestep = timestep;
    }
    scores.cost = over == UnitCriterion::WORST ? largest : cost_of(sum / sum_of_weights);
    return scores;
  }

 private:
  std::map<double, at::Tensor> sums_;  // weighted, by timestep
};

std::map<double, double> WeightsByTimestep(const SampleSet& samples, const std::string& component,
                                           const std::vector<int64_t>& passes) {
  std::map<double, double> weights;
  for (const int64_t pass : passes) {
    const SampleInfo& sample = samples.sample(component, pass);
    weights[sample.timestep] += sample.weight;
  }
  return weights;
}

// Mean squares of the input features of some layers, over the rows of a sample and the samples of
// each timestep.
class InputSquares : public LinearTap {
 public:
  explicit InputSquares(std::set<std::string> linears) : linears_(std::move(linears)) {}

  void BeginSample(const SampleInfo& sample) { sample_ = &sample; }
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    if (!linears_.contains(linear.path) || x.numel() == 0) return;
    const double rows = static_cast<double>(x.numel()) / static_cast<double>(x.size(-1));
    const at::Tensor means = SumsAlong(x, x.dim() - 1, /*squares=*/true) * (sample_->weight / rows);
    at::Tensor& sum = sums_[linear.path][sample_->timestep];
    sum = sum.defined() ? sum + means : means;
  }
  // By timestep, weighted, of a layer that was reached; it has them no more.
  std::map<double, at::Tensor> Take(const std::string& linear) {
    return std::exchange(sums_[linear], {});
  }

 private:
  const std::set<std::string> linears_;
  const SampleInfo* sample_ = nullptr;
  std::map<std::string, std::map<double, at::Tensor>> sums_;
};

absl::StatusOr<ScoresByGroup> ActivationUnitScores(ModelView& model,
                                                   const std::vector<AxisGroup>& groups,
                                                   const UnitCriterion& criterion,
                                                   const PassContext& context) {
  std::map<std::string, std::vector<UnitReader>> readers;  // by layer
  std::set<std::string> linears, missing;
  VisitOptions options;
  options.heads = true;
  for (const auto& [component, own] : GroupsByComponent(model, groups)) {
    options.components.push_back(component);
    for (const AxisGroup* group : own) {
      for (const AxisRef& ref : ReadersOf(model, *group)) {
        readers[ref.tensor].push_back({group, ref});
        linears.insert(ref.tensor);
      }
    }
  }
  missing = linears;
  InputSquares tap(linears);
  options.begin_sample = [&tap](const SampleInfo& sample) { tap.BeginSample(sample); };
  std::map<std::string, PassScores> passes;  // by group
  WANLITE_RETURN_IF_ERROR(VisitBlocks(
      model, context, tap,
      [&](const BlockLease& lease) -> absl::Status {
        for (const auto& [linear, own] : readers) {
          if (model.BlockOf(linear) != lease.block()) continue;
          const std::map<double, at::Tensor> squares = tap.Take(linear);
          if (squares.empty()) continue;  // what runs at the component's other end
          missing.erase(linear);
          WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear));
          WANLITE_RETURN_IF_ERROR(Annotate(
              CatchTorch([&] {
                const at::Tensor matrix =
                    weight->dense() != nullptr ? *weight->dense() : weight->Dequantize();
                const at::Tensor columns = SumsAlong(matrix, /*dim=*/1, /*squares=*/true);
                for (const auto& [timestep, sums] : squares) {
                  for (const UnitReader& reader : own) {
                    passes[reader.group->name].Add(
                        timestep, 1, SumOfUnits(*reader.group, reader.ref, columns * sums));
                  }
                }
              }),
              linear));
        }
        return absl::OkStatus();
      },
      options));
  if (!missing.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(*missing.begin(), ": no recorded input reaches it"));
  }
  ScoresByGroup scores;
  for (const auto& [component, own] : GroupsByComponent(model, groups)) {
    std::vector<int64_t> all;
    for (int64_t i = 0; i < context.samples->size(component); ++i) all.push_back(i);
    const std::map<double, double> weights = WeightsByTimestep(*context.samples, component, all);
    for (const AxisGroup* group : own) {
      scores[group->name] = passes[group->name].Finish(
          criterion.over(), weights, [](const at::Tensor& energy) { return energy.sqrt(); });
    }
  }
  return scores;
}

// Gates of one component's readers, pass by pass: 1, or disturbed.
class UnitGates {
 public:
  UnitGates(const ModelView& model, const GroupList& groups, double disturbance, uint64_t seed,
            const std::vector<int64_t>& passes) {
    for (const AxisGroup* group : groups) {
      for (const AxisRef& ref : ReadersOf(model, *group))
        readers_[ref.tensor].push_back({group, ref});
      if (disturbance == 0) continue;
      for (const int64_t pass : passes) {
        Random random(ScoreSeedOf(seed, kDisturbance, group->name, pass));
        std::vector<double> gates(static_cast<size_t>(group->units));
        for (double& gate : gates) {
          // Box and Muller: the same on every machine.
          const double radius = std::sqrt(-2 * std::log(1 - random.Uniform()));
          gate = 1 + disturbance * radius * std::cos(2 * std::numbers::pi * random.Uniform());
        }
        gates_[group].push_back(at::tensor(gates, at::kDouble));
      }
    }
  }
  const std::map<std::string, std::vector<UnitReader>>& readers() const { return readers_; }
  // fp64 [in]; of a layer that reads several groups the product of their gates.
  at::Tensor Of(size_t pass, const std::string& linear) const {
    at::Tensor product;
    for (const UnitReader& reader : readers_.at(linear)) {
      const auto gates = gates_.find(reader.group);
      const at::Tensor own =
          AtUnits(*reader.group, reader.ref,
                  gates == gates_.end() ? at::ones({reader.group->units}, at::kDouble)
                                        : gates->second[pass]);
      product = product.defined() ? product * own : own;
    }
    return product;
  }

 private:
  std::map<std::string, std::vector<UnitReader>> readers_;     // by layer
  std::map<const AxisGroup*, std::vector<at::Tensor>> gates_;  // [units] of each pass
};

// Gradients of |output - wanted|^2 / numel in the outputs.
absl::StatusOr<std::vector<at::Tensor>> LossGradients(const NetworkGradients& network,
                                                      const std::string& component,
                                                      const std::vector<int64_t>& passes,
                                                      const std::vector<at::Tensor>& outputs,
                                                      const std::vector<at::Tensor>& undisturbed) {
  std::vector<at::Tensor> gradients;
  for (size_t i = 0; i < outputs.size(); ++i) {
    at::Tensor wanted;
    if (!undisturbed.empty()) {
      wanted = undisturbed[i];
    } else {
      WANLITE_ASSIGN_OR_RETURN(const Values sample, network.Sample(i));
      const auto target = sample.find(kTargetValue);
      if (target == sample.end() || !target->second.defined()) {
        return absl::FailedPreconditionError(
            absl::StrCat("sample ", passes[i], " of '", component, "' has no value '", kTargetValue,
                         "', with which the loss DATA compares; use the loss DISTURBED"));
      }
      wanted = target->second;
    }
    if (wanted.sizes() != outputs[i].sizes()) {
      return absl::InvalidArgumentError(absl::StrCat("the value '", kTargetValue, "' of sample ",
                                                     passes[i], " of '", component,
                                                     "' is not of the shape of the output"));
    }
    gradients.push_back((outputs[i] - wanted.to(outputs[i].scalar_type())) *
                        (2.0 / static_cast<double>(outputs[i].numel())));
  }
  return gradients;
}

// Of one component's groups. With g_u the gate of unit u and L the loss of one forward pass,
// TAYLOR: mean over passes of |g_u dL/dg_u|; OBD: half the mean of its square.
absl::Status GradientUnitScores(ModelView& model, const std::string& component,
                                const GroupList& groups, const UnitCriterion& criterion,
                                const PassContext& context, ScoresByGroup& scores) {
  const std::vector<int64_t> passes = PickPasses(*context.samples, component, criterion.samples());
  const bool disturbed = IsDisturbedScore(criterion);
  const UnitGates gates(model, groups, disturbed ? criterion.disturbance() : 0, context.seed,
                        passes);
  std::set<std::string> linears;
  for (const auto& [linear, readers] : gates.readers()) linears.insert(linear);
  WANLITE_ASSIGN_OR_RETURN(
      const std::unique_ptr<NetworkGradients> network,
      NetworkGradients::Create(model, context, component, passes, std::move(linears)));
  const auto gate_of = [&](size_t pass, const std::string& linear) {
    return gates.Of(pass, linear);
  };
  std::vector<at::Tensor> undisturbed;
  if (disturbed) {
    WANLITE_ASSIGN_OR_RETURN(undisturbed, network->Forward(nullptr));
  }
  const NetworkGradients::Gates used = disturbed ? NetworkGradients::Gates(gate_of) : nullptr;
  WANLITE_ASSIGN_OR_RETURN(const std::vector<at::Tensor> outputs, network->Forward(used));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<at::Tensor> into,
                           LossGradients(*network, component, passes, outputs, undisturbed));
  std::map<const AxisGroup*, at::Tensor> gradients;  // fp64 [passes, units]
  for (const AxisGroup* group : groups) {
    gradients[group] = at::zeros({static_cast<int64_t>(passes.size()), group->units}, at::kDouble);
  }
  WANLITE_RETURN_IF_ERROR(network->Backward(
      used, into,
      [&](size_t pass, const std::string& linear, const at::Tensor& gradient) -> absl::Status {
        const at::Tensor scaled = gradient * gates.Of(pass, linear);
        for (const UnitReader& reader : gates.readers().at(linear)) {
          gradients[reader.group]
              .select(0, static_cast<int64_t>(pass))
              .add_(SumOfUnits(*reader.group, reader.ref, scaled));
        }
        return absl::OkStatus();
      }));
  WANLITE_RETURN_IF_ERROR(network->Remove());
  const std::map<double, double> weights = WeightsByTimestep(*context.samples, component, passes);
  for (const AxisGroup* group : groups) {
    PassScores means;
    for (size_t i = 0; i < passes.size(); ++i) {
      const SampleInfo& sample = context.samples->sample(component, passes[i]);
      const at::Tensor gradient = gradients[group].select(0, static_cast<int64_t>(i));
      means.Add(sample.timestep, sample.weight,
                criterion.score() == UnitCriterion::OBD ? gradient.square() / 2 : gradient.abs());
    }
    scores[group->name] =
        means.Finish(criterion.over(), weights, [](const at::Tensor& mean) { return mean; });
  }
  return absl::OkStatus();
}

// A network whose readers see nothing of one unit.
Trial WithoutUnit(const ModelView& model, const AxisGroup& group, int64_t unit,
                  std::vector<Values> values) {
  Trial trial;
  trial.what = absl::StrCat(group.name, " without unit ", unit);
  trial.values = std::move(values);
  at::Tensor kept = at::ones({group.units});
  kept[unit] = 0;
  std::map<std::string, std::map<std::string, LayerGates>> blocks;
  for (const AxisRef& ref : ReadersOf(model, group)) {
    blocks[model.BlockOf(ref.tensor)][ref.tensor].input =
        std::make_shared<at::Tensor>(AtUnits(group, ref, kept));
  }
  for (const AxisRef& ref : NormalizedWritersOf(model, group)) {
    blocks[model.BlockOf(ref.tensor)][ref.tensor].output = AtUnits(group, ref, kept);
  }
  for (auto& [block, gates] : blocks) {
    trial.edits[block] = [gates = std::move(gates)](ModelView& edited, const BlockLease&) {
      return GateLayers(edited, gates);
    };
  }
  return trial;
}

// Of one component's groups: the squared error of the trajectory, relative to its norm.
absl::Status OutputUnitScores(ModelView& model, const std::string& component,
                              const GroupList& groups, const UnitCriterion& criterion,
                              const PassContext& context, ScoresByGroup& scores) {
  const std::vector<int64_t> passes = PickPasses(*context.samples, component, criterion.samples());
  WANLITE_ASSIGN_OR_RETURN(
      NetworkTrials network,
      NetworkTrials::Create(model, *context.samples, component, passes, context.cancel));
  WANLITE_RETURN_IF_ERROR(network.RunOriginal().status());
  std::map<size_t, GroupList> by_part;
  int64_t units = 0, done = 0;
  for (const AxisGroup* group : groups) {
    size_t first = network.parts();
    for (const auto& refs : {ReadersOf(model, *group), NormalizedWritersOf(model, *group)}) {
      for (const AxisRef& ref : refs) {
        first = std::min(first, network.PartOf(model.BlockOf(ref.tensor)));
      }
    }
    by_part[first].push_back(group);
    units += group->units;
  }
  ProgressSink& progress = context.progress != nullptr ? *context.progress : SilentProgress();
  progress.Begin("output without each unit", units);
  Trial original{"the original", {}, {}, network.Inputs()};
  for (size_t part = 0; part < network.parts() && !by_part.empty(); ++part) {
    int64_t bytes = 1;
    for (const Values& values : original.values) {
      for (const auto& [name, value] : values) {
        if (value.defined()) bytes += static_cast<int64_t>(value.nbytes());
      }
    }
    const int64_t at_once = std::clamp<int64_t>(kTrialBytes / bytes, 1, kTrialsAtOnce);
    for (const AxisGroup* group : by_part[part]) {
      std::vector<double> costs, largest;
      std::map<double, std::vector<double>> timesteps;
      for (int64_t begin = 0; begin < group->units; begin += at_once) {
        std::vector<Trial> trials;
        std::vector<Trial*> pointers;
        for (int64_t unit = begin; unit < std::min(group->units, begin + at_once); ++unit) {
          trials.push_back(WithoutUnit(model, *group, unit, original.values));
        }
        for (Trial& trial : trials) pointers.push_back(&trial);
        WANLITE_RETURN_IF_ERROR(network.RunToEnd(part, pointers));
        for (const Trial& trial : trials) {
          WANLITE_ASSIGN_OR_RETURN(const OutputError error, network.Score(trial));
          costs.push_back(error.trajectory * error.trajectory);
          largest.push_back(0);
          for (const auto& [timestep, squared] : error.squared_at) {
            timesteps[timestep].push_back(squared);
            largest.back() = std::max(largest.back(), squared);
          }
        }
        done += static_cast<int64_t>(trials.size());
        progress.Update(done, group->name);
      }
      UnitScores& own = scores[group->name];
      own.cost =
          at::tensor(criterion.over() == UnitCriterion::WORST ? largest : costs, at::kDouble);
      double most = -1;
      for (const auto& [timestep, squared] : timesteps) {
        const at::Tensor at_timestep = at::tensor(squared, at::kDouble);
        const double together = at_timestep.sum().item<double>();
        if (!(together > most)) continue;
        most = together;
        own.worst = at_timestep;
        own.worst_timestep = timestep;
      }
    }
    by_part.erase(part);
    WANLITE_RETURN_IF_ERROR(network.Run(part, {&original}));
  }
  progress.End();
  return absl::OkStatus();
}

}  // namespace

uint64_t ScoreSeedOf(uint64_t seed, ScoreSeed stream, const std::string& group, int64_t sample) {
  const std::string hash = Sha256Hex(group);
  return MixSeed(
      seed, {stream, std::stoull(hash.substr(0, 16), nullptr, 16), static_cast<uint64_t>(sample)});
}

bool IsGradientScore(const UnitCriterion& criterion) {
  return criterion.score() == UnitCriterion::TAYLOR || criterion.score() == UnitCriterion::OBD;
}
bool IsDisturbedScore(const UnitCriterion& criterion) {
  return IsGradientScore(criterion) && criterion.loss() == UnitCriterion::DISTURBED;
}

absl::Status CheckGroupSamples(const ModelView& model, const std::vector<AxisGroup>& groups,
                               const PassContext& context) {
  if (context.samples == nullptr) {
    return absl::FailedPreconditionError("needs recorded inputs of the model");
  }
  for (const AxisGroup& group : groups) {
    const Component& component = model.ComponentOf(group.name);
    if (ProgramOf(component) == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(
          group.name, ": ", component.architecture,
          " has no program to run it block by block, so no recorded inputs reach it; score by "
          "L1, L2 or RANDOM"));
    }
    if (context.samples->size(component.name) == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(group.name, ": there are no samples of '", component.name, "'"));
    }
    if (ReadersOf(model, group).empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(group.name, ": no linear layer reads its units; score by L1, L2 or RANDOM"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ScoresByGroup> ScoreByPasses(ModelView& model, const std::vector<AxisGroup>& groups,
                                            const UnitCriterion& criterion,
                                            const PassContext& context) {
  if (criterion.score() == UnitCriterion::ACTIVATION) {
    return ActivationUnitScores(model, groups, criterion, context);
  }
  ScoresByGroup scores;
  for (const auto& [component, own] : GroupsByComponent(model, groups)) {
    WANLITE_RETURN_IF_ERROR(
        criterion.score() == UnitCriterion::OUTPUT_ERROR
            ? OutputUnitScores(model, component, own, criterion, context, scores)
            : GradientUnitScores(model, component, own, criterion, context, scores));
  }
  return scores;
}

}  // namespace wanlite
