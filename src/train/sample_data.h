// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_TRAIN_SAMPLE_DATA_H_
#define WANLITE_SRC_TRAIN_SAMPLE_DATA_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "wanlite/dataset.h"
#include "wanlite/sample_set.h"

namespace wanlite::train {

// The recorded inputs of one component as data to train on, floating values in fp32. Each sample
// counts once per pass over the data, whatever its weight. A value named kTargetValue is the
// target. FailedPrecondition when the set has no sample of the component.
absl::StatusOr<std::unique_ptr<Dataset>> OpenSampleData(const SampleSet& samples,
                                                        const std::string& component);

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_SAMPLE_DATA_H_
