// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/threads.h"

#include <c10/util/Exception.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ATen/Parallel.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <set>
#include <thread>
#include <vector>

#include "src/core/parallel_for.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

TEST_CASE("every part of the work is done once") {
  for (const int count : {0, 1, 2, 7}) {
    std::vector<std::atomic<int>> done(8);
    REQUIRE_OK(RunOnThreads(count, [&](int i) {
      ++done[static_cast<size_t>(i)];
      return absl::OkStatus();
    }));
    for (int i = 0; i < 8; ++i) CHECK(done[static_cast<size_t>(i)] == (i < count ? 1 : 0));
  }
}

TEST_CASE("exceptions and errors of threads come back as the Status of the first part") {
  std::atomic<int> finished{0};
  const absl::Status status = RunOnThreads(4, [&](int i) -> absl::Status {
    if (i == 2) TORCH_CHECK(false, "a tensor of part two");
    if (i == 1) throw std::bad_alloc();
    ++finished;
    return i == 3 ? absl::AbortedError("three") : absl::OkStatus();
  });
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(finished == 2);
}

TEST_CASE("loops run on LibTorch's threads") {
  const int before = at::get_num_threads();
  for (const int count : {1, 2, 3}) {
    at::set_num_threads(count);
    std::mutex mutex;
    std::condition_variable arrived;
    std::set<std::thread::id> threads;
    std::vector<std::atomic<int>> done(100);
    ParallelFor(0, 100, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        // Inside of a loop there are no threads left.
        ParallelFor(i, i + 1, 1, [&](int64_t j, int64_t) { ++done[static_cast<size_t>(j)]; });
      }
      // No thread goes on to a second part before all have had their first.
      std::unique_lock<std::mutex> lock(mutex);
      threads.insert(std::this_thread::get_id());
      arrived.notify_all();
      arrived.wait_for(lock, std::chrono::seconds(20),
                       [&] { return threads.size() == static_cast<size_t>(count); });
    });
    CHECK(threads.size() == static_cast<size_t>(count));
    CHECK(std::all_of(done.begin(), done.end(), [](const auto& times) { return times == 1; }));
    CHECK_THROWS(ParallelFor(0, 100, 1, [](int64_t first, int64_t) {
      TORCH_CHECK(first != 0, "the first part fails");
    }));
  }
  at::set_num_threads(before);
}

TEST_CASE("where the system gives no threads the work is done without them") {
  // In a process of its own, whose memory may not grow: not even by the stack of a thread.
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_AS, &none) != 0) _exit(2);
    // More than there may be stacks left over from earlier threads.
    constexpr int kThreads = 64;
    std::atomic<int> done{0};
    const absl::Status status = RunOnThreads(kThreads, [&](int) {
      ++done;
      return absl::OkStatus();
    });
    _exit(status.ok() && done == kThreads ? 0 : 1);
  }
  REQUIRE(child > 0);
  int result = 0;
  REQUIRE(waitpid(child, &result, 0) == child);
  REQUIRE(WIFEXITED(result));
  CHECK(WEXITSTATUS(result) == 0);
}

TEST_CASE("background work goes on beside its owner, and gives its error once") {
  std::atomic<bool> go = false, done = false;
  BackgroundWork work;
  REQUIRE_OK(work.Start([&] {
    while (!go) std::this_thread::yield();
    done = true;
    return absl::OkStatus();
  }));
  CHECK_FALSE(done);
  go = true;
  REQUIRE_OK(work.Wait());
  CHECK(done);
  REQUIRE_OK(work.Start([] { return absl::DataLossError("lost"); }));
  // The error comes in place of what was to follow.
  bool followed = false;
  CHECK(work.Start([&] {
    followed = true;
    return absl::OkStatus();
  }) == absl::DataLossError("lost"));
  REQUIRE_OK(work.Wait());
  CHECK_FALSE(followed);
  REQUIRE_OK(work.Start([]() -> absl::Status { TORCH_CHECK(false, "thrown"); }));
  CHECK(work.Wait() == absl::InternalError("thrown"));
}

}  // namespace
}  // namespace wanlite
