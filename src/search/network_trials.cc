// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/network_trials.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/model/float32_block.h"
#include "wanlite/linear_tap.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using PathKey = std::pair<int64_t, std::string>;  // prompt, branch

struct RowCounter : LinearTap {
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    const int64_t came = x.size(-1) > 0 ? x.numel() / x.size(-1) : 0;
    rows[linear.path] += came;
    sequences[linear.path] += x.dim() > 2 ? came / std::max<int64_t>(x.size(-2), 1) : 1;
  }
  std::map<std::string, int64_t> rows, sequences;
};

void HashTensors(const BlockLease& lease, Sha256& hash) {
  for (const NamedTensor& named : lease.State()) {
    const at::Tensor values = named.tensor.detach().contiguous();
    hash.Update(absl::StrCat(named.name, " ", static_cast<int>(values.scalar_type()), " ",
                             values.numel(), "\n"));
    hash.Update({static_cast<const char*>(values.const_data_ptr()), values.nbytes()});
  }
}

}  // namespace

std::vector<int64_t> PickPasses(const SampleSet& samples, absl::string_view component,
                                int64_t count) {
  std::map<PathKey, std::vector<int64_t>> paths;
  for (int64_t i = 0; i < samples.size(component); ++i) {
    const SampleInfo& sample = samples.sample(component, i);
    paths[{sample.prompt, sample.branch}].push_back(i);
  }
  std::vector<std::vector<int64_t>> longest_first;
  for (auto& [key, path] : paths) {
    std::stable_sort(path.begin(), path.end(), [&](int64_t a, int64_t b) {
      return samples.sample(component, a).step < samples.sample(component, b).step;
    });
    longest_first.push_back(std::move(path));
  }
  std::stable_sort(longest_first.begin(), longest_first.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  const int64_t all = samples.size(component);
  if (!longest_first.empty() &&
      2 * static_cast<int64_t>(longest_first.front().size()) < std::min(count, all)) {
    // A few passes of each of many paths: no part of a trajectory, but every noise level.
    std::vector<int64_t> by_step(static_cast<size_t>(all));
    std::iota(by_step.begin(), by_step.end(), 0);
    std::stable_sort(by_step.begin(), by_step.end(), [&](int64_t a, int64_t b) {
      return samples.sample(component, a).step < samples.sample(component, b).step;
    });
    longest_first = {std::move(by_step)};
  }
  std::vector<int64_t> picked;
  for (const std::vector<int64_t>& path : longest_first) {
    const auto size = static_cast<int64_t>(path.size());
    const int64_t wanted = std::min(count - static_cast<int64_t>(picked.size()), size);
    for (int64_t i = 0; i < wanted; ++i) {
      // The middles of `wanted` equal parts.
      picked.push_back(path[static_cast<size_t>((2 * i + 1) * size / (2 * wanted))]);
    }
  }
  std::sort(picked.begin(), picked.end());
  return picked;
}

std::map<std::string, double> SharesOfPasses(const SampleSet& samples,
                                             const std::set<std::string>& components) {
  std::map<std::string, double> shares;
  double sum = 0;
  for (const std::string& component : components) {
    for (int64_t i = 0; i < samples.size(component); ++i) {
      shares[component] += samples.sample(component, i).weight;
    }
    sum += shares[component];
  }
  for (auto& [component, share] : shares) share = sum > 0 ? share / sum : 1;
  return shares;
}

absl::StatusOr<std::unique_ptr<LinearWeight>> SharedWeight(const LinearWeight& weight,
                                                           absl::string_view path) {
  absl::StatusOr<std::unique_ptr<LinearWeight>> shared = weight.Share();
  if (shared.ok()) return shared;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", shared.status().message()));
}

absl::StatusOr<Trial::Undo> ExchangeWeights(
    ModelView& model, std::map<std::string, std::unique_ptr<LinearWeight>> weights) {
  using Weights = std::vector<std::pair<std::string, std::shared_ptr<LinearWeight>>>;
  Weights before;
  const auto undo = [&model](const Weights& changed) -> absl::Status {
    for (const auto& [path, weight] : changed) {
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> shared, SharedWeight(*weight, path));
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(path, std::move(shared)));
    }
    return absl::OkStatus();
  };
  for (auto& [path, weight] : weights) {
    const auto exchange = [&]() -> absl::Status {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* now, model.Weight(path));
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> kept, SharedWeight(*now, path));
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(path, std::move(weight)));
      before.emplace_back(path, std::move(kept));
      return absl::OkStatus();
    };
    const absl::Status exchanged = exchange();
    if (exchanged.ok()) continue;
    WANLITE_RETURN_IF_ERROR(undo(before));
    return exchanged;
  }
  return Trial::Undo([undo, before = std::move(before)] { return undo(before); });
}

