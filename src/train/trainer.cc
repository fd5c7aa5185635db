// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/trainer.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/message_differencer.h>

#include <chrono>
#include <cmath>
#include <deque>
#include <numbers>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/threads.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kLossWindow = 100;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// All that a run carries from step to step. Vectors run parallel to `parameters`.
struct State {
  std::vector<NamedTensor> parameters;
  std::vector<at::Tensor> first_moment, second_moment, average;
  int64_t step = 0;
};

// What must not change between a run and its continuation. `steps` may.
TrainingIdentity IdentityOf(const LoopOptions& options, const TrainRun& run) {
  TrainingIdentity identity = run.identity;
  *identity.mutable_loop() = options;
  identity.mutable_loop()->clear_steps();
  identity.mutable_loop()->clear_state_every();
  return identity;
}

std::string Serialized(const TrainingIdentity& identity) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    identity.SerializeToCodedStream(&coded);
  }
  return bytes;
}

// The first few fields in which two identities differ: "modified: loop.learning_rate: 0.1 -> 0.2".
std::string Differences(const TrainingIdentity& saved, const TrainingIdentity& wanted) {
  std::string report;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&report);
  differencer.Compare(saved, wanted);
  std::vector<std::string> lines = absl::StrSplit(report, '\n', absl::SkipEmpty());
  constexpr size_t kShown = 4;
  if (lines.size() > kShown) {
    lines[kShown] = absl::StrCat("… (", lines.size() - kShown, " more)");
    lines.resize(kShown + 1);
  }
  return absl::StrJoin(lines, "; ");
}

at::Tensor BytesTensor(const std::string& text) {
  at::Tensor bytes = at::empty({static_cast<int64_t>(text.size())}, at::kByte);
  std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  return bytes;
}

std::string TensorBytes(const at::Tensor& bytes) {
  const auto* data = bytes.data_ptr<uint8_t>();
  return std::string(data, data + bytes.numel());
}

absl::Status SaveState(const LoopOptions& options, const State& state, const TrainRun& run) {
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < state.parameters.size(); ++i) {
    const std::string& name = state.parameters[i].name;
    tensors.push_back({absl::StrCat("weight.", name), state.parameters[i].tensor.detach()});
    tensors.push_back({absl::StrCat("first_moment.", name), state.first_moment[i]});
    tensors.push_back({absl::StrCat("second_moment.", name), state.second_moment[i]});
    tensors.push_back({absl::StrCat("average.", name), state.average[i]});
  }
  tensors.push_back({"step", at::scalar_tensor(state.step, at::kLong)});
  tensors.push_back({"identity", BytesTensor(Serialized(IdentityOf(options, run)))});
  return WriteSafetensors(*run.env, run.state_path, tensors).status();
}

absl::Status LoadState(const LoopOptions& options, const TrainRun& run, State& state) {
  WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(*run.env, run.state_path));
  const auto saved = source->Read("identity");
  const auto step = source->Read("step");
  TrainingIdentity saved_identity;
  if (!saved.ok() || !step.ok() || saved->scalar_type() != at::kByte ||
      step->scalar_type() != at::kLong || step->numel() != 1 ||
      !saved_identity.ParseFromString(TensorBytes(*saved))) {
    return absl::FailedPreconditionError(absl::StrCat(
        run.state_path, ": not a training state of this version; remove it to start again"));
  }
  const TrainingIdentity identity = IdentityOf(options, run);
  if (TensorBytes(*saved) != Serialized(identity)) {
    return absl::FailedPreconditionError(
        absl::StrCat(run.state_path, " belongs to another training of ", run.what, ": ",
                     Differences(saved_identity, identity),
                     "; take back what was changed, or remove the file to start again"));
  }
  at::NoGradGuard no_grad;
  size_t used = 2;
  for (size_t i = 0; i < state.parameters.size(); ++i) {
    const auto& [name, parameter] = state.parameters[i];
    const std::pair<const char*, at::Tensor> parts[] = {{"weight.", parameter},
                                                        {"first_moment.", state.first_moment[i]},
                                                        {"second_moment.", state.second_moment[i]},
                                                        {"average.", state.average[i]}};
    for (const auto& [prefix, target] : parts) {
      auto value = source->Read(absl::StrCat(prefix, name));
      if (!value.ok() || value->sizes() != target.sizes() ||
          value->scalar_type() != target.scalar_type()) {
        return absl::FailedPreconditionError(
            absl::StrCat(run.state_path, ": no tensor ", prefix, name,
                         " of the network's shape; it is a state of another network"));
      }
      target.detach().copy_(*value);
      ++used;
    }
  }
  if (used != source->tensors().size()) {
    return absl::FailedPreconditionError(
        absl::StrCat(run.state_path, " holds ", source->tensors().size(), " tensors, ", used,
                     " of which are the network's; it is a state of another network"));
  }
  state.step = step->item<int64_t>();
  if (state.step < 0 || state.step > options.steps()) {
    return absl::FailedPreconditionError(absl::StrCat(run.state_path, " is at step ", state.step,
                                                      ", beyond the ", options.steps(), " wanted"));
  }
  return absl::OkStatus();
}

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

