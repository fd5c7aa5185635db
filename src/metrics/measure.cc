// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "wanlite/metrics.h"

namespace wanlite {
namespace {

// Linear interpolation between order statistics; `sorted` is not empty.
double Quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Spread SpreadOf(std::vector<double> samples) {
  Spread spread;
  if (samples.empty()) return spread;
  std::sort(samples.begin(), samples.end());
  spread.median = Quantile(samples, 0.5);
  spread.min = samples.front();
  spread.max = samples.back();
  spread.quartile_low = Quantile(samples, 0.25);
  spread.quartile_high = Quantile(samples, 0.75);
  spread.runs = static_cast<int64_t>(samples.size());
  return spread;
}

int64_t PeakRssBytes() {
  // A file of the kernel, not of the disk: it has no size and cannot go through an Env.
  std::FILE* file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) return 0;
  char line[256];
  long long kilobytes = 0;
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::strncmp(line, "VmHWM:", 6) == 0 && std::sscanf(line + 6, "%lld", &kilobytes) == 1)
      break;
  }
  std::fclose(file);
  return static_cast<int64_t>(kilobytes) * 1024;
}

}  // namespace wanlite
