// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/sparsify.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/calibration/input_moments.h"
#include "src/calibration/sample_tap.h"
#include "src/core/libtorch.h"
#include "src/model/sparse_nm_weight.h"
#include "src/model/tensor_text.h"
#include "wanlite/nn.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

// A mask beside a dense matrix, and nothing else.
bool IsMaskedDense(const LinearWeight& weight) {
  if (weight.format() != "masked") return false;
  const std::vector<WeightTensor> state = weight.State();
  return state.size() == 2 && state[0].role == WeightTensor::Role::kParameter;
}

// [out, in] of the model's dtype, without values where `matrix` has none.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeSparse(const at::Tensor& matrix,
                                                         const at::Tensor& keep,
                                                         const SparseForm& form) {
  switch (form.store) {
    case Sparsity::MASK:
      return MakeMaskedWeight(MakeDenseWeight(matrix), keep);
    case Sparsity::PACKED:
      return MakeSparseNmWeight(matrix, {form.n, form.m});
    default:
      return MakeDenseWeight(matrix);
  }
}

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeHollowSparse(const at::Tensor& matrix,
                                                               const SparseForm& form) {
  if (form.store == Sparsity::PACKED) {
    return MakeHollowSparseNmWeight(matrix.size(0), matrix.size(1), matrix.scalar_type(),
                                    {form.n, form.m});
  }
  const nn::HollowGuard hollow;
  at::Tensor keep;
  if (form.store == Sparsity::MASK) keep = nn::NewTensor(matrix.sizes(), at::kBool);
  return MakeSparse(nn::NewTensor(matrix.sizes(), matrix.scalar_type()), keep, form);
}

}  // namespace

absl::Status CheckAmount(bool given, double amount) {
  if (!given)
    return OptionError("amount", "is missing; wanted a fraction of the weights in [0, 1]");
  // A NaN fails both comparisons.
  if (!(amount >= 0 && amount <= 1)) {
    return OptionError("amount", absl::StrCat(amount, " is not in [0, 1]"));
  }
  return absl::OkStatus();
}

absl::Status CheckStore(const SparseForm& form) {
  if (!Sparsity::Store_IsValid(form.store)) {
    return OptionError("store",
                       absl::StrCat(static_cast<int>(form.store), " is not ZEROS, MASK or PACKED"));
  }
  if (form.store == Sparsity::PACKED && form.m == 0) {
    return OptionError("store", "PACKED holds N:M patterns alone, and zeros may be anywhere here");
  }
  return absl::OkStatus();
}

absl::Status CheckPattern(int64_t n, int64_t m) {
  if (m < 2 || m > kMaxSparseGroup) {
    return OptionError("m", absl::StrCat(m, " is not in [2, ", kMaxSparseGroup, "]"));
  }
  if (n < 1 || n >= m) {
    return OptionError("n", absl::StrCat(n, " is not in [1, ", m - 1, "], below m"));
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> PrunableMatrix(const ModelView& model, const std::string& linear) {
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear));
  std::unique_ptr<LinearWeight> expanded;
  if (IsMaskedDense(*weight)) {
    WANLITE_ASSIGN_OR_RETURN(expanded, weight->Merge());
  } else {
    WANLITE_ASSIGN_OR_RETURN(expanded, ExpandSparseNm(*weight));
  }
  if (expanded != nullptr) weight = expanded.get();
  if (weight->dense() == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        linear, ": its weight has the format ", std::string(weight->format()),
        "; zeros are put into dense, masked and packed sparse weights. Exclude the layer, or prune "
        "before it is quantized"));
  }
  const at::Tensor matrix = weight->dense()->detach();
  if (!matrix.is_cpu()) {
    return absl::InvalidArgumentError(absl::StrCat(linear, ".weight is on ", matrix.device().str(),
                                                   "; zeros are put in on the CPU"));
  }
  const at::ScalarType dtype = matrix.scalar_type();
  if (dtype != at::kFloat && dtype != at::kBFloat16 && dtype != at::kHalf) {
    return absl::InvalidArgumentError(absl::StrCat(linear, ".weight is ", TensorText(matrix),
                                                   "; this pass takes fp32, bf16 or fp16 weights"));
  }
  return matrix;
}

absl::StatusOr<LinearSelection> SelectPrunable(const ModelView& model, const LinearFilter& filter,
                                               const SparseForm& form) {
  WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, filter));
  for (const LinearInfo& linear : selection.linears) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    if (form.m != 0 && weight->in_features() % form.m != 0) {
      return absl::InvalidArgumentError(absl::StrCat(linear.path, ": groups of ", form.m,
                                                     " do not divide its ", weight->in_features(),
                                                     " input features"));
    }
    // Not of these: what they hold would be expanded, of a model in memory.
    if (IsMaskedDense(*weight) || weight->format() == "sparse_nm") continue;
    WANLITE_RETURN_IF_ERROR(PrunableMatrix(model, linear.path).status());
  }
  return selection;
}

