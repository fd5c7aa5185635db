// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/threads.h"

#include <utility>
#include <vector>

#include "src/core/catch_torch.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status RunOnThreads(int count, absl::FunctionRef<absl::Status(int)> work) {
  std::vector<absl::Status> results;
  std::vector<std::thread> threads;
  // What the threads need is there before the first of them starts.
  const absl::Status room = CatchTorch([&] {
    results.resize(static_cast<size_t>(count));
    threads.reserve(static_cast<size_t>(count));
  });
  if (!room.ok()) return room;
  const auto run = [&](int i) {
    results[static_cast<size_t>(i)] = CatchTorch([&]() -> absl::Status { return work(i); });
  };
  int started = 1;
  while (started < count && CatchTorch([&] { threads.emplace_back(run, started); }).ok()) {
    ++started;
  }
  if (count > 0) run(0);
  for (int i = started; i < count; ++i) run(i);
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) {
    if (!result.ok()) return result;
  }
  return absl::OkStatus();
}

BackgroundWork::~BackgroundWork() {
  if (thread_.joinable()) thread_.join();
}

absl::Status BackgroundWork::Start(std::function<absl::Status()> work) {
  WANLITE_RETURN_IF_ERROR(Wait());
  const auto run = [this, work = std::move(work)] { status_ = CatchTorch(work); };
  if (!CatchTorch([&] { thread_ = std::thread(run); }).ok()) run();
  return absl::OkStatus();
}

absl::Status BackgroundWork::Wait() {
  if (thread_.joinable()) thread_.join();
  return std::exchange(status_, absl::OkStatus());
}

}  // namespace wanlite
