// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/distill_samples.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/sha256.h"
#include "src/train/held_out.h"
#include "src/train/sample_data.h"
#include "wanlite/status.h"

namespace wanlite::distill {

absl::StatusOr<DistillSamples::Split> DistillSamples::Open(
    const SampleSet& samples, const std::vector<std::string>& components) {
  std::vector<std::shared_ptr<const Dataset>> parts;
  std::vector<Entry> trained, held;
  for (size_t i = 0; i < components.size(); ++i) {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> data,
                             train::OpenSampleData(samples, components[i]));
    parts.push_back(std::move(data));
    const train::SampleSplit split = train::SplitSamples(samples, components[i]);
    for (const int64_t number : split.trained) trained.push_back({i, number});
    for (const int64_t number : split.held) held.push_back({i, number});
  }
  const auto make = [&](std::vector<Entry> entries) {
    return std::unique_ptr<DistillSamples>(
        new DistillSamples(samples, components, parts, std::move(entries)));
  };
  return Split{make(std::move(trained)), make(std::move(held))};
}

DistillSamples::DistillSamples(const SampleSet& samples, std::vector<std::string> names,
                               std::vector<std::shared_ptr<const Dataset>> parts,
                               std::vector<Entry> entries)
    : samples_(samples),
      names_(std::move(names)),
      parts_(std::move(parts)),
      entries_(std::move(entries)) {
  Sha256 hash;
  for (const std::shared_ptr<const Dataset>& part : parts_) hash.Update(part->fingerprint() + "\n");
  for (const Entry& entry : entries_) {
    hash.Update(absl::StrCat(entry.component, " ", entry.number, "\n"));
  }
  fingerprint_ = hash.Finish();
}

absl::StatusOr<Values> DistillSamples::Read(int64_t i, uint64_t seed) const {
  if (i < 0 || i >= size()) {
    return absl::OutOfRangeError(absl::StrCat("sample ", i, " of ", size()));
  }
  return parts_[component(i)]->Read(number(i), seed);
}

std::string DistillSamples::prompt(int64_t i) const {
  const SampleInfo& info = samples_.sample(names_[component(i)], number(i));
  const std::vector<std::string>& prompts = samples_.info().prompts;
  const bool known = info.prompt >= 0 && info.prompt < static_cast<int64_t>(prompts.size());
  return known && info.branch != "negative" ? prompts[static_cast<size_t>(info.prompt)] : "";
}

}  // namespace wanlite::distill
