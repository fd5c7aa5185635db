// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cpu/cpu_isa.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <string>

namespace wanlite::ops {
namespace {

constexpr CpuIsa kBestFirst[] = {CpuIsa::kAvx512Vnni, CpuIsa::kAvx2, CpuIsa::kPortable};

CpuIsa Choose() {
  const char* wanted = std::getenv("WANLITE_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') {
    for (CpuIsa isa : kBestFirst) {
      if (CpuIsaSupported(isa)) return isa;
    }
  }
  for (CpuIsa isa : kBestFirst) {
    if (std::string(wanted) != CpuIsaName(isa)) continue;
    TORCH_CHECK(CpuIsaSupported(isa), "WANLITE_CPU_ISA=", wanted, ": this CPU does not have it");
    return isa;
  }
  TORCH_CHECK(false, "WANLITE_CPU_ISA=", wanted,
              ": unknown; it must be one of avx512_vnni, avx2, portable");
}

}  // namespace

const char* CpuIsaName(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx512Vnni:
      return "avx512_vnni";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kPortable:
      break;
  }
  return "portable";
}

bool CpuIsaSupported(CpuIsa isa) {
#if defined(__x86_64__)
  // These ask cpuid and, through XGETBV, whether the operating system saves the registers.
  switch (isa) {
    case CpuIsa::kAvx512Vnni:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vnni");
    case CpuIsa::kAvx2:
      // Every CPU with AVX2 but one of VIA has FMA.
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CpuIsa::kPortable:
      break;
  }
#endif
  return isa == CpuIsa::kPortable;
}

CpuIsa ActiveCpuIsa() {
  static const CpuIsa isa = Choose();
  return isa;
}

bool CpuMultipliesBf16() {
#if defined(__x86_64__)
  // Every CPU with AMX has the instructions of AVX-512 too.
  return ActiveCpuIsa() == CpuIsa::kAvx512Vnni && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace wanlite::ops
