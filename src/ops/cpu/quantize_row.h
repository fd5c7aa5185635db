// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// One token to INT8.
#ifndef WANLITE_SRC_OPS_CPU_QUANTIZE_ROW_H_
#define WANLITE_SRC_OPS_CPU_QUANTIZE_ROW_H_

#include <cstdint>

#include "src/ops/cpu/int8_kernels.h"
#include "src/ops/cpu/row_io.h"
#include "src/ops/int8_math.h"

namespace wanlite::ops {

// Rotates the row in place and quantizes it into `q`. Returns its scale.
inline float QuantizeValues(const Int8Kernels& kernels, int64_t n, int64_t rotation_group,
                            float* values, int8_t* q) {
  if (rotation_group != 0) kernels.rotate(values, n, rotation_group);
  const float scale = Int8Scale(kernels.max_magnitude(values, n));
  kernels.quantize(values, n, Int8Divisor(scale), q);
  return scale;
}

// The same of a row of any dtype, which is widened into `values`.
template <typename T>
float QuantizeToken(const Int8Kernels& kernels, const T* row, int64_t n, int64_t rotation_group,
                    float* values, int8_t* q) {
  ReadRow(row, n, values);
  return QuantizeValues(kernels, n, rotation_group, values, q);
}

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_QUANTIZE_ROW_H_
