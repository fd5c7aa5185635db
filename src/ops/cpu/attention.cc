// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention in fp32 on the CPU.

#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/ops/cpu/aligned_buffer.h"
#include "src/ops/cpu/attention_kernels.h"
#include "src/ops/ops.h"

namespace wanlite::ops {
namespace {

// Packed keys and values of heads that are worked on together; one head at least.
constexpr int64_t kPackedFloats = int64_t{16} << 20;

float* Floats(const AlignedBuffer& buffer) { return reinterpret_cast<float*>(buffer.get()); }

at::Tensor AttentionCpu(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        int64_t head_dim) {
  for (const auto& [name, tensor] : {std::pair{"q", &q}, {"k", &k}, {"v", &v}}) {
    TORCH_CHECK(tensor->dim() == 3 && tensor->scalar_type() == at::kFloat,
                "wanlite::attention: ", name, " must be float32 [batch, tokens, channels], found ",
                tensor->scalar_type(), " ", tensor->sizes());
  }
  TORCH_CHECK(
      k.sizes() == v.sizes() && k.size(0) == q.size(0) && k.size(2) == q.size(2) && k.size(1) >= 1,
      "wanlite::attention: q is ", q.sizes(), ", k ", k.sizes(), ", v ", v.sizes());
  TORCH_CHECK(AttentionFits(head_dim) && q.size(2) % head_dim == 0,
              "wanlite::attention: ", q.size(2), " channels in heads of ", head_dim,
              " do not fit the kernels of ", CpuIsaName(ActiveCpuIsa()));
  const AttentionKernels& kernels = *AttentionKernelsFor(ActiveCpuIsa());
  const at::Tensor queries = q.contiguous(), keys = k.contiguous(), values = v.contiguous();
  at::Tensor result = at::empty_like(queries);
  const int64_t heads = q.size(2) / head_dim, channels = q.size(2);
  const int64_t query_count = q.size(1), key_count = k.size(1);
  const int64_t all_heads = q.size(0) * heads;
  if (result.numel() == 0) return result;
  const float* q_data = queries.const_data_ptr<float>();
  const float* k_data = keys.const_data_ptr<float>();
  const float* v_data = values.const_data_ptr<float>();
  float* out = result.mutable_data_ptr<float>();
  // Of a head's tokens, from its number among the heads of all clips.
  const auto start = [&](int64_t head, int64_t tokens) {
    return head / heads * tokens * channels + head % heads * head_dim;
  };

  const int64_t key_floats = CeilDiv(key_count, kernels.columns) * kernels.columns * head_dim;
  const int64_t head_floats = CeilDiv(key_floats + key_count * head_dim, 16) * 16;
  const int64_t together = std::clamp<int64_t>(kPackedFloats / head_floats, 1, all_heads);
  const int64_t blocks = CeilDiv(query_count, kMaxQueries);
  const AlignedBuffer packed = NewAlignedBuffer(together * head_floats * 4);
  for (int64_t first = 0; first < all_heads; first += together) {
    const int64_t used = std::min(together, all_heads - first);
    ParallelFor(0, 2 * used, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        float* to = Floats(packed) + item / 2 * head_floats;
        const int64_t from = start(first + item / 2, key_count);
        if (item % 2 == 0) {
          kernels.pack_keys(k_data + from, channels, key_count, head_dim, to);
        } else {
          kernels.pack_values(v_data + from, channels, key_count, head_dim, to + key_floats);
        }
      }
    });
    ParallelFor(0, used * blocks, 1, [&](int64_t begin, int64_t end) {
      const AlignedBuffer scratch = NewAlignedBuffer(AttentionScratch(head_dim) * 4);
      for (int64_t item = begin; item < end; ++item) {
        const int64_t head = item / blocks, query = item % blocks * kMaxQueries;
        const int64_t at = start(first + head, query_count) + query * channels;
        const float* of_head = Floats(packed) + head * head_floats;
        kernels.attend({
            .q = q_data + at,
            .q_stride = channels,
            .queries = std::min(kMaxQueries, query_count - query),
            .dim = head_dim,
            .keys = key_count,
            .packed_keys = of_head,
            .packed_values = of_head + key_floats,
            .scale = static_cast<float>(M_LOG2E / std::sqrt(static_cast<double>(head_dim))),
            .out = out + at,
            .out_stride = channels,
            .scratch = Floats(scratch),
        });
      }
    });
  }
  return result;
}

TORCH_LIBRARY_IMPL(wanlite, CPU, m) { m.impl("attention", &AttentionCpu); }

}  // namespace

const AttentionKernels* AttentionKernelsFor(CpuIsa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case CpuIsa::kAvx512Vnni:
      return &kAttentionKernelsAvx512;
    case CpuIsa::kAvx2:
      return &kAttentionKernelsAvx2;
    case CpuIsa::kPortable:
      break;
  }
#endif
  return nullptr;
}

bool AttentionFits(int64_t head_dim) {
  const AttentionKernels* kernels = AttentionKernelsFor(ActiveCpuIsa());
  return kernels != nullptr && head_dim > 0 && head_dim % kernels->columns == 0;
}

}  // namespace wanlite::ops
