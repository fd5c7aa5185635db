// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The CUDA operators against the CPU ones, bit for bit. Without a usable device the program says
// why in one line and returns 77 (skipped), or 1 when WANLITE_REQUIRE_GPU=1. A program of its own
// without Catch's main, since the answer must come before any test.

#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <tuple>

#include "src/core/libtorch.h"
#include "src/ops/cuda_loader.h"
#include "src/ops/ops.h"

namespace wanlite::ops {
namespace {

int failures = 0;

void Check(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  std::printf("FAILED: %s\n", what.c_str());
}

// Equal values and NaN in the same places.
bool Same(const at::Tensor& cuda, const at::Tensor& cpu) {
  const at::Tensor host = cuda.cpu();
  if (host.sizes() != cpu.sizes() || host.scalar_type() != cpu.scalar_type()) return false;
  if (!cpu.is_floating_point()) return at::equal(host, cpu);
  return at::equal(host.isnan(), cpu.isnan()) && at::equal(host.nan_to_num(), cpu.nan_to_num());
}

void CompareLinear(int64_t m, int64_t n, int64_t k, at::ScalarType dtype, int64_t group,
                   bool has_bias) {
  at::Generator random = at::detail::createCPUGenerator(m * 7919 + n * 31 + k);
  at::Tensor x = at::randn({m, k}, random) * 3;
  if (m > 4) {
    x[1].zero_();
    x[2][k / 2] = std::numeric_limits<float>::quiet_NaN();
    x[3][k - 1] = std::numeric_limits<float>::infinity();
  }
  x = x.to(dtype);
  const at::Tensor weight = at::randint(-128, 128, {n, k}, random, at::dtype(at::kChar));
  const at::Tensor scale = at::rand({n, 1}, random) * 0.01;
  const std::optional<at::Tensor> bias =
      has_bias ? std::optional<at::Tensor>(at::randn({n}, random)) : std::nullopt;
  const at::Tensor cpu = Int8Linear(x, weight, scale, bias, group);
  const at::Tensor cuda =
      Int8Linear(x.cuda(), weight.cuda(), scale.cuda(),
                 has_bias ? std::optional<at::Tensor>(bias->cuda()) : std::nullopt, group);
  Check(Same(cuda, cpu), "int8_linear m=" + std::to_string(m) + " n=" + std::to_string(n) +
                             " k=" + std::to_string(k) + " dtype=" + c10::toString(dtype) +
                             " group=" + std::to_string(group));
  const auto [q_cpu, s_cpu] = QuantizePerToken(x, group);
  const auto [q_cuda, s_cuda] = QuantizePerToken(x.cuda(), group);
  Check(Same(q_cuda, q_cpu) && Same(s_cuda, s_cpu),
        "quantize_per_token k=" + std::to_string(k) + " group=" + std::to_string(group));
  Check(Same(Int8Gemm(q_cuda, s_cuda, weight.cuda(), scale.cuda(),
                      has_bias ? std::optional<at::Tensor>(bias->cuda()) : std::nullopt, dtype),
             cpu),
        "int8_gemm m=" + std::to_string(m) + " n=" + std::to_string(n) + " k=" + std::to_string(k) +
            " dtype=" + c10::toString(dtype));
  if (group != 0) {
    Check(Same(HadamardRotate(x.cuda(), group), HadamardRotate(x, group)),
          "hadamard_rotate group=" + std::to_string(group));
  }
}

// Codes that differ by one at most, and seldom: sums of a row are taken in another order.
void Near(const std::tuple<at::Tensor, at::Tensor>& cuda,
          const std::tuple<at::Tensor, at::Tensor>& cpu, const std::string& what) {
  const at::Tensor apart = (std::get<0>(cuda).cpu().to(at::kInt) - std::get<0>(cpu)).abs();
  const at::Tensor ratio = std::get<1>(cuda).cpu() / std::get<1>(cpu);
  // Infinite and NaN rows: the same scales (NaN), codes that mean nothing.
  const at::Tensor finite = std::get<1>(cpu).isfinite() & (std::get<1>(cpu) > 0);
  const bool same_kind = at::equal(std::get<1>(cuda).cpu().isnan(), std::get<1>(cpu).isnan());
  const at::Tensor codes_apart = at::where(finite, apart, at::zeros({}, at::kInt));
  const double moved = (codes_apart > 0).to(at::kDouble).mean().item<double>();
  const double scale_apart =
      at::where(finite, (ratio - 1).abs(), at::zeros({})).max().item<double>();
  Check(same_kind && codes_apart.max().item<int>() <= 1 && moved < 2e-3 && scale_apart < 1e-2,
        what + ": " + std::to_string(100 * moved) + " % of the codes moved, scales by " +
            std::to_string(scale_apart));
}

void CompareRows(int64_t tokens, int64_t n, at::ScalarType dtype, at::ScalarType result,
                 int64_t group) {
  at::Generator random = at::detail::createCPUGenerator(tokens * 31 + n + group);
  at::Tensor x = at::randn({2, tokens, n}, random) * 3 + 0.5;
  if (tokens > 3) {
    x[0][1].zero_();
    x[1][2][n / 2] = std::numeric_limits<float>::quiet_NaN();
  }
  x = x.to(dtype);
  const at::Tensor gate = at::randn({2, tokens, n}, random).to(dtype);
  const std::string of = " tokens=" + std::to_string(tokens) + " n=" + std::to_string(n) +
                         " dtype=" + c10::toString(dtype) + " to " + c10::toString(result) +
                         " group=" + std::to_string(group);
  for (const at::Tensor& weight : {at::randn({n}, random), at::randn({2, 1, n}, random)}) {
    const at::Tensor bias = at::randn({n}, random);
    Near(LayerNormQuantize(x.cuda(), weight.cuda(), bias.cuda(), 1e-6, result, group),
         LayerNormQuantize(x, weight, bias, 1e-6, result, group), "layer_norm_quantize" + of);
    Near(RmsNormQuantize(x.cuda(), weight.cuda(), 1e-6, result, group),
         RmsNormQuantize(x, weight, 1e-6, result, group), "rms_norm_quantize" + of);
  }
  for (const std::optional<at::Tensor>& times :
       {std::optional<at::Tensor>(), std::optional<at::Tensor>(gate)}) {
    const auto cpu = GeluQuantize(x, times, group);
    const auto cuda = GeluQuantize(
        x.cuda(), times.has_value() ? std::optional<at::Tensor>(times->cuda()) : times, group);
    Check(Same(std::get<0>(cuda), std::get<0>(cpu)) && Same(std::get<1>(cuda), std::get<1>(cpu)),
          "gelu_quantize" + of + (times.has_value() ? " with gate" : ""));
  }
}

void RunAll() {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const at::ScalarType result : {at::kFloat, at::kBFloat16}) {
      for (const int64_t n : {1, 7, 48, 128, 1536, 5120, 13824}) {
        CompareRows(n > 2000 ? 9 : 33, n, dtype, result, 0);
      }
      for (const int64_t group : {4, 16, 64, 256, 1024}) {
        CompareRows(9, 5 * group, dtype, result, group);
      }
    }
  }

