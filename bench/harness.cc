// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "bench/harness.h"

#include <ATen/Parallel.h>

#include <cstdlib>
#include <iostream>

#include <ATen/detail/CUDAHooksInterface.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/peak.h"
#include "src/core/libtorch.h"
#include "src/metrics/machine.h"
#include "src/ops/cpu/cpu_isa.h"
#include "src/ops/cuda_loader.h"
#include "wanlite/runner.h"

namespace wanlite::bench {
namespace {

// Seconds that `work` takes at least on the threads in use; 0 when a peak that it needs is not
// known.
double LeastSeconds(const Work& work) {
  const Peak& peak = MachinePeak();
  double seconds = 0;
  for (const auto& [op, rate] : {std::pair{work.fp32_op, peak.fp32_op_per_second},
                                 std::pair{work.bf16_op, peak.bf16_op_per_second},
                                 std::pair{work.int8_op, peak.int8_op_per_second}}) {
    if (op > 0 && rate == 0) return 0;
    if (op > 0) seconds += op / rate;
  }
  return seconds / at::get_num_threads();
}

}  // namespace

at::Device BenchDevice() {
  static const at::Device device = [] {
    const char* name = std::getenv("WANLITE_BENCH_DEVICE");
    const at::Device parsed = ValueOrExit(ParseDevice(name == nullptr ? "cpu" : name));
    if (parsed.is_cuda()) OkOrExit(ops::EnsureCuda());
    return parsed;
  }();
  return device;
}

void Synchronize() {
  if (BenchDevice().is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(BenchDevice().index());
}

void SetWork(benchmark::State& state, const Work& work) {
  const auto rate = [&](const char* name, double amount) {
    if (amount == 0) return;
    state.counters[name] =
        benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  rate("op/s", work.fp32_op + work.bf16_op + work.int8_op);
  rate("bytes/s", work.bytes);
  if (BenchDevice().is_cpu()) rate("of_peak", LeastSeconds(work));
}

void SetError(benchmark::State& state, double relative_error) {
  state.counters["rel_err"] = relative_error;
}

double RelativeError(const at::Tensor& value, const at::Tensor& reference) {
  const at::Tensor want = reference.to(at::kDouble);
  return ((value.to(at::kDouble) - want).norm() / want.norm()).item<double>();
}

benchmark::internal::Benchmark* Add(const std::string& group, const std::string& variant,
                                    std::function<void(benchmark::State&)> run) {
  return benchmark::RegisterBenchmark((group + "/" + variant).c_str(),
                                      [run](benchmark::State& state) {
                                        const c10::InferenceMode inference;
                                        run(state);
                                      })
      ->Unit(benchmark::kMillisecond)
      ->MeasureProcessCPUTime()
      ->UseRealTime();
}

void OkOrExit(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << "\n";
  std::exit(1);
}

int Main(int argc, char** argv, const std::string& baselines) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const MachineInfo machine = DescribeMachine();
  const Peak& peak = MachinePeak();
  benchmark::AddCustomContext("baselines", baselines);
  benchmark::AddCustomContext("cpu", machine.cpu);
  benchmark::AddCustomContext("cores", absl::StrCat(machine.logical_cores));
  benchmark::AddCustomContext("cpu_features", absl::StrJoin(machine.cpu_features, " "));
  benchmark::AddCustomContext("memory_bytes", absl::StrCat(machine.memory_bytes));
  benchmark::AddCustomContext("system", machine.system);
  benchmark::AddCustomContext("device",
                              BenchDevice().is_cpu() ? machine.device : BenchDevice().str());
  benchmark::AddCustomContext("compiler", machine.compiler);
  benchmark::AddCustomContext("libtorch", machine.libtorch);
  benchmark::AddCustomContext("wanlite", machine.wanlite);
  benchmark::AddCustomContext("commit", machine.commit);
  benchmark::AddCustomContext("threads", absl::StrCat(at::get_num_threads()));
  benchmark::AddCustomContext("int8_kernel", ops::CpuIsaName(ops::ActiveCpuIsa()));
  benchmark::AddCustomContext("peak_fp32_op_per_second_and_thread",
                              absl::StrCat(peak.fp32_op_per_second));
  benchmark::AddCustomContext("peak_bf16_op_per_second_and_thread",
                              absl::StrCat(peak.bf16_op_per_second));
  benchmark::AddCustomContext("peak_int8_op_per_second_and_thread",
                              absl::StrCat(peak.int8_op_per_second));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  // Tensors that benchmarks keep go before the device does.
  benchmark::ClearRegisteredBenchmarks();
  return 0;
}

}  // namespace wanlite::bench