// Embeddings and output heads have rows of their own, not directions; AdamW suits them better.
bool IsHiddenMatrix(const NamedTensor& parameter) {
  return parameter.tensor.dim() == 2 && parameter.tensor.size(0) > 1 &&
         parameter.tensor.size(1) > 1 && parameter.name.find("embedding") == std::string::npos &&
         parameter.name.find("head.") == std::string::npos;
}

void UpdateByMuon(const LoopOptions& options, double rate, State& state,
                  const std::vector<at::Tensor>& gradients) {
  constexpr double kMomentum = 0.95;
  for (size_t i = 0; i < state.parameters.size(); ++i) {
    if (!IsHiddenMatrix(state.parameters[i])) continue;
    const at::Tensor weight = state.parameters[i].tensor.detach();
    state.first_moment[i].lerp_(gradients[i], 1 - kMomentum);
    // Nesterov: the momentum one step ahead.
    const at::Tensor direction =
        Orthogonalized(gradients[i].lerp(state.first_moment[i], kMomentum));
    const double longest = static_cast<double>(std::max(weight.size(0), weight.size(1)));
    weight.mul_(1 - rate * options.weight_decay());
    weight.sub_(direction, rate * 0.2 * std::sqrt(longest));
  }
}

// One update of AdamW; vectors (biases, norm weights) do not decay.
void Update(const LoopOptions& options, double rate, State& state,
            const std::vector<at::Tensor>& gradients) {
  const double beta1 = options.beta1() > 0 ? options.beta1() : 0.9;
  const double beta2 = options.beta2() > 0 ? options.beta2() : 0.99;
  const at::Tensor step = at::scalar_tensor(static_cast<double>(state.step + 1), at::kFloat);
  if (options.muon()) UpdateByMuon(options, rate, state, gradients);
  for (const bool matrices : {true, false}) {
    std::vector<at::Tensor> weights, grads, first, second, steps;
    for (size_t i = 0; i < state.parameters.size(); ++i) {
      const at::Tensor& weight = state.parameters[i].tensor;
      // A gamma of shape [C, 1, 1, 1] is a vector too.
      const bool is_vector = weight.numel() == weight.size(0) || weight.dim() < 2;
      if (is_vector == matrices) continue;
      if (options.muon() && IsHiddenMatrix(state.parameters[i])) continue;
      weights.push_back(weight);
      grads.push_back(gradients[i]);
      first.push_back(state.first_moment[i]);
      second.push_back(state.second_moment[i]);
      steps.push_back(step);
    }
    if (weights.empty()) continue;
    at::_fused_adamw_(weights, grads, first, second, {}, steps, rate, beta1, beta2,
                      matrices ? options.weight_decay() : 0.0, /*eps=*/1e-8, /*amsgrad=*/false,
                      /*maximize=*/false);
  }
}

absl::Status NotFinite(const TrainRun& run, const LoopOptions& options, int64_t step,
                       absl::string_view what) {
  return absl::AbortedError(absl::StrFormat(
      "training of %s stopped at step %d: the %s is not finite. The last state is kept in %s. "
      "Lower learning_rate (now %g) or max_gradient_norm (now %g).",
      run.what, step, std::string(what), run.state_path, options.learning_rate(),
      options.max_gradient_norm()));
}

// While it lives, LibTorch's operations use one thread where workers divide the batch among the
// cores: both at once get in each other's way (measured: five times slower on a busy machine with 2
// cores).
class OneThreadForWorkers {
 public:
  explicit OneThreadForWorkers(bool on) : previous_(on ? at::get_num_threads() : 0) {
    if (on) at::set_num_threads(1);
  }
  ~OneThreadForWorkers() {
    if (previous_ > 0) at::set_num_threads(previous_);
  }
  OneThreadForWorkers(const OneThreadForWorkers&) = delete;
  OneThreadForWorkers& operator=(const OneThreadForWorkers&) = delete;

 private:
  int previous_;
};

