// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_auto_trials.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/model/float32_block.h"
#include "wanlite/linear_tap.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using PathKey = std::pair<int64_t, std::string>;  // prompt, branch

struct RowCounter : LinearTap {
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    rows[linear.path] += x.size(-1) > 0 ? x.numel() / x.size(-1) : 0;
  }
  std::map<std::string, int64_t> rows;
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
    trials.passes_.push_back({sample.weight, path, {}});
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

absl::Status NetworkTrials::RunOriginal(ScannedComponent& found,
                                        std::map<std::string, int64_t>& rows) {
  Trial original{{}, inputs_};
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
  found.weights_sha256 = hash.Finish();
  for (const auto& [path, count] : counter.rows) {
    rows[path] = count / static_cast<int64_t>(std::max<size_t>(passes_.size(), 1));
  }
  return absl::OkStatus();
}

absl::Status NetworkTrials::RunOne(const BlockSteps& part, Trial& trial) {
  std::vector<std::pair<std::string, at::Tensor>> exchanged;
  for (const auto& [path, format] : trial.formats) {
    if (model_->BlockOf(path) != part.block) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(*model_, path));
    const at::Tensor dense = *weight->dense();
    QuantizationError error;
    absl::StatusOr<std::unique_ptr<LinearWeight>> quantized =
        format->Quantize(dense, /*statistics=*/nullptr, &error);
    if (!quantized.ok()) {
      return Annotate(quantized.status(), absl::StrCat(path, ": ", format->name()));
    }
    trial.weight_errors[path] = error.Relative();
    WANLITE_RETURN_IF_ERROR(model_->SetLinearWeight(path, *std::move(quantized)));
    exchanged.emplace_back(path, dense);
  }
  const absl::Status run = CatchTorch([&]() -> absl::Status {
    const BlockProgram& steps = program();
    for (Values& values : trial.values) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel_));
      part.Run(steps, values);
    }
    return absl::OkStatus();
  });
  for (const auto& [path, dense] : exchanged) {
    WANLITE_RETURN_IF_ERROR(model_->SetLinearWeight(path, MakeDenseWeight(dense)));
  }
  return Annotate(run, part.block);
}

absl::Status NetworkTrials::Run(size_t part, const std::vector<Trial*>& trials,
                                const std::function<absl::Status(const BlockLease&)>& visit) {
  const at::NoGradGuard no_grad;
  WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model_->Lease(parts_[part].block));
  if (visit) WANLITE_RETURN_IF_ERROR(visit(lease));
  return CatchTorch([&]() -> absl::Status {
    const Float32Block wide(*model_, lease.block());
    for (Trial* trial : trials) WANLITE_RETURN_IF_ERROR(RunOne(parts_[part], *trial));
    return absl::OkStatus();
  });
}

absl::StatusOr<FormatScore> NetworkTrials::Score(const Trial& trial) const {
  std::map<std::pair<size_t, int64_t>, std::pair<at::Tensor, at::Tensor>> paths;
  double pass_error = 0, pass_size = 0;
  for (size_t i = 0; i < passes_.size(); ++i) {
    const Pass& pass = passes_[i];
    const at::Tensor output = trial.values[i].at(program().Output()).to(at::kDouble).flatten();
    const at::Tensor error = output - pass.output;
    pass_error += pass.weight * error.dot(error).item<double>();
    pass_size += pass.weight * pass.output.dot(pass.output).item<double>();
    // Of one prompt and branch all latents have one shape, unless somebody wrote the set by hand.
    auto& [error_sum, size_sum] = paths[{pass.path, output.numel()}];
    error_sum = error_sum.defined() ? error_sum + pass.weight * error : pass.weight * error;
    size_sum =
        size_sum.defined() ? size_sum + pass.weight * pass.output : pass.weight * pass.output;
  }
  double path_error = 0, path_size = 0;
  for (const auto& [key, sums] : paths) {
    path_error += sums.first.dot(sums.first).item<double>();
    path_size += sums.second.dot(sums.second).item<double>();
  }
  FormatScore score;
  score.trajectory_error =
      path_size > 0 ? std::sqrt(path_error / path_size) : std::sqrt(path_error);
  score.pass_error = pass_size > 0 ? std::sqrt(pass_error / pass_size) : std::sqrt(pass_error);
  if (std::isfinite(score.trajectory_error) && std::isfinite(score.pass_error)) return score;
  return absl::InvalidArgumentError(
      absl::StrCat(component_, ": its output is not finite with ",
                   trial.formats.size() == 1 ? trial.formats.begin()->first : "these layers",
                   " in other formats"));
}

}  // namespace wanlite
