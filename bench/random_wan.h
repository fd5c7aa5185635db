// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Model folders of random weights, for measuring what loading and compressing a model of that size
// costs; what such a model generates is noise.
#ifndef WANLITE_BENCH_RANDOM_WAN_H_
#define WANLITE_BENCH_RANDOM_WAN_H_

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace wanlite::bench {

struct RandomWanOptions {
  std::string out_dir;
  // Text of the config.json of any architecture that wanlite knows; empty: the diffusion
  // transformer of Wan2.1-T2V-1.3B (1.42 billion parameters).
  std::string config;
  at::ScalarType dtype = at::kBFloat16;
  int64_t shard_bytes = int64_t{256} << 20;
  uint64_t seed = 1;
  std::function<void(size_t shard, size_t shards)> progress;  // after each shard; may be empty
};

// One component in the diffusers layout, sharded; one shard is in memory at a time. AlreadyExists
// when the component's folder is there.
absl::Status WriteRandomWan(const RandomWanOptions& options);

}  // namespace wanlite::bench

#endif  // WANLITE_BENCH_RANDOM_WAN_H_
