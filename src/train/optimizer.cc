// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite::train {
namespace {

// Matrices with the singular vectors of `x` [matrices, rows, columns] and singular values near 1:
// five quintic Newton-Schulz iterations with the coefficients of Jordan et al. 2024, which trade
// exactness (values end in about [0.7, 1.2]) for speed.
at::Tensor Orthogonalized(const at::Tensor& x) {
  const bool tall = x.size(1) > x.size(2);
  at::Tensor y = tall ? x.transpose(1, 2) : x;
  y = y / (at::linalg_vector_norm(y, 2, {1, 2}, /*keepdim=*/true) + 1e-7);
  for (int i = 0; i < 5; ++i) {
    const at::Tensor gram = y.bmm(y.transpose(1, 2));
    y = at::baddbmm(y, at::baddbmm(gram, gram, gram, -4.7750, 2.0315), y, 3.4445, 1);
  }
  return tall ? y.transpose(1, 2) : y;
}

// Matrices of one shape that Muon updates at once have so many values together, or one of them is
// alone: 64 MiB in fp32.
constexpr int64_t kMuonValues = int64_t{1} << 24;

}  // namespace

double LearningRate(const LoopOptions& options, int64_t step) {
  const double done = static_cast<double>(step + 1);
  const double warmup = static_cast<double>(options.warmup_steps);
  if (done < warmup) return options.learning_rate * done / warmup;
  const double rest = std::max<double>(1, static_cast<double>(options.steps) - warmup);
  const double progress = std::min(1.0, (done - warmup) / rest);
  const double low = options.final_rate_ratio;
  return options.learning_rate *
         (low + (1 - low) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

bool TakesPart(const TrainedTensor& trained, int64_t step) {
  if (trained.follows.defined()) return false;
  return trained.turns.empty() || trained.turns[static_cast<size_t>(step) % trained.turns.size()];
}

int64_t UpdatesUntil(const TrainedTensor& trained, int64_t step) {
  if (trained.turns.empty()) return step + 1;
  const auto cycle = static_cast<int64_t>(trained.turns.size());
  const auto begin = trained.turns.begin();
  return (step + 1) / cycle * std::count(begin, trained.turns.end(), true) +
         std::count(begin, begin + (step + 1) % cycle, true);
}

double EmaDecay(const LoopOptions& options, int64_t step) {
  const double done = static_cast<double>(step);
  return std::min(options.ema_decay, (1 + done) / (10 + done));
}

Optimizer::Optimizer(const LoopOptions& options, std::vector<TrainedTensor> tensors)
    : options_(options), tensors_(std::move(tensors)) {
  for (const TrainedTensor& trained : tensors_) {
    const at::Tensor value = trained.tensor.detach();
    if (trained.follows.defined()) {
      first_moment_.emplace_back();
      second_moment_.emplace_back();
      average_.emplace_back();
      continue;
    }
    first_moment_.push_back(at::zeros_like(value));
    second_moment_.push_back(trained.rule == UpdateRule::kAdamW ? at::zeros_like(value)
                                                                : at::Tensor());
    average_.push_back(options.ema_decay > 0 ? value.clone() : at::Tensor());
  }
}

std::vector<NamedTensor> Optimizer::State() const {
  std::vector<NamedTensor> state;
  // Kind by kind, so that files of what did not change stay as they are.
  const auto add = [&](const char* prefix, const auto& tensor_of) {
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const at::Tensor tensor = tensor_of(i);
      if (tensor.defined()) state.push_back({absl::StrCat(prefix, tensors_[i].name), tensor});
    }
  };
  add("weight.", [&](size_t i) { return tensors_[i].tensor.detach(); });
  add("first_moment.", [&](size_t i) { return first_moment_[i]; });
  add("second_moment.", [&](size_t i) { return second_moment_[i]; });
  add("average.", [&](size_t i) { return average_[i]; });
  return state;
}

std::vector<std::string> Optimizer::StateNames(const LoopOptions& options,
                                               const TrainedTensor& trained) {
  if (trained.follows.defined()) return {};
  std::vector<std::string> names{absl::StrCat("first_moment.", trained.name)};
  if (trained.rule == UpdateRule::kAdamW) {
    names.push_back(absl::StrCat("second_moment.", trained.name));
  }
  if (options.ema_decay > 0) names.push_back(absl::StrCat("average.", trained.name));
  return names;
}

void Optimizer::UpdateByMuon(int64_t step, double rate, const std::vector<at::Tensor>& gradients) {
  constexpr double kMomentum = 0.95;
  // By shape, so that small matrices share their products.
  std::map<std::vector<int64_t>, std::vector<std::vector<size_t>>> groups;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].rule != UpdateRule::kMuon || !TakesPart(tensors_[i], step)) continue;
    std::vector<std::vector<size_t>>& parts = groups[tensors_[i].tensor.sizes().vec()];
    const int64_t most = std::max<int64_t>(1, kMuonValues / tensors_[i].tensor.numel());
    if (parts.empty() || static_cast<int64_t>(parts.back().size()) >= most) parts.emplace_back();
    parts.back().push_back(i);
  }
  for (const auto& [shape, parts] : groups) {
    const double longest = static_cast<double>(std::max(shape[0], shape[1]));
    for (const std::vector<size_t>& members : parts) {
      std::vector<at::Tensor> ahead;
      for (const size_t i : members) {
        first_moment_[i].lerp_(gradients[i], 1 - kMomentum);
        // Nesterov: the momentum one step ahead.
        ahead.push_back(gradients[i].lerp(first_moment_[i], kMomentum));
      }
      const at::Tensor directions = Orthogonalized(at::stack(ahead));
      for (size_t k = 0; k < members.size(); ++k) {
        const TrainedTensor& trained = tensors_[members[k]];
        const at::Tensor weight = trained.tensor.detach();
        const double own = rate * trained.rate_scale;
        if (trained.decay) weight.mul_(1 - own * options_.weight_decay);
        weight.sub_(directions[static_cast<int64_t>(k)], own * 0.2 * std::sqrt(longest));
      }
    }
  }
}

