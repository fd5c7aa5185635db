// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Weights that wrap another one: low-rank branches, a mask, fake quantization, smoothed inputs.
// They wrap any format and each other; of those that are for training LinearWeight::Merge() gives
// what they turn into. A checkpoint holds them as they are: the attributes name the base's format,
// and its tensors keep their suffixes beside the new ones.
//
// The base is what LinearWeight::Share() or a factory gives, of a layer that gets the wrapped
// weight in its place. InvalidArgument for tensors that do not fit it, and for a base that has a
// tensor of a suffix that is added (a second mask, say).
#ifndef WANLITE_WRAPPED_WEIGHTS_H_
#define WANLITE_WRAPPED_WEIGHTS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

// "low_rank": y = base(x) + alpha / rank * B A x: a branch that a pass gives a layer. Adapters that
// come and go are the format "lora". The base is frozen; A and B train. Adds low_rank_a: floating
// [rank, in] and low_rank_b: floating [out, rank], rank >= 1; the usual start is a random A and a
// zero B. The branch computes in the wider of its dtype and the input's.
enum class LowRankUse {
  // Merges into a dense matrix, in the base's dtype if that is dense, else fp32.
  kAdapter,
  // SVDQuant (arXiv 2411.05007): the branch holds what the base's codes do not, and stays.
  kPartOfFormat,
};
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeLowRankWeight(
    std::unique_ptr<LinearWeight> base, const at::Tensor& a, const at::Tensor& b, double alpha,
    LowRankUse use = LowRankUse::kAdapter);

// One adapter of a layer (LoRA, arXiv 2106.09685), which adds strength * alpha / rank * B A x.
struct LoraBranch {
  std::string adapter;  // which adapter of the model it belongs to, a name for people; not empty
  at::Tensor a, b;      // of one floating dtype, [rank, in] and [out, rank], rank >= 1
  double alpha = 0;     // finite, as strength is
  double strength = 1;

  // What B A is multiplied by: strength * alpha / rank.
  double scale() const;
};

// "lora": y = base(x) + the sum over branches of scale * B A x, each branch computed in the wider
// of its dtype and the input's. Adds lora_a_N and lora_b_N for the N-th branch, from 0. The base,
// of any format (low_rank among them), is frozen; the branches train. A base of this format is
// taken apart: its branches come first, so that adapters stack flat. Merges into a dense base, in
// fp32 and rounded once to its dtype; FailedPrecondition over any other base, which would lose what
// its format is for: such a layer goes on unmerged.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeLoraWeight(std::unique_ptr<LinearWeight> base,
                                                             std::vector<LoraBranch> branches);
// Its branches, live tensors; none of a weight of another format.
std::vector<LoraBranch> LoraBranches(const LinearWeight& weight);
// What the branches stand beside: the weight itself when it is of another format. Lives as long as
// `weight` does.
const LinearWeight& LoraBase(const LinearWeight& weight);

// "smoothed": y = base(x / divisor), the input divided in fp32 and rounded to its dtype. Adds
// smooth_divisor: fp32 [in], positive. Layers whose divisors are equal and whose bases read one
// form share the divided and quantized input. For inputs whose outliers were moved into the
// weights, where the division cannot go into what comes before. Whatever trains in the base trains
// on. Merges where its base does.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeSmoothedWeight(std::unique_ptr<LinearWeight> base,
                                                                 const at::Tensor& divisor);

// "masked": the base's matrix where the mask is true, zero elsewhere. Whatever trains in the base
// trains on, and what is masked stays zero. Adds weight_mask: bool [out, in]. Merges into a dense
// matrix with the zeros, as above.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeMaskedWeight(std::unique_ptr<LinearWeight> base,
                                                               const at::Tensor& mask);

// "fake_quant" (quantization-aware training): computes what the weight of another format computes
// that it turns into, with that format's own kernel, so to the bit, and passes gradients straight
// through the rounding to the input and to whatever trains in the base, which so learns to be
// rounded. format: as recipes write a LinearFormat, "int4 { group: 64 activations: INT8 }".
//   learned_scale false: scales are those that the format computes of the matrix, at every step
//   learned_scale true: adds quant_scale: fp32 [out, groups], of which the magnitude counts and
//     which trains (LSQ, arXiv 1902.08153), and starts as if it were computed; for formats with a
//     zero point also quant_zero, of its shape, which stays
// Merges into a weight of the format that gives the same results. InvalidArgument for a format that
// has no grid of values or needs recorded inputs, and for a layer that it cannot have.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFakeQuantWeight(
    std::unique_ptr<LinearWeight> base, absl::string_view format, bool learned_scale);

// The factories of these formats.
absl::StatusOr<std::unique_ptr<LinearWeight>> LowRankWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);
absl::StatusOr<std::unique_ptr<LinearWeight>> LoraWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);
absl::StatusOr<std::unique_ptr<LinearWeight>> MaskedWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);
absl::StatusOr<std::unique_ptr<LinearWeight>> FakeQuantWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

absl::StatusOr<std::unique_ptr<LinearWeight>> SmoothedWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

}  // namespace wanlite

#endif  // WANLITE_WRAPPED_WEIGHTS_H_
