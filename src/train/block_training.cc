// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/block_training.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/block_steps.h"
#include "src/model/rest_block.h"
#include "src/train/component_training.h"
#include "src/train/held_out.h"
#include "src/train/held_zeros.h"
#include "src/train/sample_order.h"
#include "src/train/teacher_stream.h"
#include "wanlite/model_library.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

enum BlockTrainingStream : uint64_t { kBlockOrder = 1 };
constexpr char kBlockState[] = ".state";
// Of the mean of the diagonal, added to it where projections are fitted.
constexpr double kProjectionDamping = 1e-4;

// From the student's width to the teacher's.
struct Projection {
  at::Tensor weight;  // fp32 [teacher's, student's]
  at::Tensor bias;    // fp32 [teacher's]
};
using Projections = std::map<std::string, Projection>;  // by value

Values TakeValues(absl::StatusOr<Values> values, int64_t sample) {
  TORCH_CHECK(values.ok(), "sample ", sample, ": ", std::string(values.status().message()));
  return *std::move(values);
}

// What one block reads and what it should give, sample by sample. Thread-safe.
class BlockData {
 public:
  struct Block {
    const ActivationStream* inputs;   // stands before it, or before the teacher's
    const ActivationStream* targets;  // stands behind the teacher's
    const BlockProgram* program;
    BlockSteps steps;
    at::Device device;  // where the block's tensors are
    double outlier_sigma;
  };
  explicit BlockData(Block block) : block_(std::move(block)) {}

  Projections& projections() { return projections_; }
  const std::set<std::string>& names() const { return block_.steps.changes; }

  struct Distance {
    at::Tensor error;  // sum of |found - wanted|^2, with its graph
    at::Tensor norm;   // of |wanted|^2, fp64
  };
  Distance Compare(int64_t sample) const {
    Values values = Read(*block_.inputs, sample);
    const Values wanted = Read(*block_.targets, sample);
    block_.steps.Run(*block_.program, values);
    Distance distance;
    for (const std::string& name : names()) {
      at::Tensor found = ValueOf(values, name.c_str()).to(at::kFloat);
      const at::Tensor target = ValueOf(wanted, name.c_str()).to(at::kFloat);
      if (const auto one = projections_.find(name); one != projections_.end()) {
        found = at::linear(found, one->second.weight, one->second.bias);
      }
      TORCH_CHECK_VALUE(found.sizes() == target.sizes(), "'", name, "' is ", found.sizes(),
                        " here, the teacher's is ", target.sizes(),
                        ": of another width a block is taught through a projection (distill_blocks "
                        "has one)");
      at::Tensor difference = found - target, counted = target;
      if (block_.outlier_sigma > 0) {
        const at::Tensor kept =
            (target - target.mean()).abs() <= block_.outlier_sigma * target.std(false);
        difference = difference * kept;
        counted = counted * kept;
      }
      const at::Tensor error = difference.square().sum();
      const at::Tensor norm = counted.square().sum(at::kDouble);
      distance.error = distance.error.defined() ? distance.error + error : error;
      distance.norm = distance.norm.defined() ? distance.norm + norm : norm;
    }
    return distance;
  }

  // Floating values in fp32, where the block is.
  Values Read(const ActivationStream& from, int64_t sample) const {
    Values values;
    {
      const std::lock_guard lock(mutex_);
      values = TakeValues(from.Input(sample), sample);
    }
    for (auto& [name, value] : values) {
      if (!value.defined()) continue;
      value =
          value.is_floating_point() ? value.to(block_.device, at::kFloat) : value.to(block_.device);
    }
    return values;
  }

 private:
  const Block block_;
  Projections projections_;
  mutable std::mutex mutex_;
};

// The mean over samples of |found - wanted|^2 / |wanted|^2.
class BlockObjective : public Objective {
 public:
  BlockObjective(const BlockData& data, std::vector<int64_t> samples,
                 std::vector<TrainedTensor> parameters, int64_t batch, uint64_t seed)
      : data_(data),
        samples_(std::move(samples)),
        parameters_(std::move(parameters)),
        batch_(batch),
        order_(static_cast<int64_t>(samples_.size()), seed) {}

