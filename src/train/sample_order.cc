// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/sample_order.h"

#include <numeric>
#include <utility>

#include "src/core/random.h"

namespace wanlite::train {
namespace {

enum OrderStream : uint64_t { kSampleOrder = 1 };

}  // namespace

int64_t SampleOrder::At(int64_t position) {
  const int64_t pass = position / size_;
  const std::lock_guard lock(mutex_);
  auto found = orders_.find(pass);
  if (found == orders_.end()) {
    if (orders_.size() >= 2) orders_.erase(orders_.begin());
    std::vector<int64_t> order(static_cast<size_t>(size_));
    std::iota(order.begin(), order.end(), 0);
    Random random(MixSeed(seed_, {kSampleOrder, static_cast<uint64_t>(pass)}));
    for (int64_t i = size_ - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
    found = orders_.emplace(pass, std::move(order)).first;
  }
  return found->second[static_cast<size_t>(position % size_)];
}

}  // namespace wanlite::train
