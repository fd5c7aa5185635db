// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/machine.h"

#include <sched.h>
#include <sys/utsname.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "src/metrics/build_info.h"

namespace wanlite {
namespace {

// What a kernel for matrix products, attention or convolutions may be chosen by, as Linux spells
// it.
constexpr absl::string_view kFeaturesThatMatter[] = {
    "sse4_2",   "avx",      "f16c",     "fma",         "avx2",        "avx_vnni",
    "avx512f",  "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16",                                        // x86-64
    "asimd",    "asimddp",  "i8mm",     "bf16",        "sve",         "sve2",  // Arm
};

// A file of the kernel, not of the disk: it has no size and cannot go through an Env. Empty when it
// is not there.
std::string ReadKernelFile(const char* path) {
  std::string text;
  std::FILE* file = std::fopen(path, "r");
  if (file == nullptr) return text;
  char chunk[4096];
  size_t count = 0;
  while ((count = std::fread(chunk, 1, sizeof(chunk), file)) > 0) text.append(chunk, count);
  std::fclose(file);
  return text;
}

// The value of the first line "key : value".
absl::string_view FieldOf(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos) continue;
    if (absl::StripAsciiWhitespace(line.substr(0, colon)) != key) continue;
    return absl::StripAsciiWhitespace(line.substr(colon + 1));
  }
  return {};
}

int UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

// Of the machine, or what a container may use of it.
int64_t UsableMemory() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  const std::string text = ReadKernelFile("/sys/fs/cgroup/memory.max");
  int64_t limit = 0;  // the file says "max" where there is none
  if (absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &limit) && limit > 0) {
    bytes = std::min(bytes, limit);
  }
  return bytes;
}

std::string SystemName() {
  utsname name = {};
  if (uname(&name) != 0) return "unknown";
  // "6.1.0-18-cloud-amd64" -> "6.1": what follows names distributions and clouds, not behaviour.
  std::vector<std::string> parts = absl::StrSplit(name.release, absl::MaxSplits('.', 2));
  return absl::StrCat(name.sysname, " ", parts[0], parts.size() > 1 ? "." : "",
                      parts.size() > 1 ? parts[1] : "", " ", name.machine);
}

std::string CompilerName() {
#if defined(__clang__)
  return absl::StrCat("Clang ", __clang_major__, ".", __clang_minor__, ".", __clang_patchlevel__);
#elif defined(__GNUC__)
  return absl::StrCat("GCC ", __GNUC__, ".", __GNUC_MINOR__, ".", __GNUC_PATCHLEVEL__);
#else
  return "unknown";
#endif
}

}  // namespace

std::string CpuModelIn(absl::string_view cpuinfo) {
  for (const char* key : {"model name", "Model", "Hardware", "cpu model"}) {
    const absl::string_view value = FieldOf(cpuinfo, key);
    if (!value.empty()) return std::string(value);
  }
  return "unknown";
}

std::vector<std::string> CpuFeaturesIn(absl::string_view cpuinfo) {
  absl::string_view line = FieldOf(cpuinfo, "flags");
  if (line.empty()) line = FieldOf(cpuinfo, "Features");  // Arm
  const std::set<absl::string_view> words = absl::StrSplit(line, ' ');
  std::vector<std::string> found;
  for (absl::string_view feature : kFeaturesThatMatter) {
    if (words.count(feature) > 0) found.emplace_back(feature);
  }
  return found;
}

MachineInfo DescribeMachine() {
  MachineInfo info;
  const std::string cpuinfo = ReadKernelFile("/proc/cpuinfo");
  info.cpu = CpuModelIn(cpuinfo);
  info.logical_cores = UsableCores();
  info.cpu_features = CpuFeaturesIn(cpuinfo);
  info.memory_bytes = UsableMemory();
  info.system = SystemName();
  info.compiler = CompilerName();
  info.libtorch = TORCH_VERSION;
  info.wanlite = WANLITE_BUILD_VERSION;
  info.commit = WANLITE_BUILD_COMMIT;
  info.device = "cpu";
  return info;
}

}  // namespace wanlite
