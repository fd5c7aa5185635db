// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Work on several threads, whose failures come back as a Status: an exception that leaves a thread,
// or a thread that is not joined, would end the program.
#ifndef WANLITE_SRC_CORE_THREADS_H_
#define WANLITE_SRC_CORE_THREADS_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace wanlite {

// Calls work(i) once for each 0 <= i < count, 0 on the calling thread and the others on threads of
// their own; where the system gives no thread, on the calling one too. Returns when all are done:
// the error of the least i, exceptions turned into errors as by CatchTorch().
absl::Status RunOnThreads(int count, absl::FunctionRef<absl::Status(int)> work);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_THREADS_H_
