// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A training state on the disk: a folder of safetensors files ("shards") named after what is in
// them, and state.json, which says which of them are the state and is published last. So a kill at
// any moment leaves the state before, and a shard whose tensors did not change is not written
// again.
//
// The processes of a group share the folder. Each writes shards of the tensors that it owns, and
// when all are there rank 0 publishes the record. A state is a set of tensors by name, whoever
// wrote them, so any number of processes continues it.
#ifndef WANLITE_SRC_TRAIN_STATE_FILES_H_
#define WANLITE_SRC_TRAIN_STATE_FILES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/env.h"
#include "wanlite/process_group.h"
#include "wanlite/tensor_source.h"
#include "wanlite/train.h"

namespace wanlite::train {

struct StateRecord {
  int64_t step = 0;
  int64_t skipped = 0;
  std::vector<double> losses;  // of the last steps, where spikes are looked for
  Identity identity;
};

// Not thread-safe. Every member of the group makes the same calls.
class StateFiles {
 public:
  // group: must outlive it; none is a process alone. what: for messages, "training of vae".
  StateFiles(Env& env, std::string dir, int64_t max_shard_bytes, ProcessGroup* group = nullptr,
             std::string what = "training");

  // Absent when there is no state. FailedPrecondition for a record that is none of this version.
  absl::StatusOr<std::optional<StateRecord>> ReadRecord();
  // Fills the tensors. `others`: names of tensors of the state that this process does not want;
  // shards of those alone are not read. FailedPrecondition when the state, whose record was read,
  // holds other names, shapes or dtypes; DataLoss for a shard that is missing or not what was
  // written.
  absl::Status ReadTensors(const std::vector<NamedTensor>& into,
                           const std::set<std::string>& others = {});
  // Publishes a new state, and removes the shards of older ones. tensors: those that this process
  // owns. After an error of one process, which is one of all, the state before is there.
  absl::Status Write(const StateRecord& record, const std::vector<NamedTensor>& tensors);

  int64_t shards_written() const { return shards_written_; }  // by this object, for tests

 private:
  struct Shard {
    std::string file;
    int64_t bytes = 0;
    std::string content;  // SHA-256 of names, shapes, dtypes and values
  };
  absl::StatusOr<Shard> WriteShard(const std::vector<NamedTensor>& tensors);
  absl::StatusOr<std::vector<Shard>> WriteShards(const std::vector<NamedTensor>& tensors);
  // Those of all processes, in the order of ranks.
  absl::StatusOr<std::vector<Shard>> GatherShards(std::vector<Shard> own);
  absl::Status Publish(const StateRecord& record);
  absl::Status RemoveOthers();

  Env& env_;
  const std::string dir_;
  const int64_t max_shard_bytes_;
  const std::unique_ptr<ProcessGroup> alone_;
  ProcessGroup& group_;
  const std::string what_;
  std::vector<Shard> shards_;  // of the state that is there
  int64_t shards_written_ = 0;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_STATE_FILES_H_
