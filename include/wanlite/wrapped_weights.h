// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Weights that wrap another one, for training: a low-rank branch, a mask, fake quantization. They
// wrap any format and each other; LinearWeight::Merge() gives what they turn into. A checkpoint
// holds them as they are: the attributes name the base's format, and its tensors keep their
// suffixes beside the new ones.
//
// The base is what LinearWeight::Share() or a factory gives, of a layer that gets the wrapped
// weight in its place. InvalidArgument for tensors that do not fit it, and for a base that has a
// tensor of a suffix that is added (a second mask, say).
#ifndef WANLITE_WRAPPED_WEIGHTS_H_
#define WANLITE_WRAPPED_WEIGHTS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

// "low_rank" (LoRA, arXiv 2106.09685): y = base(x) + alpha / rank * B A x. The base is frozen; A
// and B train. Adds low_rank_a: floating [rank, in] and low_rank_b: floating [out, rank], rank >=
// 1; the usual start is a random A and a zero B. Merges into a dense matrix, in the base's dtype if
// that is dense, else fp32.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeLowRankWeight(std::unique_ptr<LinearWeight> base,
                                                                const at::Tensor& a,
                                                                const at::Tensor& b, double alpha);

// "masked": the base's matrix where the mask is true, zero elsewhere. Whatever trains in the base
// trains on, and what is masked stays zero. Adds weight_mask: bool [out, in]. Merges into a dense
// matrix with the zeros, as above.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeMaskedWeight(std::unique_ptr<LinearWeight> base,
                                                               const at::Tensor& mask);

// "fake_int8" (quantization-aware training): computes what the format "int8" computes, to the bit,
// and passes gradients straight through the rounding to the input and to whatever trains in the
// base, which so learns to be rounded. rotation_group: as of "int8".
//   learned_scale false: the scale of a row is its max / 127 at every step
//   learned_scale true: adds quant_scale: fp32 [out, 1], which trains (LSQ, arXiv 1902.08153), and
//     starts as if it were computed
// Merges into an int8 weight that gives the same results.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeFakeInt8Weight(std::unique_ptr<LinearWeight> base,
                                                                 int64_t rotation_group,
                                                                 bool learned_scale);

// The factories of these formats.
absl::StatusOr<std::unique_ptr<LinearWeight>> LowRankWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);
absl::StatusOr<std::unique_ptr<LinearWeight>> MaskedWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);
absl::StatusOr<std::unique_ptr<LinearWeight>> FakeInt8WeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

}  // namespace wanlite

#endif  // WANLITE_WRAPPED_WEIGHTS_H_
