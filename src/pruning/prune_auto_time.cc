// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_auto_time.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/stopwatch.h"
#include "src/model/block_steps.h"
#include "src/model/float32_block.h"
#include "src/model/hollow_twin.h"
#include "wanlite/block_program.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kWholeKey[] = "whole";
constexpr int kLeastRuns = 5, kMostRuns = 100;
constexpr double kEnoughSeconds = 0.1;

std::string KeepKey(int64_t kept) { return absl::StrCat("keep ", kept); }

// One block of a model by itself, as a runner has it.
class LoneBlock {
 public:
  // The block of `model` is leased.
  static absl::StatusOr<std::unique_ptr<LoneBlock>> Create(const ModelView& model,
                                                           const std::string& block) {
    WANLITE_ASSIGN_OR_RETURN(ModelView twin, HollowTwin(model));
    const Component& component = twin.ComponentOf(block);
    if (ProgramOf(component) == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(
          block, ": a budget of latency needs networks that can be built anew, which '",
          component.name, "' does not say how to"));
    }
    std::unique_ptr<LoneBlock> lone(new LoneBlock(std::move(twin), block));
    std::map<std::string, at::Tensor> values;
    for (const NamedTensor& named : model.BlockTensors(block)) values[named.name] = named.tensor;
    for (const NamedTensor& named : lone->twin_.BlockTensors(block)) {
      at::Tensor handle = named.tensor;
      handle.set_data(values.at(named.name).detach());
    }
    return lone;
  }

  absl::Status Keep(const std::string& group, int64_t kept) {
    return twin_.KeepUnits(group, at::arange(kept, at::kLong));
  }

  absl::Status Finish() {
    wide_ = std::make_unique<Float32Block>(twin_, block_);
    for (const LinearInfo& linear : std::vector<LinearInfo>(twin_.linears())) {
      if (linear.block != block_) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, twin_.Weight(linear.path));
      std::unique_ptr<LinearWeight> packed = weight->Packed();
      if (packed == nullptr) continue;
      WANLITE_RETURN_IF_ERROR(twin_.SetLinearWeight(linear.path, std::move(packed)));
    }
    for (const BlockSteps& steps : BlockStepsOf(twin_.ComponentOf(block_))) {
      if (steps.block == block_) steps_.push_back(steps);
    }
    return absl::OkStatus();
  }

  // Of one run, in seconds.
  double Run(const Values& values) const {
    Values own = values;
    const Stopwatch watch;
    for (const BlockSteps& steps : steps_) steps.Run(*ProgramOf(twin_.ComponentOf(block_)), own);
    return watch.Seconds();
  }

 private:
  LoneBlock(ModelView twin, std::string block) : twin_(std::move(twin)), block_(std::move(block)) {}
  ModelView twin_;
  const std::string block_;
  std::unique_ptr<Float32Block> wide_;
  std::vector<BlockSteps> steps_;
};

double Median(std::vector<double> seconds) {
  const auto middle = seconds.begin() + static_cast<int64_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

struct TimePair {
  double whole = 0, cut = 0;
};

absl::StatusOr<TimePair> TimeInTurn(const LoneBlock& whole, const LoneBlock& cut,
                                    const Values& values, const CancellationToken* cancel) {
  const at::NoGradGuard no_grad;
  std::vector<double> whole_seconds, cut_seconds;
  double sum = 0;
  // The first runs pay for memory, and are not counted.
  for (int i = -1; i < kLeastRuns || (sum < kEnoughSeconds && i < kMostRuns); ++i) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
    const double of_whole = whole.Run(values), of_cut = cut.Run(values);
    if (i < 0) continue;
    whole_seconds.push_back(of_whole);
    cut_seconds.push_back(of_cut);
    sum += of_whole + of_cut;
  }
  return TimePair{std::max(Median(whole_seconds), 1e-9), std::max(Median(cut_seconds), 1e-9)};
}

// Blocks and inputs of the same shapes take the same time.
std::string ShapeKey(const ModelView& model, const std::string& block, const Values& values) {
  std::string key;
  for (const NamedTensor& named : model.BlockTensors(block)) {
    absl::StrAppend(&key, named.name.substr(block.size()),
                    static_cast<int>(named.tensor.scalar_type()), "x",
                    absl::StrJoin(named.tensor.sizes(), "x"), ";");
  }
  for (const auto& [name, value] : values) {
    absl::StrAppend(&key, name, "x", absl::StrJoin(value.sizes(), "x"), ";");
  }
  return key;
}

class BlockTimer {
 public:
  BlockTimer(ModelView& model, const AutoModel& found, PassContext& context,
             Sensitivity& sensitivity)
      : model_(model), found_(found), context_(context), sensitivity_(sensitivity) {}

  // A component's blocks, in the order in which they run.
  absl::Status TimeComponent(const std::string& component) {
    std::map<std::string, size_t> searched;
    for (size_t b = 0; b < found_.blocks.size(); ++b) searched[found_.blocks[b].path] = b;
    const std::string rest = RestOf(component);
    return sensitivity_.Walk(component, [&](const BlockLease& lease, const Values& values) {
      if (lease.block() == rest) return absl::OkStatus();
      const auto block = searched.find(lease.block());
      const AutoBlock* groups = block == searched.end() ? nullptr : &found_.blocks[block->second];
      return Annotate(TimeBlock(lease.block(), groups, values), lease.block());
    });
  }

