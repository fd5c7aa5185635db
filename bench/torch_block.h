// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A Wan block written with LibTorch's operators and nothing of wanlite: what a user without wanlite
// would run, and a second opinion on the result.
#ifndef WANLITE_BENCH_TORCH_BLOCK_H_
#define WANLITE_BENCH_TORCH_BLOCK_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>

#include "wanlite/linear_weight.h"

namespace wanlite::bench {

// Letters: L video tokens, T text tokens, D width.
struct BlockInput {
  at::Tensor x;                               // fp32 [1, L, D]
  at::Tensor context;                         // fp32 [1, T, D]
  at::Tensor time;                            // fp32 [1, 1, 6, D]
  at::Tensor rotary;                          // complex64 [L, head_dim / 2]
  BlockInput To(at::ScalarType dtype) const;  // x and context alone
};

class TorchBlock {
 public:
  // tensors: fp32, those of a wan::DitBlock by its names. Linears, their biases and the attentions'
  // norms are kept in `dtype`.
  TorchBlock(const std::map<std::string, at::Tensor>& tensors, int64_t head_dim, double eps,
             at::ScalarType dtype);
  // The linears by LibTorch's dynamic INT8 (torch_int8.h). dtype fp32 only.
  void QuantizeLinears();

  // -> [1, L, D] in the dtype of input.x, which is that of the block.
  at::Tensor Forward(const BlockInput& input) const;

 private:
  const at::Tensor& At(const std::string& name) const { return tensors_.at(name); }
  at::Tensor Linear(const std::string& path, const at::Tensor& x) const;
  at::Tensor Attend(const std::string& path, const at::Tensor& x, const at::Tensor& context,
                    const at::Tensor& rotary) const;

  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, std::shared_ptr<const LinearWeight>> int8_;  // by path, when quantized
  int64_t head_dim_;
  double eps_;
};

}  // namespace wanlite::bench

#endif  // WANLITE_BENCH_TORCH_BLOCK_H_
