// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/drop_blocks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/core/glob.h"
#include "src/core/random.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/average_blocks.h"
#include "src/pruning/block_scores.h"
#include "src/pruning/drop_blocks_report.h"
#include "src/pruning/learned_depth.h"
#include "src/pruning/magnitude.h"
#include "src/pruning/select_blocks.h"
#include "src/train/loop_options.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using google::protobuf::Message;
using Options = DropBlocksOptions;

constexpr int64_t kDefaultBlockPasses = 8;
constexpr int64_t kDefaultGroup = 4;
constexpr int64_t kDefaultUpdateRank = 16;
// 924 choices of a group.
constexpr int64_t kLargestGroup = 12;
constexpr int64_t kRandomChoices = 3;

enum DropStream : uint64_t { kDropScores = 1, kDropControls = 2 };

bool ScoresFromSamples(Options::Score score) {
  return score != Options::RANDOM && score != Options::L2;
}
bool ScoresByTimestep(Options::Score score) {
  return ScoresFromSamples(score) && score != Options::LEARNED;
}

// The part of the way to the target that a round goes.
struct Way {
  double amount = 0;  // the target: of the blocks that there were before the first round
  double from = 0, to = 1;
};

// Blocks that there were before `gone` of them went: the fewest of which that leaves `left`.
int64_t BlocksBefore(int64_t left, double gone) {
  const auto bound = static_cast<int64_t>(static_cast<double>(left + 1) / (1 - gone)) + 1;
  for (int64_t before = left; before <= bound; ++before) {
    if (before - CountToPrune(gone, before) == left) return before;
  }
  return static_cast<int64_t>(std::lround(static_cast<double>(left) / (1 - gone)));
}

// Blocks that the network had before any were dropped.
int64_t OriginalBlocks(const ModelView& model, const ComponentBlocks& blocks) {
  const std::map<std::string, int64_t>& origin = model.FindComponent(blocks.component)->unit_origin;
  const auto found = origin.find("blocks");
  return found == origin.end() ? static_cast<int64_t>(blocks.all.size()) : found->second;
}

// What a pass makes of a model.
struct DropSelection {
  std::vector<ComponentBlocks> components;
  std::vector<int64_t> counts;     // that go, of each
  std::vector<std::string> named;  // by `blocks`, in forward order
};

BlockFilter FilterOfOptions(const Options& options) {
  BlockFilter filter;
  filter.components.assign(options.components().begin(), options.components().end());
  for (const BlockRange& range : options.among()) {
    filter.among.push_back(
        {range.from(), range.has_to() ? std::optional<int64_t>(range.to()) : std::nullopt});
  }
  filter.skip_outer_blocks = options.skip() == LinearSelector::OUTER_BLOCKS;
  return filter;
}

class DropBlocks : public BlockPass {
 public:
  explicit DropBlocks(Options options, std::optional<Way> way = std::nullopt)
      : options_(std::move(options)), filter_(FilterOfOptions(options_)), way_(way) {}