struct PartResult {
  double loss = 0;
  std::vector<at::Tensor> gradients;  // undefined where a parameter took no part
};

absl::StatusOr<PartResult> RunPart(Objective& objective, const TrainRun& run,
                                   const std::vector<at::Tensor>& parameters, int64_t step,
                                   int part, int parts) {
  return CatchTorch([&]() -> absl::StatusOr<PartResult> {
    const at::Tensor loss = objective.Loss(step, part, parts);
    TORCH_CHECK(loss.numel() == 1, "the loss of ", run.what, " has shape ", loss.sizes(),
                ", not that of a scalar");
    PartResult result;
    result.loss = loss.item<double>();
    if (!std::isfinite(result.loss)) return result;
    // Not backward(): threads would add to the same .grad at once, in any order.
    result.gradients =
        torch::autograd::grad({loss.reshape({})}, parameters, {}, /*retain_graph=*/std::nullopt,
                              /*create_graph=*/false, /*allow_unused=*/true);
    return result;
  });
}

// Gradient step; the loss, or Aborted.
absl::StatusOr<double> TakeStep(const LoopOptions& options, Objective& objective,
                                const TrainRun& run, State& state) {
  const int parts = std::max(1, options.workers());
  const OneThreadForWorkers one_thread(parts > 1);
  std::vector<at::Tensor> parameters;
  for (const NamedTensor& parameter : state.parameters) parameters.push_back(parameter.tensor);
  std::vector<absl::StatusOr<PartResult>> results(parts, absl::UnknownError("not run"));
  WANLITE_RETURN_IF_ERROR(RunOnThreads(parts, [&](int part) {
    if (parts > 1) at::set_num_threads(1);  // holds for this thread alone
    results[part] = RunPart(objective, run, parameters, state.step, part, parts);
    return results[part].status();
  }));

  at::NoGradGuard no_grad;
  double loss = 0;
  std::vector<at::Tensor> gradients(parameters.size());
  for (int part = 0; part < parts; ++part) {
    loss += results[part]->loss / parts;
    if (!std::isfinite(loss)) return NotFinite(run, options, state.step, "loss");
    for (size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor& gradient = results[part]->gradients[i];
      if (!gradient.defined()) continue;
      gradients[i] = gradients[i].defined() ? gradients[i].add_(gradient)
                                            : gradient.clone(at::MemoryFormat::Contiguous);
    }
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = at::zeros_like(parameters[i]);
  }
  if (parts > 1) at::_foreach_mul_(gradients, 1.0 / parts);
  const double norm = at::stack(at::_foreach_norm(gradients)).norm().item<double>();
  if (!std::isfinite(norm)) return NotFinite(run, options, state.step, "gradient");
  if (options.max_gradient_norm() > 0 && norm > options.max_gradient_norm()) {
    at::_foreach_mul_(gradients, options.max_gradient_norm() / norm);
  }
  Update(options, LearningRate(options, state.step), state, gradients);
  const double decay = EmaDecay(options, state.step);
  for (size_t i = 0; i < parameters.size(); ++i) {
    state.average[i].lerp_(parameters[i], 1 - decay);
  }
  ++state.step;
  return loss;
}

absl::Status RunLoop(const LoopOptions& options, Objective& objective, const TrainRun& run,
                     State& state, TrainReport& report) {
  ProgressSink& progress = run.progress != nullptr ? *run.progress : SilentProgress();
  const Clock::time_point start = Clock::now();
  std::deque<double> losses;
  double sum = 0;
  // A continued run counts what is left, so that rate and time are those of this run.
  progress.Begin(report.first_step == 0
                     ? absl::StrCat("train ", run.what)
                     : absl::StrCat("train ", run.what, " from step ", report.first_step),
                 options.steps() - report.first_step);
  absl::Status status;
  while (status.ok() && state.step < options.steps()) {
    auto loss = TakeStep(options, objective, run, state);
    if (!loss.ok()) {
      status = loss.status();
      break;
    }
    losses.push_back(*loss);
    sum += *loss;
    if (losses.size() > kLossWindow) {
      sum -= losses.front();
      losses.pop_front();
    }
    report.loss = sum / static_cast<double>(losses.size());
    progress.Update(state.step - report.first_step, absl::StrFormat("loss %.5f", report.loss));
    const bool cancelled = run.cancel != nullptr && run.cancel->cancelled();
    const bool due = options.state_every() > 0 && state.step % options.state_every() == 0;
    if (due || cancelled || state.step == options.steps()) status = SaveState(options, state, run);
    if (cancelled && status.ok()) {
      status =
          absl::CancelledError(absl::StrCat("training of ", run.what, " was cancelled at step ",
                                            state.step, "; the same command continues it"));
    }
  }
  progress.End();
  report.seconds = SecondsSince(start);
  report.steps = state.step;
  return status;
}

}  // namespace

