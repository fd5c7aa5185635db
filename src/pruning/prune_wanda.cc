// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_wanda.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/pruning/magnitude.h"
#include "src/pruning/sparsify.h"
#include "src/pruning/weight_masks.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class PruneWanda : public SparsifyPass {
 public:
  explicit PruneWanda(const PruneWandaOptions& options)
      : SparsifyPass(FilterOf(options.linears()), {options.store()}, Inputs::kFeatureMoments),
        options_(options) {}

  absl::string_view name() const override { return "prune-wanda"; }
  const google::protobuf::Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kPrunes; }

  // Weights that are zero already count first, so a round prunes up to its share of the amount.
  absl::StatusOr<std::unique_ptr<Pass>> AtRound(double from, double to) const override {
    PruneWandaOptions options = options_;
    options.set_amount(options_.amount() * to);
    return std::make_unique<PruneWanda>(options);
  }

 protected:
  int64_t Zeros(int64_t out, int64_t in) const override {
    return by_row() ? out * CountToPrune(options_.amount(), in)
                    : CountToPrune(options_.amount(), out * in);
  }
  int64_t ScratchBytes(int64_t out, int64_t in) const override {
    return 14 * out * in;  // scores and what they are made of, masks, a copy
  }

  absl::Status PruneReaders(ModelView& model, const std::vector<std::string>& readers,
                            at::Tensor moment, PassContext& context) const override {
    const at::Tensor norm = moment.sqrt_().to(at::kFloat);
    for (const std::string& path : readers) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix, FiniteMatrix(model, path));
      const at::Tensor scores = WeightScores(matrix, norm);
      const at::Tensor keep =
          by_row() ? KeepOfRows(scores, CountToPrune(options_.amount(), matrix.size(1)))
                   : KeepOfMatrix(scores, CountToPrune(options_.amount(), matrix.numel()));
      WANLITE_RETURN_IF_ERROR(SetSparse(model, path, matrix, keep, form(), context.metrics));
    }
    return absl::OkStatus();
  }

 private:
  bool by_row() const { return options_.group() == PruneWandaOptions::ROW; }

  const PruneWandaOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakePruneWanda(const PruneWandaOptions& options) {
  WANLITE_RETURN_IF_ERROR(CheckAmount(options.has_amount(), options.amount()));
  if (!PruneWandaOptions::Group_IsValid(options.group())) {
    return OptionError("group",
                       absl::StrCat(static_cast<int>(options.group()), " is not ROW or LAYER"));
  }
  WANLITE_RETURN_IF_ERROR(CheckStore({options.store()}));
  return std::make_unique<PruneWanda>(options);
}

}  // namespace wanlite
