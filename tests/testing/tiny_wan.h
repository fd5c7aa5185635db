// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A Wan2.2 model folder of the smallest widths with arbitrary weights, in the diffusers layout:
// what the command line and the runner are tested on without any real model.
#ifndef WANLITE_TESTS_TESTING_TINY_WAN_H_
#define WANLITE_TESTS_TESTING_TINY_WAN_H_

#include <string>

#include "absl/status/status.h"
#include "wanlite/env.h"

namespace wanlite::testing {

struct TinyWanOptions {
  bool two_experts = true;
  bool text_encoder = true;  // with its tokenizer
  bool vae = true;
  bool weights = true;  // false: configs alone
  int layers = 2;       // of the transformers
};

// Two blocks of 2 heads x 12, text length 16, VAE of base width 4; 5 frames of 32x32 by default.
// The weights are a function of the tensors' names.
absl::Status WriteTinyWan(Env& env, const std::string& dir, const TinyWanOptions& options = {});

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_TINY_WAN_H_
