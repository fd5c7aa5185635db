// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include "src/ops/cpu/code_kernels.h"

#include <cstdint>

#include "src/ops/fp8_math.h"
#include "src/ops/int4_math.h"

namespace wanlite::ops {
namespace {
#pragma GCC push_options
#pragma GCC target("avx2")
#include "src/ops/cpu/code_loops.h"
#pragma GCC pop_options
}  // namespace

const CodeKernels kCodeKernelsAvx2 = {Unpack4,      Subtract,   Expand,       AddScaled,
                                      MaxMagnitude, Extremes,   Pack4,        DecodeE4m3,
                                      EncodeE4m3,   UnpackE2m1, QuantizeNvfp4};

}  // namespace wanlite::ops
#endif
