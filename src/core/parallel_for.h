// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Loops on LibTorch's threads.
#ifndef WANLITE_SRC_CORE_PARALLEL_FOR_H_
#define WANLITE_SRC_CORE_PARALLEL_FOR_H_

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace wanlite {

// Calls work(first, last) for parts of [begin, end) that together are all of it, of `grain` indices
// or more where there are so many, on the threads that at::set_num_threads() set, each of which may
// get several; on the calling one alone inside of another such loop. What `work` throws, the first
// of it, leaves this. It is over at::parallel_for(), which itself runs on one thread wherever it is
// compiled without OpenMP, as all of this library but one file is.
void ParallelFor(int64_t begin, int64_t end, int64_t grain,
                 absl::FunctionRef<void(int64_t first, int64_t last)> work);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_PARALLEL_FOR_H_
