// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/train.h"
#include "src/core/stopwatch.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/durable_step.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/core/threads.h"
#include "src/train/bf16_products.h"
#include "src/train/optimizer.h"
#include "src/train/state_files.h"
#include "src/train/tensor_exchange.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

using NamedValues = std::vector<std::pair<std::string, double>>;
constexpr size_t kLossWindow = 100;
// Losses that a spike is measured against: of the last steps, when there are enough of them.
constexpr size_t kSpikeWindow = 64, kSpikeLeast = 16;

// What must not change between a run and its continuation. `steps` may.
Identity IdentityOf(const LoopOptions& options, const TrainRun& run,
                    const std::vector<TrainedTensor>& tensors) {
  Identity identity = run.identity;
  const auto add = [&](const char* name, const auto& value) {
    identity[absl::StrCat("loop.", name)] = absl::StrCat(value);
  };
  add("batch", options.batch);
  add("learning_rate", options.learning_rate);
  add("warmup_steps", options.warmup_steps);
  add("final_rate_ratio", options.final_rate_ratio);
  add("weight_decay", options.weight_decay);
  add("beta1", options.beta1);
  add("beta2", options.beta2);
  add("max_gradient_norm", options.max_gradient_norm);
  add("ema_decay", options.ema_decay);
  add("accumulate", options.accumulate);
  add("workers", options.workers);
  add("bf16", options.bf16);
  add("max_skipped_steps", options.max_skipped_steps);
  if (options.loss_spike > 0) add("loss_spike", options.loss_spike);
  if (options.rate_after_skip != 1) add("rate_after_skip", options.rate_after_skip);
  // Other devices draw other noise and round elsewhere.
  const at::Device device = tensors.front().tensor.device();
  if (!device.is_cpu())
    identity["device"] = c10::DeviceTypeName(device.type(), /*lower_case=*/true);
  Sha256 list;
  for (const TrainedTensor& trained : tensors) {
    list.Update(absl::StrCat(trained.name, " ", trained.rate_scale, " ", trained.decay, " ",
                             trained.rule == UpdateRule::kMuon ? "muon" : "adamw", "\n"));
    for (const bool turn : trained.turns) list.Update(turn ? "1" : "0");
    if (trained.follows.defined()) list.Update(absl::StrCat("follows ", trained.follow_decay));
  }
  identity["tensors"] =
      absl::StrCat(tensors.size(), ", their names and updates ", list.Finish().substr(0, 16));
  return identity;
}

// The first few facts in which two identities differ: "loop.learning_rate: 0.1 -> 0.2".
std::string Differences(const Identity& saved, const Identity& wanted) {
  std::vector<std::string> lines;
  const auto value = [](const Identity& identity, const std::string& name) {
    const auto found = identity.find(name);
    return found == identity.end() ? std::string("(none)") : found->second;
  };
  Identity names = saved;
  names.insert(wanted.begin(), wanted.end());
  for (const auto& [name, unused] : names) {
    const std::string was = value(saved, name), is = value(wanted, name);
    if (was != is) lines.push_back(absl::StrCat(name, ": ", was, " -> ", is));
  }
  constexpr size_t kShown = 4;
  if (lines.size() > kShown) {
    lines[kShown] = absl::StrCat("… (", lines.size() - kShown, " more)");
    lines.resize(kShown + 1);
  }
  return absl::StrJoin(lines, "; ");
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<int> OwnersOf(const std::vector<TrainedTensor>& tensors, int ranks) {
  std::vector<int64_t> bytes;
  for (const TrainedTensor& trained : tensors) {
    bytes.push_back(static_cast<int64_t>(trained.tensor.nbytes()) *
                    (trained.rule == UpdateRule::kMuon ? 1 : 2));
  }
  return BalancedOwners(bytes, ranks);
}

// Those of a rank, where every tensor has an owner.
std::vector<TrainedTensor> OwnedBy(const std::vector<TrainedTensor>& tensors,
                                   const TensorExchange& exchange) {
  std::vector<TrainedTensor> owned;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (exchange.owns(i)) owned.push_back(tensors[i]);
  }
  return owned;
}

