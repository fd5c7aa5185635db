// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_auto_problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/pruning/choose_units.h"
#include "src/pruning/select_units.h"
#include "wanlite/block_program.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Choices of one item of the allocation.
constexpr size_t kMostCombinations = 4096;

// Values or bytes that go with each path of a layer or tensor, biases apart.
std::map<std::string, double> AmountsOf(const ModelView& model,
                                        const std::set<std::string>& components, bool bytes) {
  std::map<std::string, double> amounts;
  std::set<std::string> of_weights;
  const auto ours = [&](const std::string& path) {
    return components.contains(model.ComponentOf(path).name);
  };
  for (const LinearInfo& linear : model.weights()) {
    const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
    if (!ours(linear.path) || !weight.ok()) continue;
    for (const WeightTensor& state : (*weight)->State()) {
      of_weights.insert(absl::StrCat(linear.path, ".", state.name));
    }
    amounts[linear.path] = static_cast<double>(
        bytes ? (*weight)->bytes() : (*weight)->out_features() * (*weight)->in_features());
  }
  for (const NamedTensor& named : model.Tensors()) {
    if (!ours(named.name) || of_weights.contains(named.name)) continue;
    const auto size = static_cast<int64_t>(bytes ? named.tensor.element_size() : 1);
    amounts[named.name] = static_cast<double>(named.tensor.numel() * size);
  }
  return amounts;
}

// How often each tensor of a group is cut by it: layers by path, and their biases.
std::map<std::string, int> PowersOf(const AxisGroup& group) {
  std::map<std::string, int> powers;
  for (const AxisRef& ref : group.refs) {
    powers[ref.tensor] += 1;
    if (ref.dim == 0) powers[absl::StrCat(ref.tensor, ".bias")] += 1;
  }
  return powers;
}

// Columns of layers that read the group's units.
absl::Status CheckReaders(const ModelView& model, const AxisGroup& group) {
  bool read = false;
  for (const AxisRef& ref : group.refs) {
    if (model.FindLinear(ref.tensor) == nullptr) continue;
    WANLITE_RETURN_IF_ERROR(DenseWeightOf(model, ref.tensor).status());
    read = read || ref.dim == 1;
  }
  if (read) return absl::OkStatus();
  return OptionError("kinds", absl::StrCat(group.name,
                                           ": no linear layer reads its units, which a "
                                           "trial would have to mask"));
}

}  // namespace

std::set<std::string> AutoModel::components() const {
  std::set<std::string> names;
  for (const AutoBlock& block : blocks) names.insert(block.component);
  return names;
}

std::string WidthKey(int64_t kept, const std::vector<int64_t>& removed) {
  Sha256 hash;
  for (const int64_t unit : removed) hash.Update(absl::StrCat(unit, " "));
  return absl::StrCat("keep ", kept, ", without ", hash.Finish().substr(0, 12));
}

int64_t KeptAtRatio(int64_t units, double ratio, int64_t multiple) {
  return UnitsToKeep({ratio, std::nullopt, multiple}, units, units);
}

absl::StatusOr<AutoModel> FindAutoModel(const ModelView& model, const PruneAutoOptions& options) {
  AutoModel found;
  const UnitScope scope{{options.kinds().begin(), options.kinds().end()}};
  WANLITE_ASSIGN_OR_RETURN(const std::vector<AxisGroup> groups,
                           SelectUnits(model, options.units(), scope));
  std::map<std::string, size_t> block_of;
  std::map<std::string, std::string> owner;  // of a tensor: the group that cuts it
  std::set<ComponentRole> roles;
  std::map<std::string, std::string> unchanged;  // group -> why it has no choice
  for (const AxisGroup& group : groups) {
    if (group.block.empty()) {
      return OptionError("kinds", absl::StrCat(group.name,
                                               " is in several blocks; a search weighs groups that "
                                               "are in one"));
    }
    WANLITE_RETURN_IF_ERROR(CheckReaders(model, group));
    for (const AxisRef& ref : group.refs) {
      const auto [other, fresh] = owner.try_emplace(ref.tensor, group.name);
      if (fresh || other->second == group.name) continue;
      return OptionError("kinds",
                         absl::StrCat(group.name, " and ", other->second, " both cut ", ref.tensor,
                                      ", so that what they cost does not add "
                                      "up; choose one of them"));
    }
    const Component& component = model.ComponentOf(group.block);
    roles.insert(component.role);
    if (ProgramOf(component) == nullptr) {
      return OptionError("kinds", absl::StrCat(group.name, ": '", component.name,
                                               "' has no program to run it block by block"));
    }
    AutoGroup choices{group, component.name, {group.units}};
    for (const double ratio : options.ratios()) {
      const int64_t kept = KeptAtRatio(group.units, ratio, options.multiple());
      if (kept < choices.kept.back()) choices.kept.push_back(kept);
    }
    if (choices.kept.size() == 1) {
      unchanged[group.name] = absl::StrCat(group.units, " units");
    }
    const auto [block, fresh] = block_of.try_emplace(group.block, found.blocks.size());
    if (fresh) found.blocks.push_back({group.block, component.name, {}});
    found.blocks[block->second].groups.push_back(found.groups.size());
    found.groups.push_back(std::move(choices));
  }
  if (roles.size() > 1) {
    return OptionError("units",
                       "select groups of networks of several kinds, whose outputs are no one "
                       "error; name the components of one kind");
  }
  if (!unchanged.empty()) {
    found.notes.push_back(absl::StrCat(
        unchanged.size(), " groups have no choice: ", unchanged.begin()->first, " has ",
        unchanged.begin()->second, ", and keeps multiples of ", options.multiple()));
  }
  for (const BlockInfo& info : model.blocks()) {
    const auto block = block_of.find(info.path);
    if (block != block_of.end()) found.blocks[block->second].removable = info.removable;
  }
  for (const AutoBlock& block : found.blocks) {
    if (!options.blocks()) break;
    size_t combinations = 1;
    for (const size_t group : block.groups) combinations *= found.groups[group].kept.size();
    if (combinations <= kMostCombinations) continue;
    return OptionError(
        "ratios", absl::StrCat("make ", combinations, " combinations of widths of ", block.path,
                               ", more than ", kMostCombinations, "; name fewer"));
  }
  return found;
}

