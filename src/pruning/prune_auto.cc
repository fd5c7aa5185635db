// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_auto.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/mask_units.h"
#include "src/pruning/prune_auto_problem.h"
#include "src/pruning/prune_auto_report.h"
#include "src/pruning/prune_auto_time.h"
#include "src/pruning/select_units.h"
#include "src/pruning/unit_scores.h"
#include "src/search/sensitivity.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using AutoBudget = PruneAutoOptions::Budget;

constexpr double kDefaultRatios[] = {0.125, 0.25, 0.375, 0.5, 0.625, 0.75};
constexpr int64_t kDefaultAutoPasses = 4;
constexpr int64_t kDefaultAutoControls = 3;
// Beside a block and its masked layers: rows expanded to fp32 and the like.
constexpr int64_t kAutoScratchBytes = int64_t{32} << 20;
constexpr char kLeftOutKey[] = "left out";

// The units of each group in the order in which they go, and what their weights alone say.
struct UnitOrder {
  std::vector<std::vector<int64_t>> units;         // by group: the cheapest first
  std::vector<std::vector<double>> norms_squared;  // by group and unit
  std::vector<double> block_norms_squared;
};

std::vector<int64_t> CheapestUnits(const UnitOrder& order, size_t group, int64_t kept) {
  const std::vector<int64_t>& units = order.units[group];
  std::vector<int64_t> removed(units.begin(), units.end() - static_cast<std::ptrdiff_t>(kept));
  std::sort(removed.begin(), removed.end());
  return removed;
}

class PruneAuto : public BlockPass {
 public:
  explicit PruneAuto(PruneAutoOptions options) : options_(std::move(options)) {}

