// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/progress.h"

#include "src/core/progress_text.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

TEST_CASE("durations read as a person would say them") {
  CHECK(FormatDuration(0.4) == "0 s");
  CHECK(FormatDuration(59.4) == "59 s");
  CHECK(FormatDuration(185) == "3 min 05 s");
  CHECK(FormatDuration(7620) == "2 h 07 min");
}

TEST_CASE("a progress line shows bar, count, rate and time left") {
  ProgressState state{"quantize-int8", 30, 15, "transformer.blocks.14", 30};
  CHECK(FormatProgressLine(state, 100, true) ==
        "quantize-int8 [###############...............] 15/30  2.0 s each  30 s left  "
        "transformer.blocks.14");
  CHECK(FormatProgressLine(state, 85, true) ==
        "quantize-int8 [###############...............] 15/30  2.0 s each  30 s left  transfor");
  CHECK(FormatProgressLine(state, 100, false) ==
        "quantize-int8 15/30  2.0 s each  30 s left  transformer.blocks.14");
  state.done = 30;
  state.note.clear();
  CHECK(FormatProgressLine(state, 100, false) == "quantize-int8 30/30  1.0/s  in 30 s");
  state.total = 0;
  state.done = 300;
  CHECK(FormatProgressLine(state, 100, true) == "quantize-int8 300  10.0/s");
}

TEST_CASE("a progress line is never wider than the terminal") {
  ProgressState state{"déjà vu", 30, 10, "ノート", 30};
  for (int width = 1; width < 90; ++width) {
    const std::string line = FormatProgressLine(state, width, true);
    int columns = 0;
    for (const char c : line) columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    CHECK(columns <= width);
  }
}

TEST_CASE("a cancelled token says so") {
  CancellationToken token;
  CHECK(token.Check().ok());
  token.Cancel();
  CHECK(token.Check().code() == absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace wanlite
