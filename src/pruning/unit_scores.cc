// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/unit_scores.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/proto/pruning.pb.h"
#include "src/pruning/pass_scores.h"
#include "src/pruning/unit_axes.h"
#include "wanlite/env.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kScoredPasses = 8;
constexpr double kDefaultDisturbance = 0.1;

absl::Status CheckScoresFinite(const AxisGroup& group, const at::Tensor& scores) {
  if (scores.isfinite().all().item<bool>()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(group.name,
                   ": scores of its units are not finite: there is a NaN, an infinity or something "
                   "near it in its weights or in what flows through them"));
}

absl::StatusOr<ScoresByGroup> RandomUnitScores(const std::vector<AxisGroup>& groups,
                                               uint64_t seed) {
  ScoresByGroup scores;
  for (const AxisGroup& group : groups) {
    Random random(ScoreSeedOf(seed, kRandomScores, group.name));
    std::vector<double> drawn(static_cast<size_t>(group.units));
    for (double& value : drawn) value = random.Uniform();
    scores[group.name].cost = at::tensor(drawn, at::kDouble);
  }
  return scores;
}

// Sums over what of a tensor, or of a linear layer and its bias, belongs to each unit.
absl::StatusOr<at::Tensor> UnitWeightSums(const ModelView& model, const AxisGroup& group,
                                          const AxisRef& ref, bool squares) {
  const absl::StatusOr<const LinearWeight*> weight = model.Weight(ref.tensor);
  if (!weight.ok()) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor tensor, model.FindTensor(ref.tensor));
    return SumOfUnits(group, ref, SumsAlong(tensor, ref.dim, squares));
  }
  const at::Tensor* dense = (*weight)->dense();
  at::Tensor sums =
      SumsAlong(dense != nullptr ? *dense : (*weight)->Dequantize(), ref.dim, squares);
  if (ref.dim == 0) {
    const absl::StatusOr<at::Tensor> bias = model.FindTensor(ref.tensor + ".bias");
    if (bias.ok()) sums += SumsAlong(*bias, 0, squares);
  }
  return SumOfUnits(group, ref, sums);
}

// Norms of all that goes with a unit but the scales of norms, which say nothing of how much their
// channel counts for.
absl::StatusOr<ScoresByGroup> WeightUnitScores(ModelView& model,
                                               const std::vector<AxisGroup>& groups, bool squares,
                                               const PassContext& context) {
  std::map<std::string, std::vector<std::pair<const AxisGroup*, const AxisRef*>>> blocks;
  for (const AxisGroup& group : groups) {
    for (const AxisRef& ref : group.refs) {
      if (ref.role == AxisRole::kSliced)
        blocks[model.BlockOf(ref.tensor)].push_back({&group, &ref});
    }
  }
  std::map<std::string, at::Tensor> sums;
  ProgressSink& progress = context.progress != nullptr ? *context.progress : SilentProgress();
  progress.Begin("norms of weights", static_cast<int64_t>(blocks.size()));
  int64_t done = 0;
  for (const BlockInfo& block : std::vector<BlockInfo>(model.blocks())) {
    const auto refs = blocks.find(block.path);
    if (refs == blocks.end()) continue;
    WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
    for (const auto& [group, ref] : refs->second) {
      absl::StatusOr<at::Tensor> found =
          CatchTorch([&] { return UnitWeightSums(model, *group, *ref, squares); });
      if (!found.ok()) return Annotate(found.status(), ref->tensor);
      at::Tensor& sum = sums[group->name];
      sum = sum.defined() ? sum + *found : *found;
    }
    progress.Update(++done, block.path);
  }
  progress.End();
  ScoresByGroup scores;
  for (const AxisGroup& group : groups) {
    at::Tensor sum = sums[group.name];
    if (!sum.defined()) {
      return absl::InvalidArgumentError(
          absl::StrCat(group.name, ": no weights go with its units but those of norms"));
    }
    scores[group.name].cost = squares ? sum.sqrt() : sum;
  }
  return scores;
}

