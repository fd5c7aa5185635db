// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/reduce_time_path.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/core/text_table.h"
#include "src/model/checked_cast.h"
#include "src/model/float32_block.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/curve_factors.h"
#include "src/pruning/select_blocks.h"
#include "src/search/search_report.h"
#include "wanlite/factored_weight.h"
#include "wanlite/linear_tap.h"
#include "wanlite/nn.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"
#include "wanlite/time_path.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

constexpr double kDefaultTolerance = 1e-3;
constexpr double kLeastTolerance = 1e-6;
constexpr int64_t kDefaultTimesteps = 1001;
constexpr int64_t kMostTimesteps = 10000;
constexpr double kLastTimestep = 1000;
// What a plan expects of a tolerance before the curve is known.
constexpr int64_t kEstimatedRank = 32;

struct TimePath {
  std::string component;
  std::string block;                 // its rest
  std::vector<std::string> linears;  // in the order in which they run
};

// Inputs of layers along the curve, fp64 [timesteps, in], by path.
class CurveTap : public LinearTap {
 public:
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    curves[linear.path] = x.detach().reshape({-1, x.size(-1)}).to(at::kDouble).clone();
  }
  std::map<std::string, at::Tensor> curves;
};

bool GetsSmaller(int64_t rank, const LinearWeight& weight) {
  return rank * (weight.in_features() + weight.out_features()) <
         weight.in_features() * weight.out_features();
}

std::optional<at::Tensor> BiasOf(const ModelView& model, const std::string& linear) {
  absl::StatusOr<at::Tensor> bias = model.FindTensor(absl::StrCat(linear, ".bias"));
  return bias.ok() ? std::optional(*bias) : std::nullopt;
}

// Reduces one time path, whose block is leased.
class PathReducer {
 public:
  using RankFor = std::function<int64_t(const LinearWeight& weight, const OutputCurve& outputs)>;

  PathReducer(ModelView& model, const TimePath& path, int64_t timesteps,
              const CancellationToken* cancel)
      : model_(model), path_(path), cancel_(cancel) {
    timesteps_ = at::linspace(0, kLastTimestep, timesteps);
  }

