// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/smooth.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/glob.h"
#include "src/core/libtorch.h"
#include "src/proto/quant.pb.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/input_scaling.h"
#include "wanlite/registry.h"
#include "wanlite/sample_set.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"
#include "wanlite/visit_blocks.h"

namespace wanlite {
namespace {

// Rows of an input that a search is done on, of all samples together.
constexpr int64_t kSearchRows = 1024;

// What one input looks like and what reads it, over all blocks.
struct InputSums {
  at::Tensor max;         // fp32 [features], of |x|
  at::Tensor magnitude;   // fp64 [features], weighted sum of |x|
  double rows = 0;        // weighted
  at::Tensor weight_max;  // fp32 [features], largest |w| of the columns
};

// Sees an input in each block at the first of its readers there.
class SmoothTap : public LinearTap {
 public:
  // observed: path of a layer -> number of its input.
  SmoothTap(std::map<std::string, size_t> observed, size_t inputs, const SampleSet& samples,
            const ModelView& model)
      : sums(inputs), observed_(std::move(observed)), samples_(samples), model_(model) {}

  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    const auto found = observed_.find(linear.path);
    if (found == observed_.end()) return;
    const at::NoGradGuard no_grad;
    // A layer runs once in each forward, and samples come in their order.
    const std::string& component = model_.ComponentOf(linear.path).name;
    const int64_t sample = forwards_[linear.path]++;
    TORCH_CHECK(sample < samples_.size(component), linear.path,
                " runs more than once in a forward");
    const double weight = samples_.sample(component, sample).weight;
    const at::Tensor rows = x.detach().to(at::kFloat).reshape({-1, x.size(-1)});
    if (rows.size(0) == 0) return;
    TORCH_CHECK_VALUE(rows.isfinite().all().item<bool>(), linear.path,
                      ": a NaN or an infinity is among its inputs");
    if (keep_rows) return KeepRows(linear.path, rows, weight, samples_.size(component));
    const at::Tensor magnitude = rows.abs();
    const at::Tensor sum = magnitude.sum(0, /*keepdim=*/false, at::kDouble).mul_(weight);
    InputSums& into = sums[found->second];
    into.max = into.max.defined() ? at::maximum(into.max, magnitude.amax(0)) : magnitude.amax(0);
    into.magnitude = into.magnitude.defined() ? into.magnitude.add_(sum) : sum;
    into.rows += weight * static_cast<double>(rows.size(0));
  }
  // The next visit begins.
  void Restart() { forwards_.clear(); }

  std::vector<InputSums> sums;  // by number of the input
  // Instead of sums: rows of each layer's input, in the same proportions as the weighted samples.
  bool keep_rows = false;
  struct Rows {
    std::vector<at::Tensor> values;   // fp32 [n, features]
    std::vector<at::Tensor> weights;  // fp32 [n, 1]
  };
  std::map<std::string, Rows> rows;

 private:
  void KeepRows(const std::string& path, const at::Tensor& all, double weight, int64_t samples) {
    const int64_t wanted = std::max<int64_t>(1, kSearchRows / samples);
    const int64_t n = std::min(wanted, all.size(0));
    // Spread evenly.
    const at::Tensor index = at::arange(n, at::kLong).mul_(all.size(0)).div_(n, "floor");
    Rows& into = rows[path];
    into.values.push_back(all.index_select(0, index));
    const double share = weight * static_cast<double>(all.size(0)) / static_cast<double>(n);
    into.weights.push_back(at::full({n, 1}, share, at::kFloat));
  }

  const std::map<std::string, size_t> observed_;
  const SampleSet& samples_;
  const ModelView& model_;
  std::map<std::string, int64_t> forwards_;
};

// Numbers that cannot be divided by are 1.
at::Tensor Usable(const at::Tensor& divisors) {
  const at::Tensor good = divisors.isfinite().logical_and_(divisors > 0);
  return at::where(good, divisors, at::ones_like(divisors)).to(at::kFloat);
}

// s = max|x|^alpha / max|w|^(1 - alpha).
at::Tensor SmoothQuantDivisors(const InputSums& sums, double alpha) {
  return Usable(sums.max.to(at::kDouble).pow(alpha) /
                sums.weight_max.to(at::kDouble).pow(1 - alpha));
}

// s = mean|x|^alpha, in the middle of whose extremes 1 lies.
at::Tensor AwqDivisors(const InputSums& sums, double alpha) {
  at::Tensor s = Usable((sums.magnitude / sums.rows).pow(alpha)).to(at::kDouble);
  return Usable(s / (s.max() * s.min()).sqrt());
}

class Smooth : public BlockPass {
 public:
  // options: resolved. quantizer: of AWQ, else null.
  Smooth(SmoothOptions options, std::unique_ptr<WeightQuantizer> quantizer)
      : options_(std::move(options)),
        linears_(FilterOf(options_.linears())),
        quantizer_(std::move(quantizer)) {}

