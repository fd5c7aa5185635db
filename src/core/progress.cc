// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/core/progress_text.h"

namespace wanlite {
namespace {

class Silent : public ProgressSink {
 public:
  void Begin(absl::string_view what, int64_t total) override {}
  void Update(int64_t done, absl::string_view note) override {}
  void End() override {}
};

// Length in columns of text that may hold UTF-8: its code points.
int Columns(absl::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// The first `width` columns.
std::string Cut(absl::string_view text, int width) {
  size_t end = 0;
  for (int columns = 0; end < text.size(); ++end) {
    const bool starts = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (starts && columns++ == width) break;
  }
  return std::string(text.substr(0, end));
}

class TerminalProgress : public ProgressSink {
 public:
  TerminalProgress() : terminal_(::isatty(STDERR_FILENO) == 1) {}
  ~TerminalProgress() override {
    // Work that ended by an error: leave the line as it stands.
    if (open_ && terminal_) std::fputc('\n', stderr);
  }

  void Begin(absl::string_view what, int64_t total) override {
    if (open_) End();
    state_ = ProgressState{std::string(what), total, 0, "", 0};
    begin_ = Clock::now();
    shown_ = begin_;
    open_ = true;
    if (terminal_) Draw();
  }

  void Update(int64_t done, absl::string_view note) override {
    if (!open_) return;
    state_.done = done;
    state_.note = std::string(note);
    const Clock::time_point now = Clock::now();
    const auto pause =
        terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10000);
    if (now - shown_ < pause) return;
    shown_ = now;
    Draw();
  }

  void End() override {
    if (!open_) return;
    open_ = false;
    Draw();
    if (terminal_) std::fputc('\n', stderr);
    std::fflush(stderr);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void Draw() {
    state_.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    if (terminal_) {
      winsize size{};
      const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
      // The last column stays free: writing there makes some terminals wrap.
      const std::string line = FormatProgressLine(state_, (known ? size.ws_col : 80) - 1, true);
      std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
    } else {
      std::fprintf(stderr, "%s\n", FormatProgressLine(state_, 100, false).c_str());
    }
    std::fflush(stderr);
  }

  const bool terminal_;
  bool open_ = false;
  ProgressState state_;
  Clock::time_point begin_;
  Clock::time_point shown_;
};

}  // namespace

std::string FormatDuration(double seconds) {
  const int64_t s =
      std::isfinite(seconds) ? static_cast<int64_t>(std::llround(std::max(0.0, seconds))) : 0;
  if (s < 60) return absl::StrCat(s, " s");
  if (s < 3600) return absl::StrFormat("%d min %02d s", s / 60, s % 60);
  return absl::StrFormat("%d h %02d min", s / 3600, s / 60 % 60);
}

std::string FormatProgressLine(const ProgressState& state, int width, bool bar) {
  std::string left = state.what;
  std::string right;
  const double rate = state.seconds > 0 ? static_cast<double>(state.done) / state.seconds : 0;
  if (state.total > 0) {
    absl::StrAppend(&right, " ", state.done, "/", state.total);
  } else if (state.done > 0) {
    absl::StrAppend(&right, " ", state.done);
  }
  if (rate > 0) {
    // Below one a second, the time of one says more.
    right +=
        rate >= 1 ? absl::StrFormat("  %.1f/s", rate) : absl::StrFormat("  %.1f s each", 1 / rate);
  }
  if (state.total > 0 && state.done >= state.total) {
    absl::StrAppend(&right, "  in ", FormatDuration(state.seconds));
  } else if (state.total > 0 && rate > 0) {
    absl::StrAppend(&right, "  ",
                    FormatDuration(static_cast<double>(state.total - state.done) / rate), " left");
  }
  int room = width - Columns(left) - Columns(right);
  if (bar && state.total > 0) {
    const int cells = std::min(30, room - 3);  // " [" and "]"
    if (cells >= 5) {
      const double share =
          std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0);
      const int full = static_cast<int>(share * cells);
      absl::StrAppend(&left, " [", std::string(full, '#'), std::string(cells - full, '.'), "]");
      room -= cells + 3;
    }
  }
  std::string line = absl::StrCat(left, right);
  if (!state.note.empty() && room > 6) absl::StrAppend(&line, "  ", Cut(state.note, room - 2));
  return Cut(line, width);
}

ProgressSink& SilentProgress() {
  static Silent& silent = *new Silent;
  return silent;
}

std::unique_ptr<ProgressSink> NewTerminalProgress() { return std::make_unique<TerminalProgress>(); }

absl::Status CancellationToken::Check() const {
  if (cancelled()) return absl::CancelledError("cancelled");
  return absl::OkStatus();
}

}  // namespace wanlite
