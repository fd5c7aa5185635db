// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/learned_depth.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/calibration/activation_files.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/float32_block.h"
#include "src/model/rest_block.h"
#include "wanlite/block_program.h"
#include "wanlite/dataset.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

enum DepthStream : uint64_t { kDepthSample = 1, kDepthGumbel = 2, kDepthUpdate = 3 };
// Logits are so many times what is trained, so that they move as fast as updates do not.
constexpr double kLogitScale = 100;
// Samples whose error is told in the end.
constexpr int64_t kComparedPasses = 32;
constexpr int64_t kOutputPackBytes = int64_t{64} << 20;

// One number for each choice, [choices], and which blocks each keeps, [choices, blocks].
struct GroupChoice {
  at::Tensor logits;
  at::Tensor members;
  std::vector<size_t> gates;  // of its blocks, among all gates
};

// While it lives, a component is in memory in fp32, and only what is trained takes gradients.
class LoadedComponent {
 public:
  static absl::StatusOr<std::unique_ptr<LoadedComponent>> Load(ModelView& model,
                                                               const std::string& component) {
    std::unique_ptr<LoadedComponent> loaded(new LoadedComponent(model));
    for (const BlockInfo& block : model.blocks()) {
      if (model.ComponentOf(block.path).name != component) continue;
      WANLITE_ASSIGN_OR_RETURN(BlockLease lease, model.Lease(block.path));
      loaded->leases_.push_back(std::move(lease));
      WANLITE_RETURN_IF_ERROR(CatchTorch(
          [&] { loaded->wide_.push_back(std::make_unique<Float32Block>(model, block.path)); }));
    }
    for (const BlockLease& lease : loaded->leases_) {
      for (const NamedTensor& named : lease.State()) {
        if (!named.tensor.requires_grad()) continue;
        named.tensor.set_requires_grad(false);
        loaded->spared_.push_back(named.tensor);
      }
    }
    return loaded;
  }
  ~LoadedComponent() {
    for (auto& [linear, weight] : originals_) {
      model_.SetLinearWeight(linear, std::move(weight)).IgnoreError();  // it was there before
    }
    for (const at::Tensor& tensor : spared_) tensor.set_requires_grad(true);
    while (!wide_.empty()) wide_.pop_back();
    while (!leases_.empty()) leases_.pop_back();
  }
  LoadedComponent(const LoadedComponent&) = delete;
  LoadedComponent& operator=(const LoadedComponent&) = delete;

  // Gives a linear a low-rank update of its own that does nothing yet.
  absl::Status AddUpdate(const LinearInfo& linear, int64_t rank, uint64_t seed,
                         std::vector<train::TrainedTensor>& trained) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model_.Weight(linear.path));
    absl::StatusOr<std::unique_ptr<LinearWeight>> base = weight->Share();
    absl::StatusOr<std::unique_ptr<LinearWeight>> original = weight->Share();
    if (!base.ok() || !original.ok()) return Annotate(base.status(), linear.path);
    const int64_t in = weight->in_features(), out = weight->out_features();
    const int64_t ranks = std::min({rank, in, out});
    const at::Tensor a = at::randn({ranks, in}, at::make_generator<at::CPUGeneratorImpl>(seed))
                             .div_(std::sqrt(static_cast<double>(in)));
    const at::Tensor b = at::zeros({out, ranks});
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> updated,
                             MakeLowRankWeight(*std::move(base), a, b, static_cast<double>(ranks)));
    WANLITE_RETURN_IF_ERROR(model_.SetLinearWeight(linear.path, std::move(updated)));
    originals_.emplace_back(linear.path, *std::move(original));
    trained.push_back({absl::StrCat(linear.path, ".low_rank_a"), a});
    trained.push_back({absl::StrCat(linear.path, ".low_rank_b"), b});
    return absl::OkStatus();
  }

 private:
  explicit LoadedComponent(ModelView& model) : model_(model) {}
  ModelView& model_;
  std::vector<BlockLease> leases_;
  std::vector<std::unique_ptr<Float32Block>> wide_;
  std::vector<at::Tensor> spared_;
  std::vector<std::pair<std::string, std::unique_ptr<LinearWeight>>> originals_;
};

// The recorded inputs, in fp32, and what the original makes of them, which lies in files.
// Thread-safe.
class Recorded {
 public:
  Recorded(const SampleSet& samples, const std::string& component)
      : samples_(samples), component_(component) {}

