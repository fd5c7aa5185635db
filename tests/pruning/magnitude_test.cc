// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/magnitude.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

// The definition: sort by magnitude, equal ones in their order, zero the first `count`.
at::Tensor SortAndZero(const at::Tensor& weights, int64_t count) {
  at::Tensor flat = weights.flatten().clone();
  const at::Tensor values = flat.to(at::kDouble).abs();
  const double* magnitude = values.const_data_ptr<double>();
  std::vector<int64_t> order(flat.numel());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return magnitude[a] < magnitude[b]; });
  for (int64_t i = 0; i < count; ++i) flat[order[i]] = 0;
  return flat.reshape(weights.sizes());
}

at::Tensor Pruned(const at::Tensor& weights, const PruneRule& rule) {
  return weights.masked_fill(KeepLargest(weights, rule).logical_not(), 0);
}

}  // namespace

TEST_CASE("the smallest magnitudes become zero, the first of equal ones first") {
  at::Generator random = at::detail::createCPUGenerator(11);
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    // Few distinct values in the second tensor: ties everywhere.
    const at::Tensor smooth = at::randn({13, 21}, random).to(dtype);
    const at::Tensor coarse = (at::randn({13, 21}, random) * 2).round().to(dtype);
    for (const at::Tensor& weights : {smooth, coarse}) {
      for (int64_t count : {0, 1, 2, 50, 136, 137, 272, 273}) {
        const auto rule = RuleForSmallest(weights, count);
        REQUIRE(rule.has_value());
        INFO(dtype << " count " << count);
        CHECK(at::equal(Pruned(weights, *rule), SortAndZero(weights, count)));
      }
    }
  }
}

TEST_CASE("magnitudes of all orders are told apart, denormals and infinities too") {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float inf = std::numeric_limits<float>::infinity();
  const at::Tensor weights = at::tensor({-inf, 1e30f, -2 * tiny, tiny, 0.0f, -1.0f, 1.0000001f});
  for (int64_t count = 0; count <= 7; ++count) {
    const auto rule = RuleForSmallest(weights, count);
    REQUIRE(rule.has_value());
    CHECK(at::equal(Pruned(weights, *rule), SortAndZero(weights, count)));
  }
}

TEST_CASE("a NaN has no rank") {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    at::Tensor weights = at::ones({4, 4}, dtype);
    weights[2][1] = std::nan("");
    CHECK_FALSE(RuleForSmallest(weights, 3).has_value());
    CHECK_FALSE(RuleForSmallest(-weights, 0).has_value());
  }
}

TEST_CASE("pruning leaves its input alone and reads strided weights by their index") {
  const at::Tensor weights = at::randn({6, 5}, at::detail::createCPUGenerator(2)).t();
  const at::Tensor before = weights.clone();
  const auto rule = RuleForSmallest(weights, 10);
  CHECK(at::equal(Pruned(weights, *rule), SortAndZero(weights, 10)));
  CHECK(at::equal(weights, before));
}

}  // namespace wanlite