absl::StatusOr<NetworkTrials> NetworkTrials::Create(ModelView& model, const SampleSet& samples,
                                                    absl::string_view component,
                                                    std::vector<int64_t> passes,
                                                    const CancellationToken* cancel) {
  const Component* found = model.FindComponent(component);
  if (found == nullptr || ProgramOf(*found) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", component, "' has no program to run it block by block"));
  }
  NetworkTrials trials(model, std::string(component), cancel);
  trials.parts_ = BlockStepsOf(*found);
  std::map<PathKey, size_t> paths;
  for (const int64_t number : passes) {
    const SampleInfo& sample = samples.sample(component, number);
    const size_t path =
        paths.try_emplace({sample.prompt, sample.branch}, paths.size()).first->second;
    trials.passes_.push_back({sample.weight, sample.timestep, path, {}});
    WANLITE_ASSIGN_OR_RETURN(Values values, samples.Read(component, number));
    trials.inputs_.push_back(std::move(values));
  }
  return trials;
}

size_t NetworkTrials::PartOf(absl::string_view block) const {
  size_t part = 0;
  while (part < parts_.size() && parts_[part].block != block) ++part;
  return part;
}

absl::StatusOr<OriginalRun> NetworkTrials::RunOriginal() {
  Trial original{"the original", {}, {}, inputs_};
  Sha256 hash;
  RowCounter counter;
  std::set<std::string> hashed;
  for (size_t part = 0; part < parts_.size(); ++part) {
    WANLITE_ASSIGN_OR_RETURN(const TapGuard guard,
                             TapLinears(*model_, parts_[part].block, counter));
    WANLITE_RETURN_IF_ERROR(Run(part, {&original}, [&](const BlockLease& lease) {
      if (hashed.insert(lease.block()).second) HashTensors(lease, hash);
      return absl::OkStatus();
    }));
  }
  for (size_t i = 0; i < passes_.size(); ++i) {
    passes_[i].output = original.values[i].at(program().Output()).to(at::kDouble).flatten();
    if (!passes_[i].output.isfinite().all().item<bool>()) {
      return absl::InvalidArgumentError(
          absl::StrCat(component_, ": the original's own output holds a NaN or an infinity"));
    }
  }
  OriginalRun found;
  found.weights_sha256 = hash.Finish();
  const auto passes = static_cast<int64_t>(std::max<size_t>(passes_.size(), 1));
  for (const auto& [path, count] : counter.rows) found.rows[path] = count / passes;
  for (const auto& [path, count] : counter.sequences) {
    found.sequences[path] = std::max<int64_t>(count / passes, 1);
  }
  return found;
}

