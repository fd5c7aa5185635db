// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/topology.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace wanlite {

std::string TopologyBuilder::Full(absl::string_view path) const {
  if (prefix_.empty()) return std::string(path);
  if (path.empty()) return prefix_;
  return absl::StrCat(prefix_, ".", path);
}

void TopologyBuilder::Block(absl::string_view path, bool removable) {
  blocks_.push_back({Full(path), removable});
}

void TopologyBuilder::Linear(absl::string_view path, absl::string_view kind, TokenStream stream,
                             bool sensitive) {
  linears_.push_back({Full(path), /*block=*/"", std::string(kind), stream, sensitive});
}

void TopologyBuilder::Group(AxisGroup group) {
  group.name = Full(group.name);
  for (AxisRef& ref : group.refs) ref.tensor = Full(ref.tensor);
  groups_.push_back(std::move(group));
}

void TopologyBuilder::KeepFloat32(absl::string_view path) { float32_paths_.push_back(Full(path)); }

}  // namespace wanlite
