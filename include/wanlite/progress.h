// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Progress of long work and its cancellation.
#ifndef WANLITE_PROGRESS_H_
#define WANLITE_PROGRESS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// Told about progress by one thread at a time.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  // A new piece of work with `total` units (0: unknown), e.g. "quantize-int8", 30 blocks.
  virtual void Begin(absl::string_view what, int64_t total) = 0;
  // `done` units so far; `note` is a short text such as "loss 0.123".
  virtual void Update(int64_t done, absl::string_view note) = 0;
  virtual void End() = 0;
};

// Says nothing.
ProgressSink& SilentProgress();
// One line with bar, rate and ETA, redrawn in place on a terminal; plain lines at most every ten
// seconds when standard error is not one.
std::unique_ptr<ProgressSink> NewTerminalProgress();

// Asked for at safe points by everything that runs long. Thread-safe and async-signal-safe.
class CancellationToken {
 public:
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  // Cancelled when cancelled.
  absl::Status Check() const;

 private:
  std::atomic<bool> cancelled_{false};
};

// The same where there may be no token.
inline absl::Status CheckCancelled(const CancellationToken* cancel) {
  return cancel == nullptr ? absl::OkStatus() : cancel->Check();
}

}  // namespace wanlite

#endif  // WANLITE_PROGRESS_H_