  // Finds the factors and leaves the model as it was. rank_for: how many ranks a layer gets, called
  // in the order of the path; 0: it stays as it is. Curves are those of fp32, whatever the model is
  // stored in: rounding of bf16 is no curve.
  absl::Status Run(const RankFor& rank_for) {
    const at::NoGradGuard no_grad;
    for (const std::string& linear : path_.linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model_, linear));
      found_.push_back({linear, weight->dense()->scalar_type()});
      const std::optional<at::Tensor> bias = BiasOf(model_, linear);
      if (bias.has_value()) found_.back().bias_dtype = bias->scalar_type();
    }
    const Float32Block wide(model_, path_.block);
    const absl::Status reduced = ReduceAll(rank_for);
    WANLITE_RETURN_IF_ERROR(Undo());
    return reduced;
  }

  // Gives the model what Run() has found.
  absl::Status Apply() {
    for (const Found& found : found_) {
      if (!found.a.defined()) continue;
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> factored,
                               MakeFactoredWeight(found.a, found.b));
      WANLITE_RETURN_IF_ERROR(model_.SetLinearWeight(found.linear, std::move(factored)));
      if (!found.bias.defined()) continue;
      WANLITE_RETURN_IF_ERROR(model_.SetTensor(absl::StrCat(found.linear, ".bias"), found.bias));
    }
    return absl::OkStatus();
  }

  struct Layer {
    std::string linear;
    int64_t out = 0, in = 0, rank = 0;
    int64_t bytes_before = 0, bytes_after = 0;
    int64_t parameters_before = 0, parameters_after = 0;
    // The largest along the curve: of the layer on what it gets now, and of what it gives now to
    // what it gave at first.
    double own_error = 0, whole_error = 0;
  };
  const std::vector<Layer>& layers() const { return layers_; }

 private:
  struct Found {
    std::string linear;
    at::ScalarType dtype;  // as the weight is stored
    at::ScalarType bias_dtype = at::kFloat;
    at::Tensor a = {}, b = {}, bias = {};  // undefined where it stays
    // Until Undo().
    std::unique_ptr<LinearWeight> original = nullptr;
    std::optional<at::Tensor> original_bias = {};
  };

  absl::StatusOr<std::map<std::string, at::Tensor>> Curves() {
    CurveTap tap;
    WANLITE_ASSIGN_OR_RETURN(const TapGuard guard, TapLinears(model_, path_.block, tap));
    TimePathOf(*model_.FindComponent(path_.component))->RunTimePath(timesteps_);
    for (const std::string& linear : path_.linears) {
      const at::Tensor& curve = tap.curves[linear];
      if (!curve.defined() || curve.size(0) != timesteps_.numel()) {
        return absl::InternalError(
            absl::StrCat(linear, ": the time path does not run it once for each timestep"));
      }
      if (curve.isfinite().all().item<bool>()) continue;
      return absl::InvalidArgumentError(absl::StrCat(linear, ": its input is not finite"));
    }
    return std::move(tap.curves);
  }

  absl::Status ReduceAll(const RankFor& rank_for) {
    WANLITE_ASSIGN_OR_RETURN(const auto before, Curves());
    std::map<std::string, at::Tensor> now = before;
    for (Found& found : found_) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel_));
      const std::string& linear = found.linear;
      WANLITE_RETURN_IF_ERROR(
          Annotate(Reduce(found, before.at(linear), now.at(linear), rank_for), linear));
      // What follows gets another input.
      if (!found.a.defined()) continue;
      WANLITE_ASSIGN_OR_RETURN(now, Curves());
    }
    return absl::OkStatus();
  }

  absl::Status Reduce(Found& found, const at::Tensor& before, const at::Tensor& now,
                      const RankFor& rank_for) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model_, found.linear));
    const at::Tensor matrix = weight->dense()->detach();
    const std::optional<at::Tensor> bias = BiasOf(model_, found.linear);
    if (bias.has_value()) found.original_bias = bias->detach().clone();
    const OutputCurve outputs(now, matrix, found.original_bias);
    Layer layer;
    layer.linear = found.linear;
    layer.out = weight->out_features();
    layer.in = weight->in_features();
    layer.parameters_before = layer.parameters_after = weight->parameters();
    const auto element = static_cast<int64_t>(c10::elementSize(found.dtype));
    layer.bytes_before = layer.bytes_after = layer.parameters_before * element;
    layer.rank = rank_for(*weight, outputs);
    if (layer.rank > 0) {
      const CurveFactors factors = outputs.Factors(layer.rank);
      WANLITE_ASSIGN_OR_RETURN(found.a, CheckedCast(factors.a, found.dtype, "factor_a"));
      WANLITE_ASSIGN_OR_RETURN(found.b, CheckedCast(factors.b, found.dtype, "factor_b"));
      std::optional<at::Tensor> moved;
      if (factors.bias.has_value()) {
        WANLITE_ASSIGN_OR_RETURN(found.bias, CheckedCast(*factors.bias, found.bias_dtype, "bias"));
        moved = found.bias;
      }
      layer.own_error =
          LargestCurveError(now, matrix, found.original_bias, now, found.a, found.b, moved);
      layer.whole_error =
          LargestCurveError(before, matrix, found.original_bias, now, found.a, found.b, moved);
      WANLITE_ASSIGN_OR_RETURN(found.original, weight->Share());
      WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> factored,
                               MakeFactoredWeight(found.a, found.b));
      layer.parameters_after = factored->parameters();
      layer.bytes_after = factored->bytes();
      WANLITE_RETURN_IF_ERROR(model_.SetLinearWeight(found.linear, std::move(factored)));
      if (moved.has_value()) {
        WANLITE_RETURN_IF_ERROR(
            model_.SetTensor(absl::StrCat(found.linear, ".bias"), moved->to(bias->scalar_type())));
      }
    }
    layers_.push_back(std::move(layer));
    return absl::OkStatus();
  }

  absl::Status Undo() {
    for (Found& found : found_) {
      if (found.original == nullptr) continue;
      WANLITE_RETURN_IF_ERROR(model_.SetLinearWeight(found.linear, std::move(found.original)));
      if (!found.original_bias.has_value()) continue;
      WANLITE_RETURN_IF_ERROR(
          model_.SetTensor(absl::StrCat(found.linear, ".bias"), *found.original_bias));
    }
    return absl::OkStatus();
  }

  ModelView& model_;
  const TimePath& path_;
  const CancellationToken* cancel_;
  at::Tensor timesteps_;
  std::vector<Found> found_;  // in the order of the path
  std::vector<Layer> layers_;
};