absl::Status CheckLoopOptions(const LoopOptions& options, absl::string_view name) {
  auto bad = [&](absl::string_view field, double found, absl::string_view wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ".", field, " is ", found, ", but must be ", wanted));
  };
  if (options.steps() < 1) return bad("steps", options.steps(), "at least 1");
  if (options.batch() < 1) return bad("batch", options.batch(), "at least 1");
  if (!(options.learning_rate() > 0 && options.learning_rate() < 1)) {
    return bad("learning_rate", options.learning_rate(), "between 0 and 1");
  }
  if (options.warmup_steps() < 0) return bad("warmup_steps", options.warmup_steps(), "at least 0");
  if (!(options.final_rate_ratio() >= 0 && options.final_rate_ratio() <= 1)) {
    return bad("final_rate_ratio", options.final_rate_ratio(), "in [0, 1]");
  }
  if (!(options.weight_decay() >= 0))
    return bad("weight_decay", options.weight_decay(), "at least 0");
  if (!(options.beta1() >= 0 && options.beta1() < 1))
    return bad("beta1", options.beta1(), "in [0, 1)");
  if (!(options.beta2() >= 0 && options.beta2() < 1))
    return bad("beta2", options.beta2(), "in [0, 1)");
  if (!(options.max_gradient_norm() >= 0)) {
    return bad("max_gradient_norm", options.max_gradient_norm(), "at least 0");
  }
  if (!(options.ema_decay() >= 0 && options.ema_decay() < 1)) {
    return bad("ema_decay", options.ema_decay(), "in [0, 1)");
  }
  if (options.workers() < 0 || options.workers() > options.batch()) {
    return bad("workers", options.workers(), absl::StrCat("in 0..batch (", options.batch(), ")"));
  }
  if (options.state_every() < 0) return bad("state_every", options.state_every(), "at least 0");
  return absl::OkStatus();
}

double LearningRate(const LoopOptions& options, int64_t step) {
  const double done = static_cast<double>(step + 1);
  const double warmup = static_cast<double>(options.warmup_steps());
  if (done < warmup) return options.learning_rate() * done / warmup;
  const double rest = std::max<double>(1, static_cast<double>(options.steps()) - warmup);
  const double progress = std::min(1.0, (done - warmup) / rest);
  const double low = options.final_rate_ratio();
  return options.learning_rate() *
         (low + (1 - low) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

double EmaDecay(const LoopOptions& options, int64_t step) {
  const double done = static_cast<double>(step);
  return std::min(options.ema_decay(), (1 + done) / (10 + done));
}

absl::StatusOr<TrainReport> Train(const LoopOptions& options, Objective& objective,
                                  const TrainRun& run) {
  WANLITE_RETURN_IF_ERROR(CheckLoopOptions(options, run.what));
  State state;
  state.parameters = objective.Parameters();
  std::set<std::string> names;
  for (const NamedTensor& parameter : state.parameters) {
    if (!names.insert(parameter.name).second || !parameter.tensor.is_leaf() ||
        !at::isFloatingType(parameter.tensor.scalar_type())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "parameter ", parameter.name, " of ", run.what,
          " is named twice, is not floating point, or is the result of a computation"));
    }
  }
  TrainReport report;
  absl::Status status;
  const absl::Status torch = CatchTorch([&]() -> absl::Status {
    for (const NamedTensor& parameter : state.parameters) {
      parameter.tensor.set_requires_grad(true);
      const at::Tensor value = parameter.tensor.detach();
      state.first_moment.push_back(at::zeros_like(value));
      state.second_moment.push_back(at::zeros_like(value));
      state.average.push_back(value.clone());
    }
    if (run.env->FileExists(run.state_path)) {
      WANLITE_RETURN_IF_ERROR(LoadState(options, run, state));
    }
    report.first_step = state.step;
    WANLITE_RETURN_IF_ERROR(RunLoop(options, objective, run, state, report));
    at::NoGradGuard no_grad;
    for (size_t i = 0; i < state.parameters.size(); ++i) {
      const at::Tensor& parameter = state.parameters[i].tensor;
      if (options.ema_decay() > 0) parameter.detach().copy_(state.average[i]);
    }
    return absl::OkStatus();
  });
  if (!torch.ok()) return torch;
  return report;
}

}  // namespace wanlite::train
