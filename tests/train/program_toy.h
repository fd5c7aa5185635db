// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The toy model counting its steps, and data to train it on.
#ifndef WANLITE_TESTS_TRAIN_PROGRAM_TOY_H_
#define WANLITE_TESTS_TRAIN_PROGRAM_TOY_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"
#include "wanlite/block_program.h"
#include "wanlite/dataset.h"
#include "wanlite/model_view.h"

namespace wanlite::testing {

// Counts how often blocks run. "input": [batch, 4] -> "output": [batch, 3].
class ProgramToy : public ToyModel {
 public:
  using ToyModel::ToyModel;
  void RunStep(size_t step, Values& values) const override {
    if (step > 0 && step <= blocks.size()) ++block_runs;
    ToyModel::RunStep(step, values);
  }
  mutable std::atomic<int> block_runs{0};
};

// One component "toy", in memory.
inline ModelView ToyView(uint64_t seed) {
  auto toy = std::make_shared<ProgramToy>();
  toy->Randomize(seed);
  std::vector<Component> components{
      {"toy", ComponentRole::kDenoiser, "ToyModel", "{}", std::move(toy)}};
  auto view = ModelView::Create(std::move(components));
  REQUIRE_OK(view);
  return *std::move(view);
}

// Points and a linear map of them; `uneven`: every other sample has two rows.
class LineData : public Dataset {
 public:
  explicit LineData(int64_t size, bool uneven = false, std::string fingerprint = "line")
      : size_(size), uneven_(uneven), fingerprint_(std::move(fingerprint)) {}
  int64_t size() const override { return size_; }
  absl::StatusOr<Values> Read(int64_t i, uint64_t seed) const override {
    {
      const std::lock_guard lock(mutex_);
      read_.push_back(i);
    }
    const int64_t rows = uneven_ && i % 2 == 1 ? 2 : 1;
    const at::Tensor x = at::randn({rows, 4}, at::detail::createCPUGenerator(100 + i));
    return Values{{"input", x}, {kTargetValue, x.narrow(1, 0, 3) - x.narrow(1, 1, 3)}};
  }
  const std::string& fingerprint() const override { return fingerprint_; }
  std::vector<int64_t> read() const { return read_; }

 private:
  const int64_t size_;
  const bool uneven_;
  const std::string fingerprint_;
  mutable std::mutex mutex_;
  mutable std::vector<int64_t> read_;
};

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TRAIN_PROGRAM_TOY_H_
