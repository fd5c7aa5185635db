// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/parallel_for.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#if AT_PARALLEL_OPENMP && !defined(_OPENMP)
#error "compiled without OpenMP, at::parallel_for() would run on one thread"
#endif

namespace wanlite {

void ParallelFor(int64_t begin, int64_t end, int64_t grain,
                 absl::FunctionRef<void(int64_t first, int64_t last)> work) {
  // More parts than threads, and each to the thread that is free: none waits long for one whose
  // core does something else as well.
  constexpr int64_t kPartsPerThread = 4;
  const int64_t count = end - begin, threads = at::get_num_threads();
  const int64_t parts = std::min(threads * kPartsPerThread, count / std::max<int64_t>(1, grain));
  if (parts <= threads || at::in_parallel_region()) {
    at::parallel_for(begin, end, grain, [work](int64_t first, int64_t last) { work(first, last); });
    return;
  }
  std::atomic<int64_t> next{0};
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    for (int64_t part = next++; part < parts; part = next++) {
      work(begin + count * part / parts, begin + count * (part + 1) / parts);
    }
  });
}

}  // namespace wanlite
