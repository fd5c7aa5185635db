// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What each choice of each item (formats of layers, widths of groups, blocks that go) does to the
// end of its network: the costly part of a search, kept in a file that any run of the same pass
// over the same model and samples goes on with.
#ifndef WANLITE_SRC_SEARCH_SENSITIVITY_SCAN_H_
#define WANLITE_SRC_SEARCH_SENSITIVITY_SCAN_H_

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

// One item with one choice, all others as they are.
struct ChoiceScore {
  double trajectory_error = 0;  // OutputError::trajectory
  double pass_error = 0;        // OutputError::pass
  double local_error = 0;       // what weights alone say: the pass defines it
};

struct ScannedItem {
  int64_t rows = 0;  // that come to a layer in a forward pass, mean over the scored ones; else 0
  std::map<std::string, ChoiceScore> scores;  // by the choice's key
  std::map<std::string, double> seconds;      // of one call, by key. May be empty
};

struct ScannedComponent {
  std::string weights_sha256;   // of all its tensors
  std::vector<int64_t> passes;  // numbers of the samples that score
};

struct SensitivityScan {
  std::string pass;                                    // name of the pass whose choices these are
  std::string samples;                                 // fingerprint of the set
  std::map<std::string, ScannedComponent> components;  // by name
  std::map<std::string, ScannedItem> items;            // by path or name

  // FailedPrecondition, beginning with `what`, unless it is of this pass and these samples, and of
  // the same weights and passes where it knows a component of `wanted`.
  absl::Status CheckSame(const SensitivityScan& wanted, absl::string_view what) const;
};

// While it lives the scan is one run's. Its file goes with it.
class ScanLock {
 public:
  // Unavailable while another run holds it. Makes the folders above the scan, and removes what a
  // killed run left beside it.
  static absl::StatusOr<std::unique_ptr<ScanLock>> Take(Env& env, const std::string& path);
  ~ScanLock();

 private:
  ScanLock(Env& env, std::string file, std::unique_ptr<FileLock> lock)
      : env_(env), file_(std::move(file)), lock_(std::move(lock)) {}
  Env& env_;
  const std::string file_;
  const std::unique_ptr<FileLock> lock_;
};

// Published atomically; folders above the file are made. The same scan gives the same bytes.
absl::Status WriteScan(Env& env, const std::string& path, const SensitivityScan& scan);
// NotFound without the file; InvalidArgument, naming file and field, for one that is wrong.
absl::StatusOr<SensitivityScan> ReadScan(Env& env, const std::string& path);

}  // namespace wanlite

#endif  // WANLITE_SRC_SEARCH_SENSITIVITY_SCAN_H_
