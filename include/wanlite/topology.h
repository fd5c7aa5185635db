// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a model says about itself: its blocks (the unit of streaming and resume), its linear layers,
// and the groups of axes that must shrink together. Declared by the modules (nn::Describable),
// never traced; proven by the test that a pruned model equals the masked one.
#ifndef WANLITE_TOPOLOGY_H_
#define WANLITE_TOPOLOGY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite {

// How a dimension of a tensor takes part in a group of coupled axes.
enum class AxisRole {
  kSliced,           // indices of removed units are dropped
  kRmsNormalized,    // dropped too, and an RMS norm reduces over this axis: the kept weights of the
                     // norm are scaled by sqrt(old / kept) so that kept units come out as in the
                     // masked model, whose removed channels are zero but still counted by the mean
  kLayerNormalized,  // dropped too, and a layer norm reduces over this axis: its mean and variance
                     // become those of the kept units, which no scale of weights makes the masked
                     // model's. Such a group is not exact()
};

struct AxisRef {
  std::string tensor;  // path of a linear ("blocks.0.ffn.0": dim 0 = rows and bias, dim 1 =
                       // columns) or of a tensor ("blocks.0.self_attn.norm_q.weight")
  int64_t dim = 0;
  int64_t repeat = 1;  // consecutive indices per unit (head_dim for heads)
  AxisRole role = AxisRole::kSliced;
  // The units stand this many times one after the other: 3 where rows are [q, k, v]. Unit u has the
  // indices o * units * repeat + u * repeat + [0, repeat) for each o < outer.
  int64_t outer = 1;
};

// Units (channels, heads) that can be removed together. A tensor that mixes the units of one group
// among themselves is named by two refs, one for each dimension.
struct AxisGroup {
  std::string name;   // "transformer.blocks.0.ffn.channels"
  std::string kind;   // what passes select by: "ffn.channels", "self_attn.heads"
  std::string block;  // that all its tensors are in; empty when they are in several
  int64_t units = 0;
  std::vector<AxisRef> refs;
  std::vector<std::string> blocks = {};  // that its tensors are in, in forward order

  // Whether the model with units removed computes what the one with these units masked does.
  bool exact() const;
};

// Which sequence a linear layer is applied to; decides how often it runs in one forward.
enum class TokenStream { kVideo, kText, kOnce };

struct LinearInfo {
  std::string path;   // "transformer.blocks.0.self_attn.q"
  std::string block;  // block it belongs to
  std::string kind;   // "self_attn.q", "ffn.up"; empty when not described
  TokenStream stream = TokenStream::kVideo;
  // Embeddings, modulation and heads: passes leave them alone unless told by name.
  bool sensitive = false;
  // Share of the stream's tokens that come here: top-k / experts for a routed expert.
  double token_share = 1;
};

// softmax(Q K^T) V, for counts of operations.
struct AttentionInfo {
  std::string query;  // linear that makes the queries: attention is as wide as its output
  TokenStream queries = TokenStream::kVideo, keys = TokenStream::kVideo;
  std::string heads;  // axis group whose units are the heads
};

// Work element by element, for counts of operations. wanlite/metrics.h has what each costs.
enum class ElementwiseOp {
  kLayerNorm,
  kRmsNorm,
  kGelu,
  kSilu,
  kRotary,
  kGate,  // a product with another sequence
  kResidual,
  kGatedResidual,
};

struct ElementwiseInfo {
  ElementwiseOp op;
  enum class Of { kInput, kOutput, kTensor } of;
  std::string path;  // linear whose input or output it works on, or a norm's weight
  TokenStream stream = TokenStream::kVideo;
};

struct BlockInfo {
  std::string path;        // "transformer.blocks.0"; a component's rest, outside all blocks, is
                           // "transformer" itself ("root" for a component without a name)
  bool removable = false;  // input and output have the same shape, so the block may be dropped
  // Its path in the model as it was before any blocks were dropped.
  std::string origin = {};
};

// Collects declarations. Paths given to it are relative to the module being described.
class TopologyBuilder {
 public:
  explicit TopologyBuilder(std::string prefix) : prefix_(std::move(prefix)) {}
  void Block(absl::string_view path, bool removable = true);
  void Linear(absl::string_view path, absl::string_view kind, TokenStream stream,
              bool sensitive = false, double token_share = 1);
  // `group.name` and refs are relative paths; the builder prefixes them.
  void Group(AxisGroup group);
  // `attention.query` and `attention.heads` are relative paths.
  void Attention(AttentionInfo attention);
  // On the input or the output of a linear described here, as often as it runs.
  void OnInput(absl::string_view linear, ElementwiseOp op);
  void OnOutput(absl::string_view linear, ElementwiseOp op);
  // A norm by its weight [channels], on one sequence.
  void Norm(absl::string_view weight, ElementwiseOp op, TokenStream stream);
  // Tensors that stay fp32 when a model is cast to a lower compute dtype (prefix match on whole
  // path segments).
  void KeepFloat32(absl::string_view path);

  const std::vector<BlockInfo>& blocks() const { return blocks_; }
  const std::vector<LinearInfo>& linears() const { return linears_; }
  const std::vector<AxisGroup>& groups() const { return groups_; }
  const std::vector<AttentionInfo>& attentions() const { return attentions_; }
  const std::vector<ElementwiseInfo>& elementwise() const { return elementwise_; }
  const std::vector<std::string>& float32_paths() const { return float32_paths_; }

 private:
  std::string Full(absl::string_view path) const;
  std::string prefix_;
  std::vector<BlockInfo> blocks_;
  std::vector<LinearInfo> linears_;
  std::vector<AxisGroup> groups_;
  std::vector<AttentionInfo> attentions_;
  std::vector<ElementwiseInfo> elementwise_;
  std::vector<std::string> float32_paths_;
};

}  // namespace wanlite

#endif  // WANLITE_TOPOLOGY_H_
