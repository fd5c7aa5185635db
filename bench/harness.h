// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What all benchmark programs share: names, counters, the machine in the output, and main().
//
// Benchmarks are named GROUP/VARIANT. Those of one group do the same work in different ways, so
// their times may be divided; bench/run_bench.py does, by the group's baseline. Run them
// interleaved, so that a change of the machine's speed hits all sides (run_bench.py does that too):
//   bench_x --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
// Threads are LibTorch's (OMP_NUM_THREADS). "Time" is wall time, "CPU" that of all threads
// together.
#ifndef WANLITE_BENCH_HARNESS_H_
#define WANLITE_BENCH_HARNESS_H_

#include <ATen/core/Tensor.h>
#include <benchmark/benchmark.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace wanlite::bench {

// What one iteration does; operations count 2 per multiply-add. Zeros are not reported.
struct Work {
  double fp32_op = 0;
  double bf16_op = 0;
  double int8_op = 0;
  double bytes = 0;  // of the input, for what is bound by moving it
};

// Counters "op/s", "bytes/s", and "of_peak": the time that this machine's arithmetic units would
// need at least (peak.h) over the time taken. Left out where the peak is not known, and for
// `bytes`.
void SetWork(benchmark::State& state, const Work& work);

// Counter "rel_err".
void SetError(benchmark::State& state, double relative_error);
// |value - reference| / |reference| in the L2 norm. Costs a run: make it once, by a Lazy.
double RelativeError(const at::Tensor& value, const at::Tensor& reference);

// Registers GROUP/VARIANT with the settings that all have.
benchmark::internal::Benchmark* Add(const std::string& group, const std::string& variant,
                                    std::function<void(benchmark::State&)> run);

// Where benchmarks that can run elsewhere run: the environment variable WANLITE_BENCH_DEVICE
// ("cuda"), or the CPU. Ends the program when there is no such device.
at::Device BenchDevice();
// Returns when all work on BenchDevice() is done.
void Synchronize();

// Times `step` over the state's iterations without gradients. Anything it returns is kept alive.
template <typename Step>
void Time(benchmark::State& state, Step&& step) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(step());
    Synchronize();
  }
}

// A value that is made when first asked for: benchmarks are called several times, filtered-out ones
// never, and their input is to be made once. Not thread-safe.
template <typename T>
class Lazy {
 public:
  explicit Lazy(std::function<T()> make) : make_(std::move(make)) {}
  const T& operator*() {
    if (value_ == nullptr) value_ = std::make_unique<T>(make_());
    return *value_;
  }
  const T* operator->() { return &**this; }

 private:
  std::function<T()> make_;
  std::unique_ptr<T> value_;
};
template <typename T>
std::shared_ptr<Lazy<T>> MakeLazy(std::function<T()> make) {
  return std::make_shared<Lazy<T>>(std::move(make));
}

// The value, or the end of the program with the message: a benchmark without its input has no
// number.
void OkOrExit(const absl::Status& status);
template <typename T>
T ValueOrExit(absl::StatusOr<T> value) {
  OkOrExit(value.status());
  return *std::move(value);
}

// Parses Google Benchmark's flags, puts the machine and `baselines` into the output, runs.
// baselines: variants, comma separated; a group is compared with the first that it has.
int Main(int argc, char** argv, const std::string& baselines);

}  // namespace wanlite::bench

#endif  // WANLITE_BENCH_HARNESS_H_
