// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_MODEL_FLOAT32_BLOCK_H_
#define WANLITE_SRC_MODEL_FLOAT32_BLOCK_H_

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"

namespace wanlite {

// While it lives a leased block computes in fp32, as a runner has it by default, whatever dtype it
// is stored in: its bf16 and fp16 tensors that compute hold fp32 copies. So that small differences
// between two models are not those of rounding. Weights that are exchanged meanwhile must be
// exchanged back before it ends, and it before the lease. May throw c10::Error.
class [[nodiscard]] Float32Block {
 public:
  Float32Block(const ModelView& model, absl::string_view block);
  ~Float32Block();
  Float32Block(const Float32Block&) = delete;
  Float32Block& operator=(const Float32Block&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> stored_;  // handle, and what it held
};

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_FLOAT32_BLOCK_H_