  int64_t size() const { return samples_.size(component_); }
  // Runs the original once on all samples. Before Wanted().
  absl::Status WriteOutputs(const Component& network, const PassContext& context,
                            const std::string& dir) {
    const at::NoGradGuard no_grad;
    WANLITE_RETURN_IF_ERROR(context.env->RemoveAll(dir));
    WANLITE_RETURN_IF_ERROR(context.env->CreateFolders(dir));
    ActivationWriter writer(*context.env, dir, kOutputPackBytes, /*dtype=*/std::nullopt,
                            /*share=*/false);
    for (int64_t i = 0; i < size(); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      const at::Tensor output = ProgramOf(network)->Run(Read(i)).to(at::kFloat).detach();
      WANLITE_RETURN_IF_ERROR(writer.Add({{"output", output}}));
    }
    WANLITE_RETURN_IF_ERROR(writer.Finish());
    WANLITE_ASSIGN_OR_RETURN(outputs_, ActivationReader::Open(*context.env, dir));
    return absl::OkStatus();
  }
  at::Tensor Wanted(int64_t i) const {
    Values values;
    const std::lock_guard lock(mutex_);
    const absl::Status read = outputs_->Read(i, values);
    TORCH_CHECK(read.ok(), std::string(read.message()));
    return ValueOf(values, "output");
  }
  Values Read(int64_t i) const {
    absl::StatusOr<Values> values = samples_.Read(component_, i);
    TORCH_CHECK(values.ok(), std::string(values.status().message()));
    values->erase(kTargetValue);
    for (auto& [name, value] : *values) {
      if (value.defined() && value.is_floating_point()) value = value.to(at::kFloat);
    }
    return *std::move(values);
  }

 private:
  const SampleSet& samples_;
  const std::string& component_;
  mutable std::mutex mutex_;
  std::unique_ptr<ActivationReader> outputs_;
};

class DepthObjective : public train::Objective {
 public:
  DepthObjective(const Component& component, const Recorded& recorded,
                 std::vector<GroupChoice> groups, std::map<std::string, size_t> gates,
                 std::vector<train::TrainedTensor> parameters, const LearnedDepthOptions& options,
                 uint64_t seed)
      : program_(*ProgramOf(component)),
        steps_(program_.Steps()),
        recorded_(recorded),
        groups_(std::move(groups)),
        parameters_(std::move(parameters)),
        options_(options),
        seed_(seed) {
    for (const BlockProgram::Step& step : steps_) {
      const auto gate = gates.find(BlockPath(component, step));
      gate_of_step_.push_back(gate == gates.end() ? -1 : static_cast<int64_t>(gate->second));
    }
    gate_count_ = gates.size();
  }

  std::vector<train::TrainedTensor> Parameters() override { return parameters_; }

  Terms Loss(int64_t step, int part, int parts) override {
    const std::vector<at::Tensor> gates = DrawnGates(step, part);
    at::Tensor total;
    int64_t count = 0;
    for (int64_t i = part; i < options_.loop.batch; i += parts) {
      const auto position = static_cast<uint64_t>(step * options_.loop.batch + i);
      const int64_t sample =
          Random(MixSeed(seed_, {kDepthSample, position})).Below(recorded_.size());
      const at::Tensor wanted = recorded_.Wanted(sample);
      const at::Tensor loss = at::mse_loss(Run(recorded_.Read(sample), gates), wanted) /
                              wanted.square().mean().clamp_min(1e-12);
      total = total.defined() ? total + loss : loss;
      ++count;
    }
    Terms terms;
    terms.total = total / static_cast<double>(count);
    terms.named = {{"output", terms.total.item<double>()}};
    return terms;
  }

  // The output with these gates, scalars.
  at::Tensor Run(Values values, const std::vector<at::Tensor>& gates) const {
    for (size_t step = 0; step < steps_.size(); ++step) {
      if (gate_of_step_[step] < 0) {
        program_.RunStep(step, values);
        continue;
      }
      const at::Tensor& gate = gates[static_cast<size_t>(gate_of_step_[step])];
      Values before;
      for (const std::string& name : steps_[step].changes) {
        before[name] = ValueOf(values, name.c_str());
      }
      program_.RunStep(step, values);
      for (const auto& [name, value] : before) {
        at::Tensor& after = values[name];
        after = value + gate * (after - value);
      }
    }
    return ValueOf(values, program_.Output().c_str()).to(at::kFloat);
  }

