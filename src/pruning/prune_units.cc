// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_units.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/calibration/input_moments.h"
#include "src/calibration/sample_tap.h"
#include "src/core/libtorch.h"
#include "src/model/block_numbers.h"
#include "src/model/unit_indices.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/choose_units.h"
#include "src/pruning/select_units.h"
#include "src/pruning/unit_scores.h"
#include "wanlite/block_program.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// What the options of the four passes have in common, defaults filled in.
struct UnitRequest {
  std::string name;  // of the pass
  UnitScope scope;
  UnitAmount amount;
  bool experts_together = false;
  bool mean_to_bias = false;
  UnitCriterion criterion;
  UnitSelector units;
};

// Groups that lose the same units: one, or the twins of several experts.
struct CutTogether {
  std::vector<AxisGroup> groups;
  int64_t units() const { return groups.front().units; }
};

const Component& ComponentOfGroup(const ModelView& model, const AxisGroup& group) {
  return model.ComponentOf(group.blocks.front());
}

const AxisGroup* FindGroup(const ModelView& model, absl::string_view name) {
  for (const AxisGroup& group : model.groups()) {
    if (group.name == name) return &group;
  }
  return nullptr;
}

// Every dim-1 ref; InvalidArgument for what is no linear layer with a bias.
absl::StatusOr<std::vector<AxisRef>> BiasReadersOf(const ModelView& model, const AxisGroup& group) {
  std::vector<AxisRef> readers;
  for (const AxisRef& ref : group.refs) {
    if (ref.dim != 1) continue;
    if (model.FindLinear(ref.tensor) == nullptr || group.block.empty()) {
      return OptionError("mean_to_bias", absl::StrCat(group.name, " is read by ", ref.tensor,
                                                      ", which is no "
                                                      "linear layer of the same block"));
    }
    if (!model.FindTensor(absl::StrCat(ref.tensor, ".bias")).ok()) {
      return OptionError("mean_to_bias", absl::StrCat(group.name, " is read by ", ref.tensor,
                                                      ", which has no bias"));
    }
    readers.push_back(ref);
  }
  if (!readers.empty()) return readers;
  return OptionError("mean_to_bias", absl::StrCat("no linear layer reads ", group.name));
}

// Means of what goes into some layers, over the rows of all samples by their weight.
class InputMeanTap : public SampleTap {
 public:
  explicit InputMeanTap(const std::vector<AxisRef>& readers) {
    for (const AxisRef& reader : readers) sums_[reader.tensor];
  }
  void BeginSample(double weight, int64_t bin) override { weight_ = weight; }
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    const auto found = sums_.find(linear.path);
    if (found == sums_.end()) return;
    const at::Tensor rows = InputRows(linear, x);
    const at::Tensor sum = rows.sum(0, /*keepdim=*/false, at::kDouble) * weight_;
    Sum& total = found->second;
    total.values = total.values.defined() ? total.values + sum : sum;
    total.rows += weight_ * static_cast<double>(rows.size(0));
  }
  // fp64 [in].
  absl::StatusOr<at::Tensor> MeanOf(const std::string& linear) const {
    const Sum& sum = sums_.at(linear);
    if (sum.rows == 0) return UnreachedError(linear);
    return sum.values / sum.rows;
  }

 private:
  struct Sum {
    at::Tensor values;
    double rows = 0;
  };
  std::map<std::string, Sum> sums_;
  double weight_ = 1;
};

// Hands what the removed units give on average to the biases of the layers that read them:
// bias += W[:, removed] mean(x)[removed] (FLAP, arXiv 2312.11983, section 4.3).
absl::Status MoveMeanToBias(ModelView& model, const BlockLease& block, const AxisGroup& group,
                            const at::Tensor& removed, PassContext& context) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<AxisRef> readers, BiasReadersOf(model, group));
  const at::NoGradGuard no_grad;
  InputMeanTap tap(readers);
  if (context.activations != nullptr) {
    WANLITE_RETURN_IF_ERROR(
        RunTapped(model, block, *context.activations, /*timestep_bins=*/1, tap, context.cancel));
  }
  for (const AxisRef& reader : readers) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor mean, tap.MeanOf(reader.tensor));
    const std::string path = absl::StrCat(reader.tensor, ".bias");
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(reader.tensor));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor bias, model.FindTensor(path));
    const at::Tensor columns = UnitIndices(reader, group.units, removed);
    const at::Tensor given = weight->Dequantize()
                                 .index_select(1, columns)
                                 .to(at::kDouble)
                                 .mv(mean.index_select(0, columns));
    WANLITE_RETURN_IF_ERROR(
        model.SetTensor(path, (bias.detach().to(at::kDouble) + given).to(bias.scalar_type())));
  }
  return absl::OkStatus();
}

