// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Exact selection of the smallest weights of a set too large to hold: weights are counted by the
// bits of their magnitude, first by the upper 16 bits of its fp32 form, then, among those at the
// threshold, by the lower 16. Magnitudes of bf16 and fp16 weights are widened to fp32, which keeps
// their order.
#ifndef WANLITE_SRC_PRUNING_MAGNITUDE_H_
#define WANLITE_SRC_PRUNING_MAGNITUDE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace wanlite {

// amount * count rounded as Python's round() does: to nearest, halves to even.
int64_t CountToPrune(double amount, int64_t count);

// Counts of magnitudes by one half of their bits.
class MagnitudeHistogram {
 public:
  MagnitudeHistogram() : counts_(65536, 0) {}
  // Counts the upper halves of the weights. False when one is a NaN. weights: floating, on the CPU.
  bool AddUpper(const at::Tensor& weights);
  // Counts the lower halves of those weights whose upper half is `upper`.
  void AddLower(const at::Tensor& weights, int32_t upper);
  void Add(const MagnitudeHistogram& other);

  struct Position {
    int32_t bin = 0;
    int64_t below = 0;  // counted in lower bins
  };
  // The bin that holds the `count`-th smallest; count in [1, total].
  Position Find(int64_t count) const;
  int64_t operator[](int32_t bin) const { return counts_[bin]; }

 private:
  std::vector<int64_t> counts_;
};

// What becomes zero in one layer: every magnitude whose bits are below `threshold`, and the first
// `ties` of those equal to it.
struct PruneRule {
  int32_t threshold = 0;
  int64_t ties = 0;
};

// The rule that zeroes exactly `count` of the weights, or nothing when one of them is a NaN. count
// in [0, numel].
std::optional<PruneRule> RuleForSmallest(const at::Tensor& weights, int64_t count);

// What stays by the rule: bool, of the weights' shape.
at::Tensor KeepLargest(const at::Tensor& weights, const PruneRule& rule);

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_MAGNITUDE_H_
