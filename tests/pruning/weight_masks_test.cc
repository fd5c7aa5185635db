// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/weight_masks.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

// The definition: of these scores, in their order, the first `count` of the sorted ones go.
std::vector<bool> KeepBySorting(const std::vector<float>& scores, int64_t count) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  std::vector<bool> keep(scores.size(), true);
  for (int64_t i = 0; i < count; ++i) keep[order[static_cast<size_t>(i)]] = false;
  return keep;
}

// Runs of `run` scores, row by row, each by its own sort.
at::Tensor KeepRuns(const at::Tensor& scores, int64_t run, int64_t count) {
  const at::Tensor flat = scores.contiguous().flatten();
  at::Tensor keep = at::empty(flat.sizes(), at::kBool);
  for (int64_t begin = 0; begin < flat.numel(); begin += run) {
    std::vector<float> own(static_cast<size_t>(run));
    for (int64_t i = 0; i < run; ++i) own[static_cast<size_t>(i)] = flat[begin + i].item<float>();
    const std::vector<bool> kept = KeepBySorting(own, count);
    for (int64_t i = 0; i < run; ++i) keep[begin + i] = static_cast<bool>(kept[i]);
  }
  return keep.reshape(scores.sizes());
}

}  // namespace

TEST_CASE("masks by matrix, row and group are those of a stable sort, ties included") {
  at::Generator random = at::detail::createCPUGenerator(3);
  for (const double coarseness : {0.0, 2.0}) {
    at::Tensor scores = at::randn({7, 24}, random).abs();
    if (coarseness > 0) scores = (scores * coarseness).round();
    INFO(coarseness);
    for (const int64_t count : {0, 1, 17, 84, 167, 168}) {
      CHECK(at::equal(KeepOfMatrix(scores, count), KeepRuns(scores, 168, count)));
    }
    for (const int64_t count : {0, 1, 11, 23, 24}) {
      CHECK(at::equal(KeepOfRows(scores, count), KeepRuns(scores, 24, count)));
    }
    for (const auto& [n, m] : std::vector<std::pair<int64_t, int64_t>>{
             {2, 4}, {1, 2}, {1, 4}, {3, 4}, {2, 3}, {4, 8}, {5, 12}, {23, 24}}) {
      INFO(n << ":" << m);
      CHECK(at::equal(KeepOfGroups(scores, n, m), KeepRuns(scores, m, m - n)));
    }
  }
  CHECK_THROWS(KeepOfGroups(at::ones({2, 6}), 2, 4));
  CHECK_THROWS(KeepOfGroups(at::ones({2, 8}), 4, 4));
  CHECK_THROWS(KeepOfRows(at::ones({2, 8}), 9));
}

TEST_CASE("scores are magnitudes times scales, and only of zeros zero") {
  const at::Tensor weight =
      at::tensor({1.0f, -2.0f, 0.0f, 3.0f, -0.5f, 0.0f, 4.0f, 1e-30f}).reshape({2, 4});
  const at::Tensor scale = at::tensor({2.0f, 0.0f, 5.0f, 1e-30f});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor scores = WeightScores(weight.to(dtype), scale);
    CHECK(scores.scalar_type() == at::kFloat);
    CHECK(scores[0][0].item<float>() == 2.0f);
    CHECK(scores[1][2].item<float>() == 20.0f);
    // Of a feature that is never read, of a product that underflows: the smallest there is.
    for (const auto& [row, column] : {std::pair{0, 1}, {1, 3}}) {
      CHECK(scores[row][column].item<float>() > 0);
      CHECK(scores[row][column].item<float>() < 1e-44f);
    }
    CHECK(scores[0][2].item<float>() == 0.0f);
    CHECK(scores[1][1].item<float>() == 0.0f);
    CHECK_FALSE(KeepOfRows(scores, 1)[0][2].item<bool>());
  }
  CHECK(at::equal(WeightScores(weight), weight.abs()));
}

}  // namespace wanlite