// Units of a plan: so many, over the whole range, so that formats that are cut in whole groups
// alone refuse them as they would refuse others.
at::Tensor SpreadUnits(int64_t units, int64_t count) {
  return (at::arange(count, at::kLong) * units).div(count, "floor");
}

at::Tensor UnitsOf(const PruneUnitsDecision::Group& group) {
  return at::tensor(std::vector<int64_t>(group.kept().begin(), group.kept().end()), at::kLong);
}

at::Tensor RemovedUnits(int64_t units, const at::Tensor& kept) {
  return at::ones({units}, at::kBool).index_fill_(0, kept, false).nonzero().flatten();
}

// "2.1 %" of the group's cost is that of the removed units.
double ShareOf(const at::Tensor& cost, const at::Tensor& removed) {
  const double all = cost.sum().item<double>();
  return all > 0 ? 100 * cost.index_select(0, removed).sum().item<double>() / all : 0;
}

// Whether whole networks run in fp32 to score units.
bool ScoresNetworks(const UnitCriterion& criterion) {
  return criterion.score() == UnitCriterion::TAYLOR || criterion.score() == UnitCriterion::OBD ||
         criterion.score() == UnitCriterion::OUTPUT_ERROR;
}

class PruneUnits : public BlockPass {
 public:
  PruneUnits(UnitRequest request, std::unique_ptr<google::protobuf::Message> options)
      : request_(std::move(request)), options_(std::move(options)) {}

  absl::string_view name() const override { return request_.name; }
  const google::protobuf::Message& options() const override { return *options_; }
  std::optional<StreamOptions> activations() const override {
    return request_.mean_to_bias ? std::optional<StreamOptions>(StreamOptions()) : std::nullopt;
  }
  PassEffect effect() const override { return PassEffect::kPrunes; }
  bool needs_samples() const override {
    return request_.mean_to_bias || NeedsSamples(request_.criterion);
  }

