// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/quantize_auto.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/core/random.h"
#include "src/core/stopwatch.h"
#include "src/proto/quant.pb.h"
#include "src/quant/quantize_auto_report.h"
#include "src/quant/weight_quantizer.h"
#include "src/search/allocation.h"
#include "src/search/network_trials.h"
#include "src/search/sensitivity.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kDefaultPasses = 4;
constexpr int64_t kDefaultControls = 3;
// Beside a block and its new weights: rows expanded to fp32 and the like.
constexpr int64_t kTrialScratchBytes = int64_t{32} << 20;
constexpr char kAsItIs[] = "dense";  // key of its time in the scan

struct Candidate {
  std::string key;   // its resolved options, on one line
  std::string name;  // for tables
  std::unique_ptr<WeightQuantizer> quantizer;
};

struct AutoLayers {
  std::vector<AutoLayer> layers;
  std::vector<std::string> notes;
  int64_t bytes = 0, weights = 0;  // of the matrices as they are
};

using LayerFormats = std::map<std::string, const WeightQuantizer*>;  // by path

// Layers of one block in other formats. weight_error: gets that of the last one.
Trial::Edit InFormats(LayerFormats formats, std::shared_ptr<double> weight_error = nullptr) {
  return [formats = std::move(formats), weight_error = std::move(weight_error)](
             ModelView& model, const BlockLease& block) -> absl::StatusOr<Trial::Undo> {
    std::map<std::string, std::unique_ptr<LinearWeight>> weights;
    for (const auto& [path, format] : formats) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, path));
      QuantizationError error;
      absl::StatusOr<std::unique_ptr<LinearWeight>> quantized =
          format->Quantize(*weight->dense(), /*statistics=*/nullptr, &error);
      if (!quantized.ok()) {
        return Annotate(quantized.status(), absl::StrCat(path, ": ", format->name()));
      }
      if (weight_error != nullptr) *weight_error = error.Relative();
      weights[path] = *std::move(quantized);
    }
    return ExchangeWeights(model, std::move(weights));
  };
}

class QuantizeAuto : public BlockPass {
 public:
  QuantizeAuto(QuantizeAutoOptions options, std::vector<Candidate> candidates)
      : options_(std::move(options)),
        linears_(FilterOf(options_.linears())),
        candidates_(std::move(candidates)),
        names_{"as it is"},
        keys_{kAsItIs} {
    for (const Candidate& candidate : candidates_) {
      names_.push_back(candidate.name);
      keys_.push_back(candidate.key);
    }
  }

  absl::string_view name() const override { return "quantize-auto"; }
  const google::protobuf::Message& options() const override { return options_; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<std::vector<std::string>> sampled_components(
      const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const AutoLayers found, Layers(model));
    std::set<std::string> names;
    for (const AutoLayer& layer : found.layers) {
      names.insert(model.ComponentOf(layer.linear.path).name);
    }
    return std::vector<std::string>(names.begin(), names.end());
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(AutoLayers found, Layers(model));
    PassNotes plan;
    plan.exact = false;
    plan.notes = std::move(found.notes);
    std::map<std::string, int64_t> growth;
    for (const AutoLayer& layer : found.layers) {
      // The matrix itself stays in memory while the layer has another one.
      growth[layer.linear.block] += *std::max_element(layer.bytes.begin(), layer.bytes.end());
    }
    for (const BlockInfo& block : model.blocks()) {
      const std::vector<NamedTensor> tensors = model.BlockTensors(block.path);
      int64_t wide = 0;  // scores are those of fp32
      for (const NamedTensor& named : tensors) {
        if (named.tensor.is_floating_point() && named.tensor.element_size() < 4) {
          wide += 4 * named.tensor.numel();
        }
      }
      plan.peak_memory_bytes =
          std::max(plan.peak_memory_bytes,
                   StoredBytes(tensors) + wide + growth[block.path] + kTrialScratchBytes);
    }
    plan.notes.push_back(absl::StrCat("scoring takes ", WorkText(model, found),
                                      "; beside the memory said here it ",
                                      "holds what flows between blocks in ",
                                      std::max<size_t>(candidates_.size(), MeasuredCount()) *
                                          static_cast<size_t>(options_.samples()),
                                      " forward passes"));
    return plan;
  }

