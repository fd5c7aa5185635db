// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/other_ops.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// What happens around a linear of this kind, per element of its input and of its output.
struct KindCost {
  absl::string_view kind;
  double input, output;
};

constexpr KindCost kKindCosts[] = {
    // The modulated norm is shared by q, k and v: counted once, at q.
    {"self_attn.q", kLayerNormOps, kRotaryOps},
    {"self_attn.k", 0, kRotaryOps},
    {"self_attn.o", 0, kGatedResidualOps},
    {"cross_attn.o", 0, kResidualOps},
    {"ffn.up", kLayerNormOps, kGeluOps},
    {"ffn.down", 0, kGatedResidualOps},
    {"head", kLayerNormOps, 0},
    {"text_embedding.0", 0, kGeluOps},
    {"time_embedding.0", 0, kSiluOps},
    {"time_embedding.2", 0, kSiluOps},
    {"text_attn.o", 0, kResidualOps},
    {"text_ffn.gate", 0, kGeluOps},
    {"text_ffn.up", 0, kGateOps},
    {"text_ffn.down", 0, kResidualOps},
};

// Norms that have a tensor, by the end of its name. They run on `video` tokens, but for the keys of
// cross-attention.
struct NormCost {
  absl::string_view suffix;
  double cost;
  bool on_text;
};

constexpr NormCost kNormCosts[] = {
    {"cross_attn.norm_k.weight", kRmsNormOps, true},
    {".norm_k.weight", kRmsNormOps, false},
    {".norm_q.weight", kRmsNormOps, false},
    {".norm3.weight", kLayerNormOps, false},
    {".norm1.weight", kRmsNormOps, false},
    {".norm2.weight", kRmsNormOps, false},
    {"norm.weight", kRmsNormOps, false},  // the last one of a text encoder
};

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
  std::map<std::string, double> heads;  // by name of the group
  for (const AxisGroup& group : model.groups()) {
    heads[group.name] = static_cast<double>(group.units);
  }
  double ops = 0;
  for (const LinearInfo& linear : model.linears()) {
    if (&model.ComponentOf(linear.path) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    const LinearArithmetic arithmetic = weight->arithmetic();
    double input = arithmetic.input_ops, output = arithmetic.output_ops;
    if (tensors.count(linear.path.substr(prefix) + ".bias") > 0) output += kBiasOps;
    for (const KindCost& cost : kKindCosts) {
      if (cost.kind != linear.kind) continue;
      input += cost.input;
      output += cost.output;
    }
    const double tokens = sequences.Of(linear.stream);
    ops += tokens * (input * static_cast<double>(weight->in_features()) +
                     output * static_cast<double>(weight->out_features()));
    if (absl::EndsWith(linear.kind, "attn.q")) {
      const bool cross = absl::StrContains(linear.kind, "cross");
      const std::string group =
          absl::StrCat(linear.path.substr(0, linear.path.size() - 1), "heads");
      const auto found = heads.find(group);
      ops += kSoftmaxOps * (found == heads.end() ? 1.0 : found->second) * tokens *
             (cross ? sequences.text : tokens);
    }
  }
  for (const auto& [name, tensor] : tensors) {
    for (const NormCost& norm : kNormCosts) {
      if (!absl::EndsWith(name, norm.suffix)) continue;
      ops += norm.cost * static_cast<double>(tensor.numel()) *
             (norm.on_text ? sequences.text : sequences.video);
      break;
    }
  }
  return ops;
}

}  // namespace wanlite