  absl::StatusOr<std::vector<std::string>> sampled_components(
      const ModelView& model) const override {
    std::set<std::string> names;
    if (NeedsSamples(request_.criterion)) {
      WANLITE_ASSIGN_OR_RETURN(const std::vector<CutTogether> cuts, Cuts(model));
      for (const CutTogether& cut : cuts) {
        for (const AxisGroup& group : cut.groups) names.insert(ComponentOfGroup(model, group).name);
      }
    }
    return std::vector<std::string>(names.begin(), names.end());
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<CutTogether> cuts, Cuts(model));
    PassNotes notes;
    notes.exact = !global();
    for (const CutTogether& cut : cuts) {
      WANLITE_RETURN_IF_ERROR(CheckAmount(cut.groups.front()));
      for (const AxisGroup& group : cut.groups) {
        WANLITE_RETURN_IF_ERROR(CheckInputs(model, group));
        WANLITE_ASSIGN_OR_RETURN(const int64_t bytes, CutBytes(model, group));
        notes.block_scratch_bytes = std::max(notes.block_scratch_bytes, bytes);
      }
    }
    if (ScoresNetworks(request_.criterion)) {
      for (const CutTogether& cut : cuts) {
        for (const AxisGroup& group : cut.groups) {
          notes.peak_memory_bytes = std::max(
              notes.peak_memory_bytes, ScoringBytes(model, ComponentOfGroup(model, group).name));
        }
      }
      notes.notes.push_back(
          "scoring holds one block, widened to fp32; what flows through it in a forward and a "
          "backward pass comes on top");
    }
    AddNotes(model, cuts, notes.notes);
    return notes;
  }

  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Decide(
      ModelView& model, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<CutTogether> cuts, Cuts(model));
    std::vector<AxisGroup> groups;
    for (const CutTogether& cut : cuts) {
      for (const AxisGroup& group : cut.groups) {
        WANLITE_RETURN_IF_ERROR(CheckSampled(model, group, context));
        groups.push_back(group);
      }
    }
    WANLITE_ASSIGN_OR_RETURN(const auto scores,
                             ScoreUnits(model, groups, request_.criterion, context));
    std::vector<ScoredUnits> choices;
    for (const CutTogether& cut : cuts) {
      at::Tensor cost = at::zeros({cut.units()}, at::kDouble);
      for (const AxisGroup& group : cut.groups) cost = cost + scores.at(group.name).cost;
      choices.push_back({FamilyOf(model, cut.groups.front()), cost, OriginalOf(model, cut)});
    }
    const std::vector<at::Tensor> kept = ChooseUnits(choices, request_.amount, global());

    auto decision = std::make_unique<PruneUnitsDecision>();
    for (size_t i = 0; i < cuts.size(); ++i) {
      for (const AxisGroup& group : cuts[i].groups) {
        context.metrics["units"] += static_cast<double>(group.units);
        context.metrics["kept_units"] += static_cast<double>(kept[i].numel());
        decision->add_notes(NoteOf(group, kept[i], scores.at(group.name)));
        if (kept[i].numel() == group.units) continue;
        PruneUnitsDecision::Group& entry = *decision->add_groups();
        entry.set_name(group.name);
        const int64_t* unit = kept[i].const_data_ptr<int64_t>();
        entry.mutable_kept()->Add(unit, unit + kept[i].numel());
      }
    }
    return decision;
  }

  absl::Status Restructure(ModelView& model,
                           const google::protobuf::Message* decision) const override {
    return Cut(model, decision, /*spanning=*/true);
  }
  absl::Status ApplyPlan(ModelView& hollow,
                         const google::protobuf::Message* decision) const override {
    return Cut(hollow, decision, /*spanning=*/false);
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<std::vector<CutTogether>> cuts = Cuts(model);
    if (!cuts.ok()) return true;  // which running the block then tells
    for (const CutTogether& cut : *cuts) {
      if (!global() && Kept(model, cut) == cut.units()) continue;
      for (const AxisGroup& group : cut.groups) {
        if (group.block == block) return true;
      }
    }
    return false;
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    if (decision == nullptr) return absl::InternalError("nothing was decided");
    for (const auto& entry : static_cast<const PruneUnitsDecision*>(decision)->groups()) {
      const AxisGroup* group = FindGroup(model, entry.name());
      if (group == nullptr || group->block != block.block()) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      const at::Tensor kept = UnitsOf(entry);
      if (request_.mean_to_bias) {
        WANLITE_RETURN_IF_ERROR(
            MoveMeanToBias(model, block, *group, RemovedUnits(group->units, kept), context));
      }
      WANLITE_RETURN_IF_ERROR(model.KeepUnits(entry.name(), kept));
    }
    return absl::OkStatus();
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    const auto units = metrics.find("units");
    if (units == metrics.end() || units->second == 0) return;
    metrics["kept_fraction"] = metrics["kept_units"] / units->second;
  }

  std::vector<std::string> Explain(const google::protobuf::Message* decision) const override {
    if (decision == nullptr) return {};
    const auto& notes = static_cast<const PruneUnitsDecision*>(decision)->notes();
    return {notes.begin(), notes.end()};
  }

  // Its options are those that take the model from where the rounds before left it.
  absl::StatusOr<std::unique_ptr<Pass>> AtRound(double from, double to) const override {
    UnitRequest request = request_;
    request.amount.from = from;
    request.amount.to = to;
    std::unique_ptr<google::protobuf::Message> options(options_->New());
    options->CopyFrom(*options_);
    if (!request.amount.keep.has_value()) {
      const double amount = request.amount.amount;
      options->GetReflection()->SetDouble(options.get(),
                                          options->GetDescriptor()->FindFieldByName("amount"),
                                          1 - (1 - amount * to) / (1 - amount * from));
    }
    return std::make_unique<PruneUnits>(std::move(request), std::move(options));
  }

 private:
  bool global() const { return request_.criterion.scope() == UnitCriterion::GLOBAL; }

  int64_t OriginalOf(const ModelView& model, const CutTogether& cut) const {
    return model.OriginalUnits(cut.groups.front());
  }
  // As a plan has it; of GLOBAL an estimate.
  int64_t Kept(const ModelView& model, const CutTogether& cut) const {
    return UnitsToKeep(request_.amount, cut.units(), OriginalOf(model, cut));
  }

  // What competes under GLOBAL: one kind of a component, or of all experts of an architecture.
  std::string FamilyOf(const ModelView& model, const AxisGroup& group) const {
    const Component& component = ComponentOfGroup(model, group);
    return absl::StrCat(request_.experts_together ? component.architecture : component.name, " ",
                        group.kind);
  }

  // In forward order of their first groups.
  absl::StatusOr<std::vector<CutTogether>> Cuts(const ModelView& model) const {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<AxisGroup> groups,
                             SelectUnits(model, request_.units, request_.scope));
    std::vector<CutTogether> cuts;
    std::map<std::pair<std::string, std::string>, size_t> twins;  // by architecture and inner name
    std::map<std::string, std::set<std::string>> experts;         // by architecture
    for (const AxisGroup& group : groups) {
      const Component& component = ComponentOfGroup(model, group);
      if (request_.experts_together && component.role == ComponentRole::kDenoiser) {
        experts[component.architecture].insert(component.name);
        const std::string inner = group.name.substr(component.name.size());
        const auto [twin, is_new] = twins.try_emplace({component.architecture, inner}, cuts.size());
        if (!is_new) {
          CutTogether& cut = cuts[twin->second];
          if (group.units != cut.units()) {
            return OptionError("experts_together",
                               absl::StrCat(cut.groups.front().name, " has ", cut.units(),
                                            " units and ", group.name, " has ", group.units));
          }
          cut.groups.push_back(group);
          continue;
        }
      }
      cuts.push_back({{group}});
    }
    for (const auto& [key, index] : twins) {
      const std::set<std::string>& names = experts.at(key.first);
      if (cuts[index].groups.size() == names.size()) continue;
      std::set<std::string> missing = names;
      for (const AxisGroup& group : cuts[index].groups) {
        missing.erase(ComponentOfGroup(model, group).name);
      }
      return OptionError("experts_together",
                         absl::StrCat(cuts[index].groups.front().name, " has no twin in ",
                                      *missing.begin(), " that is selected"));
    }
    return cuts;
  }

  // Of a schedule its first round tells.
  absl::Status CheckAmount(const AxisGroup& group) const {
    const UnitAmount& amount = request_.amount;
    if (amount.from > 0) return absl::OkStatus();
    const auto of = [&] { return absl::StrCat("the ", group.units, " units of ", group.name); };
    if (amount.keep.has_value() && *amount.keep > group.units) {
      return OptionError("keep", absl::StrCat(*amount.keep, " is more than ", of()));
    }
    if (amount.multiple > group.units) {
      return OptionError("multiple", absl::StrCat(amount.multiple, " is more than ", of()));
    }
    if (global() && group.units % amount.multiple != 0) {
      return OptionError("multiple", absl::StrCat(of(), " are no multiple of ", amount.multiple,
                                                  ", and GLOBAL may leave all of them"));
    }
    const int64_t kept = RoundedUnits(amount, group.units);
    if (!global() && kept > group.units) {
      return OptionError("multiple",
                         absl::StrCat(of(), " are no multiple of ", amount.multiple,
                                      ": what is to stay of them is rounded up to ", kept));
    }
    return absl::OkStatus();
  }

  absl::Status CheckInputs(const ModelView& model, const AxisGroup& group) const {
    if (request_.mean_to_bias) WANLITE_RETURN_IF_ERROR(BiasReadersOf(model, group).status());
    const Component& component = ComponentOfGroup(model, group);
    if (!needs_samples() || ProgramOf(component) != nullptr) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(group.name, ": this wants recorded inputs, and ", ComponentText(component),
                     " has no block program that could be run on them"));
  }

  absl::Status CheckSampled(const ModelView& model, const AxisGroup& group,
                            const PassContext& context) const {
    const Component& component = ComponentOfGroup(model, group);
    if (!needs_samples() ||
        (context.samples != nullptr && context.samples->size(component.name) > 0)) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError(
        absl::StrCat(group.name, ": there are no recorded inputs of ", ComponentText(component)));
  }

  // What cutting the group takes at once: its tensors as they are left, and a reader's matrix.
  absl::StatusOr<int64_t> CutBytes(const ModelView& model, const AxisGroup& group) const {
    int64_t bytes = 0, matrix = 0;
    std::set<std::string> seen;
    for (const AxisRef& ref : group.refs) {
      if (group.block.empty() || !seen.insert(ref.tensor).second) continue;
      if (model.FindLinear(ref.tensor) == nullptr) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(ref.tensor));
      bytes += weight->bytes();
      matrix = std::max(matrix, weight->in_features() * weight->out_features() *
                                    static_cast<int64_t>(sizeof(float)));
    }
    return bytes + (request_.mean_to_bias ? 2 * matrix : 0);
  }

  // Of a component's largest block or rest as it is stored, and its narrow values in fp32 beside
  // it.
  static int64_t ScoringBytes(const ModelView& model, const std::string& component) {
    int64_t peak = 0;
    for (const BlockInfo& block : model.blocks()) {
      if (model.ComponentOf(block.path).name != component) continue;
      int64_t bytes = 0;
      for (const NamedTensor& named : model.BlockTensors(block.path)) {
        bytes += static_cast<int64_t>(named.tensor.nbytes());
        if (named.tensor.is_floating_point() && named.tensor.element_size() < 4) {
          bytes += 4 * named.tensor.numel();
        }
      }
      peak = std::max(peak, bytes);
    }
    return peak;
  }

  void AddNotes(const ModelView& model, const std::vector<CutTogether>& cuts,
                std::vector<std::string>& notes) const {
    struct Total {
      int64_t groups = 0, units = 0, kept = 0;
    };
    std::map<std::pair<std::string, std::string>, Total> totals;  // by component and kind
    bool exact = true;
    std::set<std::string> experts;
    for (const CutTogether& cut : cuts) {
      for (const AxisGroup& group : cut.groups) {
        const Component& component = ComponentOfGroup(model, group);
        Total& total = totals[{ComponentText(component), group.kind}];
        ++total.groups;
        total.units += group.units;
        total.kept += Kept(model, cut);
        exact = exact && group.exact();
        experts.insert(component.name);
      }
    }
    for (const auto& [key, total] : totals) {
      const auto& [component, kind] = key;
      notes.push_back(
          total.kept == total.units
              ? absl::StrCat(component, ": ", kind, ": nothing is removed of the ", total.units,
                             " units in ", total.groups, " groups: the amount rounds to none")
              : absl::StrCat(
                    component, ": ", kind, ": ", total.units, " -> ", total.kept, " units in ",
                    total.groups, " groups",
                    global() ? ", the cheapest of all; of which groups is not known yet" : ""));
    }
    if (!exact) {
      notes.push_back(
          "not exact: layer norms see the kept channels alone, so that the result differs from "
          "that of the model with the removed ones masked");
    }
    if (request_.criterion.score() == UnitCriterion::RANDOM) {
      notes.push_back("units are drawn at random: a control");
    }
    if (request_.experts_together && experts.size() < 2) {
      notes.push_back("experts_together says nothing: units of one denoiser are selected");
    }
  }

  static std::string NoteOf(const AxisGroup& group, const at::Tensor& kept,
                            const UnitScores& scores) {
    std::string note = absl::StrCat(group.name, ": ", kept.numel(), " of ", group.units, " stay");
    if (kept.numel() == group.units) return note;
    const at::Tensor removed = RemovedUnits(group.units, kept);
    absl::StrAppendFormat(&note, "; what goes is %.2f %% of the cost",
                          ShareOf(scores.cost, removed));
    if (scores.worst.defined()) {
      absl::StrAppendFormat(&note, ", and %.2f %% at the worst timestep, %g",
                            ShareOf(scores.worst, removed), scores.worst_timestep);
    }
    return note;
  }

  absl::Status Cut(ModelView& model, const google::protobuf::Message* decision,
                   bool spanning) const {
    std::vector<std::pair<std::string, at::Tensor>> kept;
    if (decision == nullptr) {
      WANLITE_ASSIGN_OR_RETURN(const std::vector<CutTogether> cuts, Cuts(model));
      for (const CutTogether& cut : cuts) {
        const int64_t count = Kept(model, cut);
        if (count == cut.units()) continue;
        for (const AxisGroup& group : cut.groups) {
          kept.emplace_back(group.name, SpreadUnits(group.units, count));
        }
      }
    } else {
      for (const auto& entry : static_cast<const PruneUnitsDecision*>(decision)->groups()) {
        kept.emplace_back(entry.name(), UnitsOf(entry));
      }
    }
    for (const auto& [name, units] : kept) {
      const AxisGroup* group = FindGroup(model, name);
      if (group == nullptr) {
        return absl::InternalError(absl::StrCat("there is no axis group ", name, " to cut"));
      }
      if (group->block.empty() != spanning) continue;
      WANLITE_RETURN_IF_ERROR(model.KeepUnits(name, units));
    }
    return absl::OkStatus();
  }

  const UnitRequest request_;
  const std::unique_ptr<const google::protobuf::Message> options_;
};

