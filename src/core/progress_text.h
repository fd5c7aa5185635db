// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The text of progress lines, apart from the terminal so that it can be tested.
#ifndef WANLITE_SRC_CORE_PROGRESS_TEXT_H_
#define WANLITE_SRC_CORE_PROGRESS_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace wanlite {

struct ProgressState {
  std::string what;
  int64_t total = 0;  // 0: unknown
  int64_t done = 0;
  std::string note;
  double seconds = 0;  // since Begin()
};

// "7 s", "3 min 05 s", "2 h 07 min"
std::string FormatDuration(double seconds);

// One line of at most `width` columns: what, bar (when `bar` and the total is known), count, rate,
// time left, note. The note is cut first when room is short.
std::string FormatProgressLine(const ProgressState& state, int width, bool bar);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_PROGRESS_TEXT_H_
