// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_TESTS_TESTING_UMT5_GOLDEN_H_
#define WANLITE_TESTS_TESTING_UMT5_GOLDEN_H_

#include <nlohmann/json.hpp>

#include "src/core/libtorch.h"

namespace wanlite::testing {

// The attention mask of a golden run of the text encoder: int64 [batch, tokens].
inline at::Tensor GoldenMask(const nlohmann::json& run) {
  const int64_t batch = run["batch"], tokens = run["tokens"], hole = run["hole"];
  at::Tensor mask = at::zeros({batch, tokens}, at::kLong);
  for (int64_t row = 0; row < batch; ++row) {
    mask[row].narrow(0, 0, run["lengths"][row].get<int64_t>()).fill_(1);
  }
  if (hole >= 0) mask[0][hole] = 0;
  return mask;
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_UMT5_GOLDEN_H_
