// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// An evaluation of models that never were, with every part of a report filled in.
#ifndef WANLITE_TESTS_REPORT_SYNTHETIC_REPORT_H_
#define WANLITE_TESTS_REPORT_SYNTHETIC_REPORT_H_

#include "src/evaluate/evaluate.h"

namespace wanlite {

struct SyntheticOptions {
  int candidates = 1;
  bool set = true;
  bool vae = true;
  bool memory = true;
};
EvaluateReport SyntheticReport(const SyntheticOptions& options = {});

}  // namespace wanlite

#endif  // WANLITE_TESTS_REPORT_SYNTHETIC_REPORT_H_