  absl::string_view name() const override { return "prune-auto"; }
  const google::protobuf::Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kPrunes; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<std::vector<std::string>> sampled_components(
      const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const AutoModel found, FindAutoModel(model, options_));
    const std::set<std::string> names = found.components();
    return std::vector<std::string>(names.begin(), names.end());
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const AutoModel found, FindAutoModel(model, options_));
    if (CountedByShapes()) {
      const PruneCosts costs = PruneCosts::OfParameters(model, found, ByBytes());
      WANLITE_RETURN_IF_ERROR(CheckFits(found, costs));
    }
    PassNotes plan;
    plan.exact = false;
    plan.notes = found.notes;
    plan.peak_memory_bytes = PeakMemory(model, found);
    plan.notes.push_back(absl::StrCat(
        "scoring takes ", WorkText(model, found), "; beside the memory said here it holds what ",
        "flows between blocks in ",
        std::max(options_.ratios_size(), static_cast<int>(MeasuredCount())) * options_.samples(),
        " forward passes"));
    if (!CountedByShapes()) {
      plan.notes.push_back(
          "what the budget counts is known from recorded inputs only; the estimate takes that part "
          "of the parameters");
    }
    return plan;
  }

  absl::Status Restructure(ModelView& model,
                           const google::protobuf::Message* decision) const override {
    if (decision == nullptr) return ApplyEstimate(model);
    const auto& blocks = DecisionOf(decision).blocks();
    if (blocks.empty()) return absl::OkStatus();
    return model.DropBlocks(std::vector<std::string>(blocks.begin(), blocks.end()));
  }

  absl::Status ApplyPlan(ModelView& hollow,
                         const google::protobuf::Message* decision) const override {
    if (decision == nullptr) return absl::OkStatus();  // Restructure() has done it all
    for (const BlockInfo& block : std::vector<BlockInfo>(hollow.blocks())) {
      WANLITE_RETURN_IF_ERROR(KeepUnitsOf(hollow, block.path, DecisionOf(decision)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Decide(
      ModelView& model, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(AutoModel found, FindAutoModel(model, options_));
    WANLITE_ASSIGN_OR_RETURN(
        const std::unique_ptr<Sensitivity> sensitivity,
        Sensitivity::Open(model, context, std::string(name()), found.components(),
                          options_.samples(), options_.scan()));
    WANLITE_ASSIGN_OR_RETURN(const PruneCosts costs, CostsOf(model, found, context, *sensitivity));
    WANLITE_RETURN_IF_ERROR(CheckFits(found, costs));
    WANLITE_ASSIGN_OR_RETURN(const UnitOrder order, OrderUnits(model, found, context));
    WANLITE_RETURN_IF_ERROR(sensitivity->Score(ItemsOf(found, order)));
    TakeErrors(order, *sensitivity, found);

    const PruneProblem problem = ProblemOf(found, costs);
    const std::optional<Allocation> best =
        BestAllocation(problem.choices, problem.budget_of_items());
    if (!best.has_value()) return NothingFits(costs, LeastCost(problem.choices) + problem.fixed);
    std::vector<MeasuredPruning> measured =
        Compared(found, costs, problem, order, *best, context.seed);
    WANLITE_RETURN_IF_ERROR(Measure(found, order, *sensitivity, measured));
    if (!std::isfinite(measured.front().error.trajectory)) {
      return absl::InvalidArgumentError("the model's output is not finite with the found widths");
    }

    const Pruning& pruning = measured.front().pruning;
    auto decision = std::make_unique<PruneAutoDecision>();
    std::map<std::string, std::string> origins;
    for (const BlockInfo& block : model.blocks()) origins[block.path] = block.origin;
    for (size_t b = 0; b < found.blocks.size(); ++b) {
      const AutoBlock& block = found.blocks[b];
      if (pruning.left_out.contains(b)) {
        decision->add_blocks(block.path);
        continue;
      }
      for (const size_t g : block.groups) {
        const AxisGroup& group = found.groups[g].group;
        if (pruning.kept[g] == group.units) continue;
        const std::vector<int64_t> removed = CheapestUnits(order, g, pruning.kept[g]);
        PruneUnitsDecision::Group& kept = *decision->add_groups();
        kept.set_name(absl::StrCat(origins.at(block.path), group.name.substr(block.path.size())));
        for (int64_t unit = 0; unit < group.units; ++unit) {
          if (!std::binary_search(removed.begin(), removed.end(), unit)) kept.add_kept(unit);
        }
        context.metrics["groups_cut"] += 1;
        context.metrics["units_removed"] += static_cast<double>(removed.size());
      }
    }
    context.metrics["blocks_dropped"] = static_cast<double>(pruning.left_out.size());
    const SearchReport report =
        MakePruneReport(options_, found, costs, problem.budget, sensitivity->passes(), measured);
    SetSearchMetrics(report, context.metrics);
    for (std::string& note : ExplainSearch(report)) decision->add_notes(std::move(note));
    return decision;
  }

  std::vector<std::string> Explain(const google::protobuf::Message* decision) const override {
    if (decision == nullptr) return {};
    const auto& notes = DecisionOf(decision).notes();
    return {notes.begin(), notes.end()};
  }

  // Numbers of blocks, which `units` may choose by, are others when some are dropped: so every
  // block counts that has groups of these kinds.
  bool Touches(const ModelView& model, absl::string_view block) const override {
    const std::vector<std::string> kinds(options_.kinds().begin(), options_.kinds().end());
    if (!MayHoldUnits(model.ComponentOf(block), options_.units())) return false;
    return std::any_of(model.groups().begin(), model.groups().end(), [&](const AxisGroup& group) {
      return group.block == block && AnyGlobMatches(kinds, group.kind);
    });
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision, PassContext&) const override {
    return KeepUnitsOf(model, block.block(), DecisionOf(decision));
  }

  // Parts of what is left of the original.
  absl::StatusOr<std::unique_ptr<Pass>> AtRound(double from, double to) const override {
    const double target = BudgetFraction();
    if (!options_.scan().empty()) {
      return OptionError("scan", "is of one model; rounds of a repeat score others, without it");
    }
    PruneAutoOptions round = options_;
    SetBudgetFraction((1 - (1 - target) * to) / (1 - (1 - target) * from), *round.mutable_budget());
    return std::make_unique<PruneAuto>(std::move(round));
  }

 private:
  static const PruneAutoDecision& DecisionOf(const google::protobuf::Message* decision) {
    return static_cast<const PruneAutoDecision&>(*decision);
  }

  double BudgetFraction() const {
    const AutoBudget& budget = options_.budget();
    switch (budget.budget_case()) {
      case AutoBudget::kBytesFraction:
        return budget.bytes_fraction();
      case AutoBudget::kFlopsFraction:
        return budget.flops_fraction();
      case AutoBudget::kLatencyFraction:
        return budget.latency_fraction();
      default:
        return budget.parameters_fraction();
    }
  }
  static void SetBudgetFraction(double fraction, AutoBudget& budget) {
    switch (budget.budget_case()) {
      case AutoBudget::kBytesFraction:
        return budget.set_bytes_fraction(fraction);
      case AutoBudget::kFlopsFraction:
        return budget.set_flops_fraction(fraction);
      case AutoBudget::kLatencyFraction:
        return budget.set_latency_fraction(fraction);
      default:
        return budget.set_parameters_fraction(fraction);
    }
  }
  bool ByBytes() const { return options_.budget().budget_case() == AutoBudget::kBytesFraction; }
  bool CountedByShapes() const {
    return ByBytes() || options_.budget().budget_case() == AutoBudget::kParametersFraction;
  }
  // Prunings that are measured whole.
  int64_t MeasuredCount() const { return 3 + options_.controls(); }

  static absl::Status KeepUnitsOf(ModelView& model, const std::string& block,
                                  const PruneAutoDecision& decision) {
    std::string origin;
    for (const BlockInfo& info : model.blocks()) {
      if (info.path == block) origin = info.origin;
    }
    std::map<std::string, const PruneUnitsDecision::Group*> wanted;
    for (const auto& group : decision.groups()) wanted[group.name()] = &group;
    std::vector<std::pair<std::string, at::Tensor>> cuts;
    for (const AxisGroup& group : model.groups()) {
      if (group.block != block) continue;
      const auto found = wanted.find(absl::StrCat(origin, group.name.substr(block.size())));
      if (found == wanted.end()) continue;
      const auto& kept = found->second->kept();
      cuts.emplace_back(group.name,
                        at::tensor(std::vector<int64_t>(kept.begin(), kept.end()), at::kLong));
    }
    for (const auto& [group, kept] : cuts) {
      WANLITE_RETURN_IF_ERROR(model.KeepUnits(group, kept));
    }
    return absl::OkStatus();
  }

  // Fills the budget as if a group's error were the part of it that goes, and a block's that of all
  // of its groups and more.
  absl::Status ApplyEstimate(ModelView& hollow) const {
    WANLITE_ASSIGN_OR_RETURN(const AutoModel found, FindAutoModel(hollow, options_));
    const PruneCosts costs = PruneCosts::OfParameters(hollow, found, ByBytes());
    const auto error = [&](size_t group, size_t choice) {
      const AutoGroup& of = found.groups[group];
      const double part =
          1 - static_cast<double>(of.kept[choice]) / static_cast<double>(of.group.units);
      return part * part;
    };
    const auto block_error = [&](size_t block) {
      return static_cast<double>(found.blocks[block].groups.size()) + 1;
    };
    const PruneProblem problem = MakePruneProblem(found, costs, BudgetFraction() * costs.whole(),
                                                  options_.blocks(), error, block_error);
    std::optional<Allocation> guess = BestAllocation(problem.choices, problem.budget_of_items());
    // What is counted otherwise may fit all the same.
    if (!guess.has_value()) guess = BestAllocation(problem.choices, LeastCost(problem.choices));
    const Pruning pruning = problem.PruningOf(found, *guess);
    std::vector<std::string> dropped;
    for (size_t b = 0; b < found.blocks.size(); ++b) {
      if (pruning.left_out.contains(b)) dropped.push_back(found.blocks[b].path);
      for (const size_t g : found.blocks[b].groups) {
        if (pruning.kept[g] == found.groups[g].group.units) continue;
        WANLITE_RETURN_IF_ERROR(
            hollow.KeepUnits(found.groups[g].group.name, at::arange(pruning.kept[g], at::kLong)));
      }
    }
    return dropped.empty() ? absl::OkStatus() : hollow.DropBlocks(dropped);
  }

  // Whether anything fits, whatever errors say.
  absl::Status CheckFits(const AutoModel& found, const PruneCosts& costs) const {
    const auto cheapest_stays = [&](size_t block) {
      double least = costs.Block(block);
      for (const size_t g : found.blocks[block].groups) {
        least -= costs.Saved(g, found.groups[g].kept.back());
      }
      return -least;
    };
    const PruneProblem problem = MakePruneProblem(
        found, costs, BudgetFraction() * costs.whole(), options_.blocks(),
        [](size_t, size_t) { return 0.0; }, cheapest_stays);
    const double least = LeastCost(problem.choices) + problem.fixed;
    return least > problem.budget ? NothingFits(costs, least) : absl::OkStatus();
  }

  absl::Status NothingFits(const PruneCosts& costs, double least) const {
    const auto text = [&](double cost) {
      return PruneCostText(options_.budget().budget_case(), cost);
    };
    return OptionError(
        "budget",
        absl::StrFormat("allows %s of the networks' %s; with the largest ratios%s they take %s, "
                        "%.3g of it",
                        text(BudgetFraction() * costs.whole()), text(costs.whole()),
                        options_.blocks() ? " and without blocks that may go" : "", text(least),
                        least / costs.whole()));
  }

  int64_t PeakMemory(const ModelView& model, const AutoModel& found) const {
    std::map<std::string, int64_t> masked;
    for (const AutoGroup& group : found.groups) {
      std::set<std::string> paths;
      for (const AxisRef& ref : group.group.refs) paths.insert(ref.tensor);
      for (const std::string& path : paths) {
        const absl::StatusOr<const LinearWeight*> weight = model.Weight(path);
        if (!weight.ok()) continue;
        masked[group.group.block] += 4 * (*weight)->out_features() * (*weight)->in_features();
      }
    }
    const bool timed = options_.budget().budget_case() == AutoBudget::kLatencyFraction;
    int64_t peak = 0;
    for (const BlockInfo& block : model.blocks()) {
      const std::vector<NamedTensor> tensors = model.BlockTensors(block.path);
      int64_t wide = 0, narrow = 0;  // scores are those of fp32
      for (const NamedTensor& named : tensors) {
        if (!named.tensor.is_floating_point()) continue;
        (named.tensor.element_size() < 4 ? narrow : wide) += 4 * named.tensor.numel();
      }
      // A block is timed beside the whole one, and laid out anew.
      const int64_t twins = timed ? 3 * (wide + narrow) : 0;
      peak = std::max(peak, StoredBytes(tensors) + std::max(narrow + masked[block.path], twins) +
                                kAutoScratchBytes);
    }
    return peak;
  }

  // What scoring costs, in passes of a whole network.
  std::string WorkText(const ModelView& model, const AutoModel& found) const {
    double trials = 0;
    size_t removable = 0, units = 0;
    double unit_trials = 0;
    for (const AutoBlock& block : found.blocks) {
      const double part = PartToEnd(model, block.path);
      for (const size_t g : block.groups) {
        trials += static_cast<double>(found.groups[g].kept.size() - 1) * part;
        units += static_cast<size_t>(found.groups[g].group.units);
        unit_trials += static_cast<double>(found.groups[g].group.units) * part;
      }
      if (!options_.blocks() || !block.removable) continue;
      trials += part;
      ++removable;
    }
    const auto samples = static_cast<double>(options_.samples());
    std::string text = absl::StrFormat(
        "the time of about %.0f forward passes (%d groups%s, from their block to the end of their "
        "network), and measuring that of %.0f",
        trials * samples, found.groups.size(),
        removable == 0 ? "" : absl::StrCat(" and ", removable, " blocks"),
        static_cast<double>(MeasuredCount() + 2) * samples);
    const auto scoring = static_cast<double>(options_.criterion().samples());
    switch (options_.criterion().score()) {
      case UnitCriterion::TAYLOR:
      case UnitCriterion::OBD:
        absl::StrAppendFormat(&text, "; the criterion of units that of %.0f with their gradients",
                              scoring * static_cast<double>(found.components().size()));
        break;
      case UnitCriterion::OUTPUT_ERROR:
        absl::StrAppendFormat(&text, "; the criterion that of about %.0f for %d units",
                              unit_trials * scoring, units);
        break;
      case UnitCriterion::ACTIVATION:
        absl::StrAppend(&text, "; the criterion that of all recorded ones");
        break;
      default:
        break;
    }
    return text;
  }

  absl::StatusOr<PruneCosts> CostsOf(ModelView& model, const AutoModel& found, PassContext& context,
                                     Sensitivity& sensitivity) const {
    switch (options_.budget().budget_case()) {
      case AutoBudget::kFlopsFraction:
        return PruneCosts::OfWork(model, found, WorkOf(model, found, sensitivity));
      case AutoBudget::kLatencyFraction:
        return TimePrunedBlocks(model, found, context, sensitivity);
      default:
        return PruneCosts::OfParameters(model, found, ByBytes());
    }
  }

  // Multiply-adds of the mean forward pass of the run.
  static PruneCosts::Work WorkOf(const ModelView& model, const AutoModel& found,
                                 const Sensitivity& sensitivity) {
    PruneCosts::Work work;
    const std::set<std::string> components = found.components();
    const auto share_of = [&](const std::string& path) {
      const std::string& component = model.ComponentOf(path).name;
      return components.contains(component) ? sensitivity.ShareOf(component) : 0;
    };
    for (const LinearInfo& linear : model.linears()) {
      const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
      if (!weight.ok() || share_of(linear.path) == 0) continue;
      work.linears[linear.path] =
          share_of(linear.path) * static_cast<double>(sensitivity.RowsOf(linear.path)) *
          static_cast<double>((*weight)->out_features() * (*weight)->in_features());
    }
    for (const AttentionInfo& attention : model.attentions()) {
      const absl::StatusOr<const LinearWeight*> query = model.Weight(attention.query);
      if (!query.ok() || share_of(attention.query) == 0) continue;
      const auto queries = static_cast<double>(sensitivity.RowsOf(attention.query));
      double keys = queries;
      for (const AxisGroup& group : model.groups()) {
        if (group.name != attention.heads) continue;
        for (const AxisRef& ref : group.refs) {
          const LinearInfo* made = ref.dim == 0 ? model.FindLinear(ref.tensor) : nullptr;
          if (made == nullptr || made->path == attention.query) continue;
          if (made->stream == attention.keys) {
            keys = static_cast<double>(sensitivity.RowsOf(made->path));
          }
        }
      }
      const auto sequences =
          static_cast<double>(std::max<int64_t>(sensitivity.SequencesOf(attention.query), 1));
      work.attentions[attention.query] = share_of(attention.query) * 2 * queries * keys /
                                         sequences * static_cast<double>((*query)->out_features());
    }
    return work;
  }

  absl::StatusOr<UnitOrder> OrderUnits(ModelView& model, const AutoModel& found,
                                       PassContext& context) const {
    std::vector<AxisGroup> groups;
    for (const AutoGroup& group : found.groups) groups.push_back(group.group);
    using Scores = std::map<std::string, UnitScores>;
    WANLITE_ASSIGN_OR_RETURN(const Scores scores,
                             ScoreUnits(model, groups, options_.criterion(), context));
    Scores norms = scores;
    if (options_.criterion().score() != UnitCriterion::L2) {
      UnitCriterion norm;
      WANLITE_RETURN_IF_ERROR(ResolveCriterion(norm, "criterion"));
      WANLITE_ASSIGN_OR_RETURN(norms, ScoreUnits(model, groups, norm, context));
    }
    UnitOrder order;
    for (const AxisGroup& group : groups) {
      const auto costs = scores.find(group.name);
      const auto own = norms.find(group.name);
      if (costs == scores.end() || own == norms.end() ||
          costs->second.cost.numel() != group.units || own->second.cost.numel() != group.units) {
        return absl::InternalError(absl::StrCat(group.name, ": its units have no scores"));
      }
      const at::Tensor cost = costs->second.cost.to(at::kDouble).contiguous();
      const at::Tensor norm = own->second.cost.to(at::kDouble).contiguous();
      const auto* values = cost.const_data_ptr<double>();
      std::vector<int64_t> units(static_cast<size_t>(group.units));
      // Of equal ones the first stay.
      std::iota(units.rbegin(), units.rend(), int64_t{0});
      std::stable_sort(units.begin(), units.end(),
                       [&](int64_t a, int64_t b) { return values[a] < values[b]; });
      order.units.push_back(std::move(units));
      std::vector<double> squares;
      for (int64_t unit = 0; unit < group.units; ++unit) {
        const double size = norm.const_data_ptr<double>()[unit];
        squares.push_back(size * size);
      }
      order.norms_squared.push_back(std::move(squares));
    }
    for (const AutoBlock& block : found.blocks) {
      order.block_norms_squared.push_back(0);
      if (!options_.blocks()) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
      for (const LinearInfo& linear : model.linears()) {
        if (linear.block != block.path) continue;
        WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
        order.block_norms_squared.back() +=
            weight->Dequantize().to(at::kDouble).square().sum().item<double>();
      }
    }
    return order;
  }

  static double LocalError(const UnitOrder& order, size_t group,
                           const std::vector<int64_t>& removed) {
    double sum = 0;
    for (const int64_t unit : removed) {
      sum += order.norms_squared[group][static_cast<size_t>(unit)];
    }
    return std::sqrt(sum);
  }

  std::vector<SensitivityItem> ItemsOf(const AutoModel& found, const UnitOrder& order) const {
    std::vector<SensitivityItem> items;
    for (size_t b = 0; b < found.blocks.size(); ++b) {
      const AutoBlock& block = found.blocks[b];
      if (options_.blocks() && block.removable) {
        items.push_back(
            {block.path,
             block.component,
             block.path,
             {{kLeftOutKey, absl::StrCat(block.path, " left out"), nullptr,
               std::make_shared<const double>(std::sqrt(order.block_norms_squared[b]))}}});
      }
      for (const size_t g : block.groups) {
        const AutoGroup& group = found.groups[g];
        SensitivityItem item{group.group.name, block.component, block.path};
        for (size_t c = 1; c < group.kept.size(); ++c) {
          std::vector<int64_t> removed = CheapestUnits(order, g, group.kept[c]);
          item.choices.push_back({WidthKey(group.kept[c], removed),
                                  absl::StrCat(group.group.name, " with ", group.kept[c], " units"),
                                  nullptr,
                                  std::make_shared<const double>(LocalError(order, g, removed))});
          item.choices.back().edit = MaskUnits({{group.group, std::move(removed)}});
        }
        items.push_back(std::move(item));
      }
    }
    return items;
  }

  // What the scan says of each choice, in the whole run.
  void TakeErrors(const UnitOrder& order, const Sensitivity& sensitivity, AutoModel& found) const {
    const std::map<std::string, ScannedItem>& items = sensitivity.scan().items;
    for (size_t b = 0; b < found.blocks.size(); ++b) {
      AutoBlock& block = found.blocks[b];
      const double share = sensitivity.ShareOf(block.component);
      const auto square = [&](const ScannedItem& item, const std::string& key) {
        const double error = share * item.scores.at(key).trajectory_error;
        return error * error;
      };
      if (options_.blocks() && block.removable) {
        block.squared_error = square(items.at(block.path), kLeftOutKey);
      }
      for (const size_t g : block.groups) {
        AutoGroup& group = found.groups[g];
        group.squared_errors = {0};
        for (size_t c = 1; c < group.kept.size(); ++c) {
          const std::string key = WidthKey(group.kept[c], CheapestUnits(order, g, group.kept[c]));
          group.squared_errors.push_back(square(items.at(group.group.name), key));
        }
      }
    }
  }

  PruneProblem ProblemOf(const AutoModel& found, const PruneCosts& costs) const {
    return MakePruneProblem(
        found, costs, BudgetFraction() * costs.whole(), options_.blocks(),
        [&](size_t group, size_t choice) { return found.groups[group].squared_errors[choice]; },
        [&](size_t block) { return found.blocks[block].squared_error; });
  }

  // The found pruning, and what it is compared with.
  std::vector<MeasuredPruning> Compared(const AutoModel& found, const PruneCosts& costs,
                                        const PruneProblem& problem, const UnitOrder& order,
                                        const Allocation& best, uint64_t seed) const {
    std::vector<MeasuredPruning> all;
    const auto add = [&](std::string name, const Allocation& allocation) {
      all.push_back({std::move(name), problem.PruningOf(found, allocation),
                     std::sqrt(SquaredErrorOf(problem.choices, allocation))});
    };
    add("found", best);
    for (int64_t i = 0; i < options_.controls(); ++i) {
      const uint64_t stream = MixSeed(seed, {static_cast<uint64_t>(i)});
      add(absl::StrCat("random ", i + 1),
          *RandomAllocation(problem.choices, problem.budget_of_items(), stream));
    }
    // The same items, weighed by weights alone.
    PruneProblem local = problem;
    for (size_t i = 0; i < local.items.size(); ++i) {
      for (size_t c = 0; c < local.choices[i].size(); ++c) {
        const PruneProblem::Item& item = local.items[i];
        double& error = local.choices[i][c].squared_error;
        error = 0;
        if (item.block.has_value() && c + 1 == local.choices[i].size()) {
          error = order.block_norms_squared[*item.block];
          continue;
        }
        size_t rest = c;
        for (const size_t g : item.groups) {
          const std::vector<int64_t>& kept = found.groups[g].kept;
          const double norm =
              LocalError(order, g, CheapestUnits(order, g, kept[rest % kept.size()]));
          error += norm * norm;
          rest /= kept.size();
        }
      }
    }
    add("by weight norm", *BestAllocation(local.choices, local.budget_of_items()));
    std::optional<Pruning> uniform =
        UniformPruning(found, costs, problem.budget, options_.multiple());
    if (uniform.has_value()) all.push_back({"uniform", *std::move(uniform)});
    return all;
  }

  // The error of the whole model with each of them.
  static absl::Status Measure(const AutoModel& found, const UnitOrder& order,
                              Sensitivity& sensitivity, std::vector<MeasuredPruning>& all) {
    std::vector<std::string> names;
    for (const MeasuredPruning& measured : all) names.push_back(measured.name);
    const auto change = [&](size_t i, const std::string& component, Trial& trial) {
      const Pruning& pruning = all[i].pruning;
      for (size_t b = 0; b < found.blocks.size(); ++b) {
        const AutoBlock& block = found.blocks[b];
        if (block.component != component) continue;
        if (pruning.left_out.contains(b)) {
          trial.left_out.insert(block.path);
          continue;
        }
        std::vector<UnitMask> masks;
        for (const size_t g : block.groups) {
          if (pruning.kept[g] == found.groups[g].group.units) continue;
          masks.push_back({found.groups[g].group, CheapestUnits(order, g, pruning.kept[g])});
        }
        if (!masks.empty()) trial.edits[block.path] = MaskUnits(std::move(masks));
      }
    };
    WANLITE_ASSIGN_OR_RETURN(const std::vector<WholeError> errors,
                             sensitivity.Measure(names, change));
    for (size_t i = 0; i < all.size(); ++i) all[i].error = errors[i];
    return absl::OkStatus();
  }

  const PruneAutoOptions options_;
};

absl::Status CheckAutoBudget(const AutoBudget& budget) {
  const auto check = [](const char* field, double value) -> absl::Status {
    if (value > 0 && value <= 1) return absl::OkStatus();  // a NaN is neither
    return OptionError(field, absl::StrCat(value, " is not above 0 and at most 1"));
  };
  switch (budget.budget_case()) {
    case AutoBudget::kParametersFraction:
      return check("budget.parameters_fraction", budget.parameters_fraction());
    case AutoBudget::kBytesFraction:
      return check("budget.bytes_fraction", budget.bytes_fraction());
    case AutoBudget::kFlopsFraction:
      return check("budget.flops_fraction", budget.flops_fraction());
    case AutoBudget::kLatencyFraction:
      return check("budget.latency_fraction", budget.latency_fraction());
    default:
      return OptionError("budget",
                         "is missing; wanted parameters_fraction, bytes_fraction, flops_fraction "
                         "or latency_fraction");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakePruneAuto(const PruneAutoOptions& options) {
  PruneAutoOptions resolved = options;
  WANLITE_RETURN_IF_ERROR(CheckAutoBudget(resolved.budget()));
  if (resolved.ratios().empty()) {
    for (const double ratio : kDefaultRatios) resolved.add_ratios(ratio);
  }
  for (int i = 0; i < resolved.ratios_size(); ++i) {
    const double ratio = resolved.ratios(i);
    if (ratio > 0 && ratio < 1) continue;
    return OptionError(absl::StrCat("ratios[", i, "]"),
                       absl::StrCat(ratio, " is not above 0 and below 1"));
  }
  std::sort(resolved.mutable_ratios()->begin(), resolved.mutable_ratios()->end());
  if (resolved.kinds().empty()) {
    resolved.add_kinds("ffn.channels");
    resolved.add_kinds("*attn.heads");
  }
  if (!resolved.has_multiple()) resolved.set_multiple(1);
  if (!resolved.has_samples()) resolved.set_samples(kDefaultAutoPasses);
  if (!resolved.has_controls()) resolved.set_controls(kDefaultAutoControls);
  if (resolved.multiple() < 1) {
    return OptionError("multiple", absl::StrCat(resolved.multiple(), ", wanted at least 1"));
  }
  if (resolved.samples() < 1) {
    return OptionError("samples", absl::StrCat(resolved.samples(), ", wanted at least 1"));
  }
  if (resolved.controls() < 0 || resolved.controls() > 1000) {
    return OptionError("controls", absl::StrCat(resolved.controls(), " is not in [0, 1000]"));
  }
  if (resolved.criterion().scope() == UnitCriterion::GLOBAL) {
    return OptionError("criterion.scope",
                       "GLOBAL would choose how many units each group keeps, which is what the "
                       "search does; wanted LOCAL");
  }
  WANLITE_RETURN_IF_ERROR(ResolveCriterion(*resolved.mutable_criterion(), "criterion"));
  return std::make_unique<PruneAuto>(std::move(resolved));
}

}  // namespace wanlite