  std::vector<TrainedTensor> Parameters() override { return parameters_; }
  Terms Loss(int64_t step, int part, int parts) override {
    at::Tensor sum;
    int64_t count = 0;
    for (int64_t i = part; i < batch_; i += parts, ++count) {
      const int64_t place = order_.At(step * batch_ + i);
      const BlockData::Distance distance = data_.Compare(samples_[static_cast<size_t>(place)]);
      const at::Tensor relative = distance.error / distance.norm.clamp_min(1e-12).to(at::kFloat);
      sum = sum.defined() ? sum + relative : relative;
    }
    const at::Tensor loss = sum / static_cast<double>(count);
    return {loss, {{"block", loss.item<double>()}}};
  }

 private:
  const BlockData& data_;
  const std::vector<int64_t> samples_;
  const std::vector<TrainedTensor> parameters_;
  const int64_t batch_;
  SampleOrder order_;
};

// While it lives the tensors of a leased block are on a device.
class BlockOnDevice {
 public:
  BlockOnDevice(const ModelView& model, const std::string& block, at::Device device) {
    const at::NoGradGuard no_grad;
    for (const NamedTensor& named : model.BlockTensors(block)) {
      if (named.tensor.device() == device) continue;
      moved_.push_back(named.tensor);
      named.tensor.set_data(named.tensor.detach().to(device));
    }
  }
  ~BlockOnDevice() { Return(); }
  void Return() {
    const at::NoGradGuard no_grad;
    for (const at::Tensor& tensor : std::exchange(moved_, {})) {
      tensor.set_data(tensor.detach().to(at::kCPU));
    }
  }
  BlockOnDevice(const BlockOnDevice&) = delete;
  BlockOnDevice& operator=(const BlockOnDevice&) = delete;

 private:
  std::vector<at::Tensor> moved_;
};

// |found - wanted| / |wanted| over some of these samples, spread over them.
double BlockError(const BlockData& data, const std::vector<int64_t>& samples) {
  const at::NoGradGuard no_grad;
  const size_t count = std::min<size_t>(samples.size(), kComparedSamples);
  double error = 0, norm = 0;
  for (size_t i = 0; i < count; ++i) {
    const BlockData::Distance distance = data.Compare(samples[i * samples.size() / count]);
    error += distance.error.item<double>();
    norm += distance.norm.item<double>();
  }
  return norm > 0 ? std::sqrt(error / norm) : 0;
}

uint64_t BlockNumber(const ModelView& model, const std::string& path) {
  const std::vector<BlockInfo>& blocks = model.blocks();
  const auto found = std::find_if(blocks.begin(), blocks.end(),
                                  [&](const BlockInfo& block) { return block.path == path; });
  return static_cast<uint64_t>(found - blocks.begin());
}

// A block that is published needs its state no more.
absl::Status RemoveOtherStates(Env& env, const std::string& scratch, const std::string& state) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(scratch));
  for (const std::string& name : names) {
    if (name == state || !absl::EndsWith(name, kBlockState)) continue;
    WANLITE_RETURN_IF_ERROR(env.RemoveAll(JoinPath(scratch, name)));
  }
  return absl::OkStatus();
}