// A gradient to add to: itself where nothing else holds its memory, for there is one as large as
// the weights.
at::Tensor ToAddTo(at::Tensor gradient) {
  const bool alone = gradient.is_contiguous() && gradient.use_count() == 1 &&
                     gradient.storage().use_count() == 1 &&
                     gradient.storage().nbytes() == gradient.nbytes();
  return alone ? gradient : gradient.clone(at::MemoryFormat::Contiguous);
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
  NamedValues terms;
  std::vector<at::Tensor> gradients;  // undefined where a parameter took no part
};

// Of a step's whole batch.
struct BatchResult {
  double loss = 0;
  NamedValues terms;
  std::vector<at::Tensor> gradients;
  bool finite = true;      // of the loss; without, there are no gradients
  bool cancelled = false;  // somebody was asked to stop
};

class Loop {
 public:
  Loop(const LoopOptions& options, Objective& objective, const TrainRun& run, ProcessGroup& group,
       std::vector<TrainedTensor> tensors)
      : options_(options),
        objective_(objective),
        run_(run),
        group_(group),
        tensors_(std::move(tensors)),
        exchange_(group, OwnersOf(tensors_, group.size())),
        optimizer_(options, OwnedBy(tensors_, exchange_)),
        files_(*run.env, run.state_dir, run.max_shard_bytes, &group, who()) {
    for (const TrainedTensor& trained : tensors_) parameters_.push_back(trained.tensor);
    record_.identity = IdentityOf(options, run, tensors_);
  }

  absl::StatusOr<TrainReport> Run() {
    WANLITE_RETURN_IF_ERROR(Continue());
    report_.first_step = record_.step;
    const Stopwatch time;
    const absl::Status status = Steps();
    progress().End();
    WANLITE_RETURN_IF_ERROR(status);
    optimizer_.TakeAverage();
    if (options_.ema_decay > 0) WANLITE_RETURN_IF_ERROR(exchange_.SpreadFromOwners(parameters_));
    report_.bytes_sent = exchange_.bytes_sent();
    report_.seconds = time.Seconds();
    report_.steps = record_.step;
    report_.skipped = record_.skipped;
    return report_;
  }

 private:
  ProgressSink& progress() const {
    return run_.progress != nullptr ? *run_.progress : SilentProgress();
  }
  bool alone() const { return group_.size() == 1; }
  std::string who() const { return absl::StrCat("training of ", run_.what); }

  // From the state that is there, if any.
  absl::Status Continue() {
    WANLITE_RETURN_IF_ERROR(Agree(group_, Load(), who()));
    if (alone()) return absl::OkStatus();
    const at::NoGradGuard no_grad;
    const at::Tensor own = at::tensor({record_.step, record_.skipped}, at::kLong);
    const at::Tensor first = own.clone();
    WANLITE_RETURN_IF_ERROR(group_.Broadcast(first, 0));
    const absl::Status same =
        at::equal(own, first)
            ? absl::OkStatus()
            : absl::FailedPreconditionError(
                  absl::StrCat(who(), ": rank ", group_.rank(), " finds step ", record_.step,
                               " in ", run_.state_dir, ", rank 0 step ", first[0].item<int64_t>(),
                               "; the processes of a group must see the same files"));
    WANLITE_RETURN_IF_ERROR(Agree(group_, same, who()));
    if (record_.step > 0) return absl::OkStatus();
    // All begin with the weights of rank 0.
    return TensorExchange(group_, std::vector<int>(parameters_.size(), 0))
        .SpreadFromOwners(parameters_);
  }

