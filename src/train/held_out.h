// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_TRAIN_HELD_OUT_H_
#define WANLITE_SRC_TRAIN_HELD_OUT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "wanlite/dataset.h"
#include "wanlite/sample_set.h"

namespace wanlite::train {

// Numbers of a component's samples, those that are trained on and those that are kept out of it.
struct SampleSplit {
  std::vector<int64_t> trained, held;
};

// Whole prompts are kept out, since the passes of one prompt are much alike: the last eighth of
// those that have samples, at least one; of sets with fewer than eight prompts none.
SampleSplit SplitSamples(const SampleSet& samples, const std::string& component);

// Some samples of a data set, which must outlive it.
class DataSubset : public Dataset {
 public:
  DataSubset(const Dataset& data, std::vector<int64_t> samples);
  int64_t size() const override { return static_cast<int64_t>(samples_.size()); }
  absl::StatusOr<Values> Read(int64_t i, uint64_t seed) const override {
    return data_.Read(samples_[static_cast<size_t>(i)], seed);
  }
  const std::string& fingerprint() const override { return fingerprint_; }

 private:
  const Dataset& data_;
  const std::vector<int64_t> samples_;
  const std::string fingerprint_;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_HELD_OUT_H_
