// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Recorded inputs of the components that teach one student, as one set of data.
#ifndef WANLITE_SRC_DISTILL_DISTILL_SAMPLES_H_
#define WANLITE_SRC_DISTILL_DISTILL_SAMPLES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/dataset.h"
#include "wanlite/sample_set.h"

namespace wanlite::distill {

class DistillSamples : public Dataset {
 public:
  struct Split;
  // Those to train on and those that are kept out of it (see train::SplitSamples), of components by
  // name. FailedPrecondition for a component without samples. `samples` must outlive it.
  static absl::StatusOr<Split> Open(const SampleSet& samples,
                                    const std::vector<std::string>& components);

  int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
  absl::StatusOr<Values> Read(int64_t i, uint64_t seed) const override;
  const std::string& fingerprint() const override { return fingerprint_; }

  // Whose input the sample was, by its place among the components.
  size_t component(int64_t i) const { return entries_[static_cast<size_t>(i)].component; }
  // Its number among that component's samples in the set.
  int64_t number(int64_t i) const { return entries_[static_cast<size_t>(i)].number; }
  // The words it was conditioned on; of the negative branch and of samples of no prompt none.
  std::string prompt(int64_t i) const;

 private:
  struct Entry {
    size_t component = 0;
    int64_t number = 0;
  };
  DistillSamples(const SampleSet& samples, std::vector<std::string> names,
                 std::vector<std::shared_ptr<const Dataset>> parts, std::vector<Entry> entries);

  const SampleSet& samples_;
  const std::vector<std::string> names_;
  const std::vector<std::shared_ptr<const Dataset>> parts_;
  const std::vector<Entry> entries_;
  std::string fingerprint_;
};

struct DistillSamples::Split {
  std::unique_ptr<DistillSamples> trained, held;
};

}  // namespace wanlite::distill

#endif  // WANLITE_SRC_DISTILL_DISTILL_SAMPLES_H_
