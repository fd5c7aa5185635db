// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/sample_batch.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"

namespace wanlite::train {

std::string ShapesText(const Values& values) {
  std::string text;
  for (const auto& [name, value] : values) {
    if (!value.defined()) continue;
    absl::StrAppend(&text, name, " ", c10::toString(value.scalar_type()), " [",
                    absl::StrJoin(value.sizes(), ","), "] ");
  }
  return text;
}

Values Stacked(const std::vector<Values>& samples) {
  if (samples.size() == 1) return samples.front();
  Values batch;
  for (const auto& [name, value] : samples.front()) {
    if (!value.defined()) continue;
    std::vector<at::Tensor> parts;
    for (const Values& sample : samples) parts.push_back(sample.at(name));
    batch[name] = at::cat(parts);
  }
  return batch;
}

}  // namespace wanlite::train