  // Each process reads all weights, and what else it owns.
  absl::Status Load() {
    WANLITE_ASSIGN_OR_RETURN(const std::optional<StateRecord> saved, files_.ReadRecord());
    if (!saved.has_value()) return absl::OkStatus();
    if (saved->identity != record_.identity) {
      return absl::FailedPreconditionError(
          absl::StrCat(run_.state_dir, " belongs to another training of ", run_.what, ": ",
                       Differences(saved->identity, record_.identity),
                       "; take back what was changed, or remove the folder to start again"));
    }
    if (saved->step > options_.steps) {
      return absl::FailedPreconditionError(absl::StrCat(
          run_.state_dir, " is at step ", saved->step, ", beyond the ", options_.steps, " wanted"));
    }
    std::vector<NamedTensor> wanted = optimizer_.State();
    std::set<std::string> others;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (exchange_.owns(i)) continue;
      wanted.push_back({absl::StrCat("weight.", tensors_[i].name), tensors_[i].tensor.detach()});
      for (std::string& name : Optimizer::StateNames(options_, tensors_[i])) {
        others.insert(std::move(name));
      }
    }
    WANLITE_RETURN_IF_ERROR(files_.ReadTensors(wanted, others));
    record_ = *saved;
    return absl::OkStatus();
  }

  absl::Status Steps() {
    // A continued run counts what is left, so that rate and time are those of this run.
    progress().Begin(record_.step == 0
                         ? absl::StrCat("train ", run_.what)
                         : absl::StrCat("train ", run_.what, " from step ", record_.step),
                     options_.steps - record_.step);
    // A step may take longer than whoever cancels waits, and the state is written after it.
    const DurableStep durable;
    while (record_.step < options_.steps) {
      WANLITE_ASSIGN_OR_RETURN(const bool cancelled, TakeStep());
      const bool due = options_.state_every > 0 && record_.step % options_.state_every == 0;
      if (due || cancelled || record_.step == options_.steps) {
        WANLITE_RETURN_IF_ERROR(files_.Write(record_, optimizer_.State()));
      }
      if (!cancelled) continue;
      return absl::CancelledError(absl::StrCat("training of ", run_.what, " was cancelled at step ",
                                               record_.step, "; the same command continues it"));
    }
    return absl::OkStatus();
  }

  // Whether the run is to end after it.
  absl::StatusOr<bool> TakeStep() {
    // The same for all processes: it hangs on what they agreed on.
    const double rate_factor = std::pow(options_.rate_after_skip, record_.skipped);
    StepReport step;
    step.step = record_.step;
    step.rate = LearningRate(options_, record_.step) * rate_factor;
    WANLITE_ASSIGN_OR_RETURN(BatchResult batch, RunBatch());
    at::NoGradGuard no_grad;
    step.loss = batch.loss;
    step.terms = batch.terms;
    std::string broken = BrokenBy(batch);
    if (broken.empty()) {
      WANLITE_ASSIGN_OR_RETURN(step.gradient_norm, GradientNorm(batch.gradients));
      if (!std::isfinite(step.gradient_norm)) broken = "the gradient is not finite";
    }
    if (!broken.empty()) {
      if (record_.skipped >= options_.max_skipped_steps) return Broken(broken);
      ++record_.skipped;
      step.skipped = true;
    } else {
      WANLITE_RETURN_IF_ERROR(Update(batch.gradients, step.gradient_norm, rate_factor));
      if (options_.loss_spike > 0) Remember(batch.loss);
    }
    ++record_.step;
    Tell(step);
    return batch.cancelled;
  }

  // gradients: of the tensors that this process owns; undefined for the others.
  absl::Status Update(const std::vector<at::Tensor>& gradients, double norm, double rate_factor) {
    const std::vector<at::Tensor> owned = Owned(gradients);
    if (!owned.empty()) {
      if (options_.max_gradient_norm > 0 && norm > options_.max_gradient_norm) {
        at::_foreach_mul_(owned, options_.max_gradient_norm / norm);
      }
      optimizer_.Update(record_.step, owned, rate_factor);
    }
    return exchange_.SpreadFromOwners(parameters_);
  }

  static std::vector<at::Tensor> Owned(const std::vector<at::Tensor>& gradients) {
    std::vector<at::Tensor> owned;
    for (const at::Tensor& gradient : gradients) {
      if (gradient.defined()) owned.push_back(gradient);
    }
    return owned;
  }

  // Of all tensors together, from the norms of each, so that it does not hang on who owns what.
  absl::StatusOr<double> GradientNorm(const std::vector<at::Tensor>& gradients) {
    const at::Tensor norms =
        at::zeros({static_cast<int64_t>(gradients.size())}, parameters_.front().scalar_type());
    const std::vector<at::Tensor> owned = Owned(gradients);
    if (!owned.empty()) {
      std::vector<int64_t> places;
      for (size_t i = 0; i < gradients.size(); ++i) {
        if (gradients[i].defined()) places.push_back(static_cast<int64_t>(i));
      }
      norms.index_copy_(0, at::tensor(places, at::kLong),
                        at::stack(at::_foreach_norm(owned)).cpu().to(norms.scalar_type()));
    }
    WANLITE_RETURN_IF_ERROR(group_.AllReduce(norms));
    return norms.norm().item<double>();
  }

  // Why the step must be left out, as far as the loss tells; empty: it need not.
  std::string BrokenBy(const BatchResult& batch) const {
    if (!batch.finite) return "the loss is not finite";
    if (options_.loss_spike == 0 || record_.losses.size() < kSpikeLeast) return "";
    const double median = Median(record_.losses);
    // The same for losses above zero; those of learned weights may be below.
    if (batch.loss - median <= (options_.loss_spike - 1) * std::abs(median)) return "";
    return absl::StrFormat("the loss, %g, is more than %g times the median of the last %d, %g",
                           batch.loss, options_.loss_spike, record_.losses.size(), median);
  }

  void Remember(double loss) {
    record_.losses.push_back(loss);
    if (record_.losses.size() > kSpikeWindow) record_.losses.erase(record_.losses.begin());
  }

  void Tell(const StepReport& step) {
    if (run_.observe) run_.observe(step);
    if (!step.skipped) {
      recent_.push_back(step);
      if (recent_.size() > kLossWindow) recent_.pop_front();
    }
    report_.loss = 0;
    report_.terms = recent_.empty() ? NamedValues() : recent_.front().terms;
    for (auto& [name, value] : report_.terms) value = 0;
    const double share = 1.0 / static_cast<double>(std::max<size_t>(1, recent_.size()));
    for (const StepReport& one : recent_) {
      report_.loss += one.loss * share;
      for (size_t i = 0; i < report_.terms.size(); ++i) {
        report_.terms[i].second += one.terms[i].second * share;
      }
    }
    std::string note = absl::StrFormat("loss %.5f", report_.loss);
    for (const auto& [name, value] : report_.terms) {
      if (report_.terms.size() > 1) absl::StrAppendFormat(&note, ", %s %.4g", name, value);
    }
    if (record_.skipped > 0) absl::StrAppendFormat(&note, ", %d skipped", record_.skipped);
    progress().Update(record_.step - report_.first_step, note);
  }

  absl::Status Broken(absl::string_view why) const {
    return absl::AbortedError(absl::StrFormat(
        "%s stopped at step %d: %s%s. The last state is kept in %s. Lower learning_rate (now %g) "
        "or "
        "max_gradient_norm (now %g).",
        who(), record_.step, std::string(why),
        options_.max_skipped_steps > 0
            ? absl::StrCat(", and ", record_.skipped, " steps were left out already")
            : "",
        run_.state_dir, options_.learning_rate, options_.max_gradient_norm));
  }

  absl::StatusOr<PartResult> RunPart(int part, int parts) {
    return CatchTorch([&]() -> absl::StatusOr<PartResult> {
      Objective::Terms terms;
      {
        const Bf16Products bf16(options_.bf16, parameters_.front().device().type());
        terms = objective_.Loss(record_.step, part, parts);
      }
      TORCH_CHECK(terms.total.defined() && terms.total.numel() == 1, "the loss of ", run_.what,
                  " is not a scalar");
      PartResult result;
      result.loss = terms.total.item<double>();
      result.terms = std::move(terms.named);
      if (!std::isfinite(result.loss)) return result;
      // Not backward(): threads would add to the same .grad at once, in any order.
      result.gradients = torch::autograd::grad({terms.total.reshape({})}, parameters_, {},
                                               /*retain_graph=*/std::nullopt,
                                               /*create_graph=*/false, /*allow_unused=*/true);
      return result;
    });
  }

  // This process's pieces, one after the other, summed in the order of parts.
  absl::Status RunPieces(int parts, BatchResult& batch) {
    const int workers = options_.workers;
    const OneThreadForWorkers one_thread(workers > 1);
    const int pieces = options_.accumulate / group_.size();
    batch.gradients.resize(parameters_.size());
    for (int piece = 0; piece < pieces; ++piece) {
      const int first = (group_.rank() * pieces + piece) * workers;
      std::vector<absl::StatusOr<PartResult>> results(workers, absl::UnknownError("not run"));
      WANLITE_RETURN_IF_ERROR(RunOnThreads(workers, [&](int worker) {
        if (workers > 1) at::set_num_threads(1);  // holds for this thread alone
        results[worker] = RunPart(first + worker, parts);
        return results[worker].status();
      }));
      at::NoGradGuard no_grad;
      for (absl::StatusOr<PartResult>& result : results) {
        batch.loss += result->loss / parts;
        const bool begin = batch.terms.empty();
        if (begin) batch.terms = result->terms;
        if (batch.terms.size() != result->terms.size()) {
          return absl::InternalError(absl::StrCat("the loss of ", run_.what, " has ",
                                                  batch.terms.size(), " terms in one part and ",
                                                  result->terms.size(), " in another"));
        }
        for (size_t i = 0; i < batch.terms.size(); ++i) {
          const double value = result->terms[i].second / parts;
          batch.terms[i].second = begin ? value : batch.terms[i].second + value;
        }
        batch.finite = batch.finite && std::isfinite(result->loss);
        if (!batch.finite) continue;
        for (size_t i = 0; i < parameters_.size(); ++i) {
          at::Tensor gradient = std::move(result->gradients[i]);
          if (!gradient.defined()) continue;
          at::Tensor& sum = batch.gradients[i];
          sum = sum.defined() ? sum.add_(gradient) : ToAddTo(std::move(gradient));
        }
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<BatchResult> RunBatch() {
    const int parts = options_.accumulate * options_.workers;
    BatchResult batch;
    const absl::Status ran = RunPieces(parts, batch);
    batch.cancelled = run_.cancel != nullptr && run_.cancel->cancelled();
    WANLITE_RETURN_IF_ERROR(Agree(group_, ran, who()));
    at::NoGradGuard no_grad;
    WANLITE_RETURN_IF_ERROR(SumNumbers(batch));
    if (!batch.finite) return batch;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      at::Tensor& gradient = batch.gradients[i];
      if (!gradient.defined()) gradient = at::zeros_like(parameters_[i]);
    }
    WANLITE_RETURN_IF_ERROR(exchange_.ReduceToOwners(batch.gradients));
    const std::vector<at::Tensor> owned = Owned(batch.gradients);
    if (parts > 1 && !owned.empty()) at::_foreach_mul_(owned, 1.0 / parts);
    return batch;
  }

  // Loss, terms and flags over the group.
  absl::Status SumNumbers(BatchResult& batch) {
    if (alone()) return absl::OkStatus();
    std::vector<double> numbers{batch.loss, batch.finite ? 0.0 : 1.0, batch.cancelled ? 1.0 : 0.0};
    for (const auto& [name, value] : batch.terms) numbers.push_back(value);
    at::Tensor sums = at::tensor(numbers, at::kDouble);
    WANLITE_RETURN_IF_ERROR(group_.AllReduce(sums));
    const double* sum = sums.const_data_ptr<double>();
    batch.loss = sum[0];
    batch.finite = sum[1] == 0;
    batch.cancelled = sum[2] != 0;
    for (size_t i = 0; i < batch.terms.size(); ++i) batch.terms[i].second = sum[3 + i];
    return absl::OkStatus();
  }

  const LoopOptions& options_;
  Objective& objective_;
  const TrainRun& run_;
  ProcessGroup& group_;
  const std::vector<TrainedTensor> tensors_;
  TensorExchange exchange_;
  Optimizer optimizer_;  // of the tensors that this process owns
  StateFiles files_;
  std::vector<at::Tensor> parameters_;
  StateRecord record_;
  TrainReport report_;
  std::deque<StepReport> recent_;
};

absl::Status CheckTensors(const std::vector<TrainedTensor>& tensors, const std::string& what) {
  if (tensors.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("training of ", what, ": no tensor is trained"));
  }
  std::set<std::string> names;
  for (const TrainedTensor& trained : tensors) {
    if (!names.insert(trained.name).second || !trained.tensor.defined() ||
        !trained.tensor.is_leaf() || !at::isFloatingType(trained.tensor.scalar_type())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "parameter ", trained.name, " of ", what,
          " is named twice, is not floating point, or is the result of a computation"));
    }
    if (!(trained.rate_scale >= 0 && std::isfinite(trained.rate_scale))) {
      return absl::InvalidArgumentError(absl::StrCat("parameter ", trained.name, " of ", what,
                                                     " has the rate_scale ", trained.rate_scale));
    }
    if (trained.follows.defined() && (trained.follows.sizes() != trained.tensor.sizes() ||
                                      !(trained.follow_decay >= 0 && trained.follow_decay < 1))) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameter ", trained.name, " of ", what,
                       " follows a tensor of another shape, or by a decay outside of [0, 1)"));
    }
    if (trained.rule == UpdateRule::kMuon && trained.tensor.dim() != 2) {
      return absl::InvalidArgumentError(absl::StrCat("parameter ", trained.name, " of ", what,
                                                     " is no matrix, so Muon cannot update it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLoopOptions(const LoopOptions& options, absl::string_view name) {
  const auto bad = [&](absl::string_view field, double found, absl::string_view wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ".", field, " is ", found, ", but must be ", wanted));
  };
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  if (options.steps < 1) return bad("steps", number(options.steps), "at least 1");
  if (options.batch < 1) return bad("batch", number(options.batch), "at least 1");
  if (!(options.learning_rate > 0 && options.learning_rate < 1)) {
    return bad("learning_rate", options.learning_rate, "between 0 and 1");
  }
  if (options.warmup_steps < 0) {
    return bad("warmup_steps", number(options.warmup_steps), "at least 0");
  }
  if (!(options.final_rate_ratio >= 0 && options.final_rate_ratio <= 1)) {
    return bad("final_rate_ratio", options.final_rate_ratio, "in [0, 1]");
  }
  if (!(options.weight_decay >= 0)) return bad("weight_decay", options.weight_decay, "at least 0");
  if (!(options.beta1 >= 0 && options.beta1 < 1)) return bad("beta1", options.beta1, "in [0, 1)");
  if (!(options.beta2 >= 0 && options.beta2 < 1)) return bad("beta2", options.beta2, "in [0, 1)");
  if (!(options.max_gradient_norm >= 0)) {
    return bad("max_gradient_norm", options.max_gradient_norm, "at least 0");
  }
  if (!(options.ema_decay >= 0 && options.ema_decay < 1)) {
    return bad("ema_decay", options.ema_decay, "in [0, 1)");
  }
  if (options.accumulate < 1 || options.accumulate > options.batch) {
    return bad("accumulate", options.accumulate, absl::StrCat("in 1..batch (", options.batch, ")"));
  }
  if (options.workers < 1 || options.workers > options.batch / options.accumulate) {
    return bad("workers", options.workers,
               absl::StrCat("in 1..batch / accumulate (", options.batch / options.accumulate, ")"));
  }
  if (options.state_every < 0) return bad("state_every", number(options.state_every), "at least 0");
  if (options.max_skipped_steps < 0) {
    return bad("max_skipped_steps", number(options.max_skipped_steps), "at least 0");
  }
  if (!(options.loss_spike == 0 || options.loss_spike > 1)) {
    return bad("loss_spike", options.loss_spike, "above 1, or 0");
  }
  if (!(options.rate_after_skip > 0 && options.rate_after_skip <= 1)) {
    return bad("rate_after_skip", options.rate_after_skip, "in (0, 1]");
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainReport> Train(const LoopOptions& options, Objective& objective,
                                  const TrainRun& run) {
  WANLITE_RETURN_IF_ERROR(CheckLoopOptions(options, run.what));
  const std::unique_ptr<ProcessGroup> alone = AloneGroup();
  ProcessGroup& group = run.group != nullptr ? *run.group : *alone;
  if (options.accumulate % group.size() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(run.what, ".accumulate is ", options.accumulate, ", but ", group.size(),
                     " processes share the pieces of a batch: it must be a multiple of that"));
  }
  const std::vector<TrainedTensor> tensors = objective.Parameters();
  WANLITE_RETURN_IF_ERROR(CheckTensors(tensors, run.what));
  return CatchTorch([&]() -> absl::StatusOr<TrainReport> {
    for (const TrainedTensor& trained : tensors) trained.tensor.set_requires_grad(true);
    return Loop(options, objective, run, group, tensors).Run();
  });
}

}  // namespace wanlite::train
