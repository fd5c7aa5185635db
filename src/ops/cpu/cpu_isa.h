// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which instructions the CPU kernels use. Chosen at run time; every choice gives the same integers.
#ifndef WANLITE_SRC_OPS_CPU_CPU_ISA_H_
#define WANLITE_SRC_OPS_CPU_CPU_ISA_H_

namespace wanlite::ops {

enum class CpuIsa {
  kPortable,  // plain C++
  kAvx2,      // products of 8-bit values widened to 16 bit, pairs summed in 32 bit: never saturates
  kAvx512Vnni,  // four 8-bit products summed straight into 32 bit
};

// "portable", "avx2", "avx512_vnni".
const char* CpuIsaName(CpuIsa isa);
// Whether this machine can run it.
bool CpuIsaSupported(CpuIsa isa);
// The best one this machine has, or the one that the environment variable WANLITE_CPU_ISA names.
// Decided once per process. Throws c10::Error when the variable names an unknown or unsupported
// one.
CpuIsa ActiveCpuIsa();
// Whether this machine multiplies bf16 in hardware, as far as WANLITE_CPU_ISA lets it. Without,
// LibTorch's products in bf16 take several times as long as in fp32.
bool CpuMultipliesBf16();

}  // namespace wanlite::ops

#endif  // WANLITE_SRC_OPS_CPU_CPU_ISA_H_