  // Of the choice that is most likely: 1 for blocks that stay.
  std::vector<at::Tensor> ChosenGates() const {
    std::vector<at::Tensor> gates(gate_count_);
    for (const GroupChoice& group : groups_) {
      const at::Tensor kept = group.members[group.logits.argmax().item<int64_t>()];
      for (size_t i = 0; i < group.gates.size(); ++i) {
        gates[group.gates[i]] = kept[static_cast<int64_t>(i)];
      }
    }
    return gates;
  }

 private:
  double Temperature(int64_t step) const {
    const double last = static_cast<double>(std::max<int64_t>(1, options_.loop.steps - 1));
    const double way = std::min(1.0, static_cast<double>(step) / last);
    return options_.first_temperature *
           std::pow(options_.last_temperature / options_.first_temperature, way);
  }

  std::vector<at::Tensor> DrawnGates(int64_t step, int part) const {
    std::vector<at::Tensor> gates(gate_count_);
    for (size_t g = 0; g < groups_.size(); ++g) {
      const GroupChoice& group = groups_[g];
      Random random(MixSeed(
          seed_, {kDepthGumbel, static_cast<uint64_t>(step), static_cast<uint64_t>(part), g}));
      const at::Tensor noise = at::empty({group.logits.numel()});
      for (int64_t i = 0; i < noise.numel(); ++i) {
        const double uniform = std::clamp(random.Uniform(), 1e-12, 1 - 1e-12);
        noise[i] = -std::log(-std::log(uniform));
      }
      const at::Tensor soft = ((kLogitScale * group.logits + noise) / Temperature(step)).softmax(0);
      const at::Tensor hard = at::zeros_like(soft);
      hard[soft.argmax().item<int64_t>()] = 1;
      // The value of the hard choice with the gradient of the soft one.
      const at::Tensor straight = hard + soft - soft.detach();
      const at::Tensor kept = straight.matmul(group.members);
      for (size_t i = 0; i < group.gates.size(); ++i) {
        gates[group.gates[i]] = kept[static_cast<int64_t>(i)];
      }
    }
    return gates;
  }

  const BlockProgram& program_;
  const std::vector<BlockProgram::Step> steps_;
  std::vector<int64_t> gate_of_step_;  // -1: the step always runs
  size_t gate_count_ = 0;
  const Recorded& recorded_;
  const std::vector<GroupChoice> groups_;
  const std::vector<train::TrainedTensor> parameters_;
  const LearnedDepthOptions& options_;
  const uint64_t seed_;
};

absl::Status CheckLeftOut(const Component& component, const std::map<std::string, size_t>& gates) {
  for (const BlockProgram::Step& step : ProgramOf(component)->Steps()) {
    const std::string block = BlockPath(component, step);
    if (step.residual || !gates.contains(block)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(block, " cannot be left out: it does more than add to what it gets"));
  }
  return absl::OkStatus();
}

std::string GroupsText(const std::vector<DepthGroup>& groups) {
  return absl::StrJoin(groups, "; ", [](std::string* out, const DepthGroup& group) {
    absl::StrAppend(out, group.keep, " of ", absl::StrJoin(group.blocks, " "));
  });
}

}  // namespace

