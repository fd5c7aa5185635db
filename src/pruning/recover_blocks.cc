// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The method BLOCKS of the pass recover: each block is trained to give what its teacher's blocks
// give, on what the recovered blocks before it make of the recorded inputs.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/block_steps.h"
#include "src/model/rest_block.h"
#include "src/pruning/recover.h"
#include "src/train/component_training.h"
#include "src/train/held_out.h"
#include "src/train/loop_options.h"
#include "src/train/sample_order.h"
#include "src/train/teacher_stream.h"
#include "wanlite/model_library.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

enum RecoverBlocksStream : uint64_t { kRecoverBlocksOrder = 1 };
constexpr char kBlockState[] = ".state";

// What one block reads and what it should give, sample by sample. Thread-safe.
class BlockData {
 public:
  // names: of the values that are compared. The teacher stands behind its block.
  BlockData(const ActivationStream& student, const BlockLease& lease,
            const ActivationStream& teacher, std::set<std::string> names)
      : student_(student), lease_(lease), teacher_(teacher), names_(std::move(names)) {}

  struct Distance {
    at::Tensor error;  // sum of |found - wanted|^2, with its graph
    double norm = 0;   // of |wanted|^2
  };
  Distance Compare(int64_t sample) const {
    Values inputs, wanted;
    {
      const std::lock_guard lock(mutex_);
      inputs = Take(student_.Input(sample), sample);
      wanted = Take(teacher_.Input(sample), sample);
    }
    for (auto& [name, value] : inputs) {
      if (value.defined() && value.is_floating_point()) value = value.to(at::kFloat);
    }
    const Values found = Take(student_.Run(lease_, std::move(inputs)), sample);
    Distance distance;
    for (const std::string& name : names_) {
      const at::Tensor& a = ValueOf(found, name.c_str());
      const at::Tensor& b = ValueOf(wanted, name.c_str());
      TORCH_CHECK_VALUE(a.sizes() == b.sizes(), "'", name, "' is ", a.sizes(),
                        " here, the teacher's is ", b.sizes(),
                        ": BLOCKS cannot recover another width");
      const at::Tensor target = b.to(at::kFloat);
      const at::Tensor error = (a.to(at::kFloat) - target).square().sum();
      distance.error = distance.error.defined() ? distance.error + error : error;
      distance.norm += target.square().sum(at::kDouble).item<double>();
    }
    return distance;
  }

 private:
  static Values Take(absl::StatusOr<Values> values, int64_t sample) {
    TORCH_CHECK(values.ok(), "sample ", sample, ": ", std::string(values.status().message()));
    return *std::move(values);
  }

  const ActivationStream& student_;
  const BlockLease& lease_;
  const ActivationStream& teacher_;
  const std::set<std::string> names_;
  mutable std::mutex mutex_;
};

// The mean over samples of |found - wanted|^2 / |wanted|^2.
class BlockObjective : public train::Objective {
 public:
  BlockObjective(const BlockData& data, std::vector<int64_t> samples,
                 std::vector<train::TrainedTensor> parameters, int64_t batch, uint64_t seed)
      : data_(data),
        samples_(std::move(samples)),
        parameters_(std::move(parameters)),
        batch_(batch),
        order_(static_cast<int64_t>(samples_.size()), seed) {}

  std::vector<train::TrainedTensor> Parameters() override { return parameters_; }
  Terms Loss(int64_t step, int part, int parts) override {
    at::Tensor sum;
    int64_t count = 0;
    for (int64_t i = part; i < batch_; i += parts, ++count) {
      const int64_t place = order_.At(step * batch_ + i);
      const BlockData::Distance distance = data_.Compare(samples_[static_cast<size_t>(place)]);
      const at::Tensor relative = distance.error / std::max(distance.norm, 1e-12);
      sum = sum.defined() ? sum + relative : relative;
    }
    const at::Tensor loss = sum / static_cast<double>(count);
    return {loss, {{"block", loss.item<double>()}}};
  }

 private:
  const BlockData& data_;
  const std::vector<int64_t> samples_;
  const std::vector<train::TrainedTensor> parameters_;
  const int64_t batch_;
  train::SampleOrder order_;
};

class RecoverBlocks : public BlockPass {
 public:
  explicit RecoverBlocks(RecoverOptions options) : options_(std::move(options)) {}

