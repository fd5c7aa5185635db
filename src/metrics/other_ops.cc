// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/other_ops.h"

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Operations per element.
double CostOf(ElementwiseOp op) {
  switch (op) {
    case ElementwiseOp::kLayerNorm:
      return kLayerNormOps;
    case ElementwiseOp::kRmsNorm:
      return kRmsNormOps;
    case ElementwiseOp::kGelu:
      return kGeluOps;
    case ElementwiseOp::kSilu:
      return kSiluOps;
    case ElementwiseOp::kRotary:
      return kRotaryOps;
    case ElementwiseOp::kGate:
      return kGateOps;
    case ElementwiseOp::kResidual:
      return kResidualOps;
    case ElementwiseOp::kGatedResidual:
      return kGatedResidualOps;
  }
  return 0;
}

// Elements that it works on, of one token.
absl::StatusOr<double> WidthOf(const ModelView& model, const ElementwiseInfo& info) {
  if (info.of == ElementwiseInfo::Of::kTensor) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor weight, model.FindTensor(info.path));
    return static_cast<double>(weight.numel());
  }
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(info.path));
  return static_cast<double>(info.of == ElementwiseInfo::Of::kInput ? weight->in_features()
                                                                    : weight->out_features());
}

}  // namespace

double Sequences::Of(TokenStream stream) const {
  switch (stream) {
    case TokenStream::kVideo:
      return video;
    case TokenStream::kText:
      return text;
    case TokenStream::kOnce:
      break;
  }
  return 1;
}

std::map<std::string, at::Tensor> TensorsOf(const ModelView& model, const Component& component) {
  const std::string prefix = component.name.empty() ? "" : component.name + ".";
  std::map<std::string, at::Tensor> tensors;
  for (const NamedTensor& tensor : model.Tensors()) {
    if (&model.ComponentOf(tensor.name) != &component) continue;
    tensors.emplace(tensor.name.substr(prefix.size()), tensor.tensor);
  }
  return tensors;
}

absl::StatusOr<double> CountOtherOps(const ModelView& model, const Component& component,
                                     const std::map<std::string, at::Tensor>& tensors,
                                     const Sequences& sequences) {
  const size_t prefix = component.name.empty() ? 0 : component.name.size() + 1;
  double ops = 0;
  for (const LinearInfo& linear : model.linears()) {
    if (&model.ComponentOf(linear.path) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    const LinearArithmetic arithmetic = weight->arithmetic();
    const bool bias = tensors.count(linear.path.substr(prefix) + ".bias") > 0;
    const double output = arithmetic.output_ops + (bias ? kBiasOps : 0);
    ops += sequences.Of(linear.stream) * linear.token_share *
           (arithmetic.input_ops * static_cast<double>(weight->in_features()) +
            output * static_cast<double>(weight->out_features()));
  }
  for (const ElementwiseInfo& info : model.elementwise()) {
    if (&model.ComponentOf(info.path) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const double width, WidthOf(model, info));
    const LinearInfo* linear = model.FindLinear(info.path);
    ops += CostOf(info.op) * width * sequences.Of(info.stream) *
           (linear == nullptr ? 1.0 : linear->token_share);
  }
  std::map<std::string, double> heads;  // by name of the group
  for (const AxisGroup& group : model.groups()) {
    heads[group.name] = static_cast<double>(group.units);
  }
  for (const AttentionInfo& attention : model.attentions()) {
    if (&model.ComponentOf(attention.query) != &component) continue;
    ops += kSoftmaxOps * heads.at(attention.heads) * sequences.Of(attention.queries) *
           sequences.Of(attention.keys);
  }
  return ops;
}

}  // namespace wanlite