std::vector<DepthGroup> DepthGroups(const std::vector<std::string>& blocks, int64_t size,
                                    int64_t drop) {
  std::vector<DepthGroup> groups;
  const auto count = static_cast<int64_t>(blocks.size());
  for (int64_t begin = 0; begin < count; begin += size) {
    const int64_t end = std::min(count, begin + size);
    DepthGroup group;
    group.blocks.assign(blocks.begin() + begin, blocks.begin() + end);
    // Of the first n blocks n * drop / count go, rounded.
    const auto gone = [&](int64_t n) { return (2 * n * drop + count) / (2 * count); };
    group.keep = end - begin - (gone(end) - gone(begin));
    groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<std::vector<int64_t>> Subsets(int64_t count, int64_t keep) {
  std::vector<std::vector<int64_t>> all;
  std::vector<bool> in(static_cast<size_t>(count), false);
  std::fill(in.begin(), in.begin() + keep, true);
  do {
    std::vector<int64_t>& members = all.emplace_back();
    for (int64_t i = 0; i < count; ++i) {
      if (in[static_cast<size_t>(i)]) members.push_back(i);
    }
  } while (std::prev_permutation(in.begin(), in.end()));
  return all;
}

absl::StatusOr<LearnedDepth> LearnDepth(ModelView& model, const std::string& component,
                                        const std::vector<std::string>& blocks,
                                        const std::vector<DepthGroup>& groups,
                                        const LearnedDepthOptions& options, PassContext& context) {
  if (context.samples == nullptr || context.samples->size(component) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("there are no recorded inputs of '", component, "'"));
  }
  const Component& network = *model.FindComponent(component);
  if (ProgramOf(network) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", component, "' has no program to run it block by block"));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, "drop-blocks"));
  std::map<std::string, size_t> gates;
  for (const DepthGroup& group : groups) {
    for (const std::string& block : group.blocks) gates.emplace(block, gates.size());
  }
  WANLITE_RETURN_IF_ERROR(CheckLeftOut(network, gates));
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<LoadedComponent> loaded,
                           LoadedComponent::Load(model, component));

  Recorded recorded(*context.samples, component);
  WANLITE_RETURN_IF_ERROR(CatchTorch([&] {
    return recorded.WriteOutputs(
        network, context,
        JoinPath(scratch, absl::StrCat("learned-outputs-", RestBlock(component))));
  }));

  std::vector<train::TrainedTensor> trained;
  uint64_t number = 0;
  const std::set<std::string> updated(blocks.begin(), blocks.end());
  for (const LinearInfo& linear : std::vector<LinearInfo>(model.linears())) {
    if (!updated.contains(linear.block)) continue;
    WANLITE_RETURN_IF_ERROR(loaded->AddUpdate(
        linear, options.rank, MixSeed(context.seed, {kDepthUpdate, number++}), trained));
  }
  std::vector<GroupChoice> choices;
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto count = static_cast<int64_t>(groups[g].blocks.size());
    const std::vector<std::vector<int64_t>> subsets = Subsets(count, groups[g].keep);
    GroupChoice choice;
    choice.logits = at::zeros({static_cast<int64_t>(subsets.size())});
    choice.members = at::zeros({static_cast<int64_t>(subsets.size()), count});
    for (size_t s = 0; s < subsets.size(); ++s) {
      for (const int64_t member : subsets[s]) {
        choice.members[static_cast<int64_t>(s)][member] = 1;
      }
    }
    for (const std::string& block : groups[g].blocks) choice.gates.push_back(gates.at(block));
    train::TrainedTensor logits;
    logits.name = absl::StrCat("choice_logits.", g);
    logits.tensor = choice.logits;
    logits.decay = false;
    trained.push_back(std::move(logits));
    choices.push_back(std::move(choice));
  }

  DepthObjective objective(network, recorded, choices, gates, trained, options, context.seed);
  train::TrainRun run;
  run.env = context.env;
  run.what = component.empty() ? "learned depth" : absl::StrCat("learned depth of ", component);
  run.state_dir =
      JoinPath(scratch, component.empty() ? "learned-depth" : "learned-depth-" + component);
  run.identity = {
      {"seed", absl::StrCat(context.seed)},
      {"samples", context.samples->fingerprint()},
      {"groups", GroupsText(groups)},
      {"rank", absl::StrCat(options.rank)},
      {"temperatures", absl::StrCat(options.first_temperature, " ", options.last_temperature)}};
  run.progress = context.progress;
  run.cancel = context.cancel;
  WANLITE_RETURN_IF_ERROR(train::Train(options.loop, objective, run).status());

  return CatchTorch([&] {
    const at::NoGradGuard no_grad;
    LearnedDepth learned;
    for (size_t g = 0; g < groups.size(); ++g) {
      const at::Tensor likely = (kLogitScale * choices[g].logits).softmax(0);
      const at::Tensor stays = likely.matmul(choices[g].members);
      const int64_t best = choices[g].logits.argmax().item<int64_t>();
      learned.sureness.push_back(likely[best].item<double>());
      std::vector<double>& each = learned.stays.emplace_back();
      for (size_t i = 0; i < groups[g].blocks.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        each.push_back(stays[at].item<double>());
        if (choices[g].members[best][at].item<float>() == 0) {
          learned.dropped.push_back(groups[g].blocks[i]);
        }
      }
    }
    const std::vector<at::Tensor> chosen = objective.ChosenGates();
    const int64_t count = recorded.size();
    double error = 0, size = 0;
    for (int64_t i = 0; i < std::min(count, kComparedPasses); ++i) {
      const int64_t sample = i * count / std::min(count, kComparedPasses);
      const at::Tensor wanted = recorded.Wanted(sample);
      const at::Tensor found = objective.Run(recorded.Read(sample), chosen);
      error += (found - wanted).square().sum().item<double>();
      size += wanted.square().sum().item<double>();
    }
    learned.recovered_error = size > 0 ? std::sqrt(error / size) : std::sqrt(error);
    return learned;
  });
}

}  // namespace wanlite
