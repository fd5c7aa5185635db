// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Writes a model folder of random weights (random_wan.h):
//
//   make_random_wan OUT_DIR [CONFIG_JSON] [--dtype bf16|fp32] [--shard-mib N] [--seed S]
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bench/random_wan.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace {

using wanlite::bench::RandomWanOptions;

absl::StatusOr<RandomWanOptions> ParseOptions(const std::vector<std::string>& args) {
  RandomWanOptions options;
  std::vector<std::string> places;
  for (size_t i = 0; i < args.size(); ++i) {
    if (!absl::StartsWith(args[i], "--")) {
      places.push_back(args[i]);
      continue;
    }
    if (i + 1 == args.size()) {
      return absl::InvalidArgumentError(absl::StrCat(args[i], " wants a value"));
    }
    const std::string& value = args[++i];
    int64_t mebibytes = 0;
    if (args[i - 1] == "--dtype" && (value == "bf16" || value == "fp32")) {
      options.dtype = value == "bf16" ? at::kBFloat16 : at::kFloat;
    } else if (args[i - 1] == "--shard-mib" && absl::SimpleAtoi(value, &mebibytes) &&
               mebibytes > 0) {
      options.shard_bytes = mebibytes << 20;
    } else if (args[i - 1] != "--seed" || !absl::SimpleAtoi(value, &options.seed)) {
      return absl::InvalidArgumentError(
          absl::StrCat("option ", args[i - 1], " ", value,
                       ": wanted --dtype bf16|fp32, --shard-mib N or --seed S"));
    }
  }
  if (places.empty() || places.size() > 2) {
    return absl::InvalidArgumentError(
        "usage: make_random_wan OUT_DIR [CONFIG_JSON] [--dtype bf16|fp32] [--shard-mib N] [--seed "
        "S]");
  }
  options.out_dir = places[0];
  if (places.size() == 2) {
    WANLITE_ASSIGN_OR_RETURN(options.config, wanlite::PosixEnv().ReadFile(places[1]));
  }
  return options;
}

absl::Status Run(const std::vector<std::string>& args) {
  WANLITE_ASSIGN_OR_RETURN(RandomWanOptions options, ParseOptions(args));
  options.progress = [](size_t shard, size_t shards) {
    std::cerr << "\rshard " << shard << " of " << shards << (shard == shards ? "\n" : "")
              << std::flush;
  };
  WANLITE_RETURN_IF_ERROR(wanlite::bench::WriteRandomWan(options));
  std::cout << options.out_dir << "\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const absl::Status status = Run({argv + 1, argv + argc});
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