absl::Status SetSparse(ModelView& model, const std::string& linear, const at::Tensor& matrix,
                       const at::Tensor& keep, const SparseForm& form,
                       std::map<std::string, double>& metrics) {
  int64_t zeros = 0;
  const at::Tensor pruned = ZeroWhereNotKept(matrix, keep, &zeros);
  metrics["weights"] += static_cast<double>(pruned.numel());
  metrics["zero_weights"] += static_cast<double>(zeros);
  absl::StatusOr<std::unique_ptr<LinearWeight>> weight = MakeSparse(pruned, keep, form);
  if (!weight.ok()) return Annotate(weight.status(), absl::StrCat(linear, ".weight"));
  return model.SetLinearWeight(linear, *std::move(weight));
}

absl::Status ApplySparseForm(ModelView& hollow, const LinearFilter& filter,
                             const SparseForm& form) {
  WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectPrunable(hollow, filter, form));
  for (const LinearInfo& linear : selection.linears) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix, PrunableMatrix(hollow, linear.path));
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> weight, MakeHollowSparse(matrix, form));
    WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(linear.path, std::move(weight)));
  }
  return absl::OkStatus();
}

std::string SparseFormNote(const SparseForm& form) {
  switch (form.store) {
    case Sparsity::MASK:
      return "a mask of one byte a weight keeps the zeros while the model is trained; the pass "
             "convert bakes it";
    case Sparsity::PACKED:
      return absl::StrCat(SparseNmNote({form.n, form.m}));
    default:
      return "zeros save no time and no disk space without a sparse kernel and a sparse format";
  }
}

void FinishZeros(std::map<std::string, double>& metrics) {
  const auto weights = metrics.find("weights");
  if (weights == metrics.end() || weights->second == 0) return;
  metrics["zero_fraction"] = metrics["zero_weights"] / weights->second;
}

std::string ZerosText(int64_t zeros, int64_t weights) {
  const double percent = 100.0 * static_cast<double>(zeros) / static_cast<double>(weights);
  return absl::StrCat(zeros, " of ", weights, " weights to zero (", std::lround(percent), " %)");
}

absl::StatusOr<PassNotes> SparsifyPass::Plan(const ModelView& model) const {
  WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectPrunable(model, linears_, form_));
  PassNotes plan;
  plan.notes = std::move(selection.notes);
  for (std::string& note : Notes()) plan.notes.push_back(std::move(note));
  plan.notes.push_back(SparseFormNote(form_));
  for (const LinearInfo& linear : selection.linears) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    const int64_t out = weight->out_features(), in = weight->in_features();
    plan.block_scratch_bytes = std::max(plan.block_scratch_bytes, ScratchBytes(out, in));
    plan.value_changes.emplace_back(linear.path, ZerosText(Zeros(out, in), out * in));
  }
  return plan;
}

absl::Status SparsifyPass::ApplyPlan(ModelView& hollow, const google::protobuf::Message*) const {
  return ApplySparseForm(hollow, linears_, form_);
}

bool SparsifyPass::Touches(const ModelView& model, absl::string_view block) const {
  return TouchesSelection(model, linears_, block);
}

std::optional<StreamOptions> SparsifyPass::activations() const {
  return inputs_ == Inputs::kNotSeen ? std::nullopt : std::optional(StreamOptions());
}

absl::Status SparsifyPass::RunBlock(ModelView& model, const BlockLease& block,
                                    const google::protobuf::Message*, PassContext& context) const {
  WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectPrunable(model, linears_, form_));
  const std::vector<LinearInfo> linears = selection.InBlock(block.block());
  if (inputs_ == Inputs::kNotSeen) {
    for (const LinearInfo& linear : linears) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_RETURN_IF_ERROR(PruneReaders(model, {linear.path}, {}, context));
    }
    return absl::OkStatus();
  }
  // In the order of execution: each input is what the pruned layers before it make.
  return ForEachInput(
      model, block, linears, context.activations,
      [&](const std::vector<std::string>& readers) -> absl::Status {
        const std::string& first = readers.front();
        at::Tensor moment;
        {
          const bool pairs = inputs_ == Inputs::kPairMoments;
          MomentTap tap({first}, pairs ? MomentTap::Of::kPairs : MomentTap::Of::kFeatures);
          WANLITE_RETURN_IF_ERROR(RunTapped(model, block, *context.activations,
                                            /*timestep_bins=*/1, tap, context.cancel));
          WANLITE_ASSIGN_OR_RETURN(moment, tap.Take(first));
          if (!pairs) moment.div_(tap.Rows(first));
        }
        if (inputs_ == Inputs::kFeatureMoments && !moment.any().item<bool>()) {
          return absl::InvalidArgumentError(
              absl::StrCat(first, ": its inputs are all zero in the samples"));
        }
        return PruneReaders(model, readers, std::move(moment), context);
      });
}

void SparsifyPass::FinishMetrics(std::map<std::string, double>& metrics) const {
  FinishZeros(metrics);
}

absl::StatusOr<at::Tensor> SparsifyPass::FiniteMatrix(const ModelView& model,
                                                      const std::string& linear) {
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor matrix, PrunableMatrix(model, linear));
  if (matrix.isfinite().all().item<bool>()) return matrix;
  return absl::InvalidArgumentError(absl::StrCat(linear, ".weight holds a NaN or an infinity"));
}

}  // namespace wanlite
