// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/architecture.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite {

absl::string_view FolderLayoutName(FolderLayout layout) {
  switch (layout) {
    case FolderLayout::kDiffusers:
      return "diffusers";
    case FolderLayout::kOriginal:
      return "original";
    case FolderLayout::kWanlite:
      return "wanlite";
  }
  return "unknown";
}

absl::Status ArchitectureRegistry::Register(Architecture architecture) {
  if (architecture.name.empty() || architecture.build == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("architecture '", architecture.name, "' needs a name and a build function"));
  }
  std::vector<std::string> names = architecture.aliases;
  names.push_back(architecture.name);
  for (const std::string& name : names) {
    if (Find(name) != nullptr) {
      return absl::AlreadyExistsError(
          absl::StrCat("architecture ", name, " is registered already"));
    }
  }
  architectures_.push_back(std::move(architecture));
  return absl::OkStatus();
}

const Architecture* ArchitectureRegistry::Find(absl::string_view name) const {
  for (const Architecture& architecture : architectures_) {
    if (architecture.name == name) return &architecture;
    for (const std::string& alias : architecture.aliases) {
      if (alias == name) return &architecture;
    }
  }
  return nullptr;
}

}  // namespace wanlite
