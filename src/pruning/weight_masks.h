// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which weights of a matrix stay, by how much it costs to remove each. Masks are bool and true for
// what stays; of equal scores the first ones go, by row and then by column.
#ifndef WANLITE_SRC_PRUNING_WEIGHT_MASKS_H_
#define WANLITE_SRC_PRUNING_WEIGHT_MASKS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace wanlite {

// |w| times its column's scale: fp32 [out, in]. weight: floating [out, in], finite. scale: fp32
// [in], finite and not negative, or undefined for 1. Zero for zeros alone, so that these are the
// first to go: a weight whose score would be 0 has the smallest positive one.
at::Tensor WeightScores(const at::Tensor& weight, const at::Tensor& scale = {});

// Scores are fp32 [rows, columns], not negative and no NaN, as WeightScores() gives them.

// Removes `count` of them; count in [0, numel].
at::Tensor KeepOfMatrix(const at::Tensor& scores, int64_t count);
// Removes `count` of each row; count in [0, columns].
at::Tensor KeepOfRows(const at::Tensor& scores, int64_t count);
// N:M: keeps n of each m neighbours in a row; 0 < n < m, and m divides the columns.
at::Tensor KeepOfGroups(const at::Tensor& scores, int64_t n, int64_t m);

// A copy of a floating matrix with zeros where `keep`, bool of its shape, is false. *zeros: how
// many it holds.
at::Tensor ZeroWhereNotKept(const at::Tensor& matrix, const at::Tensor& keep, int64_t* zeros);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_WEIGHT_MASKS_H_