Pruning WholeOf(const AutoModel& model) {
  Pruning whole;
  for (const AutoGroup& group : model.groups) whole.kept.push_back(group.group.units);
  return whole;
}

PruneCosts PruneCosts::OfParameters(const ModelView& model, const AutoModel& found, bool bytes) {
  PruneCosts costs;
  const std::map<std::string, double> amounts = AmountsOf(model, found.components(), bytes);
  std::map<std::string, size_t> numbers;
  for (const AutoBlock& block : found.blocks) numbers.emplace(block.path, numbers.size());
  costs.blocks_.resize(found.blocks.size());
  for (const auto& [path, amount] : amounts) {
    costs.whole_ += amount;
    const auto block = numbers.find(model.BlockOf(path));
    if (block != numbers.end()) costs.blocks_[block->second] += amount;
  }
  for (const AutoGroup& group : found.groups) {
    std::vector<Part> parts;
    for (const auto& [path, power] : PowersOf(group.group)) {
      const auto amount = amounts.find(path);
      if (amount != amounts.end()) parts.push_back({amount->second, power});
    }
    costs.units_.push_back(group.group.units);
    costs.parts_.push_back(std::move(parts));
  }
  return costs;
}

PruneCosts PruneCosts::OfWork(const ModelView& model, const AutoModel& found, const Work& work) {
  PruneCosts costs;
  std::map<std::string, size_t> numbers;
  for (const AutoBlock& block : found.blocks) numbers.emplace(block.path, numbers.size());
  costs.blocks_.resize(found.blocks.size());
  for (const auto* amounts : {&work.linears, &work.attentions}) {
    for (const auto& [path, amount] : *amounts) {
      costs.whole_ += amount;
      const auto block = numbers.find(model.BlockOf(path));
      if (block != numbers.end()) costs.blocks_[block->second] += amount;
    }
  }
  for (const AutoGroup& group : found.groups) {
    std::vector<Part> parts;
    for (const auto& [path, power] : PowersOf(group.group)) {
      const auto amount = work.linears.find(path);
      if (amount != work.linears.end()) parts.push_back({amount->second, power});
    }
    for (const AttentionInfo& attention : model.attentions()) {
      const auto amount = work.attentions.find(attention.query);
      if (attention.heads != group.group.name || amount == work.attentions.end()) continue;
      parts.push_back({amount->second, 1});
    }
    costs.units_.push_back(group.group.units);
    costs.parts_.push_back(std::move(parts));
  }
  return costs;
}

PruneCosts PruneCosts::OfTime(double whole, std::vector<double> blocks,
                              std::vector<std::map<int64_t, double>> saved) {
  PruneCosts costs;
  costs.whole_ = whole;
  costs.blocks_ = std::move(blocks);
  costs.saved_ = std::move(saved);
  return costs;
}

