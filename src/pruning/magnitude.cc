// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/magnitude.h"

#include "src/core/libtorch.h"

#include <cmath>
#include <cstring>

namespace wanlite {
namespace {

constexpr int32_t kInfinityBits = 0x7f800000;

int32_t MagnitudeBits(float weight) {
  int32_t bits;
  std::memcpy(&bits, &weight, sizeof(bits));
  return bits & 0x7fffffff;
}
int32_t MagnitudeBits(at::BFloat16 weight) { return (int32_t{weight.x} & 0x7fff) << 16; }
int32_t MagnitudeBits(at::Half weight) { return MagnitudeBits(static_cast<float>(weight)); }

// Calls function(const T* weights, count) with the tensor's own element type.
template <typename Function>
void Visit(const at::Tensor& weights, Function function) {
  const at::Tensor dense = weights.detach().contiguous();
  switch (dense.scalar_type()) {
    case at::kFloat:
      return function(dense.const_data_ptr<float>(), dense.numel());
    case at::kBFloat16:
      return function(dense.const_data_ptr<at::BFloat16>(), dense.numel());
    case at::kHalf:
      return function(dense.const_data_ptr<at::Half>(), dense.numel());
    default:
      TORCH_CHECK(false, "magnitudes are of fp32, bf16 or fp16 weights, found ",
                  dense.scalar_type());
  }
}

}  // namespace

int64_t CountToPrune(double amount, int64_t count) {
  return static_cast<int64_t>(std::nearbyint(amount * static_cast<double>(count)));
}

bool MagnitudeHistogram::AddUpper(const at::Tensor& weights) {
  int32_t largest = 0;
  Visit(weights, [&](const auto* data, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const int32_t bits = MagnitudeBits(data[i]);
      largest = std::max(largest, bits);
      ++counts_[bits >> 16];
    }
  });
  return largest <= kInfinityBits;
}

void MagnitudeHistogram::AddLower(const at::Tensor& weights, int32_t upper) {
  Visit(weights, [&](const auto* data, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const int32_t bits = MagnitudeBits(data[i]);
      if (bits >> 16 == upper) ++counts_[bits & 0xffff];
    }
  });
}

void MagnitudeHistogram::Add(const MagnitudeHistogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
}

MagnitudeHistogram::Position MagnitudeHistogram::Find(int64_t count) const {
  Position position;
  while (position.below + counts_[position.bin] < count) {
    position.below += counts_[position.bin++];
    TORCH_INTERNAL_ASSERT(position.bin < static_cast<int32_t>(counts_.size()));
  }
  return position;
}

std::optional<PruneRule> RuleForSmallest(const at::Tensor& weights, int64_t count) {
  MagnitudeHistogram upper, lower;
  if (!upper.AddUpper(weights)) return std::nullopt;
  if (count == 0) return PruneRule{};
  const MagnitudeHistogram::Position high = upper.Find(count);
  lower.AddLower(weights, high.bin);
  const MagnitudeHistogram::Position low = lower.Find(count - high.below);
  return PruneRule{(high.bin << 16) | low.bin, count - high.below - low.below};
}

at::Tensor KeepLargest(const at::Tensor& weights, const PruneRule& rule) {
  at::Tensor keep = at::empty(weights.sizes(), at::kBool);
  bool* out = keep.mutable_data_ptr<bool>();
  int64_t ties = rule.ties;
  Visit(weights, [&](const auto* data, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const int32_t bits = MagnitudeBits(data[i]);
      out[i] = bits >= rule.threshold;
      if (bits == rule.threshold && ties > 0) {
        --ties;
        out[i] = false;
      }
    }
  });
  return keep;
}

}  // namespace wanlite
