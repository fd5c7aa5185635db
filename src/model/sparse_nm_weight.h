// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The weight format "sparse_nm": of each m neighbouring input features of an output at most n are
// not zero, and n are stored, with their places.
//   weight         fp32, bf16 or fp16 [out, in / m * n]
//   weight_places  uint8 [out, PlaceBytes(in / m * n, m)], as src/ops/sparse_math.h packs them
// and the attributes {"n": 2, "m": 4}. 2:4 takes 17 / 32 of the bytes of an fp32 matrix and 9 / 16
// of a bf16 one. Does not train; gradients pass it.
#ifndef WANLITE_SRC_MODEL_SPARSE_NM_WEIGHT_H_
#define WANLITE_SRC_MODEL_SPARSE_NM_WEIGHT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/ops/sparse_math.h"
#include "wanlite/linear_weight.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

using ops::kMaxSparseGroup;

// 0 < n < m <= kMaxSparseGroup.
struct SparsePattern {
  int64_t n = 2, m = 4;
};

// matrix: fp32, bf16 or fp16 [out, in] on the CPU, without gradients. InvalidArgument when m does
// not divide `in`, and for a group with more than n that are not zero.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeSparseNmWeight(const at::Tensor& matrix,
                                                                 const SparsePattern& pattern);
// m must divide in_features.
std::unique_ptr<LinearWeight> MakeHollowSparseNmWeight(int64_t out_features, int64_t in_features,
                                                       at::ScalarType dtype,
                                                       const SparsePattern& pattern);
// InvalidArgument for tensors that do not fit each other or the pattern, and for places that are
// not ascending within their group.
absl::StatusOr<std::unique_ptr<LinearWeight>> SparseNmWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats);

// The dense weight of a sparse_nm one, of its dtype, hollow when it is; null for other formats.
// InvalidArgument for places that are not ascending.
absl::StatusOr<std::unique_ptr<LinearWeight>> ExpandSparseNm(const LinearWeight& weight);

// For plans: what the format saves, and whether this machine skips its zeros.
std::string SparseNmNote(const SparsePattern& pattern);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_SPARSE_NM_WEIGHT_H_