// Least squares from what the student's block starts from to what the teacher's does, over the
// samples: W = argmin |W x + b - y|^2 + damping |W|^2. For values of widths that differ alone.
absl::Status FitProjections(BlockData& data, const ActivationStream& student,
                            const ActivationStream& teacher, const std::vector<int64_t>& samples,
                            const CancellationToken* cancel) {
  const at::NoGradGuard no_grad;
  struct Sums {
    at::Tensor inputs, products;  // fp64 [in + 1, in + 1], [in + 1, out]
  };
  std::map<std::string, Sums> sums;
  for (const int64_t sample : samples) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
    const Values own = data.Read(student, sample), theirs = data.Read(teacher, sample);
    for (const std::string& name : data.names()) {
      const auto a = own.find(name), b = theirs.find(name);
      if (a == own.end() || b == theirs.end() || !a->second.defined() || !b->second.defined()) {
        continue;
      }
      const at::Tensor &x = a->second, &y = b->second;
      if (x.dim() == 0 || x.dim() != y.dim() || x.size(-1) == y.size(-1)) continue;
      at::Tensor rows = x.reshape({-1, x.size(-1)}).to(at::kDouble);
      rows = at::cat({rows, at::ones({rows.size(0), 1}, rows.options())}, 1);
      const at::Tensor wanted = y.reshape({-1, y.size(-1)}).to(at::kDouble);
      TORCH_CHECK_VALUE(rows.size(0) == wanted.size(0), "'", name, "' is ", x.sizes(),
                        " here, the teacher's is ", y.sizes(), ": more than widths differ");
      Sums& sum = sums[name];
      if (!sum.inputs.defined()) {
        sum.inputs = at::zeros({rows.size(1), rows.size(1)}, rows.options());
        sum.products = at::zeros({rows.size(1), wanted.size(1)}, rows.options());
      }
      sum.inputs.addmm_(rows.t(), rows);
      sum.products.addmm_(rows.t(), wanted);
    }
  }
  for (auto& [name, sum] : sums) {
    const int64_t in = sum.inputs.size(0) - 1;
    at::Tensor diagonal = sum.inputs.diagonal();
    diagonal.narrow(0, 0, in).add_(kProjectionDamping * diagonal.narrow(0, 0, in).mean() + 1e-12);
    const at::Tensor solved = at::linalg_solve(sum.inputs, sum.products).to(at::kFloat);
    data.projections()[name] = {solved.narrow(0, 0, in).t().contiguous(),
                                solved.select(0, in).contiguous()};
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PassNotes> PlanBlockTraining(const ModelView& model, const BlockTraining& training) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted,
                           TrainedComponents(model, training.components));
  WANLITE_RETURN_IF_ERROR(CheckTrainPatterns(model, wanted, training.train));
  PassNotes plan;
  int64_t blocks = 0;
  for (const BlockInfo& block : model.blocks()) {
    if (!TrainsBlock(model, block.path, training)) continue;
    ++blocks;
    int64_t values = 0;
    for (const NamedTensor& named : model.BlockTensors(block.path)) values += named.tensor.numel();
    // The block of the teacher, in fp32, is read before the student's is trained.
    plan.block_scratch_bytes =
        std::max(plan.block_scratch_bytes, TrainingBytesPerValue(training.loop, true) * values);
  }
  if (blocks == 0) {
    return OptionError("train",
                       "no block of the components has a tensor that fits; blocks alone are "
                       "trained, not what is around them");
  }
  plan.notes.push_back(
      absl::StrCat("each of ", blocks, " blocks is trained for ", training.loop.steps, " steps of ",
                   training.loop.batch,
                   " samples; what these keep for their gradients comes on top, as does a block of "
                   "the teacher that is larger",
                   training.projection ? ", and projections" : ""));
  return plan;
}

bool TrainsBlock(const ModelView& model, absl::string_view block, const BlockTraining& training) {
  const Component& component = model.ComponentOf(block);
  if (block == RestBlock(component.name)) return false;
  const absl::StatusOr<std::vector<std::string>> wanted =
      TrainedComponents(model, training.components);
  if (!wanted.ok()) return true;  // running it tells
  if (std::find(wanted->begin(), wanted->end(), component.name) == wanted->end()) return false;
  return training.train.empty() ||
         !PatternsFor(model, component.name, training.train, block).empty();
}

absl::StatusOr<std::vector<std::string>> BlockTrainedComponents(const ModelView& model,
                                                                const BlockTraining& training) {
  WANLITE_ASSIGN_OR_RETURN(std::vector<std::string> names,
                           TrainedComponents(model, training.components));
  std::erase_if(names, [&](const std::string& name) {
    return std::none_of(model.blocks().begin(), model.blocks().end(), [&](const BlockInfo& block) {
      return model.ComponentOf(block.path).name == name && TrainsBlock(model, block.path, training);
    });
  });
  return names;
}

