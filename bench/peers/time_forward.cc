// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// wanlite's side of the comparison with other runtimes: loads a transformer, then runs it on the
// same input whenever it is told to, so that the runner of the comparison can take turns.
//
//   time_forward --model DIR --inputs FILE --output FILE [--dtype fp32|bf16]
//
// Prints {"ready": {the machine and this build}} when loaded and warm. For each line on standard
// input it runs once and prints
// {"wall": seconds, "cpu": seconds of all threads}. At the end of input it writes its last result.
#include <ATen/core/Tensor.h>
#include <time.h>

#include <iostream>
#include <map>
#include <string>

#include "nlohmann/json.hpp"
#include "src/metrics/machine.h"
#include "wanlite/checkpoint.h"
#include "wanlite/runner.h"
#include "wanlite/status.h"

namespace {

constexpr char kComponent[] = "transformer";

double Seconds(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

absl::Status Run(std::map<std::string, std::string> options) {
  wanlite::Env& env = wanlite::PosixEnv();
  WANLITE_ASSIGN_OR_RETURN(const auto source, wanlite::OpenSafetensors(env, options["--inputs"]));
  std::map<std::string, at::Tensor> inputs;
  for (const wanlite::TensorInfo& info : source->tensors()) {
    WANLITE_ASSIGN_OR_RETURN(inputs[info.name], source->Read(info.name));
  }
  wanlite::RunnerOptions runner_options;
  runner_options.components = {kComponent};
  if (!options["--dtype"].empty()) {
    WANLITE_ASSIGN_OR_RETURN(runner_options.dtype, wanlite::ParseComputeDtype(options["--dtype"]));
  }
  WANLITE_ASSIGN_OR_RETURN(const auto runner,
                           wanlite::Runner::Open(env, options["--model"],
                                                 wanlite::BuiltinArchitectures(), runner_options));
  WANLITE_ASSIGN_OR_RETURN(auto outputs, runner->Forward(kComponent, inputs));
  const wanlite::MachineInfo machine = wanlite::DescribeMachine();
  const nlohmann::json ready{{"cpu", machine.cpu},
                             {"cores", machine.logical_cores},
                             {"cpu_features", machine.cpu_features},
                             {"memory_bytes", machine.memory_bytes},
                             {"system", machine.system},
                             {"compiler", machine.compiler},
                             {"libtorch", machine.libtorch},
                             {"wanlite", machine.wanlite},
                             {"commit", machine.commit}};
  std::cout << nlohmann::json{{"ready", ready}}.dump() << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
    const double wall = Seconds(CLOCK_MONOTONIC), cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
    WANLITE_ASSIGN_OR_RETURN(outputs, runner->Forward(kComponent, inputs));
    std::cout << "{\"wall\": " << Seconds(CLOCK_MONOTONIC) - wall
              << ", \"cpu\": " << Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu << "}" << std::endl;
  }
  return wanlite::WriteSafetensors(env, options["--output"], {{"sample", outputs.at("sample")}})
      .status();
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  if (argc % 2 == 0 || options["--model"].empty() || options["--inputs"].empty() ||
      options["--output"].empty()) {
    std::cerr
        << "usage: time_forward --model DIR --inputs FILE --output FILE [--dtype fp32|bf16]\n";
    return 2;
  }
  const absl::Status status = Run(options);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