  absl::string_view name() const override { return "smooth"; }
  const google::protobuf::Message& options() const override { return options_; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<std::vector<std::string>> sampled_components(
      const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const Chosen chosen, Choose(model));
    std::set<std::string> names;
    for (const InputScaling& input : chosen.inputs) {
      names.insert(model.ComponentOf(input.readers.front()).name);
    }
    return std::vector<std::string>(names.begin(), names.end());
  }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const Chosen chosen, Choose(model));
    PassNotes plan;
    plan.notes = chosen.notes;
    for (const InputScaling& input : chosen.inputs) {
      plan.value_changes.emplace_back(
          input.name,
          absl::StrCat(input.features, " features of what ", input.readers.size(),
                       input.readers.size() == 1 ? " layer reads" : " layers read", " are scaled"));
      for (const std::string& reader : input.readers) {
        WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, reader));
        if (quantizer_ != nullptr) {
          const absl::Status shape =
              quantizer_->CheckShape(weight->out_features(), weight->in_features());
          if (!shape.ok()) return Annotate(shape, absl::StrCat(reader, ".weight"));
        }
        // The matrix in fp32, scaled, quantized and back.
        plan.block_scratch_bytes = std::max(plan.block_scratch_bytes,
                                            4 * 4 * weight->out_features() * weight->in_features());
      }
      for (const ScaledTensor& source : input.sources) {
        if (model.FindLinear(source.path) == nullptr) continue;
        WANLITE_RETURN_IF_ERROR(DenseWeightOf(model, source.path).status());
      }
    }
    return plan;
  }

  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Decide(
      ModelView& model, PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const Chosen chosen, Choose(model));
    const size_t n = chosen.inputs.size();
    if (context.samples == nullptr) {
      return absl::FailedPreconditionError("needs recorded inputs of the model");
    }
    const Reading reading(model, chosen);
    SmoothTap tap(reading.observed, n, *context.samples, model);
    WANLITE_RETURN_IF_ERROR(VisitBlocks(model, context, tap, [&](const BlockLease& block) {
      return SeeWeights(model, reading, block.block(), tap.sums);
    }));
    for (size_t i = 0; i < n; ++i) {
      const InputSums& sums = tap.sums[i];
      if (!sums.max.defined()) {
        return absl::FailedPreconditionError(absl::StrCat(
            chosen.inputs[i].readers.front(), ": no sample reaches it; its inputs are not known"));
      }
      if (sums.max.max().item<double>() == 0) {
        return absl::InvalidArgumentError(absl::StrCat(chosen.inputs[i].readers.front(),
                                                       ": its inputs are all zero in the samples"));
      }
    }
    std::vector<at::Tensor> divisors(n);
    if (quantizer_ == nullptr) {
      for (size_t i = 0; i < n; ++i) {
        divisors[i] = SmoothQuantDivisors(tap.sums[i], options_.alpha());
      }
    } else {
      WANLITE_RETURN_IF_ERROR(Search(model, context, chosen, reading, tap, divisors));
    }
    auto decision = std::make_unique<SmoothDecision>();
    for (size_t i = 0; i < n; ++i) {
      SmoothDecision::Input* input = decision->add_inputs();
      input->set_name(chosen.inputs[i].name);
      const at::Tensor values = divisors[i].contiguous();
      const float* begin = values.const_data_ptr<float>();
      input->mutable_divisors()->Add(begin, begin + values.numel());
    }
    context.metrics["smoothed_inputs"] += static_cast<double>(n);
    return decision;
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    const absl::StatusOr<Chosen> chosen = Choose(model);
    if (!chosen.ok()) return true;  // RunBlock() tells the error
    return std::any_of(chosen->inputs.begin(), chosen->inputs.end(),
                       [&](const InputScaling& input) { return Concerns(model, input, block); });
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    const auto* decided = dynamic_cast<const SmoothDecision*>(decision);
    WANLITE_ASSIGN_OR_RETURN(const Chosen chosen, Choose(model));
    if (decided == nullptr || static_cast<size_t>(decided->inputs_size()) != chosen.inputs.size()) {
      return absl::InternalError("the decision is of another model");
    }
    for (size_t i = 0; i < chosen.inputs.size(); ++i) {
      const InputScaling& scaling = chosen.inputs[i];
      const SmoothDecision::Input& input = decided->inputs(static_cast<int>(i));
      if (input.name() != scaling.name || input.divisors_size() != scaling.features) {
        return absl::InternalError(absl::StrCat("the decision is not about ", scaling.name));
      }
      if (!Concerns(model, scaling, block.block())) continue;
      const at::Tensor divisors = at::empty({scaling.features}, at::kFloat);
      std::copy(input.divisors().begin(), input.divisors().end(),
                divisors.mutable_data_ptr<float>());
      WANLITE_RETURN_IF_ERROR(ScaleInput(model, scaling, divisors, block.block()));
    }
    return absl::OkStatus();
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    const auto before = metrics.find("search_error_unscaled");
    if (before == metrics.end()) return;
    if (before->second > 0) {
      metrics["search_error_ratio"] = metrics["search_error"] / before->second;
    }
    metrics.erase("search_error");
    metrics.erase("search_error_unscaled");
  }

 private:
  struct Chosen {
    std::vector<InputScaling> inputs;  // never empty
    std::vector<std::string> notes;
  };

  // The layers of each block that read the inputs.
  struct Reading {
    Reading(const ModelView& model, const Chosen& chosen) {
      std::set<std::pair<size_t, std::string>> seen;
      for (size_t i = 0; i < chosen.inputs.size(); ++i) {
        for (const std::string& path : chosen.inputs[i].readers) {
          const std::string& block = model.BlockOf(path);
          readers[block].emplace_back(i, path);
          if (seen.emplace(i, block).second) observed[path] = i;
        }
      }
    }
    std::map<std::string, size_t> observed;  // first in its block -> number of the input
    std::map<std::string, std::vector<std::pair<size_t, std::string>>> readers;  // by block
  };

  static bool Concerns(const ModelView& model, const InputScaling& input, absl::string_view block) {
    return std::any_of(input.readers.begin(), input.readers.end(),
                       [&](const std::string& path) { return model.BlockOf(path) == block; }) ||
           std::any_of(input.sources.begin(), input.sources.end(), [&](const ScaledTensor& source) {
             return model.BlockOf(source.path) == block;
           });
  }

  absl::StatusOr<Chosen> Choose(const ModelView& model) const {
    WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, linears_));
    std::map<std::string, std::string> left;  // selected layers: path -> kind
    for (const LinearInfo& linear : selection.linears) left[linear.path] = linear.kind;
    const std::map<std::string, std::string> selected = left;
    Chosen chosen;
    chosen.notes = std::move(selection.notes);
    for (const Component& component : model.components()) {
      for (InputScaling& input : InputScalingsOf(component)) {
        const std::string* reads = nullptr;  // and is not selected
        const std::string* made = nullptr;   // excluded, and makes the input
        bool any = false;
        for (const std::string& reader : input.readers) {
          any = any || selected.contains(reader);
          if (!selected.contains(reader) && reads == nullptr) reads = &reader;
        }
        for (const ScaledTensor& source : input.sources) {
          if (AnyGlobMatches(linears_.exclude, source.path)) made = &source.path;
        }
        if (!any) continue;
        for (const std::string& reader : input.readers) left.erase(reader);
        if (reads != nullptr || made != nullptr) {
          chosen.notes.push_back(absl::StrCat(
              "the input of ", input.name, " stays as it is: ", reads != nullptr ? *reads : *made,
              reads != nullptr ? " reads it too and is not selected"
                               : " makes it and is excluded"));
          continue;
        }
        chosen.inputs.push_back(std::move(input));
      }
    }
    std::map<std::string, int64_t> kinds;
    for (const auto& [path, kind] : left) ++kinds[kind];
    for (const auto& [kind, count] : kinds) {
      chosen.notes.push_back(absl::StrCat(count, " layers of kind ", kind,
                                          " keep their inputs: nothing linear makes them"));
    }
    if (chosen.inputs.empty()) {
      return OptionError("linears", "none of the selected layers has an input that can be scaled");
    }
    return chosen;
  }

  absl::Status SeeWeights(const ModelView& model, const Reading& reading, const std::string& block,
                          std::vector<InputSums>& sums) const {
    const auto readers = reading.readers.find(block);
    if (readers == reading.readers.end()) return absl::OkStatus();
    for (const auto& [input, path] : readers->second) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, path));
      const at::Tensor largest = weight->dense()->detach().abs().amax(0).to(at::kFloat);
      at::Tensor& max = sums[input].weight_max;
      max = max.defined() ? at::maximum(max, largest) : largest;
    }
    return absl::OkStatus();
  }

  // alpha of each input, by the outputs of its readers in the format.
  absl::Status Search(ModelView& model, PassContext& context, const Chosen& chosen,
                      const Reading& reading, SmoothTap& tap,
                      std::vector<at::Tensor>& divisors) const {
    const auto steps = static_cast<size_t>(options_.search_steps());
    std::vector<std::vector<at::Tensor>> candidates(chosen.inputs.size());
    std::vector<std::vector<double>> errors(chosen.inputs.size(), std::vector<double>(steps));
    for (size_t i = 0; i < chosen.inputs.size(); ++i) {
      for (size_t step = 0; step < steps; ++step) {
        candidates[i].push_back(
            AwqDivisors(tap.sums[i], static_cast<double>(step) / static_cast<double>(steps)));
      }
    }
    tap.keep_rows = true;
    tap.Restart();
    const auto visit = [&](const BlockLease& block) -> absl::Status {
      const auto readers = reading.readers.find(block.block());
      if (readers == reading.readers.end()) return absl::OkStatus();
      std::map<size_t, std::pair<at::Tensor, at::Tensor>> rows;  // by input
      for (const auto& [input, path] : readers->second) {
        const auto seen = tap.rows.find(path);
        if (seen == tap.rows.end()) continue;
        rows[input] = {at::cat(seen->second.values), at::cat(seen->second.weights)};
      }
      tap.rows.clear();
      for (const auto& [input, path] : readers->second) {
        WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
        WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, path));
        const at::Tensor matrix = weight->dense()->detach().to(at::kFloat);
        const auto& [x, row_weights] = rows.at(input);
        const at::Tensor wanted = at::linear(x, matrix);
        for (size_t step = 0; step < steps; ++step) {
          const at::Tensor& s = candidates[input][step];
          absl::StatusOr<std::unique_ptr<LinearWeight>> quantized =
              quantizer_->Quantize(matrix * s, /*statistics=*/nullptr);
          if (!quantized.ok()) return Annotate(quantized.status(), absl::StrCat(path, ".weight"));
          const at::Tensor error = (*quantized)->Apply(x / s, std::nullopt) - wanted;
          errors[input][step] += error.square().mul_(row_weights).sum(at::kDouble).item<double>();
        }
      }
      return absl::OkStatus();
    };
    WANLITE_RETURN_IF_ERROR(VisitBlocks(model, context, tap, [&](const BlockLease& block) {
      return CatchTorch([&] { return visit(block); });
    }));
    for (size_t i = 0; i < chosen.inputs.size(); ++i) {
      const auto best = std::min_element(errors[i].begin(), errors[i].end());
      divisors[i] = candidates[i][static_cast<size_t>(best - errors[i].begin())];
      context.metrics["search_error"] += *best;
      context.metrics["search_error_unscaled"] += errors[i].front();
    }
    return absl::OkStatus();
  }

  const SmoothOptions options_;
  const LinearFilter linears_;
  const std::unique_ptr<WeightQuantizer> quantizer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeSmooth(const SmoothOptions& options) {
  SmoothOptions resolved = options;
  if (!SmoothOptions::Method_IsValid(resolved.method())) {
    return OptionError(
        "method", absl::StrCat(static_cast<int>(resolved.method()), " is not SMOOTHQUANT or AWQ"));
  }
  if (resolved.method() == SmoothOptions::SMOOTHQUANT) {
    if (resolved.has_search_steps()) {
      return OptionError("search_steps", "is given but method is SMOOTHQUANT");
    }
    if (resolved.has_format()) return OptionError("format", "is given but method is SMOOTHQUANT");
    if (!resolved.has_alpha()) resolved.set_alpha(0.5);
    if (!(resolved.alpha() >= 0 && resolved.alpha() <= 1)) {
      return OptionError("alpha", absl::StrCat(resolved.alpha(), " is not in [0, 1]"));
    }
    return std::make_unique<Smooth>(std::move(resolved), nullptr);
  }
  if (resolved.has_alpha()) return OptionError("alpha", "is given but method is AWQ");
  if (!resolved.has_search_steps()) resolved.set_search_steps(20);
  if (resolved.search_steps() < 1 || resolved.search_steps() > 1000) {
    return OptionError("search_steps",
                       absl::StrCat(resolved.search_steps(), " is not in [1, 1000]"));
  }
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WeightQuantizer> quantizer,
                           MakeWeightQuantizer(*resolved.mutable_format(), "format"));
  if (quantizer->needs_statistics()) {
    return OptionError("format", absl::StrCat(quantizer->name(),
                                              " needs statistics of inputs, which the search is "
                                              "about to change"));
  }
  return std::make_unique<Smooth>(std::move(resolved), std::move(quantizer));
}

}  // namespace wanlite