 private:
  std::string RestOf(const std::string& component) const {
    for (const BlockInfo& block : model_.blocks()) {
      if (model_.ComponentOf(block.path).name == component) return block.path;
    }
    return "";
  }

  // groups: of the block, null for one that the search leaves alone.
  absl::Status TimeBlock(const std::string& path, const AutoBlock* groups, const Values& values) {
    std::map<std::string, ScannedItem>& items = sensitivity_.scan().items;
    std::map<std::string, std::map<std::string, double>>& known =
        known_[ShapeKey(model_, path, values)];  // name inside the block -> key -> seconds
    const auto take = [&](const std::string& item) {
      for (const auto& [key, seconds] : items[item].seconds) {
        known[item.substr(path.size())].try_emplace(key, seconds);
      }
    };
    take(path);
    std::vector<std::pair<size_t, int64_t>> missing;  // group, kept
    for (size_t i = 0; groups != nullptr && i < groups->groups.size(); ++i) {
      const AutoGroup& group = found_.groups[groups->groups[i]];
      take(group.group.name);
      for (size_t c = 1; c < group.kept.size(); ++c) {
        if (known[group.group.name.substr(path.size())].contains(KeepKey(group.kept[c]))) continue;
        missing.emplace_back(groups->groups[i], group.kept[c]);
      }
    }
    if (!known[""].contains(kWholeKey) || !missing.empty()) {
      WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<LoneBlock> whole,
                               LoneBlock::Create(model_, path));
      WANLITE_RETURN_IF_ERROR(whole->Finish());
      if (!known[""].contains(kWholeKey)) {
        WANLITE_ASSIGN_OR_RETURN(const TimePair pair,
                                 TimeInTurn(*whole, *whole, values, context_.cancel));
        known[""][kWholeKey] = pair.whole;
      }
      for (const auto& [number, kept] : missing) {
        const std::string& name = found_.groups[number].group.name;
        WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<LoneBlock> cut,
                                 LoneBlock::Create(model_, path));
        WANLITE_RETURN_IF_ERROR(cut->Keep(name, kept));
        WANLITE_RETURN_IF_ERROR(cut->Finish());
        WANLITE_ASSIGN_OR_RETURN(const TimePair pair,
                                 TimeInTurn(*whole, *cut, values, context_.cancel));
        // The ratio is what was measured well.
        known[name.substr(path.size())][KeepKey(kept)] =
            known[""][kWholeKey] * pair.cut / pair.whole;
      }
    }
    items[path].seconds[kWholeKey] = known[""][kWholeKey];
    for (size_t i = 0; groups != nullptr && i < groups->groups.size(); ++i) {
      const AutoGroup& group = found_.groups[groups->groups[i]];
      for (size_t c = 1; c < group.kept.size(); ++c) {
        const std::string key = KeepKey(group.kept[c]);
        items[group.group.name].seconds[key] = known[group.group.name.substr(path.size())][key];
      }
    }
    return sensitivity_.WriteScanFile();
  }

  ModelView& model_;
  const AutoModel& found_;
  PassContext& context_;
  Sensitivity& sensitivity_;
  std::map<std::string, std::map<std::string, std::map<std::string, double>>> known_;
};

}  // namespace

absl::StatusOr<PruneCosts> TimePrunedBlocks(ModelView& model, const AutoModel& found,
                                            PassContext& context, Sensitivity& sensitivity) {
  BlockTimer timer(model, found, context, sensitivity);
  const std::set<std::string> components = found.components();
  for (const std::string& component : components) {
    WANLITE_RETURN_IF_ERROR(CatchTorch([&] { return timer.TimeComponent(component); }));
  }
  const std::map<std::string, ScannedItem>& items = sensitivity.scan().items;
  double whole = 0;
  for (const BlockInfo& block : model.blocks()) {
    const std::string& component = model.ComponentOf(block.path).name;
    const auto item = items.find(block.path);
    if (!components.contains(component) || item == items.end()) continue;
    const auto seconds = item->second.seconds.find(kWholeKey);
    if (seconds == item->second.seconds.end()) continue;
    whole += sensitivity.ShareOf(component) * seconds->second;
  }
  std::vector<double> blocks;
  std::vector<std::map<int64_t, double>> saved(found.groups.size());
  for (const AutoBlock& block : found.blocks) {
    const double share = sensitivity.ShareOf(block.component);
    const double seconds = items.at(block.path).seconds.at(kWholeKey);
    blocks.push_back(share * seconds);
    for (const size_t number : block.groups) {
      const AutoGroup& group = found.groups[number];
      saved[number][group.group.units] = 0;
      for (size_t c = 1; c < group.kept.size(); ++c) {
        const double cut = items.at(group.group.name).seconds.at(KeepKey(group.kept[c]));
        // What a smaller block takes longer is noise, or not worth a choice.
        saved[number][group.kept[c]] = share * std::max(seconds - cut, 0.0);
      }
    }
  }
  return PruneCosts::OfTime(whole, std::move(blocks), std::move(saved));
}

}  // namespace wanlite
