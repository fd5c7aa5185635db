// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What a step of a program made of every sample, in a folder of safetensors files: written sample
// by sample, read sample by sample, neither of which takes more memory than a pack of samples.
#ifndef WANLITE_SRC_CALIBRATION_ACTIVATION_FILES_H_
#define WANLITE_SRC_CALIBRATION_ACTIVATION_FILES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/block_program.h"
#include "wanlite/env.h"
#include "wanlite/tensor_source.h"

namespace wanlite {

// Fills a new folder. Not thread-safe.
class ActivationWriter {
 public:
  // A pack is written when it holds `pack_bytes`. dtype: what floating values are rounded to;
  // unset: nothing. share: a value that is equal to that of an earlier sample is written once.
  ActivationWriter(Env& env, std::string dir, int64_t pack_bytes,
                   std::optional<at::ScalarType> dtype, bool share)
      : env_(env), dir_(std::move(dir)), pack_bytes_(pack_bytes), dtype_(dtype), share_(share) {}
  // The next sample. Undefined values are not written.
  absl::Status Add(const Values& values);
  absl::Status Finish();

 private:
  absl::Status Flush();

  Env& env_;
  const std::string dir_;
  const int64_t pack_bytes_;
  const std::optional<at::ScalarType> dtype_;
  const bool share_;
  int64_t samples_ = 0, pack_begin_ = 0, pending_bytes_ = 0;
  std::vector<NamedTensor> pending_;
  std::map<std::string, std::vector<int64_t>> owners_;  // by value: the sample that holds it, or -1
  std::map<std::string, int64_t> by_hash_;
};

// Reads such a folder. Keeps the last pack mapped. Not thread-safe.
class ActivationReader {
 public:
  static absl::StatusOr<std::unique_ptr<ActivationReader>> Open(Env& env, std::string dir);
  // Adds the sample's values.
  absl::Status Read(int64_t sample, Values& values);

 private:
  ActivationReader(Env& env, std::string dir) : env_(env), dir_(std::move(dir)) {}
  absl::Status ReadValue(int64_t sample, const std::string& name, at::Tensor& value);

  Env& env_;
  const std::string dir_;
  std::vector<int64_t> packs_;                          // their first samples, ascending
  std::map<std::string, std::vector<int64_t>> owners_;  // as written
  int64_t open_pack_ = -1;
  std::shared_ptr<const TensorSource> source_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CALIBRATION_ACTIVATION_FILES_H_
