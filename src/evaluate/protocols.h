// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Published evaluation protocols, so that a number says what it was measured with.
#ifndef WANLITE_SRC_EVALUATE_PROTOCOLS_H_
#define WANLITE_SRC_EVALUATE_PROTOCOLS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/runner.h"

namespace wanlite {

struct Protocol {
  std::string name;
  std::string description;  // one sentence
  std::string source;       // where the values stand: repository, files, commits
  std::string model;        // repository and revision of the weights it is defined for
  // What the protocol fixes. Prompt and initial latents are the caller's; what stays open (sampler,
  // shift) is the model folder's.
  GenerateRequest request;
  double fps = 0;  // of the finished video
  // VBench score in percent of the reference run, and the one to reach. 0: the protocol has none.
  double reference_score = 0;
  double pass_score = 0;
  std::vector<std::string> notes;  // what is needed beside the settings, and what to know
};

// All of them, in the order of names.
const std::vector<Protocol>& Protocols();

// NotFound names those there are.
absl::StatusOr<Protocol> FindProtocol(absl::string_view name);

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_PROTOCOLS_H_