  absl::Status ApplyPlan(ModelView& hollow,
                         const google::protobuf::Message* decision) const override {
    WANLITE_ASSIGN_OR_RETURN(const AutoLayers found, Layers(hollow));
    if (decision != nullptr) {
      for (const auto& choice : DecisionOf(decision).choices()) {
        if (choice.format() == 0) continue;
        WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, hollow.Weight(choice.linear()));
        WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(
            choice.linear(),
            QuantizerOf(choice.format()).Hollow(weight->out_features(), weight->in_features())));
      }
      return absl::OkStatus();
    }
    // An estimate that fills the budget: as if every weight's error were that of its bits.
    AutoProblem problem = ProblemOfBytes(found);
    for (size_t i = 0; i < found.layers.size(); ++i) {
      const AutoLayer& layer = found.layers[i];
      const double weights = static_cast<double>(layer.out_features * layer.in_features);
      for (size_t f = 1; f < layer.formats.size(); ++f) {
        const double bits = 8 * static_cast<double>(layer.bytes[f]) / weights;
        problem.choices[i][f].squared_error = weights * std::exp2(-2 * bits);
      }
    }
    const std::optional<Allocation> guess = BestAllocation(problem.choices, problem.budget);
    for (size_t i = 0; guess.has_value() && i < found.layers.size(); ++i) {
      const AutoLayer& layer = found.layers[i];
      const int format = layer.formats[static_cast<size_t>((*guess)[i])];
      if (format == 0) continue;
      WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(
          layer.linear.path, QuantizerOf(format).Hollow(layer.out_features, layer.in_features)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Decide(
      ModelView& model, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const AutoLayers found, Layers(model));
    std::set<std::string> components;
    for (const AutoLayer& layer : found.layers) components.insert(layer.component);
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<Sensitivity> sensitivity,
                             Sensitivity::Open(model, context, std::string(name()), components,
                                               options_.samples(), options_.scan()));
    WANLITE_RETURN_IF_ERROR(sensitivity->Score(ItemsOf(found)));
    if (by_latency()) WANLITE_RETURN_IF_ERROR(TimeLayers(model, found, context, *sensitivity));
    const AutoProblem problem = ProblemOf(found, *sensitivity);
    const std::optional<Allocation> best = BestAllocation(problem.choices, problem.budget);
    if (!best.has_value()) return NothingFits(problem);
    WANLITE_ASSIGN_OR_RETURN(
        const std::vector<LayerAllocation> measured,
        Measure(found, Compared(found, sensitivity->scan(), problem, *best, context.seed),
                *sensitivity));
    if (!std::isfinite(measured.front().error.trajectory)) {
      return absl::InvalidArgumentError("the model's output is not finite with the found formats");
    }
    auto decision = std::make_unique<QuantizeAutoDecision>();
    for (size_t i = 0; i < found.layers.size(); ++i) {
      QuantizeAutoDecision::Choice& choice = *decision->add_choices();
      choice.set_linear(found.layers[i].linear.path);
      choice.set_format(found.layers[i].formats[static_cast<size_t>((*best)[i])]);
    }
    const AllocationReport report{
        found.layers,          names_,      problem, measured, options_.controls(),
        sensitivity->passes(), by_latency()};
    SetAllocationMetrics(report, context.metrics);
    for (std::string& note : ExplainAllocation(report)) decision->add_notes(std::move(note));
    return decision;
  }

  std::vector<std::string> Explain(const google::protobuf::Message* decision) const override {
    if (decision == nullptr) return {};
    const auto& notes = DecisionOf(decision).notes();
    return {notes.begin(), notes.end()};
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    return TouchesSelection(model, linears_, block);
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    for (const auto& choice : DecisionOf(decision).choices()) {
      if (choice.format() == 0 || model.BlockOf(choice.linear()) != block.block()) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, choice.linear()));
      absl::StatusOr<std::unique_ptr<LinearWeight>> quantized =
          QuantizerOf(choice.format()).Quantize(*weight->dense(), /*statistics=*/nullptr);
      if (!quantized.ok()) {
        return Annotate(quantized.status(), absl::StrCat(choice.linear(), ".weight"));
      }
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(choice.linear(), *std::move(quantized)));
    }
    return absl::OkStatus();
  }

 private:
  static const QuantizeAutoDecision& DecisionOf(const google::protobuf::Message* decision) {
    return static_cast<const QuantizeAutoDecision&>(*decision);
  }
  bool by_latency() const {
    return options_.budget().budget_case() == QuantizeAutoOptions::Budget::kLatencyFraction;
  }
  // Allocations that are measured whole.
  size_t MeasuredCount() const {
    return 2 + candidates_.size() + static_cast<size_t>(options_.controls());
  }
  const std::string& KeyOf(int format) const { return keys_[static_cast<size_t>(format)]; }
  const WeightQuantizer& QuantizerOf(int format) const {
    return *candidates_[static_cast<size_t>(format - 1)].quantizer;
  }

  absl::StatusOr<AutoLayers> Layers(const ModelView& model) const {
    WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, linears_));
    AutoLayers found;
    found.notes = std::move(selection.notes);
    std::vector<std::vector<std::pair<int64_t, int64_t>>> shapes(candidates_.size());
    std::vector<std::string> reasons(candidates_.size());  // why a layer cannot have the format
    std::set<ComponentRole> roles;
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear.path));
      AutoLayer layer;
      layer.linear = linear;
      layer.component = model.ComponentOf(linear.path).name;
      roles.insert(model.ComponentOf(linear.path).role);
      layer.out_features = weight->out_features();
      layer.in_features = weight->in_features();
      layer.formats.push_back(0);
      layer.bytes.push_back(weight->bytes());
      for (size_t c = 0; c < candidates_.size(); ++c) {
        const WeightQuantizer& quantizer = *candidates_[c].quantizer;
        const absl::Status fits = quantizer.CheckShape(layer.out_features, layer.in_features);
        if (!fits.ok()) {
          reasons[c] = absl::StrCat(linear.path, ": ", fits.message());
          continue;
        }
        layer.formats.push_back(static_cast<int>(c + 1));
        layer.bytes.push_back(quantizer.Hollow(layer.out_features, layer.in_features)->bytes());
        shapes[c].emplace_back(layer.out_features, layer.in_features);
      }
      found.bytes += weight->bytes();
      found.weights += layer.out_features * layer.in_features;
      found.layers.push_back(std::move(layer));
    }
    if (roles.size() > 1) {
      return OptionError("linears",
                         "select layers of networks of several kinds, whose outputs are no one "
                         "error; name the components of one kind");
    }
    for (size_t c = 0; c < candidates_.size(); ++c) {
      const std::string field = absl::StrCat("candidates[", c, "]");
      if (shapes[c].empty()) return OptionError(field, absl::StrCat("fits no layer: ", reasons[c]));
      if (!reasons[c].empty()) {
        found.notes.push_back(absl::StrCat(candidates_[c].name, " is no choice for ",
                                           found.layers.size() - shapes[c].size(),
                                           " layers: ", reasons[c]));
      }
      const std::string simulated = candidates_[c].quantizer->simulation();
      if (!simulated.empty()) {
        found.notes.push_back(absl::StrCat(candidates_[c].name, ": ", simulated));
      }
      for (std::string& note : candidates_[c].quantizer->Notes(shapes[c])) {
        found.notes.push_back(absl::StrCat(candidates_[c].name, ": ", note));
      }
    }
    if (!by_latency()) {
      const AutoProblem problem = ProblemOfBytes(found);
      if (LeastCost(problem.choices) > problem.budget) return NothingFits(problem);
    }
    return found;
  }

  // Of layers whose choices have costs and no errors.
  AutoProblem ProblemOfBytes(const AutoLayers& found) const {
    AutoProblem problem;
    for (const AutoLayer& layer : found.layers) {
      std::vector<Choice>& choices = problem.choices.emplace_back();
      for (const int64_t bytes : layer.bytes) choices.push_back({static_cast<double>(bytes), 0});
    }
    problem.whole_cost = static_cast<double>(found.bytes);
    const QuantizeAutoOptions::Budget& budget = options_.budget();
    // A budget of time says nothing of bytes; as an estimate the same part of them.
    problem.budget = budget.budget_case() == QuantizeAutoOptions::Budget::kEffectiveBits
                         ? budget.effective_bits() / 8 * static_cast<double>(found.weights)
                         : problem.whole_cost *
                               (by_latency() ? budget.latency_fraction() : budget.bytes_fraction());
    return problem;
  }

  AutoProblem ProblemOf(const AutoLayers& found, const Sensitivity& sensitivity) const {
    AutoProblem problem = ProblemOfBytes(found);
    if (by_latency()) problem.whole_cost = 0;
    for (size_t i = 0; i < found.layers.size(); ++i) {
      const AutoLayer& layer = found.layers[i];
      const ScannedItem& scanned = sensitivity.scan().items.at(layer.linear.path);
      for (size_t f = 0; f < layer.formats.size(); ++f) {
        const int format = layer.formats[f];
        const std::string& key = KeyOf(format);
        if (by_latency()) {
          problem.choices[i][f].cost = scanned.seconds.at(key);
          if (format == 0) problem.whole_cost += scanned.seconds.at(key);
        }
        if (format == 0) continue;
        const double error =
            sensitivity.ShareOf(layer.component) * scanned.scores.at(key).trajectory_error;
        problem.choices[i][f].squared_error = error * error;
      }
    }
    if (by_latency()) problem.budget = problem.whole_cost * options_.budget().latency_fraction();
    return problem;
  }

  absl::Status NothingFits(const AutoProblem& problem) const {
    const double least = LeastCost(problem.choices);
    return OptionError(
        "budget", absl::StrCat("allows ", AutoCostText(problem.budget, by_latency()),
                               " of the layers' ", AutoCostText(problem.whole_cost, by_latency()),
                               "; the cheapest formats take ", AutoCostText(least, by_latency()),
                               ", ", ErrorText(least / problem.whole_cost), " of it"));
  }

  // What scoring costs, in passes of a whole network.
  std::string WorkText(const ModelView& model, const AutoLayers& found) const {
    double trials = 0;
    for (const AutoLayer& layer : found.layers) {
      trials +=
          static_cast<double>(layer.formats.size() - 1) * PartToEnd(model, layer.linear.block);
    }
    const auto samples = static_cast<double>(options_.samples());
    return absl::StrFormat(
        "the time of about %.0f forward passes (%d layers, from their block to the end of their "
        "network), and measuring that of %.0f",
        trials * samples, found.layers.size(), static_cast<double>(MeasuredCount() + 2) * samples);
  }

  std::vector<SensitivityItem> ItemsOf(const AutoLayers& found) const {
    std::vector<SensitivityItem> items;
    for (const AutoLayer& layer : found.layers) {
      SensitivityItem item{layer.linear.path, layer.component, layer.linear.block};
      for (const int format : layer.formats) {
        if (format == 0) continue;
        const WeightQuantizer& quantizer = QuantizerOf(format);
        const auto weight_error = std::make_shared<double>(0);
        item.choices.push_back(
            {KeyOf(format), absl::StrCat(layer.linear.path, " as ", quantizer.name()),
             InFormats({{layer.linear.path, &quantizer}}, weight_error), weight_error});
      }
      items.push_back(std::move(item));
    }
    return items;
  }

  // Each shape once in each format, on as many rows as come to the layer.
  absl::Status TimeLayers(ModelView& model, const AutoLayers& found, PassContext& context,
                          Sensitivity& sensitivity) const {
    SensitivityScan& scan = sensitivity.scan();
    std::map<std::pair<std::string, std::string>, double> known;  // shape, format -> seconds
    const auto shape_of = [&](const AutoLayer& layer) {
      return absl::StrCat(layer.out_features, "x", layer.in_features, "x",
                          scan.items.at(layer.linear.path).rows, "x", layer.bytes.front());
    };
    for (const AutoLayer& layer : found.layers) {
      for (const auto& [key, seconds] : scan.items.at(layer.linear.path).seconds) {
        known[{shape_of(layer), key}] = seconds;
      }
    }
    for (const AutoLayer& layer : found.layers) {
      ScannedItem& scanned = scan.items.at(layer.linear.path);
      for (const int format : layer.formats) {
        const auto [at, fresh] = known.try_emplace({shape_of(layer), KeyOf(format)}, 0);
        if (fresh) {
          WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
          WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(layer.linear.block));
          WANLITE_ASSIGN_OR_RETURN(at->second, TimeLayer(model, layer, format, scanned.rows));
        }
        scanned.seconds[KeyOf(format)] = at->second;
      }
    }
    return sensitivity.WriteScanFile();
  }

  // Of one call, the median of several.
  absl::StatusOr<double> TimeLayer(const ModelView& model, const AutoLayer& layer, int format,
                                   int64_t rows) const {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, layer.linear.path));
    // As a runner has it: in fp32, and laid out for this machine.
    std::unique_ptr<LinearWeight> timed = MakeDenseWeight(weight->dense()->to(at::kFloat));
    if (format != 0) {
      WANLITE_ASSIGN_OR_RETURN(
          timed, QuantizerOf(format).Quantize(*weight->dense(), /*statistics=*/nullptr));
    }
    if (std::unique_ptr<LinearWeight> packed = timed->Packed()) timed = std::move(packed);
    const at::NoGradGuard no_grad;
    const at::Tensor x = at::randn({std::max<int64_t>(rows, 1), layer.in_features},
                                   at::detail::createCPUGenerator(1), at::kFloat);
    std::vector<double> seconds;
    double sum = 0;
    // The first call pays for memory, and is not counted.
    for (int i = 0; i < 6 || (sum < 0.02 && i < 200); ++i) {
      const Stopwatch watch;
      timed->Apply(x, std::nullopt);
      if (i > 0) seconds.push_back(watch.Seconds());
      sum += watch.Seconds();
    }
    std::nth_element(seconds.begin(), seconds.begin() + static_cast<int64_t>(seconds.size() / 2),
                     seconds.end());
    return std::max(seconds[seconds.size() / 2], 1e-9);
  }

  // The found allocation, and what it is compared with.
  std::vector<LayerAllocation> Compared(const AutoLayers& found, const SensitivityScan& scan,
                                        const AutoProblem& problem, const Allocation& best,
                                        uint64_t seed) const {
    std::vector<LayerAllocation> all{{"found", best}};
    for (int64_t i = 0; i < options_.controls(); ++i) {
      const uint64_t stream = MixSeed(seed, {static_cast<uint64_t>(i)});
      all.push_back({absl::StrCat("random ", i + 1),
                     *RandomAllocation(problem.choices, problem.budget, stream)});
    }
    AutoProblem local = problem;
    for (size_t i = 0; i < found.layers.size(); ++i) {
      const AutoLayer& layer = found.layers[i];
      for (size_t f = 1; f < layer.formats.size(); ++f) {
        const double error =
            scan.items.at(layer.linear.path).scores.at(KeyOf(layer.formats[f])).local_error;
        local.choices[i][f].squared_error = error * error;
      }
    }
    all.push_back({"by weight error", *BestAllocation(local.choices, local.budget)});
    for (size_t c = 0; c < candidates_.size(); ++c) {
      LayerAllocation uniform{absl::StrCat("all ", candidates_[c].name), {}};
      for (const AutoLayer& layer : found.layers) {
        const auto at =
            std::find(layer.formats.begin(), layer.formats.end(), static_cast<int>(c + 1));
        uniform.allocation.push_back(
            at == layer.formats.end() ? 0 : static_cast<int>(at - layer.formats.begin()));
      }
      all.push_back(std::move(uniform));
    }
    return all;
  }

  // The error of the whole model in each allocation.
  absl::StatusOr<std::vector<LayerAllocation>> Measure(const AutoLayers& found,
                                                       std::vector<LayerAllocation> all,
                                                       Sensitivity& sensitivity) const {
    std::vector<std::string> names;
    for (const LayerAllocation& measured : all) names.push_back(measured.name);
    const auto change = [&](size_t i, const std::string& component, Trial& trial) {
      std::map<std::string, LayerFormats> formats;  // by block
      for (size_t l = 0; l < found.layers.size(); ++l) {
        const AutoLayer& layer = found.layers[l];
        const int format = layer.formats[static_cast<size_t>(all[i].allocation[l])];
        if (layer.component != component || format == 0) continue;
        formats[layer.linear.block][layer.linear.path] = &QuantizerOf(format);
      }
      for (const auto& [block, layers] : formats) trial.edits[block] = InFormats(layers);
    };
    WANLITE_ASSIGN_OR_RETURN(const std::vector<WholeError> errors,
                             sensitivity.Measure(names, change));
    for (size_t i = 0; i < all.size(); ++i) all[i].error = errors[i];
    return all;
  }

  const QuantizeAutoOptions options_;
  const LinearFilter linears_;
  const std::vector<Candidate> candidates_;
  // By format: 0 as it is, n of candidates_[n - 1].
  std::vector<std::string> names_, keys_;
};

