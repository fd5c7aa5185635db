// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Work on several threads, whose failures come back as a Status: an exception that leaves a thread,
// or a thread that is not joined, would end the program.
#ifndef WANLITE_SRC_CORE_THREADS_H_
#define WANLITE_SRC_CORE_THREADS_H_

#include <functional>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace wanlite {

// Calls work(i) once for each 0 <= i < count, 0 on the calling thread and the others on threads of
// their own; where the system gives no thread, on the calling one too. Returns when all are done:
// the error of the least i, exceptions turned into errors as by CatchTorch().
absl::Status RunOnThreads(int count, absl::FunctionRef<absl::Status(int)> work);

// One piece of work at a time that goes on while its owner does something else. Not thread-safe.
class BackgroundWork {
 public:
  BackgroundWork() = default;
  ~BackgroundWork();  // waits
  BackgroundWork(const BackgroundWork&) = delete;
  BackgroundWork& operator=(const BackgroundWork&) = delete;
  // Waits for the work before; when that failed, returns its error and does nothing else. Where the
  // system gives no thread, does the work at once. What it throws becomes an error as by
  // CatchTorch().
  absl::Status Start(std::function<absl::Status()> work);
  // Waits; the status of the work, once.
  absl::Status Wait();

 private:
  std::thread thread_;
  absl::Status status_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_THREADS_H_
