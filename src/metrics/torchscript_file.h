// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// TorchScript files through Env. Reading a broken one is safe; running one is trusting its author.
#ifndef WANLITE_SRC_METRICS_TORCHSCRIPT_FILE_H_
#define WANLITE_SRC_METRICS_TORCHSCRIPT_FILE_H_

#include <torch/script.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite {

struct TorchScriptFile {
  torch::jit::Module module;  // on the CPU, in evaluation mode
  std::string digest;         // SHA-256 of the file
};

// What a TorchScript program said as it failed: the line with the error alone, since its traceback
// fills pages; all of it where the environment variable WANLITE_TRACEBACK is set and not empty.
std::string FailureText(absl::string_view message);

// InvalidArgument, with the path, for what LibTorch cannot read.
absl::StatusOr<TorchScriptFile> LoadTorchScript(Env& env, absl::string_view path);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_TORCHSCRIPT_FILE_H_