void Optimizer::UpdateByAdamW(int64_t step, double rate, const std::vector<at::Tensor>& gradients) {
  // Groups of one rate, decay and number of updates go in one call.
  std::map<std::tuple<double, bool, int64_t>, std::vector<size_t>> groups;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].rule != UpdateRule::kAdamW || !TakesPart(tensors_[i], step)) continue;
    groups[{tensors_[i].rate_scale, tensors_[i].decay, UpdatesUntil(tensors_[i], step)}].push_back(
        i);
  }
  for (const auto& [group, members] : groups) {
    const auto& [rate_scale, decay, updates] = group;
    const at::Tensor count =
        at::full({}, static_cast<double>(updates),
                 at::TensorOptions().dtype(at::kFloat).device(gradients[members[0]].device()));
    std::vector<at::Tensor> weights, grads, first, second, steps;
    for (const size_t i : members) {
      weights.push_back(tensors_[i].tensor);
      grads.push_back(gradients[i]);
      first.push_back(first_moment_[i]);
      second.push_back(second_moment_[i]);
      steps.push_back(count);
    }
    at::_fused_adamw_(weights, grads, first, second, {}, steps, rate * rate_scale, options_.beta1,
                      options_.beta2, decay ? options_.weight_decay : 0.0, /*eps=*/1e-8,
                      /*amsgrad=*/false, /*maximize=*/false);
  }
}

void Optimizer::Update(int64_t step, const std::vector<at::Tensor>& gradients, double rate_factor) {
  at::NoGradGuard no_grad;
  const double rate = LearningRate(options_, step) * rate_factor;
  for (const TrainedTensor& trained : tensors_) {
    if (!trained.follows.defined()) continue;
    trained.tensor.detach().lerp_(trained.follows.detach(), 1 - trained.follow_decay);
  }
  UpdateByMuon(step, rate, gradients);
  UpdateByAdamW(step, rate, gradients);
  if (options_.ema_decay == 0) return;
  std::vector<at::Tensor> averages, weights;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!TakesPart(tensors_[i], step)) continue;
    averages.push_back(average_[i]);
    weights.push_back(tensors_[i].tensor.detach());
  }
  if (averages.empty()) return;
  at::_foreach_lerp_(averages, weights, at::Scalar(1 - EmaDecay(options_, step)));
}

void Optimizer::TakeAverage() {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (average_[i].defined()) tensors_[i].tensor.detach().copy_(average_[i]);
  }
}

}  // namespace wanlite::train
