// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/block_files.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/model/rest_block.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// File of a component's rest.
constexpr absl::string_view kRest = "rest";

}  // namespace

std::string FullPath(absl::string_view component, absl::string_view inside) {
  return component.empty() ? std::string(inside) : absl::StrCat(component, ".", inside);
}

std::optional<std::string> PathInside(absl::string_view component, absl::string_view full) {
  if (component.empty()) return std::string(full);
  if (!absl::ConsumePrefix(&full, component) || !absl::ConsumePrefix(&full, "."))
    return std::nullopt;
  return std::string(full);
}

absl::StatusOr<std::string> BlockFile(absl::string_view component, absl::string_view block) {
  if (block == RestBlock(component)) return absl::StrCat(kRest, ".safetensors");
  const std::optional<std::string> inside = PathInside(component, block);
  if (!inside.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", QuoteName(block), " is not of component ", QuoteName(component)));
  }
  if (*inside == std::string(kRest) || !IsSafeRelativePath(*inside) ||
      absl::StrContains(*inside, "/")) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", QuoteName(block), " cannot be the name of a file"));
  }
  return absl::StrCat(*inside, ".safetensors");
}

absl::StatusOr<std::map<std::string, const LinearWeight*>> QuantizedLinears(
    const ModelView& view, const Component& component) {
  std::map<std::string, const LinearWeight*> result;
  for (const LinearInfo& linear : view.weights()) {
    if (&view.ComponentOf(linear.path) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, view.Weight(linear.path));
    if (weight->dense() != nullptr) continue;
    result[PathInside(component.name, linear.path).value_or(linear.path)] = weight;
  }
  return result;
}

}  // namespace wanlite
