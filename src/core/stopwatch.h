// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_CORE_STOPWATCH_H_
#define WANLITE_SRC_CORE_STOPWATCH_H_

#include <chrono>

namespace wanlite {

// Runs from where it is made.
class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_STOPWATCH_H_
