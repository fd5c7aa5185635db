// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a measurement was made on. No host name, no paths: results are meant to be published.
#ifndef WANLITE_SRC_METRICS_MACHINE_H_
#define WANLITE_SRC_METRICS_MACHINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite {

struct MachineInfo {
  std::string cpu;                        // model name as the system tells it
  int logical_cores = 0;                  // that this process may use
  std::vector<std::string> cpu_features;  // of those that matter to kernels: avx2, avx512_vnni, ...
  int64_t memory_bytes = 0;
  std::string system;    // "Linux 6.1 x86_64"
  std::string compiler;  // "GCC 12.2.0"
  std::string libtorch;  // "2.11.0"
  std::string wanlite;   // version
  std::string commit;    // of the build, "unknown" outside a checkout
  std::string device;    // "cpu", or the name of the GPU in use
};
// Of this process: `device` is "cpu"; who runs on a GPU puts its name there.
MachineInfo DescribeMachine();

// What DescribeMachine() reads out of the text of /proc/cpuinfo: the model ("unknown" when it names
// none), and those of its flags that kernels are chosen by, always in the same order.
std::string CpuModelIn(absl::string_view cpuinfo);
std::vector<std::string> CpuFeaturesIn(absl::string_view cpuinfo);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_MACHINE_H_