double PruneCosts::Saved(size_t group, int64_t kept) const {
  if (!saved_.empty()) {
    const std::map<int64_t, double>& known = saved_[group];
    const auto above = known.lower_bound(kept);
    if (above == known.end()) return 0;
    if (above->first == kept || above == known.begin()) return above->second;
    const auto below = std::prev(above);
    const double part =
        static_cast<double>(kept - below->first) / static_cast<double>(above->first - below->first);
    return below->second + part * (above->second - below->second);
  }
  // Amounts are multiples of the units to that power, so that whole numbers stay whole.
  const auto units = static_cast<double>(units_[group]), left = static_cast<double>(kept);
  double saved = 0;
  for (const Part& part : parts_[group]) {
    const double all = std::pow(units, part.power);
    saved += part.amount / all * (all - std::pow(left, part.power));
  }
  return saved;
}

double PruneCosts::Of(const AutoModel& model, const Pruning& pruning) const {
  double cost = whole_;
  for (size_t b = 0; b < model.blocks.size(); ++b) {
    if (pruning.left_out.contains(b)) {
      cost -= blocks_[b];
      continue;
    }
    for (const size_t group : model.blocks[b].groups) cost -= Saved(group, pruning.kept[group]);
  }
  return cost;
}

Pruning PruneProblem::PruningOf(const AutoModel& model, const Allocation& allocation) const {
  Pruning pruning = WholeOf(model);
  for (size_t i = 0; i < items.size(); ++i) {
    auto choice = static_cast<size_t>(allocation[i]);
    if (items[i].block.has_value() && choice + 1 == choices[i].size()) {
      pruning.left_out.insert(*items[i].block);
      continue;
    }
    for (const size_t group : items[i].groups) {
      const std::vector<int64_t>& kept = model.groups[group].kept;
      pruning.kept[group] = kept[choice % kept.size()];
      choice /= kept.size();
    }
  }
  return pruning;
}

PruneProblem MakePruneProblem(const AutoModel& model, const PruneCosts& costs, double budget,
                              bool blocks,
                              const std::function<double(size_t group, size_t choice)>& error,
                              const std::function<double(size_t block)>& block_error) {
  PruneProblem problem;
  problem.budget = budget;
  problem.fixed = costs.whole();
  std::map<std::string, size_t> stays;  // of each component the block whose loss is worst
  for (size_t b = 0; blocks && b < model.blocks.size(); ++b) {
    const auto [worst, fresh] = stays.try_emplace(model.blocks[b].component, b);
    if (!fresh && block_error(b) > block_error(worst->second)) worst->second = b;
  }
  for (size_t b = 0; b < model.blocks.size(); ++b) {
    const AutoBlock& block = model.blocks[b];
    if (blocks && block.removable && stays.at(block.component) != b) {
      problem.items.push_back({block.groups, b});
    } else {
      for (const size_t group : block.groups) problem.items.push_back({{group}, std::nullopt});
    }
  }
  for (const PruneProblem::Item& item : problem.items) {
    size_t combinations = 1;
    double most = 0;
    for (const size_t group : item.groups) {
      const std::vector<int64_t>& kept = model.groups[group].kept;
      combinations *= kept.size();
      most += costs.Saved(group, kept.back());
    }
    const double whole = item.block.has_value() ? costs.Block(*item.block) : most;
    problem.fixed -= whole;
    std::vector<Choice>& choices = problem.choices.emplace_back();
    for (size_t combination = 0; combination < combinations; ++combination) {
      Choice choice{whole, 0};
      size_t rest = combination;
      for (const size_t group : item.groups) {
        const std::vector<int64_t>& kept = model.groups[group].kept;
        choice.cost -= costs.Saved(group, kept[rest % kept.size()]);
        choice.squared_error += error(group, rest % kept.size());
        rest /= kept.size();
      }
      choices.push_back(choice);
    }
    if (item.block.has_value()) choices.push_back({0, block_error(*item.block)});
  }
  return problem;
}

std::optional<Pruning> UniformPruning(const AutoModel& model, const PruneCosts& costs,
                                      double budget, int64_t multiple) {
  constexpr int kSteps = 1000;
  const auto kept_at = [&](size_t group, int step) {
    return KeptAtRatio(model.groups[group].group.units, static_cast<double>(step) / kSteps,
                       multiple);
  };
  Pruning uniform = WholeOf(model);
  for (int step = 0; step < kSteps; ++step) {
    for (size_t g = 0; g < model.groups.size(); ++g) uniform.kept[g] = kept_at(g, step);
    if (costs.Of(model, uniform) > budget) continue;
    // Counts jump in all groups at once: what fits stays as it was a step before.
    for (size_t g = 0; step > 0 && g < model.groups.size(); ++g) {
      uniform.kept[g] = kept_at(g, step - 1);
      if (costs.Of(model, uniform) > budget) uniform.kept[g] = kept_at(g, step);
    }
    return uniform;
  }
  return std::nullopt;
}

}  // namespace wanlite
