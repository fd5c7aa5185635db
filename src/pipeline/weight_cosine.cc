// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/pipeline.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class WeightCosine : public QualityGauge {
 public:
  absl::string_view name() const override { return "weight-cosine"; }

  absl::StatusOr<double> Measure(const ModelFolder& original, const ModelFolder& now,
                                 PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(ModelView before, original.BuildView());
    WANLITE_ASSIGN_OR_RETURN(ModelView after, now.BuildView());
    const auto& components = before.components();
    const bool denoisers = std::any_of(
        components.begin(), components.end(),
        [](const Component& component) { return component.role == ComponentRole::kDenoiser; });
    Sums sums;
    context.progress->Begin("weight-cosine", static_cast<int64_t>(before.blocks().size()));
    int64_t done = 0;
    for (const BlockInfo& block : before.blocks()) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      if (!denoisers || before.ComponentOf(block.path).role == ComponentRole::kDenoiser) {
        WANLITE_RETURN_IF_ERROR(AddBlock(before, after, block.path, sums));
      }
      context.progress->Update(++done, block.path);
    }
    context.progress->End();
    // Two models of zeros are equal.
    if (sums.before == 0 && sums.after == 0) return 1.0;
    if (sums.before == 0 || sums.after == 0) return 0.0;
    return sums.product / std::sqrt(sums.before * sums.after);
  }

 private:
  struct Sums {
    double product = 0, before = 0, after = 0;
  };

  static absl::Status AddBlock(ModelView& before, ModelView& after, const std::string& block,
                               Sums& sums) {
    at::NoGradGuard no_grad;
    WANLITE_ASSIGN_OR_RETURN(const BlockLease old_lease, before.Lease(block));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease new_lease, after.Lease(block));
    for (const LinearInfo& linear : before.linears()) {
      if (linear.block != block) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* old_weight, before.Weight(linear.path));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* new_weight, after.Weight(linear.path));
      if (old_weight->out_features() != new_weight->out_features() ||
          old_weight->in_features() != new_weight->in_features()) {
        return absl::UnimplementedError(
            absl::StrCat("compares layers that keep their shape; ", linear.path, " was [",
                         old_weight->out_features(), ", ", old_weight->in_features(), "] and is [",
                         new_weight->out_features(), ", ", new_weight->in_features(), "]"));
      }
      const at::Tensor a = old_weight->Dequantize(), b = new_weight->Dequantize();
      sums.product += (a * b).sum(at::kDouble).item<double>();
      sums.before += (a * a).sum(at::kDouble).item<double>();
      sums.after += (b * b).sum(at::kDouble).item<double>();
    }
    return absl::OkStatus();
  }
};

}  // namespace

QualityGauge::~QualityGauge() = default;
bool QualityGauge::needs_samples() const { return false; }

const QualityGauge& WeightCosineGauge() {
  static const WeightCosine& gauge = *new WeightCosine;
  return gauge;
}

}  // namespace wanlite