  absl::string_view name() const override { return "drop-blocks"; }
  const Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kPrunes; }
  bool needs_samples() const override { return !by_name() && ScoresFromSamples(options_.score()); }

  absl::StatusOr<std::vector<std::string>> sampled_components(
      const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const DropSelection selection, Select(model));
    std::vector<std::string> names;
    for (size_t i = 0; i < selection.components.size(); ++i) {
      if (selection.counts[i] > 0) names.push_back(selection.components[i].component);
    }
    return names;
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const DropSelection selection, Select(model));
    PassNotes plan;
    for (size_t i = 0; i < selection.components.size(); ++i) {
      const ComponentBlocks& blocks = selection.components[i];
      const int64_t count = selection.counts[i];
      const std::set<std::string> may_go = MayGo(selection, i);
      plan.notes.push_back(absl::StrCat(NetworkText(blocks.component), ": ", count, " of ",
                                        blocks.all.size(), " blocks ", count == 1 ? "goes" : "go",
                                        count == 0 ? ", so it stays as it is" : ""));
      if (count == 0) continue;
      if (!by_name() && !AllAlike(model, blocks)) plan.exact = false;
      if (options_.average()) {
        WANLITE_RETURN_IF_ERROR(CheckCanAverage(model, blocks, may_go));
        for (const NamedTensor& named : model.BlockTensors(blocks.removable.front())) {
          // The sum and one of what it is of, wide.
          plan.block_scratch_bytes =
              std::max(plan.block_scratch_bytes, 2 * int64_t{8} * named.tensor.numel());
        }
      }
      if (needs_samples()) AddScoringNotes(model, blocks, count, plan);
    }
    if (by_name() && options_.average()) AddAverageNotes(selection, plan);
    return plan;
  }

  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    if (by_name()) return std::unique_ptr<Message>();
    if (needs_samples() && context.samples == nullptr) {
      return absl::FailedPreconditionError("needs recorded inputs of the model");
    }
    WANLITE_ASSIGN_OR_RETURN(const DropSelection selection, Select(model));
    const size_t components = selection.components.size();
    std::vector<DroppedBlocks> found(components);
    std::map<std::string, NetworkTrials> networks;
    for (size_t i = 0; i < components; ++i) {
      found[i].blocks = selection.components[i];
      found[i].count = selection.counts[i];
      found[i].by = options_.score();
      found[i].worst_counts = options_.over() == UnitCriterion::WORST;
      if (needs_samples() && found[i].count > 0) {
        WANLITE_RETURN_IF_ERROR(OpenNetwork(model, context, networks, found[i]));
      }
    }
    if (options_.score() == Options::LEARNED) {
      for (DroppedBlocks& one : found) WANLITE_RETURN_IF_ERROR(Learn(model, context, one));
    } else if (options_.score() == Options::OUTPUT_ERROR_GREEDY) {
      WANLITE_RETURN_IF_ERROR(ChooseGreedily(networks, context, found));
    } else {
      for (DroppedBlocks& one : found) {
        if (one.count == 0) continue;
        WANLITE_ASSIGN_OR_RETURN(one.scores, Scores(model, networks, context, one));
      }
      for (DroppedBlocks& one : found) Choose(found, one);
    }
    for (DroppedBlocks& one : found) {
      WANLITE_RETURN_IF_ERROR(Measure(model, networks, context, one));
    }
    auto decision = std::make_unique<DropBlocksDecision>();
    for (const DroppedBlocks& one : found) {
      for (const std::string& block : one.blocks.removable) {
        if (one.dropped.contains(block)) decision->add_blocks(block);
      }
      for (std::string& line : ExplainDroppedBlocks(one)) decision->add_notes(std::move(line));
      SetDroppedBlocksMetrics(one, context.metrics);
    }
    return decision;
  }

  std::vector<std::string> Explain(const Message* decision) const override {
    if (decision == nullptr) return {};
    const auto& notes = static_cast<const DropBlocksDecision*>(decision)->notes();
    return {notes.begin(), notes.end()};
  }

  absl::Status Restructure(ModelView& model, const Message* decision) const override {
    WANLITE_ASSIGN_OR_RETURN(const DropSelection selection, Select(model));
    std::vector<std::string> dropped = selection.named;
    if (decision != nullptr) {
      const auto& blocks = static_cast<const DropBlocksDecision*>(decision)->blocks();
      dropped.assign(blocks.begin(), blocks.end());
    } else if (!by_name()) {
      // Any so many of them.
      for (size_t i = 0; i < selection.components.size(); ++i) {
        const std::vector<std::string>& removable = selection.components[i].removable;
        dropped.insert(dropped.end(), removable.begin(), removable.begin() + selection.counts[i]);
      }
    }
    if (options_.average()) {
      const std::set<std::string> gone(dropped.begin(), dropped.end());
      for (const ComponentBlocks& blocks : selection.components) {
        WANLITE_RETURN_IF_ERROR(
            AverageBlocks(model, blocks.component, AveragedBlocks(blocks, gone)));
      }
    }
    return model.DropBlocks(dropped);
  }

  // What is left is what it was, or was derived when the blocks went.
  bool Touches(const ModelView& model, absl::string_view block) const override { return false; }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message* decision,
                        PassContext& context) const override {
    return absl::OkStatus();
  }

  // Up to the round's share of the blocks that there were before the first one.
  absl::StatusOr<std::unique_ptr<Pass>> AtRound(double from, double to) const override {
    if (by_name()) {
      return OptionError("blocks",
                         "names blocks, of which each round of a repeat would find others; give "
                         "amount or count");
    }
    Options options = options_;
    if (options.has_count()) {
      options.set_count(CountToPrune(to, options.count()) - CountToPrune(from, options.count()));
      return std::make_unique<DropBlocks>(std::move(options));
    }
    const double amount = options.amount();
    options.set_amount(1 - (1 - amount * to) / (1 - amount * from));
    return std::make_unique<DropBlocks>(std::move(options), Way{amount, from, to});
  }

 private:
  bool by_name() const { return !options_.blocks().empty(); }

  int64_t CountOf(const ModelView& model, const ComponentBlocks& blocks) const {
    const auto removable = static_cast<int64_t>(blocks.removable.size());
    if (options_.has_count()) return options_.count();
    if (!way_.has_value()) return CountToPrune(options_.amount(), removable);
    const double gone_by_now = way_->amount * way_->from;
    int64_t before =
        OriginalBlocks(model, blocks) - (static_cast<int64_t>(blocks.all.size()) - removable);
    // Some were dropped before the schedule began.
    if (before - CountToPrune(gone_by_now, before) != removable) {
      before = BlocksBefore(removable, gone_by_now);
    }
    const int64_t gone = before - removable;
    return std::max<int64_t>(0, CountToPrune(way_->amount * way_->to, before) - gone);
  }

  absl::StatusOr<DropSelection> Select(const ModelView& model) const {
    DropSelection selection;
    WANLITE_ASSIGN_OR_RETURN(selection.components, SelectBlocks(model, filter_));
    if (by_name()) WANLITE_RETURN_IF_ERROR(FindNamed(selection));
    for (const ComponentBlocks& blocks : selection.components) {
      const auto removable = static_cast<int64_t>(blocks.removable.size());
      const std::string network = NetworkText(blocks.component);
      int64_t count = 0;
      for (const std::string& block : selection.named) {
        count += std::count(blocks.removable.begin(), blocks.removable.end(), block);
      }
      if (!by_name()) count = CountOf(model, blocks);
      const char* field = by_name() ? "blocks" : options_.has_count() ? "count" : "amount";
      if (count > removable) {
        return OptionError(field, absl::StrCat(count, " is more than the ", removable,
                                               " blocks of ", network, " that may go"));
      }
      if (count == static_cast<int64_t>(blocks.all.size())) {
        return OptionError(field,
                           absl::StrCat("leaves none of the ", count, " blocks of ", network));
      }
      selection.counts.push_back(count);
    }
    if (options_.experts_together()) WANLITE_RETURN_IF_ERROR(CheckTogether(selection));
    return selection;
  }

  absl::Status FindNamed(DropSelection& selection) const {
    std::set<int> used;
    for (const ComponentBlocks& blocks : selection.components) {
      for (const std::string& block : blocks.removable) {
        bool named = false;
        for (int i = 0; i < options_.blocks_size(); ++i) {
          if (!GlobMatch(options_.blocks(i), block)) continue;
          used.insert(i);
          named = true;
        }
        if (named) selection.named.push_back(block);
      }
    }
    for (int i = 0; i < options_.blocks_size(); ++i) {
      if (used.contains(i)) continue;
      return OptionError(absl::StrCat("blocks[", i, "]"),
                         absl::StrCat("the pattern \"", options_.blocks(i),
                                      "\" fits no block that may go; they are named like ",
                                      selection.components.front().removable.front()));
    }
    return absl::OkStatus();
  }

  static absl::Status CheckTogether(const DropSelection& selection) {
    const auto inside = [](const ComponentBlocks& blocks) {
      std::vector<std::string> paths;
      for (const std::string& block : blocks.removable) {
        paths.push_back(PathBelow(blocks.component, block));
      }
      return paths;
    };
    const ComponentBlocks& first = selection.components.front();
    for (const ComponentBlocks& blocks : selection.components) {
      if (inside(blocks) == inside(first)) continue;
      return OptionError(
          "experts_together",
          absl::StrCat(blocks.component, " has other blocks that may go than ", first.component,
                       ": ", blocks.removable.size(), " and ", first.removable.size()));
    }
    return absl::OkStatus();
  }

  // Of component i: those that are named, or all that may.
  std::set<std::string> MayGo(const DropSelection& selection, size_t i) const {
    const std::vector<std::string>& removable = selection.components[i].removable;
    std::set<std::string> may_go(removable.begin(), removable.end());
    if (!by_name()) return may_go;
    std::set<std::string> named;
    for (const std::string& block : selection.named) {
      if (may_go.contains(block)) named.insert(block);
    }
    return named;
  }

  // Whether the result has the same shapes and formats whichever blocks go.
  static bool AllAlike(const ModelView& model, const ComponentBlocks& blocks) {
    const auto formats = [&](const std::string& block) {
      std::map<std::string, std::string> texts;
      for (const LinearInfo& linear : model.weights()) {
        if (linear.block != block) continue;
        const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
        if (!weight.ok()) continue;
        texts[PathBelow(block, linear.path)] =
            absl::StrCat(std::string((*weight)->format()), (*weight)->attributes());
      }
      return texts;
    };
    const auto at = [&](const std::string& block) {
      return std::find(blocks.all.begin(), blocks.all.end(), block);
    };
    const std::string& first = blocks.removable.front();
    for (auto block = at(first); block <= at(blocks.removable.back()); ++block) {
      if (!CheckSameShapes(model, first, *block, /*dense=*/false).ok() ||
          formats(first) != formats(*block)) {
        return false;
      }
    }
    return true;
  }

  void AddScoringNotes(const ModelView& model, const ComponentBlocks& blocks, int64_t count,
                       PassNotes& plan) const {
    const auto removable = static_cast<double>(blocks.removable.size());
    const auto samples = static_cast<double>(options_.samples());
    int64_t largest = 0, whole = 0;
    for (const BlockInfo& block : model.blocks()) {
      if (model.ComponentOf(block.path).name != blocks.component) continue;
      int64_t bytes = 0;
      for (const NamedTensor& named : model.BlockTensors(block.path)) {
        bytes += StoredBytes({named});
        if (named.tensor.is_floating_point() && named.tensor.element_size() < 4) {
          bytes += 4 * named.tensor.numel();  // scores are those of fp32
        }
      }
      largest = std::max(largest, bytes);
      whole += bytes;
    }
    plan.peak_memory_bytes = std::max(plan.peak_memory_bytes, largest);
    // A trial begins at its block; the original and the choices that are measured run whole.
    const double trials = options_.score() == Options::INFLUENCE ? 0
                          : options_.score() == Options::OUTPUT_ERROR_GREEDY
                              ? removable * static_cast<double>(count) / 2
                              : removable / 2;
    plan.notes.push_back(
        absl::StrFormat("scoring %s takes the time of about %.0f of its forward passes",
                        NetworkText(blocks.component),
                        samples * (trials + 2 + static_cast<double>(kRandomChoices))));
    if (options_.score() != Options::LEARNED) return;
    int64_t updates = 0;
    for (const LinearInfo& linear : model.linears()) {
      if (std::find(blocks.all.begin(), blocks.all.end(), linear.block) == blocks.all.end())
        continue;
      const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
      if (!weight.ok()) continue;
      updates += options_.rank() * ((*weight)->in_features() + (*weight)->out_features());
    }
    // Values, gradients, the optimizer's two moments.
    plan.peak_memory_bytes = std::max(plan.peak_memory_bytes, whole + 16 * updates);
    plan.notes.push_back(absl::StrFormat(
        "learning which blocks of %s go trains for %d steps of %d samples, with the whole network "
        "in memory in fp32 and, beside the memory said here, all that a step's passes keep for "
        "their gradients and what the network gives for each recorded sample",
        NetworkText(blocks.component), options_.loop().steps(), options_.loop().batch()));
  }

  static void AddAverageNotes(const DropSelection& selection, PassNotes& plan) {
    const std::set<std::string> gone(selection.named.begin(), selection.named.end());
    for (const ComponentBlocks& blocks : selection.components) {
      for (const AveragedBlock& one : AveragedBlocks(blocks, gone)) {
        plan.notes.push_back(absl::StrCat(one.block, " starts as the mean of itself and ",
                                          absl::StrJoin(one.with, ", ")));
      }
    }
  }

  absl::Status OpenNetwork(ModelView& model, PassContext& context,
                           std::map<std::string, NetworkTrials>& networks,
                           DroppedBlocks& one) const {
    const std::string& component = one.blocks.component;
    if (context.samples->size(component) == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("there are no recorded inputs of ", NetworkText(component)));
    }
    one.passes = PickPasses(*context.samples, component, options_.samples());
    WANLITE_ASSIGN_OR_RETURN(
        NetworkTrials network,
        NetworkTrials::Create(model, *context.samples, component, one.passes, context.cancel));
    WANLITE_RETURN_IF_ERROR(network.RunOriginal().status());
    networks.emplace(component, std::move(network));
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<BlockScore>> Scores(ModelView& model,
                                                 std::map<std::string, NetworkTrials>& networks,
                                                 PassContext& context,
                                                 const DroppedBlocks& one) const {
    const std::string& component = one.blocks.component;
    const std::vector<std::string>& blocks = one.blocks.removable;
    switch (options_.score()) {
      case Options::INFLUENCE:
        return ScoreInfluence(model, *context.samples, component, one.passes, blocks, context);
      case Options::RANDOM:
        return ScoreBlocksAtRandom(component, blocks, MixSeed(context.seed, {kDropScores}));
      case Options::L2:
        return ScoreBlockNorms(model, blocks, context);
      default:
        return ScoreOutputError(networks.at(component), {}, blocks, context);
    }
  }

  double ScoreOf(const BlockScore& score) const {
    return options_.over() == UnitCriterion::WORST ? score.worst : score.mean;
  }

  // What a block of `one` costs; of all experts together where they lose the same blocks.
  double CostOf(const std::vector<DroppedBlocks>& all, const DroppedBlocks& one,
                size_t block) const {
    if (!options_.experts_together()) return ScoreOf(one.scores[block]);
    double sum = 0;
    for (const DroppedBlocks& other : all) sum += ScoreOf(other.scores[block]);
    return sum;
  }

  void Choose(const std::vector<DroppedBlocks>& all, DroppedBlocks& one) const {
    if (one.count == 0) return;
    std::vector<size_t> order(one.blocks.removable.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return CostOf(all, one, a) < CostOf(all, one, b); });
    for (int64_t i = 0; i < one.count; ++i) {
      one.dropped.insert(one.blocks.removable[order[static_cast<size_t>(i)]]);
    }
  }

  absl::Status ChooseGreedily(std::map<std::string, NetworkTrials>& networks, PassContext& context,
                              std::vector<DroppedBlocks>& all) const {
    int64_t most = 0;
    for (DroppedBlocks& one : all) {
      most = std::max(most, one.count);
      one.scores.resize(one.blocks.removable.size());
    }
    for (int64_t round = 0; round < most; ++round) {
      for (DroppedBlocks& one : all) {
        if (round >= one.count) continue;
        std::vector<std::string> left;
        for (const std::string& block : one.blocks.removable) {
          if (!one.dropped.contains(block)) left.push_back(block);
        }
        WANLITE_ASSIGN_OR_RETURN(
            const std::vector<BlockScore> scores,
            ScoreOutputError(networks.at(one.blocks.component), one.dropped, left, context));
        for (size_t i = 0, at = 0; i < one.scores.size(); ++i) {
          if (!one.dropped.contains(one.blocks.removable[i])) one.scores[i] = scores[at++];
        }
      }
      // Chosen after all are scored, since experts may choose together.
      std::vector<std::string> gone(all.size());
      for (size_t c = 0; c < all.size(); ++c) {
        const DroppedBlocks& one = all[c];
        if (round >= one.count) continue;
        std::optional<size_t> best;
        for (size_t i = 0; i < one.scores.size(); ++i) {
          if (one.dropped.contains(one.blocks.removable[i])) continue;
          if (!best.has_value() || CostOf(all, one, i) < CostOf(all, one, *best)) best = i;
        }
        gone[c] = one.blocks.removable[*best];
      }
      for (size_t c = 0; c < all.size(); ++c) {
        if (gone[c].empty()) continue;
        all[c].dropped.insert(gone[c]);
        all[c].order.push_back(gone[c]);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Learn(ModelView& model, PassContext& context, DroppedBlocks& one) const {
    if (one.count == 0) return absl::OkStatus();
    one.groups = DepthGroups(one.blocks.removable, options_.group(), one.count);
    LearnedDepthOptions options;
    options.loop = train::LoopOf(options_.loop());
    options.rank = options_.rank();
    WANLITE_ASSIGN_OR_RETURN(one.learned, LearnDepth(model, one.blocks.component, one.blocks.all,
                                                     one.groups, options, context));
    one.dropped.insert(one.learned.dropped.begin(), one.learned.dropped.end());
    return absl::OkStatus();
  }

  // The choice beside others, at the end of the network.
  absl::Status Measure(ModelView& model, std::map<std::string, NetworkTrials>& networks,
                       PassContext& context, DroppedBlocks& one) const {
    if (!needs_samples() || one.count == 0) return absl::OkStatus();
    NetworkTrials& network = networks.at(one.blocks.component);
    one.choices.push_back({"found", one.dropped});
    if (options_.average()) {
      BlockChoice averaged{"found, averaged", one.dropped};
      for (const AveragedBlock& block : AveragedBlocks(one.blocks, one.dropped)) {
        averaged.edits[block.block] = AverageOf(block);
      }
      one.choices.push_back(std::move(averaged));
    }
    if (options_.score() == Options::LEARNED) {
      WANLITE_ASSIGN_OR_RETURN(const std::vector<BlockScore> scores,
                               ScoreOutputError(network, {}, one.blocks.removable, context));
      DroppedBlocks by_error = one;
      by_error.scores = scores;
      by_error.dropped.clear();
      Choose({by_error}, by_error);
      one.choices.push_back({"by output error", by_error.dropped});
    }
    const uint64_t seed = MixSeed(context.seed, {kDropControls});
    for (BlockChoice& choice :
         RandomChoices(one.blocks.removable, one.dropped, kRandomChoices, seed)) {
      one.choices.push_back(std::move(choice));
    }
    WANLITE_ASSIGN_OR_RETURN(one.errors, MeasureChoices(network, one.choices, context));
    if (std::isfinite(one.errors.front().trajectory)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("the output of ",
                                                   NetworkText(one.blocks.component),
                                                   " is not finite without the blocks found"));
  }

  const Options options_;
  const BlockFilter filter_;
  const std::optional<Way> way_;
};

absl::Status CheckHowMany(const Options& options) {
  const int given = (options.has_amount() ? 1 : 0) + (options.has_count() ? 1 : 0) +
                    (options.blocks().empty() ? 0 : 1);
  if (given != 1) {
    return OptionError(options.has_amount() && given > 1 ? "amount"
                       : given > 1                       ? "count"
                                                         : "amount",
                       given == 0 ? "is missing; wanted amount, count or blocks"
                                  : "is given beside another of amount, count and blocks");
  }
  // A NaN fails both comparisons.
  if (options.has_amount() && !(options.amount() >= 0 && options.amount() < 1)) {
    return OptionError("amount", absl::StrCat(options.amount(), " is not in [0, 1)"));
  }
  if (options.has_count() && options.count() < 1) {
    return OptionError("count", absl::StrCat(options.count(), ", wanted at least 1"));
  }
  if (options.blocks().empty()) return absl::OkStatus();
  if (options.score() != Options::INFLUENCE) {
    return OptionError("score", "scores nothing where blocks names what goes");
  }
  if (options.among_size() > 0) return OptionError("among", "is for blocks that are chosen");
  if (options.skip() != LinearSelector::NOTHING) {
    return OptionError("skip", "is for blocks that are chosen");
  }
  if (options.experts_together()) {
    return OptionError("experts_together", "is for blocks that are chosen");
  }
  return absl::OkStatus();
}

absl::Status CheckEnums(const Options& options) {
  if (!Options::Score_IsValid(options.score())) {
    return OptionError("score", absl::StrCat(static_cast<int>(options.score()), " is no score"));
  }
  if (!UnitCriterion::Over_IsValid(options.over())) {
    return OptionError("over",
                       absl::StrCat(static_cast<int>(options.over()), " is not MEAN or WORST"));
  }
  if (!LinearSelector::Skip_IsValid(options.skip())) {
    return OptionError(
        "skip", absl::StrCat(static_cast<int>(options.skip()), " is not NOTHING or OUTER_BLOCKS"));
  }
  return absl::OkStatus();
}

absl::Status ResolveLearning(Options& options) {
  const bool learned = options.score() == Options::LEARNED && options.blocks().empty();
  if (!learned) {
    const char* extra = options.has_loop()    ? "loop"
                        : options.has_group() ? "group"
                        : options.has_rank()  ? "rank"
                                              : nullptr;
    if (extra == nullptr) return absl::OkStatus();
    return OptionError(extra, "is for the score LEARNED");
  }
  if (!options.has_loop()) {
    return OptionError("loop", "is missing; wanted how the choice is trained");
  }
  WANLITE_RETURN_IF_ERROR(train::CheckLoopOptions(train::LoopOf(options.loop()), "loop"));
  if (options.experts_together()) {
    return OptionError("experts_together", "cannot be learned: each network is trained by itself");
  }
  if (!options.has_group()) options.set_group(kDefaultGroup);
  if (options.group() < 2 || options.group() > kLargestGroup) {
    return OptionError("group",
                       absl::StrCat(options.group(), " is not in [2, ", kLargestGroup, "]"));
  }
  if (!options.has_rank()) options.set_rank(kDefaultUpdateRank);
  if (options.rank() < 1) {
    return OptionError("rank", absl::StrCat(options.rank(), ", wanted at least 1"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeDropBlocks(const DropBlocksOptions& options) {
  DropBlocksOptions resolved = options;
  WANLITE_RETURN_IF_ERROR(CheckEnums(resolved));
  WANLITE_RETURN_IF_ERROR(CheckHowMany(resolved));
  WANLITE_RETURN_IF_ERROR(ResolveLearning(resolved));
  const bool samples = resolved.blocks().empty() && ScoresFromSamples(resolved.score());
  if (resolved.over() == UnitCriterion::WORST &&
      !(resolved.blocks().empty() && ScoresByTimestep(resolved.score()))) {
    return OptionError("over", "is for scores that tell timesteps apart");
  }
  if (resolved.has_samples() && !samples) {
    return OptionError("samples", "is for scores from recorded inputs");
  }
  if (samples && !resolved.has_samples()) resolved.set_samples(kDefaultBlockPasses);
  if (samples && resolved.samples() < 1) {
    return OptionError("samples", absl::StrCat(resolved.samples(), ", wanted at least 1"));
  }
  return std::make_unique<DropBlocks>(std::move(resolved));
}

}  // namespace wanlite