absl::StatusOr<ScoresByGroup> UnitScoresOf(ModelView& model, const std::vector<AxisGroup>& groups,
                                           const UnitCriterion& criterion,
                                           const PassContext& context) {
  switch (criterion.score()) {
    case UnitCriterion::RANDOM:
      return RandomUnitScores(groups, context.seed);
    case UnitCriterion::L1:
    case UnitCriterion::L2:
      return WeightUnitScores(model, groups, criterion.score() == UnitCriterion::L2, context);
    default:
      return ScoreByPasses(model, groups, criterion, context);
  }
}

}  // namespace

bool NeedsSamples(const UnitCriterion& criterion) {
  switch (criterion.score()) {
    case UnitCriterion::L2:
    case UnitCriterion::L1:
    case UnitCriterion::RANDOM:
      return false;
    default:
      return true;
  }
}

absl::Status ResolveCriterion(UnitCriterion& criterion, absl::string_view field) {
  const auto error = [&](absl::string_view name, const auto&... text) {
    return OptionError(absl::StrCat(field, ".", name), absl::StrCat(text...));
  };
  if (!UnitCriterion::Score_IsValid(criterion.score())) {
    return error("score", static_cast<int>(criterion.score()), " is no score");
  }
  const std::string score = UnitCriterion::Score_Name(criterion.score());
  if (!UnitCriterion::Loss_IsValid(criterion.loss())) {
    return error("loss", static_cast<int>(criterion.loss()), " is not DISTURBED or DATA");
  }
  if (!UnitCriterion::Over_IsValid(criterion.over())) {
    return error("over", static_cast<int>(criterion.over()), " is not MEAN or WORST");
  }
  if (!UnitCriterion::Scope_IsValid(criterion.scope())) {
    return error("scope", static_cast<int>(criterion.scope()), " is not LOCAL or GLOBAL");
  }
  if (criterion.loss() == UnitCriterion::DATA && !IsGradientScore(criterion)) {
    return error("loss", "is of TAYLOR and OBD, ", score, " takes no gradients");
  }
  if (criterion.over() == UnitCriterion::WORST && !NeedsSamples(criterion)) {
    return error("over", "is of scores from recorded inputs, ", score, " knows no timesteps");
  }
  if (criterion.has_disturbance() && !IsDisturbedScore(criterion)) {
    return error("disturbance", "is of TAYLOR and OBD with the loss DISTURBED");
  }
  if (IsDisturbedScore(criterion) && !criterion.has_disturbance()) {
    criterion.set_disturbance(kDefaultDisturbance);
  }
  // A NaN fails both comparisons.
  if (criterion.has_disturbance() &&
      !(criterion.disturbance() > 0 && criterion.disturbance() <= 1)) {
    return error("disturbance", criterion.disturbance(), " is not in (0, 1]");
  }
  const bool picks = IsGradientScore(criterion) || criterion.score() == UnitCriterion::OUTPUT_ERROR;
  if (criterion.has_samples() && !picks) {
    return error("samples", "is of TAYLOR, OBD and OUTPUT_ERROR; ", score,
                 NeedsSamples(criterion) ? " takes all" : " needs none");
  }
  if (picks && !criterion.has_samples()) criterion.set_samples(kScoredPasses);
  if (picks && criterion.samples() < 1) {
    return error("samples", criterion.samples(), " is not positive");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, UnitScores>> ScoreUnits(ModelView& model,
                                                             const std::vector<AxisGroup>& groups,
                                                             const UnitCriterion& criterion,
                                                             PassContext& context) {
  PassContext own = context;
  std::unique_ptr<Env> memory;  // of a run that has no disk
  if (NeedsSamples(criterion)) {
    WANLITE_RETURN_IF_ERROR(CheckGroupSamples(model, groups, context));
    if (own.env == nullptr || own.scratch.empty()) {
      memory = NewMemEnv();
      own.env = memory.get();
      own.scratch = "/scores";
    }
  }
  return CatchTorch([&]() -> absl::StatusOr<ScoresByGroup> {
    WANLITE_ASSIGN_OR_RETURN(ScoresByGroup scores, UnitScoresOf(model, groups, criterion, own));
    for (const AxisGroup& group : groups) {
      WANLITE_RETURN_IF_ERROR(CheckScoresFinite(group, scores[group.name].cost));
    }
    return scores;
  });
}

}  // namespace wanlite
