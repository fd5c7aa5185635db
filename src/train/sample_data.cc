// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/sample_data.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

class SampleData : public Dataset {
 public:
  SampleData(SampleSet samples, std::string component)
      : samples_(std::move(samples)),
        component_(std::move(component)),
        fingerprint_(absl::StrCat(samples_.fingerprint(), "/", component_)) {}
  int64_t size() const override { return samples_.size(component_); }
  absl::StatusOr<Values> Read(int64_t i, uint64_t) const override {
    WANLITE_ASSIGN_OR_RETURN(Values values, samples_.Read(component_, i));
    for (auto& [name, value] : values) {
      if (value.defined() && value.is_floating_point()) value = value.to(at::kFloat);
    }
    return values;
  }
  const std::string& fingerprint() const override { return fingerprint_; }

 private:
  const SampleSet samples_;
  const std::string component_;
  const std::string fingerprint_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenSampleData(const SampleSet& samples,
                                                        const std::string& component) {
  if (samples.size(component) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the samples hold no inputs of component '", component,
                     "', only of: ", absl::StrJoin(samples.components(), ", ")));
  }
  return std::make_unique<SampleData>(samples, component);
}

}  // namespace wanlite::train
