// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_magnitude.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/magnitude.h"
#include "src/pruning/sparsify.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

int64_t WeightCount(const LinearWeight& weight) {
  return weight.in_features() * weight.out_features();
}

absl::Status NanError(const std::string& linear) {
  return absl::InvalidArgumentError(
      absl::StrCat(linear, ".weight holds a NaN, which has no magnitude to compare"));
}

class PruneMagnitude : public BlockPass {
 public:
  explicit PruneMagnitude(PruneMagnitudeOptions options)
      : options_(std::move(options)),
        linears_(FilterOf(options_.linears())),
        form_{options_.store()} {}

  absl::string_view name() const override { return "prune-magnitude"; }
  const google::protobuf::Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kPrunes; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, Select(model));
    PassNotes plan;
    plan.notes = std::move(selection.notes);
    plan.notes.push_back(SparseFormNote(form_));
    std::map<std::string, int64_t> component_weights;
    for (const LinearInfo& linear : selection.linears) {
      const int64_t count = WeightCount(**model.Weight(linear.path));
      // What it prunes, of a dtype that it knows when it runs, and two masks.
      plan.block_scratch_bytes = std::max(plan.block_scratch_bytes, 6 * count);
      component_weights[model.ComponentOf(linear.path).name] += count;
      plan.value_changes.emplace_back(
          linear.path, global()
                           ? absl::StrCat("its share of the component's ", options_.amount() * 100,
                                          " % smallest, of ", count, " weights")
                           : ZerosText(CountToPrune(options_.amount(), count), count));
    }
    if (global()) {
      for (const auto& [component, count] : component_weights) {
        plan.notes.push_back(absl::StrCat(component.empty() ? "model" : component, ": ",
                                          CountToPrune(options_.amount(), count), " of ", count,
                                          " weights to zero, by one threshold for all its layers"));
      }
    }
    if (global()) {
      plan.block_scratch_bytes +=
          static_cast<int64_t>(selection.linears.size()) * 65536 * int64_t{sizeof(int64_t)};
    }
    return plan;
  }

  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Decide(
      ModelView& model, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, Select(model));
    if (!global()) return std::unique_ptr<google::protobuf::Message>();
    return FindGlobalRules(model, selection, context);
  }

  absl::Status ApplyPlan(ModelView& hollow, const google::protobuf::Message*) const override {
    return ApplySparseForm(hollow, linears_, form_);
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    return TouchesSelection(model, linears_, block);
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, Select(model));
    const std::map<std::string, PruneRule> rules = RulesOf(decision);
    for (const LinearInfo& linear : selection.InBlock(block.block())) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor weight, PrunableMatrix(model, linear.path));
      std::optional<PruneRule> rule;
      if (!global()) {
        rule = RuleForSmallest(weight, CountToPrune(options_.amount(), weight.numel()));
        if (!rule.has_value()) return NanError(linear.path);
      } else {
        const auto found = rules.find(linear.path);
        if (found == rules.end()) {
          return absl::InternalError(absl::StrCat(linear.path, ": nothing was decided for it"));
        }
        rule = found->second;
      }
      WANLITE_RETURN_IF_ERROR(SetSparse(model, linear.path, weight, KeepLargest(weight, *rule),
                                        form_, context.metrics));
    }
    return absl::OkStatus();
  }

  // Weights that are zero already count first, so a round prunes up to its share of the amount.
  absl::StatusOr<std::unique_ptr<Pass>> AtRound(double from, double to) const override {
    PruneMagnitudeOptions options = options_;
    options.set_amount(options_.amount() * to);
    return std::make_unique<PruneMagnitude>(std::move(options));
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    FinishZeros(metrics);
  }

 private:
  bool global() const { return options_.scope() == PruneMagnitudeOptions::GLOBAL; }

  absl::StatusOr<LinearSelection> Select(const ModelView& model) const {
    return SelectPrunable(model, linears_, form_);
  }

  static std::map<std::string, PruneRule> RulesOf(const google::protobuf::Message* decision) {
    std::map<std::string, PruneRule> rules;
    if (decision == nullptr) return rules;
    for (const auto& rule : static_cast<const PruneMagnitudeDecision*>(decision)->rules()) {
      rules[rule.linear()] = {rule.threshold(), rule.ties()};
    }
    return rules;
  }

  // Calls visit(path, weight) for every selected layer, one block leased at a time.
  template <typename VisitFn>
  absl::Status Sweep(ModelView& model, const LinearSelection& selection, PassContext& context,
                     VisitFn visit) const {
    for (const BlockInfo& block : std::vector<BlockInfo>(model.blocks())) {
      const std::vector<LinearInfo> layers = selection.InBlock(block.path);
      if (layers.empty()) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
      for (const LinearInfo& layer : layers) {
        WANLITE_ASSIGN_OR_RETURN(const at::Tensor weight, PrunableMatrix(model, layer.path));
        WANLITE_RETURN_IF_ERROR(visit(layer.path, weight));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> FindGlobalRules(
      ModelView& model, const LinearSelection& selection, PassContext& context) const {
    struct Threshold {
      MagnitudeHistogram upper, lower;
      MagnitudeHistogram::Position high;
      int64_t weights = 0;
      int64_t count = 0;  // to become zero
    };
    std::map<std::string, Threshold> components;
    WANLITE_RETURN_IF_ERROR(
        Sweep(model, selection, context, [&](const std::string& path, const at::Tensor& weight) {
          Threshold& threshold = components[model.ComponentOf(path).name];
          threshold.weights += weight.numel();
          return threshold.upper.AddUpper(weight) ? absl::OkStatus() : NanError(path);
        }));
    for (auto& [name, threshold] : components) {
      threshold.count = CountToPrune(options_.amount(), threshold.weights);
      if (threshold.count > 0) threshold.high = threshold.upper.Find(threshold.count);
    }
    std::map<std::string, MagnitudeHistogram> layers;
    WANLITE_RETURN_IF_ERROR(
        Sweep(model, selection, context, [&](const std::string& path, const at::Tensor& weight) {
          Threshold& threshold = components[model.ComponentOf(path).name];
          if (threshold.count == 0) return absl::OkStatus();
          MagnitudeHistogram& layer = layers[path];
          layer.AddLower(weight, threshold.high.bin);
          threshold.lower.Add(layer);
          return absl::OkStatus();
        }));

    // Ties at the threshold go to the layers in forward order until they are used up.
    std::map<std::string, PruneRule> found;
    for (auto& [name, threshold] : components) {
      if (threshold.count == 0) continue;
      const int64_t rest = threshold.count - threshold.high.below;
      const MagnitudeHistogram::Position low = threshold.lower.Find(rest);
      int64_t ties = rest - low.below;
      for (const LinearInfo& linear : selection.linears) {
        if (model.ComponentOf(linear.path).name != name) continue;
        const int64_t own = std::min(ties, layers[linear.path][low.bin]);
        ties -= own;
        found[linear.path] = {(threshold.high.bin << 16) | low.bin, own};
      }
    }
    auto decision = std::make_unique<PruneMagnitudeDecision>();
    for (const LinearInfo& linear : selection.linears) {
      PruneMagnitudeDecision::Rule& rule = *decision->add_rules();
      rule.set_linear(linear.path);
      rule.set_threshold(found[linear.path].threshold);
      rule.set_ties(found[linear.path].ties);
    }
    return decision;
  }

  const PruneMagnitudeOptions options_;
  const LinearFilter linears_;
  const SparseForm form_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakePruneMagnitude(const PruneMagnitudeOptions& options) {
  WANLITE_RETURN_IF_ERROR(CheckAmount(options.has_amount(), options.amount()));
  if (!PruneMagnitudeOptions::Scope_IsValid(options.scope())) {
    return OptionError("scope",
                       absl::StrCat(static_cast<int>(options.scope()), " is not LOCAL or GLOBAL"));
  }
  WANLITE_RETURN_IF_ERROR(CheckStore({options.store()}));
  return std::make_unique<PruneMagnitude>(options);
}

}  // namespace wanlite