absl::Status TrainBlock(ModelView& model, const BlockLease& block, const BlockTraining& training,
                        PassContext& context) {
  const std::string& path = block.block();
  const std::string component = model.ComponentOf(path).name;
  if (context.activations == nullptr && !training.teacher_inputs) {
    return absl::FailedPreconditionError("no sample reaches the block");
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, training.pass));
  const std::string state = absl::StrCat(path, kBlockState);
  WANLITE_RETURN_IF_ERROR(RemoveOtherStates(*context.env, scratch, state));

  WANLITE_ASSIGN_OR_RETURN(
      const std::unique_ptr<TeacherStream> teacher,
      TeacherStream::Open(context, training.pass, training.teacher, component));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<BlockPair> pairs,
                           PairBlocks(model, teacher->model(), component));
  WANLITE_ASSIGN_OR_RETURN(const BlockPair pair, PairOf(pairs, path));
  WANLITE_RETURN_IF_ERROR(teacher->MoveBehind(pair.last, context.cancel));
  // Where the teacher's blocks of the same part start from.
  std::unique_ptr<TeacherStream> before;
  if (training.teacher_inputs || training.projection) {
    WANLITE_ASSIGN_OR_RETURN(before, TeacherStream::Open(context, training.pass, training.teacher,
                                                         component, "teacher-before"));
    WANLITE_RETURN_IF_ERROR(before->MoveTo(pair.first, context.cancel));
  }

  WANLITE_ASSIGN_OR_RETURN(MasterWeights masters, MasterWeights::OfBlock(model, path));
  BlockOnDevice on_device(model, path, context.device);
  std::optional<HeldZeros> zeros;
  if (training.keep_zeros) {
    WANLITE_ASSIGN_OR_RETURN(HeldZeros held, HeldZeros::OfBlock(model, path));
    zeros.emplace(std::move(held));
  }
  TensorSelector selector;
  selector.block = path;
  selector.muon = training.muon;
  selector.include = PatternsFor(model, component, training.train, path);
  WANLITE_ASSIGN_OR_RETURN(std::vector<TrainedTensor> tensors, TrainableTensors(model, selector));
  const TrainedAlone alone(model, component, tensors);

  const Component& own = *model.FindComponent(component);
  BlockData::Block parts{nullptr, &teacher->activations(), ProgramOf(own),
                         {},      context.device,          training.outlier_sigma};
  parts.inputs = training.teacher_inputs ? &before->activations() : context.activations;
  for (const BlockSteps& steps : BlockStepsOf(own)) {
    if (steps.block == path) parts.steps = steps;
  }
  BlockData data(std::move(parts));
  const SampleSplit split = SplitSamples(*context.samples, component);
  if (training.projection) {
    WANLITE_RETURN_IF_ERROR(FitProjections(data, *context.activations, before->activations(),
                                           split.trained, context.cancel));
    for (auto& [name, projection] : data.projections()) {
      if (training.projection_rate == 0) break;
      for (auto& [part, tensor] :
           {std::pair{"weight", &projection.weight}, std::pair{"bias", &projection.bias}}) {
        tensor->set_requires_grad(true);
        tensors.push_back({absl::StrCat("projection.", name, ".", part), *tensor,
                           training.projection_rate, /*decay=*/false});
      }
    }
  }
  const std::vector<int64_t>& judged = split.held.empty() ? split.trained : split.held;
  const double error_before = BlockError(data, judged);

  const uint64_t seed = MixSeed(context.seed, {kBlockOrder, BlockNumber(model, path)});
  BlockObjective objective(data, split.trained, std::move(tensors), training.loop.batch, seed);
  TrainRun run;
  run.env = context.env;
  run.what = path;
  run.state_dir = JoinPath(scratch, state);
  WANLITE_ASSIGN_OR_RETURN(run.identity["teacher"], context.models->Fingerprint(training.teacher));
  run.identity["data"] = context.samples->fingerprint();
  run.identity["seed"] = absl::StrCat(seed);
  run.identity["block"] =
      absl::StrCat(training.teacher_inputs ? "teacher's" : "own", " inputs, outliers from ",
                   training.outlier_sigma, ", projection ",
                   training.projection ? absl::StrCat(training.projection_rate) : "none");
  run.progress = context.progress;
  run.cancel = context.cancel;
  WANLITE_ASSIGN_OR_RETURN(const TrainReport report, Train(training.loop, objective, run));
  const double error_after = BlockError(data, judged);
  context.metrics["trained_blocks"] += 1;
  context.metrics["steps"] += static_cast<double>(report.steps);
  context.metrics["skipped_steps"] += static_cast<double>(report.skipped);
  context.metrics["sum_error_before"] += error_before;
  context.metrics["sum_error_after"] += error_after;
  context.metrics[path + ".error_before"] = error_before;
  context.metrics[path + ".error_after"] = error_after;
  if (zeros.has_value()) WANLITE_RETURN_IF_ERROR(zeros->Restore());
  on_device.Return();
  return masters.Restore();
}

void FinishBlockMetrics(std::map<std::string, double>& metrics) {
  for (const char* name : {"error_before", "error_after"}) {
    const auto sum = metrics.find(absl::StrCat("sum_", name));
    if (sum == metrics.end()) continue;
    metrics[absl::StrCat("mean_", name)] = sum->second / metrics["trained_blocks"];
    metrics.erase(sum);
  }
}

}  // namespace wanlite::train