// options: gets its defaults.
template <typename Options>
absl::StatusOr<UnitRequest> Resolve(Options& options, const char* name, UnitScope scope) {
  UnitRequest request;
  request.name = name;
  request.scope = std::move(scope);
  if (options.has_amount() == options.has_keep()) {
    return OptionError("amount", options.has_keep() ? "and keep are both given; wanted one of them"
                                                    : "and keep are missing; wanted one of them");
  }
  if (options.has_amount()) {
    // A NaN fails both comparisons.
    if (!(options.amount() >= 0 && options.amount() < 1)) {
      return OptionError("amount", absl::StrCat(options.amount(), " is not in [0, 1)"));
    }
    request.amount.amount = options.amount();
  } else {
    if (options.keep() < 1) {
      return OptionError("keep", absl::StrCat(options.keep(), " leaves nothing; wanted 1 or more"));
    }
    request.amount.keep = options.keep();
  }
  if (!options.has_multiple()) options.set_multiple(1);
  if (options.multiple() < 1) {
    return OptionError("multiple", absl::StrCat(options.multiple(), " is not 1 or more"));
  }
  request.amount.multiple = options.multiple();
  WANLITE_RETURN_IF_ERROR(ResolveCriterion(*options.mutable_criterion(), "criterion"));
  if (options.has_keep() && options.criterion().scope() == UnitCriterion::GLOBAL) {
    return OptionError("keep",
                       "says what stays of each group, and criterion.scope is GLOBAL; wanted "
                       "amount");
  }
  if constexpr (requires { options.experts_together(); }) {
    request.experts_together = options.experts_together();
  }
  if constexpr (requires { options.mean_to_bias(); }) {
    request.mean_to_bias = options.mean_to_bias();
  }
  request.criterion = options.criterion();
  request.units = options.units();
  return request;
}

