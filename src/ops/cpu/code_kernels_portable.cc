// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/code_kernels.h"

#include <cstdint>

#include "src/ops/fp8_math.h"
#include "src/ops/int4_math.h"

namespace wanlite::ops {
namespace {
#include "src/ops/cpu/code_loops.h"
}  // namespace

const CodeKernels kCodeKernelsPortable = {Unpack4,      Subtract,   Expand,       AddScaled,
                                          MaxMagnitude, Extremes,   Pack4,        DecodeE4m3,
                                          EncodeE4m3,   UnpackE2m1, QuantizeNvfp4};

#if !defined(__x86_64__)
const CodeKernels& CodeKernelsFor(CpuIsa) { return kCodeKernelsPortable; }
#else
const CodeKernels& CodeKernelsFor(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx512Vnni:
      return kCodeKernelsAvx512Vnni;
    case CpuIsa::kAvx2:
      return kCodeKernelsAvx2;
    case CpuIsa::kPortable:
      break;
  }
  return kCodeKernelsPortable;
}
#endif

}  // namespace wanlite::ops