std::vector<std::string> ExplainPath(const TimePath& path,
                                     const std::vector<PathReducer::Layer>& layers,
                                     int64_t component_bytes) {
  TextTable rows{
      {"layer", "matrix", "rank", "bytes", "now", "largest error", "with those before it"}};
  int64_t before = 0, after = 0, parameters = 0;
  for (const PathReducer::Layer& layer : layers) {
    const bool reduced = layer.rank > 0;
    rows.push_back({layer.linear, absl::StrCat("[", layer.out, ", ", layer.in, "]"),
                    reduced ? absl::StrCat(layer.rank) : "left alone",
                    FormatBytes(layer.bytes_before), FormatBytes(layer.bytes_after),
                    reduced ? absl::StrFormat("%.2e", layer.own_error) : "-",
                    reduced ? absl::StrFormat("%.2e", layer.whole_error) : "-"});
    before += layer.bytes_before;
    after += layer.bytes_after;
    parameters += layer.parameters_before - layer.parameters_after;
  }
  std::vector<std::string> lines;
  AddTable(rows, lines);
  lines.push_back(absl::StrFormat(
      "%s: %s and %s parameters less, %.2f %% of its bytes; these layers run once in a forward "
      "pass, whatever the number of tokens, so a step takes hardly less time",
      NetworkText(path.component), FormatBytes(before - after), FormatCount(parameters),
      100 * static_cast<double>(before - after) /
          static_cast<double>(std::max<int64_t>(1, component_bytes))));
  return lines;
}

class ReduceTimePath : public BlockPass {
 public:
  explicit ReduceTimePath(ReduceTimePathOptions options) : options_(std::move(options)) {}

