// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Tagged [int8_linear]: run again under every instruction set.

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/cpu/aligned_buffer.h"
#include "src/ops/cpu/attention_kernels.h"
#include "src/ops/ops.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {
namespace {

at::Tensor NormalTokens(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
}

// In double, as it is written.
at::Tensor PlainAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          int64_t head_dim) {
  const auto heads = [&](const at::Tensor& x) {
    return x.to(at::kDouble).unflatten(-1, {-1, head_dim}).transpose(1, 2);
  };
  const at::Tensor scores =
      heads(q).matmul(heads(k).transpose(2, 3)) / std::sqrt(static_cast<double>(head_dim));
  return scores.softmax(-1).matmul(heads(v)).transpose(1, 2).flatten(2);
}

}  // namespace

TEST_CASE("attention is its formula up to the rounding of fp32", "[int8_linear]") {
  if (!AttentionFits(32)) {
    CHECK(ActiveCpuIsa() == CpuIsa::kPortable);
    return;
  }
  CHECK_FALSE(AttentionFits(24));
  for (const auto& [batch, queries, keys, heads, dim] : {std::array<int64_t, 5>{1, 1, 1, 1, 32},
                                                         {2, 7, 5, 3, 32},
                                                         {1, 100, 33, 2, 64},
                                                         {2, 97, 300, 1, 128},
                                                         {1, 250, 600, 2, 32}}) {
    for (const double spread : {0.3, 4.0}) {
      const at::Tensor q = NormalTokens({batch, queries, heads * dim}, 1) * spread;
      const at::Tensor k = NormalTokens({batch, keys, heads * dim}, 2) * spread;
      const at::Tensor v = NormalTokens({batch, keys, heads * dim}, 3);
      const at::Tensor y = Attention(q, k, v, dim);
      CHECK(y.sizes() == q.sizes());
      INFO(queries << " queries, " << keys << " keys, " << heads << " heads of " << dim);
      const at::Tensor wanted = PlainAttention(q, k, v, dim);
      CHECK((y - wanted).abs().max().item<double>() < 2e-5);
      // Strided inputs.
      CHECK(at::equal(Attention(q.transpose(1, 2).contiguous().transpose(1, 2), k, v, dim), y));
    }
  }
  const at::Tensor x = NormalTokens({1, 4, 32}, 1);
  CHECK_THROWS_WITH(Attention(x, x, x.to(at::kHalf), 32), Catch::Contains("v must be float32"));
  CHECK_THROWS_WITH(Attention(x, NormalTokens({1, 4, 64}, 1), x, 32),
                    Catch::Contains("k [1, 4, 64]"));
  CHECK_THROWS_WITH(Attention(x, x, x, 24), Catch::Contains("heads of 24"));
  CHECK(Attention(x.slice(1, 0, 0), x, x, 32).sizes() == at::IntArrayRef({1, 0, 32}));
}

TEST_CASE("attention passes a NaN or an infinity on to the tokens that see it", "[int8_linear]") {
  if (!AttentionFits(32)) return;
  const double odd =
      GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity());
  const at::Tensor q = NormalTokens({1, 40, 64}, 1), k = NormalTokens({1, 50, 64}, 2),
                   v = NormalTokens({1, 50, 64}, 3);
  at::Tensor q2 = q.clone(), k2 = k.clone(), v2 = v.clone();
  q2[0][7][3] = odd;
  const at::Tensor of_query = Attention(q2, k, v, 32);
  CHECK(of_query[0][7].slice(0, 0, 32).isnan().all().item<bool>());
  CHECK(of_query.isnan().sum().item<int64_t>() == 32);
  k2[0][9][40] = odd;
  const at::Tensor of_key = Attention(q, k2, v, 32);
  CHECK(of_key[0].slice(1, 32).isnan().all().item<bool>());
  CHECK(of_key[0].slice(1, 0, 32).isfinite().all().item<bool>());
  v2[0][49][5] = odd;
  CHECK_FALSE(Attention(q, k, v2, 32)[0].select(1, 5).isfinite().any().item<bool>());
}

TEST_CASE("attention does not depend on the instruction set or on the threads", "[int8_linear]") {
  if (!AttentionFits(32)) return;
  const at::Tensor q = NormalTokens({2, 130, 128}, 1), k = NormalTokens({2, 300, 128}, 2),
                   v = NormalTokens({2, 300, 128}, 3);
  const int threads = at::get_num_threads();
  const at::Tensor y = Attention(q, k, v, 64);
  at::set_num_threads(3);
  CHECK(at::equal(Attention(q, k, v, 64), y));
  at::set_num_threads(threads);
  if (!CpuIsaSupported(CpuIsa::kAvx512Vnni)) return;
  std::vector<at::Tensor> results;
  for (const AttentionKernels* kernels :
       {AttentionKernelsFor(CpuIsa::kAvx2), AttentionKernelsFor(CpuIsa::kAvx512Vnni)}) {
    const int64_t columns = kernels->columns, keys = 300, dim = 64;
    const AlignedBuffer packed_k = NewAlignedBuffer(CeilDiv(keys, columns) * columns * dim * 4);
    const AlignedBuffer packed_v = NewAlignedBuffer(keys * dim * 4);
    const AlignedBuffer scratch = NewAlignedBuffer(AttentionScratch(dim) * 4);
    const auto floats = [](const AlignedBuffer& buffer) {
      return reinterpret_cast<float*>(buffer.get());
    };
    kernels->pack_keys(k.const_data_ptr<float>(), 128, keys, dim, floats(packed_k));
    kernels->pack_values(v.const_data_ptr<float>(), 128, keys, dim, floats(packed_v));
    results.push_back(at::empty({90, dim}));
    kernels->attend({q.const_data_ptr<float>(), 128, 90, dim, keys, floats(packed_k),
                     floats(packed_v), 0.18f, results.back().mutable_data_ptr<float>(), dim,
                     floats(scratch)});
  }
  CHECK(at::equal(results[0], results[1]));
}

TEST_CASE("rms_norm_rotary is the norm, then the turn of each pair", "[int8_linear]") {
  const int64_t tokens = 11, dim = 8, heads = 3;
  const at::Tensor angle = NormalTokens({tokens, dim / 2}, 4);
  const at::Tensor table = at::complex(angle.cos(), angle.sin());
  const at::Tensor weight = NormalTokens({heads * dim}, 5);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = NormalTokens({2, tokens, heads * dim}, 6).to(dtype);
    const at::Tensor y = RmsNormRotary(x, weight, table, 1e-6);
    CHECK(y.scalar_type() == dtype);
    const at::Tensor normed = RmsNorm(x, weight, 1e-6, dtype).to(at::kFloat);
    const at::Tensor pairs = at::view_as_complex(normed.reshape({2, tokens, heads, dim / 2, 2}));
    const at::Tensor wanted = at::view_as_real(pairs * table.unsqueeze(1)).reshape(x.sizes());
    CHECK((y.to(at::kFloat) - wanted).abs().max().item<double>() <
          (dtype == at::kFloat ? 1e-6 : 0.02));
  }
  CHECK_THROWS_WITH(RmsNormRotary(NormalTokens({1, 4, 24}, 1), weight, table, 1e-6),
                    Catch::Contains("the table of rotations"));
}

}  // namespace wanlite::ops
