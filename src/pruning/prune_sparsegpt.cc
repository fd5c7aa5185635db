// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_sparsegpt.h"

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/calibration/input_moments.h"
#include "src/core/libtorch.h"
#include "src/pruning/magnitude.h"
#include "src/pruning/sparse_gpt.h"
#include "src/pruning/sparsify.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class PruneSparseGpt : public SparsifyPass {
 public:
  // options: resolved.
  explicit PruneSparseGpt(const PruneSparseGptOptions& options)
      : SparsifyPass(FilterOf(options.linears()), {options.store(), options.n(), options.m()},
                     Inputs::kPairMoments),
        options_(options),
        settings_{options.amount(), options.columns(), options.n(), options.m()} {}

  absl::string_view name() const override { return "prune-sparsegpt"; }
  const google::protobuf::Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kPrunes; }

  // Weights that are zero already count first, so a round prunes up to its share of the amount.
  absl::StatusOr<std::unique_ptr<Pass>> AtRound(double from, double to) const override {
    if (!options_.has_amount()) return std::unique_ptr<Pass>();
    PruneSparseGptOptions options = options_;
    options.set_amount(options_.amount() * to);
    return std::make_unique<PruneSparseGpt>(options);
  }

  void FinishMetrics(std::map<std::string, double>& metrics) const override {
    SparsifyPass::FinishMetrics(metrics);
    const auto sum = metrics.find("sum_relative_output_error");
    if (sum == metrics.end()) return;
    metrics["mean_relative_output_error"] = sum->second / metrics["pruned_layers"];
    metrics.erase(sum);
  }

 protected:
  int64_t Zeros(int64_t out, int64_t in) const override {
    if (form().m != 0) return out * (in / form().m) * (form().m - form().n);
    return CountToPrune(options_.amount(), out * in);
  }
  int64_t ScratchBytes(int64_t out, int64_t in) const override {
    return SparseGptScratchBytes(out, in);
  }
  std::vector<std::string> Notes() const override {
    return {
        "the peak memory is that of the second moments; one sample's forward through a block "
        "comes on top"};
  }

  absl::Status PruneReaders(ModelView& model, const std::vector<std::string>& readers,
                            at::Tensor moment, PassContext& context) const override {
    MomentSettings moment_settings;
    moment_settings.damping = options_.damping();
    absl::StatusOr<MomentFactor> moments = MomentFactor::Make(std::move(moment), moment_settings);
    if (!moments.ok()) return Annotate(moments.status(), readers.front());
    for (const std::string& path : readers) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix, FiniteMatrix(model, path));
      absl::StatusOr<SparseGptResult> result = SparseGptPrune(matrix, *moments, settings_);
      if (!result.ok()) return Annotate(result.status(), absl::StrCat(path, ".weight"));
      context.metrics["pruned_layers"] += 1;
      if (result->squared_output > 0) {
        context.metrics["sum_relative_output_error"] +=
            std::sqrt(result->squared_error / result->squared_output);
      }
      WANLITE_RETURN_IF_ERROR(
          SetSparse(model, path, result->pruned, result->pruned.ne(0), form(), context.metrics));
    }
    return absl::OkStatus();
  }

 private:
  const PruneSparseGptOptions options_;
  const SparseGptSettings settings_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakePruneSparseGpt(const PruneSparseGptOptions& options) {
  PruneSparseGptOptions resolved = options;
  const bool pattern = options.has_n() || options.has_m();
  if (options.has_amount() && pattern) {
    return OptionError("amount", "and n:m exclude each other");
  }
  if (pattern) {
    if (!options.has_n()) return OptionError("n", "is missing, but m is given");
    if (!options.has_m()) return OptionError("m", "is missing, but n is given");
    WANLITE_RETURN_IF_ERROR(CheckPattern(options.n(), options.m()));
    if (options.has_columns()) {
      return OptionError("columns", "is of masks by amount; n:m chooses among m");
    }
  } else {
    if (!options.has_amount()) {
      return OptionError("amount",
                         "is missing; wanted a fraction of the weights in [0, 1], or n and m");
    }
    WANLITE_RETURN_IF_ERROR(CheckAmount(options.has_amount(), options.amount()));
    if (!options.has_columns()) resolved.set_columns(SparseGptSettings().columns);
    if (resolved.columns() < 1) {
      return OptionError("columns", absl::StrCat(resolved.columns(), " is not positive"));
    }
  }
  if (!resolved.has_damping()) resolved.set_damping(MomentSettings().damping);
  if (!(resolved.damping() > 0 && resolved.damping() <= 1)) {
    return OptionError("damping", absl::StrCat(resolved.damping(), " is not in (0, 1]"));
  }
  WANLITE_RETURN_IF_ERROR(CheckStore({resolved.store(), resolved.n(), resolved.m()}));
  return std::make_unique<PruneSparseGpt>(resolved);
}

}  // namespace wanlite
