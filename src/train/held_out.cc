// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/held_out.h"

#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/sha256.h"

namespace wanlite::train {
namespace {

constexpr size_t kPromptsForOneHeld = 8;

}  // namespace

SampleSplit SplitSamples(const SampleSet& samples, const std::string& component) {
  const int64_t size = samples.size(component);
  std::set<int64_t> prompts;
  for (int64_t i = 0; i < size; ++i) {
    const int64_t prompt = samples.sample(component, i).prompt;
    if (prompt >= 0) prompts.insert(prompt);
  }
  std::set<int64_t> held;
  for (size_t i = prompts.size() / kPromptsForOneHeld; i > 0; --i) {
    held.insert(prompts.extract(std::prev(prompts.end())).value());
  }
  SampleSplit split;
  for (int64_t i = 0; i < size; ++i) {
    (held.contains(samples.sample(component, i).prompt) ? split.held : split.trained).push_back(i);
  }
  return split;
}

DataSubset::DataSubset(const Dataset& data, std::vector<int64_t> samples)
    : data_(data),
      samples_(std::move(samples)),
      fingerprint_(absl::StrCat(data.fingerprint(), "/", Sha256Hex(absl::StrJoin(samples_, ",")))) {
}

}  // namespace wanlite::train
