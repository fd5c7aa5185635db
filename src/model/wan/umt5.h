// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The umT5 text encoder, as transformers' UMT5EncoderModel computes it. Modules carry the original
// Wan names ("blocks.0.attn.q.weight").
//
// Letters: B batch, T tokens, D width, N heads, F ffn width.
#ifndef WANLITE_SRC_MODEL_WAN_UMT5_H_
#define WANLITE_SRC_MODEL_WAN_UMT5_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/block_program.h"
#include "wanlite/input_scaling.h"
#include "wanlite/nn.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {

// x / sqrt(mean(x^2) + eps) * weight over the last axis; the mean in fp32.
class TokenRmsNorm : public torch::nn::Module {
 public:
  TokenRmsNorm(int64_t width, double eps);
  at::Tensor forward(const at::Tensor& x) const;
  at::ScalarType dtype() const { return weight_.scalar_type(); }
  // The same for layers that may read it quantized.
  Activation For(std::initializer_list<const nn::Linear*> readers, const at::Tensor& x) const;

 private:
  at::Tensor weight_;  // [D]
  double eps_;
};

// Bucket of each relative position of T tokens: int64 [T * T], query-major. Half of the buckets are
// for keys behind the query and half for those ahead; in each, half stand for one distance and the
// others for ranges that widen logarithmically up to max_distance (T5's scheme).
at::Tensor RelativePositionBuckets(int64_t tokens, int64_t num_buckets, int64_t max_distance);

// Pre-norm attention with relative position bias, then gated feed-forward. Sizes are read from the
// tensors, which pruning changes.
class Umt5Block : public torch::nn::Module, public nn::Describable {
 public:
  Umt5Block(const Umt5Config& config, int64_t heads, int64_t ffn_dim);
  // x: [B, T, D]; buckets: of RelativePositionBuckets(); keys: bool [B, 1, 1, T], the tokens that
  // may be attended to, or undefined for all. -> [B, T, D].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& buckets, const at::Tensor& keys) const;

  int64_t heads() const { return position_bias_.size(1); }
  int64_t ffn_dim() const { return down_->in_features(); }
  void Describe(TopologyBuilder& topology) const override;

 private:
  friend class Umt5;
  // Of the norm of x.
  at::Tensor Attend(const at::Tensor& x, const at::Tensor& buckets, const at::Tensor& keys) const;

  int64_t head_dim_;
  std::shared_ptr<TokenRmsNorm> norm1_, norm2_;
  std::shared_ptr<nn::Linear> q_, k_, v_, o_;
  std::shared_ptr<nn::Linear> gate_, up_, down_;  // ffn.gate.0, ffn.fc1, ffn.fc2
  at::Tensor position_bias_;                      // [num_buckets, N]
};

class Umt5 : public torch::nn::Module,
             public nn::Describable,
             public BlockProgram,
             public InputScalable {
 public:
  // InvalidArgument naming the field for a config that describes no network. Parameters are not
  // initialised; under an nn::HollowGuard they take no memory.
  static absl::StatusOr<std::shared_ptr<Umt5>> Create(const Umt5Config& config);

  // input_ids: int64 [B, T]; attention_mask: [B, T], non-zero at tokens, zero at padding; undefined
  // means no padding. -> [B, T, D] in the dtype of the embedding (of the norms where that is not
  // stored as floats). Rows of padding are computed too,
  // as in the reference; Wan sets them to zero before the diffusion model sees them. Records
  // gradients.
  at::Tensor forward(const at::Tensor& input_ids, const at::Tensor& attention_mask = {}) const;

  // Values to start training from, the same for the same seed: normal with the standard deviations
  // of transformers' UMT5 (from Mesh TensorFlow), which stand in for the missing 1 /
  // sqrt(head_dim).
  void InitParameters(uint64_t seed);

  const Umt5Config& config() const { return config_; }
  // The config again after structural passes: per-block sizes read from the tensors.
  Umt5Config CurrentConfig() const;
  void Describe(TopologyBuilder& topology) const override;
  // The norms of each block, values, and what the gate is multiplied by.
  std::vector<InputScaling> InputScalings() const override;

  // The steps of forward(), with its arguments as values: embedding ("x", "buckets", "keys"), each
  // block (rewrites "x"), norm ("last_hidden_state").
  std::vector<Step> Steps() const override;
  std::vector<std::string> Inputs() const override;
  std::string Output() const override;
  void RunStep(size_t step, Values& values) const override;

 private:
  void Embed(Values& values) const;
  explicit Umt5(const Umt5Config& config);

  Umt5Config config_;
  std::shared_ptr<nn::Embedding> token_embedding_;  // [vocab, D]
  std::vector<std::shared_ptr<Umt5Block>> blocks_;
  std::shared_ptr<TokenRmsNorm> norm_;
};

// Writes sizes that are the same in all blocks as every other reader knows them.
void SettleSizes(Umt5Config& config);

// What Create() and the config parser check.
absl::Status ValidateUmt5Config(const Umt5Config& config);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_UMT5_H_
