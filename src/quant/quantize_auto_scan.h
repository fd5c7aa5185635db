// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What each format of each layer does to the end of its network: the costly part of quantize-auto,
// kept in a file that any run over the same model and samples goes on with.
#ifndef WANLITE_SRC_QUANT_QUANTIZE_AUTO_SCAN_H_
#define WANLITE_SRC_QUANT_QUANTIZE_AUTO_SCAN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite {

// One layer in one format, all others as they are. Parts of the original's norms.
struct FormatScore {
  double trajectory_error = 0;  // OutputError::trajectory
  double pass_error = 0;        // OutputError::pass
  double weight_error = 0;      // |W - Q| / |W|
};

struct ScannedLayer {
  int64_t rows = 0;  // that come to it in a forward pass, mean over the scored ones
  std::map<std::string, FormatScore> scores;  // by the format's resolved options
  std::map<std::string, double> seconds;  // of one call, by format; "dense": as it is. May be empty
};

struct ScannedComponent {
  std::string weights_sha256;   // of all its tensors
  std::vector<int64_t> passes;  // numbers of the samples that score
};

struct QuantizeScan {
  std::string samples;                                 // fingerprint of the set
  std::map<std::string, ScannedComponent> components;  // by name
  std::map<std::string, ScannedLayer> layers;          // by path

  // FailedPrecondition, beginning with `what`, unless it is of these samples, and of the same
  // weights and passes where it knows a component of `wanted`.
  absl::Status CheckSame(const QuantizeScan& wanted, absl::string_view what) const;
};

// While it lives the scan is one run's. Its file goes with it.
class QuantizeScanLock {
 public:
  // Unavailable while another run holds it. Makes the folders above the scan, and removes what a
  // killed run left beside it.
  static absl::StatusOr<std::unique_ptr<QuantizeScanLock>> Take(Env& env, const std::string& path);
  ~QuantizeScanLock();

 private:
  QuantizeScanLock(Env& env, std::string file, std::unique_ptr<FileLock> lock)
      : env_(env), file_(std::move(file)), lock_(std::move(lock)) {}
  Env& env_;
  const std::string file_;
  const std::unique_ptr<FileLock> lock_;
};

// Published atomically; folders above the file are made. The same scan gives the same bytes.
absl::Status WriteQuantizeScan(Env& env, const std::string& path, const QuantizeScan& scan);
// NotFound without the file; InvalidArgument, naming file and field, for one that is wrong.
absl::StatusOr<QuantizeScan> ReadQuantizeScan(Env& env, const std::string& path);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QUANTIZE_AUTO_SCAN_H_