  int64_t step = 0;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                                  {1, 128, 64},
                                  {5, 7, 3},
                                  {127, 129, 65},
                                  {128, 128, 64},
                                  {130, 257, 1000},
                                  {64, 96, 48},
                                  {300, 384, 1536},
                                  {1100, 200, 96}}) {
      CompareLinear(m, n, k, dtype, 0, step++ % 2 == 0);
    }
    for (const int64_t group : {4, 16, 64, 256, 1024}) {
      CompareLinear(33, 65, 5 * group, dtype, group, step++ % 2 == 0);
      CompareLinear(9, 130, 1024, dtype, group, step++ % 2 == 0);
    }
  }
  const at::Tensor x = at::zeros({0, 64}).cuda();
  const at::Tensor weight = at::zeros({8, 64}, at::kChar).cuda();
  Check(Int8Linear(x, weight, at::ones({8, 1}).cuda(), std::nullopt, 0).sizes() ==
            at::IntArrayRef({0, 8}),
        "int8_linear of no tokens");
  // Views whose data is not aligned for 16-byte copies.
  const at::Tensor shifted = at::randint(-127, 128, {8 * 64 + 1}, at::dtype(at::kChar))
                                 .cuda()
                                 .slice(0, 1)
                                 .reshape({8, 64});
  const at::Tensor tokens = at::randn({3, 64});
  Check(Same(Int8Linear(tokens.cuda(), shifted, at::ones({8, 1}).cuda(), std::nullopt, 0),
             Int8Linear(tokens, shifted.cpu(), at::ones({8, 1}), std::nullopt, 0)),
        "int8_linear of a weight at an odd address");
}

int Main() {
  const absl::Status status = EnsureCuda();
  if (!status.ok()) {
    const char* require = std::getenv("WANLITE_REQUIRE_GPU");
    const bool required = require != nullptr && std::string(require) == "1";
    // A library that is there but does not load is a defect, device or not.
    const bool skip = !required && (absl::IsUnavailable(status) || absl::IsUnimplemented(status));
    std::printf("%s%s: %s\n", skip ? "SKIPPED" : "FAILED",
                required ? " (WANLITE_REQUIRE_GPU=1)" : "", status.ToString().c_str());
    return skip ? 77 : 1;
  }
  RunAll();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace wanlite::ops

int main() { return wanlite::ops::Main(); }