absl::Status NetworkTrials::RunOne(const BlockSteps& part, const BlockLease& lease, Trial& trial) {
  const BlockProgram& steps = program();
  if (trial.left_out.contains(part.block)) {
    const std::vector<BlockProgram::Step> declared = steps.Steps();
    for (size_t step = part.begin; step < part.end; ++step) {
      if (declared[step].residual) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(part.block, " cannot be left out: it does more than add to what it gets"));
    }
    return absl::OkStatus();
  }
  Trial::Undo undo;
  if (const auto edit = trial.edits.find(part.block); edit != trial.edits.end()) {
    absl::StatusOr<Trial::Undo> edited = edit->second(*model_, lease);
    if (!edited.ok()) return Annotate(edited.status(), trial.what);
    undo = *std::move(edited);
  }
  const absl::Status run = CatchTorch([&]() -> absl::Status {
    for (Values& values : trial.values) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel_));
      part.Run(steps, values);
    }
    return absl::OkStatus();
  });
  if (undo) WANLITE_RETURN_IF_ERROR(undo());
  return Annotate(run, part.block);
}

absl::Status NetworkTrials::Run(size_t part, const std::vector<Trial*>& trials,
                                const std::function<absl::Status(const BlockLease&)>& visit) {
  const at::NoGradGuard no_grad;
  WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model_->Lease(parts_[part].block));
  if (visit) WANLITE_RETURN_IF_ERROR(visit(lease));
  return CatchTorch([&]() -> absl::Status {
    const Float32Block wide(*model_, lease.block());
    for (Trial* trial : trials) WANLITE_RETURN_IF_ERROR(RunOne(parts_[part], lease, *trial));
    return absl::OkStatus();
  });
}

absl::Status NetworkTrials::RunToEnd(size_t part, const std::vector<Trial*>& trials) {
  for (; part < parts_.size(); ++part) WANLITE_RETURN_IF_ERROR(Run(part, trials));
  return absl::OkStatus();
}

absl::StatusOr<OutputError> NetworkTrials::Score(const Trial& trial) const {
  const auto relative = [](double error, double size) {
    return size > 0 ? std::sqrt(error / size) : std::sqrt(error);
  };
  const auto square = [](const at::Tensor& x) { return x.dot(x).item<double>(); };
  std::map<std::pair<size_t, int64_t>, std::pair<at::Tensor, at::Tensor>> paths;
  std::map<double, std::pair<double, double>> timesteps;
  double pass_error = 0, pass_size = 0;
  OutputError score;
  for (size_t i = 0; i < passes_.size(); ++i) {
    const Pass& pass = passes_[i];
    const at::Tensor output = trial.values[i].at(program().Output()).to(at::kDouble).flatten();
    const at::Tensor error = output - pass.output;
    const double squared_error = square(error), squared_size = square(pass.output);
    pass_error += pass.weight * squared_error;
    pass_size += pass.weight * squared_size;
    timesteps[pass.timestep].first += pass.weight * squared_error;
    timesteps[pass.timestep].second += pass.weight * squared_size;
    // A NaN is the worst.
    if (!(relative(squared_error, squared_size) <= score.worst_pass)) {
      score.worst_pass = relative(squared_error, squared_size);
      score.worst_timestep = pass.timestep;
    }
    // Of one prompt and branch all latents have one shape, unless somebody wrote the set by hand.
    auto& [error_sum, size_sum] = paths[{pass.path, output.numel()}];
    error_sum = error_sum.defined() ? error_sum + pass.weight * error : pass.weight * error;
    size_sum =
        size_sum.defined() ? size_sum + pass.weight * pass.output : pass.weight * pass.output;
  }
  double path_error = 0, path_size = 0;
  for (const auto& [key, sums] : paths) {
    path_error += square(sums.first);
    path_size += square(sums.second);
  }
  score.trajectory = relative(path_error, path_size);
  score.pass = relative(pass_error, pass_size);
  for (const auto& [timestep, sums] : timesteps) {
    score.squared_at[timestep] = sums.second > 0 ? sums.first / sums.second : sums.first;
  }
  if (std::isfinite(score.trajectory) && std::isfinite(score.pass)) return score;
  return absl::InvalidArgumentError(
      absl::StrCat(component_, ": its output is not finite with ", trial.what));
}

}  // namespace wanlite
