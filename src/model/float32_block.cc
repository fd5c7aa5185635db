// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/float32_block.h"

#include <set>
#include <string>

#include "src/core/libtorch.h"
#include "src/model/model_view_rep.h"

namespace wanlite {

Float32Block::Float32Block(const ModelView& model, absl::string_view block) {
  const at::NoGradGuard no_grad;
  std::set<std::string> kept;  // what means something in its own dtype: codes, scales
  for (const LinearInfo& linear : model.linears()) {
    if (linear.block != block) continue;
    const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
    if (!weight.ok()) continue;
    for (const WeightTensor& state : (*weight)->State()) {
      if (state.role != WeightTensor::Role::kParameter) {
        kept.insert(JoinTensorPath(linear.path, state.name));
      }
    }
  }
  for (const NamedTensor& named : model.BlockTensors(block)) {
    const at::ScalarType dtype = named.tensor.scalar_type();
    if ((dtype != at::kBFloat16 && dtype != at::kHalf) || kept.contains(named.name)) continue;
    at::Tensor handle = named.tensor;
    stored_.emplace_back(handle, handle.detach());
    handle.set_data(handle.detach().to(at::kFloat));
  }
}

Float32Block::~Float32Block() {
  const at::NoGradGuard no_grad;
  for (auto& [handle, value] : stored_) handle.set_data(value);
}

}  // namespace wanlite
