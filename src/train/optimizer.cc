// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite::train {
namespace {

// A matrix with the singular vectors of `x` and singular values near 1: five quintic Newton-Schulz
// iterations with the coefficients of Jordan et al. 2024, which trade exactness (values end in
// about [0.7, 1.2]) for speed.
at::Tensor Orthogonalized(const at::Tensor& x) {
  const bool tall = x.size(0) > x.size(1);
  at::Tensor y = tall ? x.t() : x;
  y = y / (y.norm() + 1e-7);
  for (int i = 0; i < 5; ++i) {
    const at::Tensor gram = y.matmul(y.t());
    y = at::addmm(y, at::addmm(gram, gram, gram, -4.7750, 2.0315), y, 3.4445, 1);
  }
  return tall ? y.t() : y;
}

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

double EmaDecay(const LoopOptions& options, int64_t step) {
  const double done = static_cast<double>(step);
  return std::min(options.ema_decay, (1 + done) / (10 + done));
}

Optimizer::Optimizer(const LoopOptions& options, std::vector<TrainedTensor> tensors)
    : options_(options), tensors_(std::move(tensors)) {
  for (const TrainedTensor& trained : tensors_) {
    const at::Tensor value = trained.tensor.detach();
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

void Optimizer::UpdateByMuon(size_t i, double rate, const at::Tensor& gradient) {
  constexpr double kMomentum = 0.95;
  const at::Tensor weight = tensors_[i].tensor.detach();
  first_moment_[i].lerp_(gradient, 1 - kMomentum);
  // Nesterov: the momentum one step ahead.
  const at::Tensor direction = Orthogonalized(gradient.lerp(first_moment_[i], kMomentum));
  const double longest = static_cast<double>(std::max(weight.size(0), weight.size(1)));
  rate *= tensors_[i].rate_scale;
  if (tensors_[i].decay) weight.mul_(1 - rate * options_.weight_decay);
  weight.sub_(direction, rate * 0.2 * std::sqrt(longest));
}

void Optimizer::UpdateByAdamW(int64_t step, double rate, const std::vector<at::Tensor>& gradients) {
  const at::Tensor count = at::scalar_tensor(static_cast<double>(step + 1), at::kFloat);
  // Groups of one rate and decay go in one call.
  std::map<std::pair<double, bool>, std::vector<size_t>> groups;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].rule != UpdateRule::kAdamW) continue;
    groups[{tensors_[i].rate_scale, tensors_[i].decay}].push_back(i);
  }
  for (const auto& [group, members] : groups) {
    std::vector<at::Tensor> weights, grads, first, second, steps;
    for (const size_t i : members) {
      weights.push_back(tensors_[i].tensor);
      grads.push_back(gradients[i]);
      first.push_back(first_moment_[i]);
      second.push_back(second_moment_[i]);
      steps.push_back(count);
    }
    at::_fused_adamw_(weights, grads, first, second, {}, steps, rate * group.first, options_.beta1,
                      options_.beta2, group.second ? options_.weight_decay : 0.0, /*eps=*/1e-8,
                      /*amsgrad=*/false, /*maximize=*/false);
  }
}

void Optimizer::Update(int64_t step, const std::vector<at::Tensor>& gradients) {
  at::NoGradGuard no_grad;
  const double rate = LearningRate(options_, step);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].rule == UpdateRule::kMuon) UpdateByMuon(i, rate, gradients[i]);
  }
  UpdateByAdamW(step, rate, gradients);
  const double decay = EmaDecay(options_, step);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (average_[i].defined()) average_[i].lerp_(tensors_[i].tensor, 1 - decay);
  }
}

void Optimizer::TakeAverage() {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (average_[i].defined()) tensors_[i].tensor.detach().copy_(average_[i]);
  }
}

}  // namespace wanlite::train