  absl::string_view name() const override { return "reduce-time-path"; }
  const Message& options() const override { return options_; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<TimePath> paths, Paths(model));
    PassNotes plan;
    plan.exact = options_.has_rank();
    int64_t smaller = 0;
    for (const TimePath& path : paths) {
      for (const std::string& linear : path.linears) {
        WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear));
        const int64_t in = weight->in_features(), out = weight->out_features();
        const int64_t rank = ExpectedRank(*weight);
        if (rank > 0) {
          ++smaller;
        } else if (options_.has_rank()) {
          plan.notes.push_back(absl::StrCat(linear, " [", out, ", ", in, "] is left alone: with ",
                                            options_.rank(), " ranks it would be no smaller"));
        }
        // In fp64: two curves, outputs of some rows, squares and their vectors, the factors.
        const int64_t points = options_.timesteps();
        const int64_t ranks = std::max<int64_t>(rank, kEstimatedRank);
        plan.block_scratch_bytes =
            std::max(plan.block_scratch_bytes,
                     8 * (4 * points * in + 4 * points * std::min<int64_t>(out, 1024) +
                          4 * points * points + 3 * ranks * (in + out)) +
                         4 * points * out);
      }
    }
    if (smaller == 0) {
      return OptionError("rank",
                         absl::StrCat(options_.rank(), " makes none of the layers ",
                                      absl::StrJoin(paths.front().linears, ", "), " smaller"));
    }
    plan.notes.push_back(
        "the time path runs once in a forward pass: this saves bytes, and hardly any time");
    return plan;
  }

  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<TimePath> paths, Paths(model));
    auto decision = std::make_unique<ReduceTimePathDecision>();
    for (const TimePath& path : paths) {
      int64_t bytes = 0;
      for (const NamedTensor& named : model.Tensors()) {
        if (model.ComponentOf(named.name).name == path.component) bytes += StoredBytes({named});
      }
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(path.block));
      PathReducer reducer(model, path, options_.timesteps(), context.cancel);
      WANLITE_RETURN_IF_ERROR(
          reducer.Run([&](const LinearWeight& weight, const OutputCurve& outputs) -> int64_t {
            const int64_t rank =
                options_.has_rank() ? options_.rank() : outputs.RankFor(options_.tolerance());
            return GetsSmaller(rank, weight) ? rank : 0;
          }));
      for (const PathReducer::Layer& layer : reducer.layers()) {
        ReduceTimePathDecision::Layer& decided = *decision->add_layers();
        decided.set_linear(layer.linear);
        decided.set_rank(layer.rank);
        if (options_.has_rank() || layer.rank == 0 || layer.own_error <= options_.tolerance()) {
          continue;
        }
        decision->add_notes(absl::StrFormat(
            "%s: an error of %.2g, more than the tolerance of %.2g: its factors are rounded to the "
            "dtype that the model is stored in",
            layer.linear, layer.own_error, options_.tolerance()));
      }
      for (std::string& line : ExplainPath(path, reducer.layers(), bytes)) {
        decision->add_notes(std::move(line));
      }
    }
    return decision;
  }

  std::vector<std::string> Explain(const Message* decision) const override {
    if (decision == nullptr) return {};
    const auto& notes = static_cast<const ReduceTimePathDecision*>(decision)->notes();
    return {notes.begin(), notes.end()};
  }

  absl::Status ApplyPlan(ModelView& hollow, const Message* decision) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<TimePath> paths, Paths(hollow));
    const std::map<std::string, int64_t> ranks = RanksOf(decision);
    for (const TimePath& path : paths) {
      for (const std::string& linear : path.linears) {
        WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(hollow, linear));
        const auto decided = ranks.find(linear);
        const int64_t rank = decision == nullptr      ? ExpectedRank(*weight)
                             : decided == ranks.end() ? 0
                                                      : decided->second;
        if (rank == 0) continue;
        const at::ScalarType dtype = weight->dense()->scalar_type();
        const nn::HollowGuard guard;
        WANLITE_ASSIGN_OR_RETURN(
            std::unique_ptr<LinearWeight> factored,
            MakeFactoredWeight(nn::NewTensor({rank, weight->in_features()}, dtype),
                               nn::NewTensor({weight->out_features(), rank}, dtype)));
        WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(linear, std::move(factored)));
      }
    }
    return absl::OkStatus();
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<std::vector<TimePath>> paths = Paths(model);
    if (!paths.ok()) return true;  // RunBlock() tells the error
    return std::any_of(paths->begin(), paths->end(),
                       [&](const TimePath& path) { return path.block == block; });
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message* decision,
                        PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<TimePath> paths, Paths(model));
    const std::map<std::string, int64_t> ranks = RanksOf(decision);
    for (const TimePath& path : paths) {
      if (path.block != block.block()) continue;
      PathReducer reducer(model, path, options_.timesteps(), context.cancel);
      size_t at = 0;
      WANLITE_RETURN_IF_ERROR(reducer.Run(
          [&](const LinearWeight&, const OutputCurve&) { return ranks.at(path.linears[at++]); }));
      WANLITE_RETURN_IF_ERROR(reducer.Apply());
      for (const PathReducer::Layer& layer : reducer.layers()) {
        context.metrics["reduced_layers"] += layer.rank > 0 ? 1 : 0;
        context.metrics["parameters_before"] += static_cast<double>(layer.parameters_before);
        context.metrics["parameters_after"] += static_cast<double>(layer.parameters_after);
      }
    }
    return absl::OkStatus();
  }

 private:
  static std::map<std::string, int64_t> RanksOf(const Message* decision) {
    std::map<std::string, int64_t> ranks;
    if (decision == nullptr) return ranks;
    for (const auto& layer : static_cast<const ReduceTimePathDecision*>(decision)->layers()) {
      ranks[layer.linear()] = layer.rank();
    }
    return ranks;
  }

  // Before the curve is known; 0 where the layer stays as it is.
  int64_t ExpectedRank(const LinearWeight& weight) const {
    const int64_t rank = options_.has_rank() ? options_.rank() : kEstimatedRank;
    if (GetsSmaller(rank, weight)) return rank;
    return options_.has_rank() || !GetsSmaller(1, weight) ? 0 : 1;
  }

  absl::StatusOr<std::vector<TimePath>> Paths(const ModelView& model) const {
    std::vector<TimePath> paths;
    std::vector<bool> used(static_cast<size_t>(options_.components_size()), false);
    for (const Component& component : model.components()) {
      bool wanted = options_.components().empty() && component.role == ComponentRole::kDenoiser;
      for (int i = 0; i < options_.components_size(); ++i) {
        if (!GlobMatch(options_.components(i), component.name)) continue;
        used[static_cast<size_t>(i)] = true;
        wanted = true;
      }
      TimePath path{component.name, "", TimeLinearsOf(component)};
      if (!wanted || path.linears.empty()) continue;
      path.block = model.BlockOf(path.linears.front());
      for (const std::string& linear : path.linears) {
        if (model.FindLinear(linear) != nullptr && model.BlockOf(linear) == path.block) continue;
        return absl::InternalError(
            absl::StrCat(linear, " is no linear outside the blocks, as those of a time path are"));
      }
      paths.push_back(std::move(path));
    }
    for (size_t i = 0; i < used.size(); ++i) {
      if (used[i]) continue;
      return OptionError(absl::StrCat("components[", i, "]"),
                         absl::StrCat("the pattern \"", options_.components(static_cast<int>(i)),
                                      "\" fits no component of the model"));
    }
    if (!paths.empty()) return paths;
    return OptionError("components", options_.components().empty()
                                         ? "are not given, and no denoiser of the model has layers "
                                           "that only the timestep feeds"
                                         : "name none with layers that only the timestep feeds");
  }

  const ReduceTimePathOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeReduceTimePath(const ReduceTimePathOptions& options) {
  ReduceTimePathOptions resolved = options;
  if (resolved.has_rank() && resolved.has_tolerance()) {
    return OptionError("tolerance", "is given beside rank; wanted one of them");
  }
  if (!resolved.has_timesteps()) resolved.set_timesteps(kDefaultTimesteps);
  if (resolved.timesteps() < 2 || resolved.timesteps() > kMostTimesteps) {
    return OptionError("timesteps",
                       absl::StrCat(resolved.timesteps(), " is not in [2, ", kMostTimesteps, "]"));
  }
  if (resolved.has_rank()) {
    if (resolved.rank() < 1 || resolved.rank() > resolved.timesteps()) {
      return OptionError("rank", absl::StrCat(resolved.rank(), " is not in [1, ",
                                              resolved.timesteps(), "], the timesteps sampled"));
    }
  } else {
    if (!resolved.has_tolerance()) resolved.set_tolerance(kDefaultTolerance);
    if (!(resolved.tolerance() >= kLeastTolerance && resolved.tolerance() < 1)) {
      return OptionError(
          "tolerance", absl::StrCat(resolved.tolerance(), " is not in [", kLeastTolerance, ", 1)"));
    }
  }
  return std::make_unique<ReduceTimePath>(std::move(resolved));
}

}  // namespace wanlite