  absl::string_view name() const override { return "recover"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kRecovers; }
  std::optional<StreamOptions> activations() const override { return StreamOptions(); }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> wanted,
                             RecoveredComponents(model, options_));
    WANLITE_RETURN_IF_ERROR(train::CheckTrainPatterns(model, wanted, TrainPatterns()));
    PassNotes plan;
    int64_t blocks = 0;
    for (const BlockInfo& block : model.blocks()) {
      if (!Touches(model, block.path)) continue;
      ++blocks;
      int64_t values = 0;
      for (const NamedTensor& named : model.BlockTensors(block.path)) {
        values += named.tensor.numel();
      }
      // The block of the teacher, in fp32, is read before the student's is trained.
      plan.block_scratch_bytes =
          std::max(plan.block_scratch_bytes, train::TrainingBytesPerValue(loop(), true) * values);
    }
    if (blocks == 0) {
      return OptionError("train",
                         "no block of the components has a tensor that fits; BLOCKS "
                         "trains blocks alone, not what is around them");
    }
    plan.notes.push_back(absl::StrCat(
        "each of ", blocks, " blocks is trained for ", loop().steps, " steps of ", loop().batch,
        " samples; what these keep for their gradients comes on top, as does a block of the "
        "teacher that is larger"));
    return plan;
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const Component& component = model.ComponentOf(block);
    if (block == RestBlock(component.name)) return false;
    const absl::StatusOr<std::vector<std::string>> wanted = RecoveredComponents(model, options_);
    if (!wanted.ok()) return true;  // running it tells
    if (std::find(wanted->begin(), wanted->end(), component.name) == wanted->end()) return false;
    return options_.train().empty() ||
           !train::PatternsFor(model, component.name, TrainPatterns(), block).empty();
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    const std::string& path = block.block();
    const std::string component = model.ComponentOf(path).name;
    if (context.activations == nullptr) {
      return absl::FailedPreconditionError("no sample reaches the block");
    }
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, name()));
    const std::string state = absl::StrCat(path, kBlockState);
    WANLITE_RETURN_IF_ERROR(RemoveOtherStates(*context.env, scratch, state));

    const std::string ref = TeacherRef(options_);
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<train::TeacherStream> teacher,
                             train::TeacherStream::Open(context, name(), ref, component));
    WANLITE_ASSIGN_OR_RETURN(const std::vector<train::BlockPair> pairs,
                             train::PairBlocks(model, teacher->model(), component));
    WANLITE_ASSIGN_OR_RETURN(const train::BlockPair pair, train::PairOf(pairs, path));
    WANLITE_RETURN_IF_ERROR(teacher->MoveBehind(pair.last, context.cancel));

    WANLITE_ASSIGN_OR_RETURN(train::MasterWeights masters,
                             train::MasterWeights::OfBlock(model, path));
    train::TensorSelector selector;
    selector.block = path;
    selector.muon = options_.loop().muon();
    selector.include = train::PatternsFor(model, component, TrainPatterns(), path);
    WANLITE_ASSIGN_OR_RETURN(std::vector<train::TrainedTensor> tensors,
                             train::TrainableTensors(model, selector));
    const train::TrainedAlone alone(model, component, tensors);

    std::set<std::string> names;
    for (const BlockSteps& steps : BlockStepsOf(*model.FindComponent(component))) {
      if (steps.block == path) names = steps.changes;
    }
    const BlockData data(*context.activations, block, teacher->activations(), names);
    const train::SampleSplit split = train::SplitSamples(*context.samples, component);
    const std::vector<int64_t>& judged = split.held.empty() ? split.trained : split.held;
    const double before = ErrorOf(data, judged);

    const uint64_t seed = MixSeed(context.seed, {kRecoverBlocksOrder, NumberOf(model, path)});
    BlockObjective objective(data, split.trained, std::move(tensors), loop().batch, seed);
    train::TrainRun run;
    run.env = context.env;
    run.what = path;
    run.state_dir = JoinPath(scratch, state);
    WANLITE_ASSIGN_OR_RETURN(run.identity["teacher"], context.models->Fingerprint(ref));
    run.identity["data"] = context.samples->fingerprint();
    run.identity["seed"] = absl::StrCat(seed);
    run.progress = context.progress;
    run.cancel = context.cancel;
    WANLITE_ASSIGN_OR_RETURN(const train::TrainReport report, train::Train(loop(), objective, run));
    const double after = ErrorOf(data, judged);
    context.metrics["trained_blocks"] += 1;
    context.metrics["steps"] += static_cast<double>(report.steps);
    context.metrics["skipped_steps"] += static_cast<double>(report.skipped);
    context.metrics["sum_error_before"] += before;
    context.metrics["sum_error_after"] += after;
    context.metrics[path + ".error_before"] = before;
    context.metrics[path + ".error_after"] = after;
    return masters.Restore();
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    for (const char* name : {"error_before", "error_after"}) {
      const auto sum = metrics.find(absl::StrCat("sum_", name));
      if (sum == metrics.end()) continue;
      metrics[absl::StrCat("mean_", name)] = sum->second / metrics["trained_blocks"];
      metrics.erase(sum);
    }
  }

  std::vector<std::string> Explain(const Message*) const override {
    return {absl::StrCat("each block is trained for ", loop().steps,
                         " steps to what the same part of ", TeacherText(options_), " gives")};
  }

 private:
  train::LoopOptions loop() const { return train::LoopOf(options_.loop()); }
  std::vector<std::string> TrainPatterns() const {
    return {options_.train().begin(), options_.train().end()};
  }

  // |found - wanted| / |wanted| over some of these samples, spread over them.
  static double ErrorOf(const BlockData& data, const std::vector<int64_t>& samples) {
    const at::NoGradGuard no_grad;
    const size_t count = std::min<size_t>(samples.size(), train::kComparedSamples);
    double error = 0, norm = 0;
    for (size_t i = 0; i < count; ++i) {
      const BlockData::Distance distance = data.Compare(samples[i * samples.size() / count]);
      error += distance.error.item<double>();
      norm += distance.norm;
    }
    return norm > 0 ? std::sqrt(error / norm) : 0;
  }

  static uint64_t NumberOf(const ModelView& model, const std::string& path) {
    const std::vector<BlockInfo>& blocks = model.blocks();
    const auto found = std::find_if(blocks.begin(), blocks.end(),
                                    [&](const BlockInfo& block) { return block.path == path; });
    return static_cast<uint64_t>(found - blocks.begin());
  }

  // A block that is published needs its state no more.
  static absl::Status RemoveOtherStates(Env& env, const std::string& scratch,
                                        const std::string& state) {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(scratch));
    for (const std::string& name : names) {
      if (name == state || !absl::EndsWith(name, kBlockState)) continue;
      WANLITE_RETURN_IF_ERROR(env.RemoveAll(JoinPath(scratch, name)));
    }
    return absl::OkStatus();
  }

  const RecoverOptions options_;
};

}  // namespace

std::unique_ptr<Pass> MakeRecoverBlocks(RecoverOptions options) {
  return std::make_unique<RecoverBlocks>(std::move(options));
}

}  // namespace wanlite
