// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A training state on the disk: a folder of safetensors files ("shards") named after what is in
// them, and state.json, which says which of them are the state and is published last. So a kill at
// any moment leaves the state before, and a shard whose tensors did not change is not written
// again.
#ifndef WANLITE_SRC_TRAIN_STATE_FILES_H_
#define WANLITE_SRC_TRAIN_STATE_FILES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/env.h"
#include "wanlite/tensor_source.h"
#include "wanlite/train.h"

namespace wanlite::train {

struct StateRecord {
  int64_t step = 0;
  int64_t skipped = 0;
  Identity identity;
};

// Not thread-safe.
class StateFiles {
 public:
  StateFiles(Env& env, std::string dir, int64_t max_shard_bytes)
      : env_(env), dir_(std::move(dir)), max_shard_bytes_(max_shard_bytes) {}

  // Absent when there is no state. FailedPrecondition for a record that is none of this version.
  absl::StatusOr<std::optional<StateRecord>> ReadRecord();
  // Fills the tensors. FailedPrecondition when the state, whose record was read, holds other names,
  // shapes or dtypes; DataLoss for a shard that is missing or not what was written.
  absl::Status ReadTensors(const std::vector<NamedTensor>& into);
  // Publishes a new state, and removes the shards of older ones.
  absl::Status Write(const StateRecord& record, const std::vector<NamedTensor>& tensors);

  int64_t shards_written() const { return shards_written_; }  // by this object, for tests

 private:
  struct Shard {
    std::string file;
    int64_t bytes = 0;
    std::string content;  // SHA-256 of names, shapes, dtypes and values
  };
  absl::StatusOr<Shard> WriteShard(const std::vector<NamedTensor>& tensors);
  absl::Status RemoveOthers();

  Env& env_;
  const std::string dir_;
  const int64_t max_shard_bytes_;
  std::vector<Shard> shards_;  // of the state that is there
  int64_t shards_written_ = 0;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_STATE_FILES_H_
