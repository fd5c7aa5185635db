// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "src/cli/session.h"
#include "src/core/durable_step.h"
#include "wanlite/env.h"

namespace wanlite::cli {
namespace {

// Of a DurableStep.
constexpr int kHoldMilliseconds = 30000, kPollMilliseconds = 50;

CancellationToken* g_token = nullptr;
int g_wake[2] = {-1, -1};
std::atomic<int> g_signals{0};
// Whoever sets it first ends the process: main() by itself, or the watcher.
std::atomic<bool> g_ending{false};

void OnSignal(int) {
  const int error = errno;
  // Removing what is half-made may hang on a dead disk: the third signal waits for nothing.
  if (g_signals.fetch_add(1) >= 2) _exit(ExitCode(absl::CancelledError()));
  g_token->Cancel();
  (void)!write(g_wake[1], "!", 1);
  errno = error;
}

// Waits for a signal, forever when `milliseconds` is negative; false when none came in time.
bool WaitForSignal(int milliseconds) {
  pollfd wake{g_wake[0], POLLIN, 0};
  int ready;
  do {
    ready = poll(&wake, 1, milliseconds);
  } while (ready < 0 && errno == EINTR);
  char byte;
  return ready == 1 && read(g_wake[0], &byte, 1) == 1;
}

void Watch(const std::string& message, int grace_milliseconds) {
  if (!WaitForSignal(-1)) return;
  bool again = WaitForSignal(grace_milliseconds);
  if (!again && DurableStep::InProgress()) {
    constexpr char kPatience[] =
        "\nfinishing this step and saving the state; once more to end without\n";
    (void)!write(STDERR_FILENO, kPatience, sizeof(kPatience) - 1);
    for (int waited = 0; waited < kHoldMilliseconds && !again && DurableStep::InProgress();
         waited += kPollMilliseconds) {
      again = WaitForSignal(kPollMilliseconds);
    }
    // What was saved is told by main().
    if (!again) WaitForSignal(grace_milliseconds);
  }
  if (g_ending.exchange(true)) return;
  RemoveTemporaries();
  (void)!write(STDERR_FILENO, message.data(), message.size());
  _exit(ExitCode(absl::CancelledError()));
}

}  // namespace

void CatchInterrupts(CancellationToken& cancel, const std::string& message,
                     int grace_milliseconds) {
  g_token = &cancel;
  if (pipe2(g_wake, O_CLOEXEC) != 0) return;  // no descriptor left: the signals end the process
  std::thread(Watch, message, grace_milliseconds).detach();
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // Unless the program was told to outlive its terminal, by nohup.
  struct sigaction before = {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) {
    sigaction(SIGHUP, &action, nullptr);
  }
}

void StopCatchingInterrupts() {
  if (!g_ending.exchange(true)) return;
  while (true) pause();  // the watcher is ending the process
}

}  // namespace wanlite::cli
