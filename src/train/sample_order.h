// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_TRAIN_SAMPLE_ORDER_H_
#define WANLITE_SRC_TRAIN_SAMPLE_ORDER_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace wanlite::train {

// Which sample a training takes when: each once per pass over the data, in an order drawn anew for
// each. Thread-safe; keeps the orders that were asked for last.
class SampleOrder {
 public:
  SampleOrder(int64_t size, uint64_t seed) : size_(size), seed_(seed) {}
  // The number of the sample at a position, counted from 0 through all passes.
  int64_t At(int64_t position);

 private:
  const int64_t size_;
  const uint64_t seed_;
  std::mutex mutex_;
  std::map<int64_t, std::vector<int64_t>> orders_;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_SAMPLE_ORDER_H_