// In (0, 1]; a NaN is neither.
absl::Status CheckFraction(const char* field, double value) {
  if (value > 0 && value <= 1) return absl::OkStatus();
  return OptionError(field, absl::StrCat(value, " is not above 0 and at most 1"));
}

absl::Status CheckBudget(const QuantizeAutoOptions::Budget& budget) {
  using Budget = QuantizeAutoOptions::Budget;
  switch (budget.budget_case()) {
    case Budget::kBytesFraction:
      return CheckFraction("budget.bytes_fraction", budget.bytes_fraction());
    case Budget::kLatencyFraction:
      return CheckFraction("budget.latency_fraction", budget.latency_fraction());
    case Budget::kEffectiveBits:
      if (budget.effective_bits() > 0 && budget.effective_bits() <= 64) return absl::OkStatus();
      return OptionError("budget.effective_bits",
                         absl::StrCat(budget.effective_bits(), " is not above 0 and at most 64"));
    default:
      return OptionError("budget",
                         "is missing; wanted bytes_fraction, effective_bits or latency_fraction");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeAuto(const QuantizeAutoOptions& options) {
  QuantizeAutoOptions resolved = options;
  if (!resolved.has_samples()) resolved.set_samples(kDefaultPasses);
  if (!resolved.has_controls()) resolved.set_controls(kDefaultControls);
  if (resolved.samples() < 1) {
    return OptionError("samples", absl::StrCat(resolved.samples(), ", wanted at least 1"));
  }
  if (resolved.controls() < 0 || resolved.controls() > 1000) {
    return OptionError("controls", absl::StrCat(resolved.controls(), " is not in [0, 1000]"));
  }
  WANLITE_RETURN_IF_ERROR(CheckBudget(resolved.budget()));
  if (resolved.candidates().empty()) {
    return OptionError("candidates", "names no format; wanted at least one");
  }
  std::vector<Candidate> candidates;
  for (int i = 0; i < resolved.candidates_size(); ++i) {
    const std::string field = absl::StrCat("candidates[", i, "]");
    Candidate candidate;
    WANLITE_ASSIGN_OR_RETURN(candidate.quantizer,
                             MakeWeightQuantizer(*resolved.mutable_candidates(i), field));
    if (candidate.quantizer->needs_statistics()) {
      return OptionError(field,
                         "needs statistics of the layers' inputs, which scoring does not collect; "
                         "wanted a format without static scales");
    }
    candidate.name = candidate.quantizer->name();
    // One line, so that it is a key of a JSON object.
    candidate.key = ResolvedText(resolved.candidates(i));
    absl::RemoveExtraAsciiWhitespace(&candidate.key);
    for (char& c : candidate.key) c = c == '\n' ? ' ' : c;
    for (const Candidate& other : candidates) {
      if (other.key == candidate.key) return OptionError(field, "is the same as one before it");
    }
    candidates.push_back(std::move(candidate));
  }
  return std::make_unique<QuantizeAuto>(std::move(resolved), std::move(candidates));
}

}  // namespace wanlite
