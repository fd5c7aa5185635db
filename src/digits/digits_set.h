// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Wan-Digits as an evaluation set.
#ifndef WANLITE_SRC_DIGITS_DIGITS_SET_H_
#define WANLITE_SRC_DIGITS_DIGITS_SET_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "src/evaluate/evaluation_set.h"
#include "wanlite/env.h"

namespace wanlite::digits {

// Wan-Digits: prompts in turn in the three languages, all naming the colour; two sets of real clips
// of scans that no training saw, both of what the prompts say, by different hands; Digits-CLIP for
// alignment and the digit-and-direction classifier for reading. `dir` holds train.textproto (for
// the geometry of the clips), data/, classifier/ and clip/, as examples/digits does. Extractors are
// left to the caller. count: prompts, and real clips in each of the two sets. The same arguments
// give the same set; seeds of the noise are `seed`, `seed` + 1, ...
absl::StatusOr<EvaluationSet> MakeDigitsSet(Env& env, const std::string& dir, int64_t count,
                                            uint64_t seed);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_DIGITS_SET_H_