template <typename Options>
absl::StatusOr<std::unique_ptr<Pass>> Make(const Options& options, const char* name,
                                           UnitScope scope) {
  auto resolved = std::make_unique<Options>(options);
  WANLITE_ASSIGN_OR_RETURN(UnitRequest request, Resolve(*resolved, name, std::move(scope)));
  return std::make_unique<PruneUnits>(std::move(request), std::move(resolved));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakePruneFfn(const PruneFfnOptions& options) {
  return Make(options, "prune-ffn", {{"*ffn.channels", "*mlp.channels"}});
}

absl::StatusOr<std::unique_ptr<Pass>> MakePruneHeads(const PruneHeadsOptions& options) {
  return Make(options, "prune-heads", {{"*attn.heads"}});
}

absl::StatusOr<std::unique_ptr<Pass>> MakePruneWidth(const PruneWidthOptions& options) {
  return Make(options, "prune-width", {{"width"}});
}

absl::StatusOr<std::unique_ptr<Pass>> MakePruneVae(const PruneVaeOptions& options) {
  if (NeedsSamples(options.criterion())) {
    return OptionError("criterion.score",
                       absl::StrCat(UnitCriterion::Score_Name(options.criterion().score()),
                                    " looks at recorded inputs, and none are recorded of "
                                    "autoencoders; wanted L2, L1 or RANDOM"));
  }
  return Make(options, "prune-vae", {{"vae.*"}, {ComponentRole::kAutoencoder}});
}

}  // namespace wanlite
