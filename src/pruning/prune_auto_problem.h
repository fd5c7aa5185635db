// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What prune-auto searches: groups with the numbers of units that they may keep, blocks that may
// go, and what each choice costs. Pure, but for what a model's shapes tell.
//
// Removing a block takes the choices of its groups with it. So where blocks may go, one item of the
// allocation is a whole block: its choices are all combinations of widths of its groups, and to be
// left out. That keeps the search exact in one stage; deciding on blocks first and on widths after
// could not weigh a block against half of two others.
#ifndef WANLITE_SRC_PRUNING_PRUNE_AUTO_PROBLEM_H_
#define WANLITE_SRC_PRUNING_PRUNE_AUTO_PROBLEM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/proto/pruning.pb.h"
#include "src/search/allocation.h"
#include "wanlite/model_view.h"

namespace wanlite {

struct AutoGroup {
  AxisGroup group;
  std::string component;
  std::vector<int64_t> kept;  // that it may keep: all its units first, then fewer and fewer
  std::vector<double> squared_errors = {};  // by choice
};

struct AutoBlock {
  std::string path;
  std::string component;
  std::vector<size_t> groups;  // numbers of those in it
  bool removable = false;
  double squared_error = 0;  // without it
};

struct AutoModel {
  std::vector<AutoGroup> groups;  // in forward order
  std::vector<AutoBlock> blocks;  // that hold them
  std::vector<std::string> notes;
  std::set<std::string> components() const;
};

// Units that are left of `units` when the part `ratio` in [0, 1) of them goes, as UnitsToKeep().
int64_t KeptAtRatio(int64_t units, double ratio, int64_t multiple);

// Names a width in scans. Says which units are gone, so that scores of another order are others.
std::string WidthKey(int64_t kept, const std::vector<int64_t>& removed);

// The groups that the options (resolved) select, by shapes alone. As OptionError(): groups that
// span blocks, that no linear layer reads or that share a layer; layers that are not dense; too
// many combinations of a block.
absl::StatusOr<AutoModel> FindAutoModel(const ModelView& model, const PruneAutoOptions& options);

// One way to prune the model.
struct Pruning {
  std::vector<int64_t> kept;    // by group
  std::set<size_t> left_out{};  // blocks
  bool operator==(const Pruning&) const = default;
};
// Nothing is pruned.
Pruning WholeOf(const AutoModel& model);

// What a model costs, of which a budget is a part. Costs of groups add up.
class PruneCosts {
 public:
  // Multiply-adds of a layer or attention per forward, by linear path of the layer or the query.
  struct Work {
    std::map<std::string, double> linears, attentions;
  };
  // Of all components that groups are in: numbers of values, or stored bytes.
  static PruneCosts OfParameters(const ModelView& model, const AutoModel& found, bool bytes);
  // Multiply-adds of linear layers and of attention, QK^T and PV.
  static PruneCosts OfWork(const ModelView& model, const AutoModel& found, const Work& work);
  // Seconds of blocks, and of each with some numbers of a group's units left; between these it is
  // linear. saved[group]: by kept units.
  static PruneCosts OfTime(double whole, std::vector<double> blocks,
                           std::vector<std::map<int64_t, double>> saved);

  double whole() const { return whole_; }
  double Block(size_t block) const { return blocks_[block]; }
  // What is saved when the group keeps so many of its units.
  double Saved(size_t group, int64_t kept) const;
  double Of(const AutoModel& model, const Pruning& pruning) const;

 private:
  // Goes with the share of kept units to this power: 2 for a tensor with two axes of the group.
  struct Part {
    double amount = 0;
    int power = 1;
  };
  double whole_ = 0;
  std::vector<double> blocks_;
  std::vector<int64_t> units_;            // by group
  std::vector<std::vector<Part>> parts_;  // by group; or
  std::vector<std::map<int64_t, double>> saved_;
};

// The allocation of squared errors and costs.
struct PruneProblem {
  struct Item {
    std::vector<size_t> groups;   // whose widths are combined
    std::optional<size_t> block;  // that may be left out: the last choice
  };
  std::vector<Item> items;
  Choices choices;
  double fixed = 0;   // cost of what no item tells
  double budget = 0;  // of all

  double budget_of_items() const { return budget - fixed; }
  Pruning PruningOf(const AutoModel& model, const Allocation& allocation) const;
};

// squared_error: of a group's choice; block_error: of a block left out. Blocks may go where they
// are removable and `blocks` is true; each component keeps at least the one whose loss is worst.
PruneProblem MakePruneProblem(const AutoModel& model, const PruneCosts& costs, double budget,
                              bool blocks,
                              const std::function<double(size_t group, size_t choice)>& error,
                              const std::function<double(size_t block)>& block_error);

// The same part of every group removed, as little as the budget allows, and a unit or multiple less
// of the first groups where that fits too; no value when the budget allows none.
std::optional<Pruning> UniformPruning(const AutoModel& model, const PruneCosts& costs,
                                      double budget, int64_t multiple);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_PRUNE_AUTO_PROBLEM_H_
