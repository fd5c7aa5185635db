// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// INT8 linear against LibTorch's fp32 linear on Wan's shapes. Run interleaved, so that a change of
// the machine's speed hits both sides:
//   bench_ops --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
// and compare the minima. The number of threads is LibTorch's (OMP_NUM_THREADS).
#include <torch/torch.h>

#include <benchmark/benchmark.h>

#include "src/ops/cpu/cpu_isa.h"
#include "src/ops/ops.h"

namespace {

// tokens, input features, output features
void Shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "k", "n"})->Unit(benchmark::kMillisecond)->UseRealTime();
  b->Args({1, 1536, 1536})->Args({1024, 1536, 1536})->Args({1024, 1536, 8960});
  b->Args({1024, 8960, 1536})->Args({1024, 5120, 5120});
}

void ReportSpeed(benchmark::State& state) {
  const double operations = 2.0 * state.range(0) * state.range(1) * state.range(2);
  state.counters["Gop/s"] =
      benchmark::Counter(operations * 1e-9 * state.iterations(), benchmark::Counter::kIsRate);
}

void BM_LinearFp32(benchmark::State& state) {
  torch::InferenceMode inference;
  const at::Tensor x = at::randn({state.range(0), state.range(1)});
  const at::Tensor weight = at::randn({state.range(2), state.range(1)});
  const at::Tensor bias = at::randn({state.range(2)});
  for (auto _ : state) benchmark::DoNotOptimize(at::linear(x, weight, bias));
  ReportSpeed(state);
}
BENCHMARK(BM_LinearFp32)->Apply(Shapes);

void Int8(benchmark::State& state, at::ScalarType dtype, int64_t rotation_group) {
  torch::InferenceMode inference;
  const at::Tensor x = at::randn({state.range(0), state.range(1)}).to(dtype);
  const at::Tensor weight =
      at::randint(-127, 128, {state.range(2), state.range(1)}, at::dtype(at::kChar));
  const at::Tensor scale = at::rand({state.range(2), 1});
  const at::Tensor bias = at::randn({state.range(2)});
  state.SetLabel(wanlite::ops::CpuIsaName(wanlite::ops::ActiveCpuIsa()));
  for (auto _ : state) {
    benchmark::DoNotOptimize(wanlite::ops::Int8Linear(x, weight, scale, bias, rotation_group));
  }
  ReportSpeed(state);
}
void BM_Int8Linear(benchmark::State& state) { Int8(state, at::kFloat, 0); }
void BM_Int8LinearRotated(benchmark::State& state) { Int8(state, at::kFloat, 256); }
void BM_Int8LinearBf16(benchmark::State& state) { Int8(state, at::kBFloat16, 0); }
BENCHMARK(BM_Int8Linear)->Apply(Shapes);
BENCHMARK(BM_Int8LinearRotated)->Apply(Shapes);
BENCHMARK(BM_Int8LinearBf16)->Apply(Shapes);

}  // namespace

BENCHMARK_MAIN();
