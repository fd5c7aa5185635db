// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/time_path.h"

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite {

const TimeConditioned* TimePathOf(const Component& component) {
  return dynamic_cast<const TimeConditioned*>(component.module.get());
}

std::vector<std::string> TimeLinearsOf(const Component& component) {
  const TimeConditioned* path = TimePathOf(component);
  if (path == nullptr) return {};
  std::vector<std::string> linears = path->TimeLinears();
  for (std::string& linear : linears) {
    if (!component.name.empty()) linear = absl::StrCat(component.name, ".", linear);
  }
  return linears;
}

}  // namespace wanlite
