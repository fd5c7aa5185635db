// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/prune_nm.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/pruning/sparsify.h"
#include "src/pruning/weight_masks.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class PruneNm : public SparsifyPass {
 public:
  // options: resolved.
  explicit PruneNm(const PruneNmOptions& options)
      : SparsifyPass(
            FilterOf(options.linears()), {options.store(), options.n(), options.m()},
            options.score() == PruneNmOptions::WANDA ? Inputs::kFeatureMoments : Inputs::kNotSeen),
        options_(options) {}

  absl::string_view name() const override { return "prune-nm"; }
  const google::protobuf::Message& options() const override { return options_; }
  PassEffect effect() const override { return PassEffect::kPrunes; }

 protected:
  int64_t Zeros(int64_t out, int64_t in) const override {
    return out * (in / form().m) * (form().m - form().n);
  }
  int64_t ScratchBytes(int64_t out, int64_t in) const override {
    return 14 * out * in;  // scores and what they are made of, masks, a copy
  }

  absl::Status PruneReaders(ModelView& model, const std::vector<std::string>& readers,
                            at::Tensor moment, PassContext& context) const override {
    at::Tensor norm;
    if (moment.defined()) norm = moment.sqrt_().to(at::kFloat);
    for (const std::string& path : readers) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix, FiniteMatrix(model, path));
      const at::Tensor keep = KeepOfGroups(WeightScores(matrix, norm), form().n, form().m);
      WANLITE_RETURN_IF_ERROR(SetSparse(model, path, matrix, keep, form(), context.metrics));
    }
    return absl::OkStatus();
  }

 private:
  const PruneNmOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakePruneNm(const PruneNmOptions& options) {
  PruneNmOptions resolved = options;
  if (!resolved.has_n()) resolved.set_n(2);
  if (!resolved.has_m()) resolved.set_m(4);
  WANLITE_RETURN_IF_ERROR(CheckPattern(resolved.n(), resolved.m()));
  if (!PruneNmOptions::Score_IsValid(resolved.score())) {
    return OptionError(
        "score", absl::StrCat(static_cast<int>(resolved.score()), " is not MAGNITUDE or WANDA"));
  }
  WANLITE_RETURN_IF_ERROR(CheckStore({resolved.store(), resolved.n(), resolved.m()}));
  return std::make_unique<PruneNm>(resolved);
}

}  // namespace wanlite
