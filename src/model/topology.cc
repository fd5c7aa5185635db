// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/topology.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace wanlite {

bool AxisGroup::exact() const {
  return std::none_of(refs.begin(), refs.end(),
                      [](const AxisRef& ref) { return ref.role == AxisRole::kLayerNormalized; });
}

std::string TopologyBuilder::Full(absl::string_view path) const {
  if (prefix_.empty()) return std::string(path);
  if (path.empty()) return prefix_;
  return absl::StrCat(prefix_, ".", path);
}

void TopologyBuilder::Block(absl::string_view path, bool removable) {
  blocks_.push_back({Full(path), removable, /*origin=*/Full(path)});
}

void TopologyBuilder::Linear(absl::string_view path, absl::string_view kind, TokenStream stream,
                             bool sensitive, double token_share) {
  linears_.push_back({Full(path), /*block=*/"", std::string(kind), stream, sensitive, token_share});
}

void TopologyBuilder::Group(AxisGroup group) {
  group.name = Full(group.name);
  for (AxisRef& ref : group.refs) ref.tensor = Full(ref.tensor);
  groups_.push_back(std::move(group));
}

void TopologyBuilder::Attention(AttentionInfo attention) {
  attention.query = Full(attention.query);
  attention.heads = Full(attention.heads);
  attentions_.push_back(std::move(attention));
}

// The index takes the stream from the linear.
void TopologyBuilder::OnInput(absl::string_view linear, ElementwiseOp op) {
  elementwise_.push_back({op, ElementwiseInfo::Of::kInput, Full(linear)});
}

void TopologyBuilder::OnOutput(absl::string_view linear, ElementwiseOp op) {
  elementwise_.push_back({op, ElementwiseInfo::Of::kOutput, Full(linear)});
}

void TopologyBuilder::Norm(absl::string_view weight, ElementwiseOp op, TokenStream stream) {
  elementwise_.push_back({op, ElementwiseInfo::Of::kTensor, Full(weight), stream});
}

void TopologyBuilder::KeepFloat32(absl::string_view path) { float32_paths_.push_back(Full(path)); }

}  // namespace wanlite
