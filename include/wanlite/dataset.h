// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a model is trained on: samples by number.
#ifndef WANLITE_DATASET_H_
#define WANLITE_DATASET_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "wanlite/block_program.h"

namespace wanlite {

// Thread-safe.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  // Sample i as the inputs of a network's program by name, each with a batch of 1 in front, and
  // what the loss compares with (kTargetValue). `seed`: of whatever is drawn anew each time (noise,
  // noise level, wording); the same arguments give the same values. OutOfRange unless 0 <= i <
  // size().
  virtual absl::StatusOr<Values> Read(int64_t i, uint64_t seed) const = 0;
  // Of all that Read() depends on. A training is continued with the same data alone.
  virtual const std::string& fingerprint() const = 0;
};

// The value that the network's output should have, in a sample: the velocity of the data.
inline constexpr char kTargetValue[] = "target";

}  // namespace wanlite

#endif  // WANLITE_DATASET_H_
