// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The folder of an unfinished run:
//
//   lock                       held by the process that runs
//   run_state.textproto        which recipe, which model, which passes are complete, which folders
//                              the run has made
//   stage-1-prune-magnitude/   checkpoint that pass 1 left or is writing
//   stage-1-records/           what pass 1 decided, and reported for each block it has written
//   stage-1-scratch/           what pass 1 keeps for itself
//
// The state marks the folder as a run's. Complete stages but the last are removed, and all of it
// when the run is complete; but only what the state says that the run has made: who keeps something
// of his own there keeps it.
#ifndef WANLITE_SRC_PIPELINE_RUN_DIR_H_
#define WANLITE_SRC_PIPELINE_RUN_DIR_H_

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/pipeline/pass_runner.h"
#include "src/proto/run_state.pb.h"
#include "wanlite/env.h"

namespace wanlite {

// What a run must agree in with the one it continues.
struct RunIdentity {
  std::string recipe_fingerprint, model_fingerprint;
  std::map<std::string, FileStamp> model_files;  // by path below the model folder
  std::string samples_fingerprint;               // empty when no pass needs samples
};

class RunDir {
 public:
  // Creates the folder or continues in it; `restart` discards what an earlier run left. Unavailable
  // when another process runs there; FailedPrecondition when it holds a run of another recipe,
  // model or version, a state that cannot be read, or anything that no run made there.
  static absl::StatusOr<std::unique_ptr<RunDir>> Open(Env& env, std::string path,
                                                      const RunIdentity& identity, bool restart);
  // Whether the folder holds the state of a run.
  static bool HasState(Env& env, const std::string& path);

  const RunState& state() const { return state_; }
  // Stages count from 0; folders are named from 1.
  std::string StagePath(int stage, absl::string_view pass) const;
  std::string ScratchPath(int stage) const;

  // Removes what stage `stage` needs no more of earlier ones, and records its folders as the run's,
  // which may then be made. Its scratch folder is.
  absl::Status BeginStage(int stage, absl::string_view pass);
  // Removes what the stage itself has left, to begin anew.
  absl::Status ClearStage(int stage, absl::string_view pass);

  // What the stage's pass decided; no value when it has not yet, DataLoss when it is damaged.
  absl::StatusOr<std::optional<DecisionRecord>> ReadDecision(int stage);
  // InvalidArgument when it is too large to be read again.
  absl::Status WriteDecision(int stage, DecisionRecord decision);

  // What was reported for a block, by its number. nullopt when there is none, or one that is
  // damaged or of another block.
  std::optional<Metrics> ReadRecord(int stage, size_t number, absl::string_view block);
  absl::Status WriteRecord(int stage, size_t number, absl::string_view block,
                           const Metrics& metrics);

  // Records that the next stage is complete, how many may be published, and, unless empty, why none
  // will follow. Durable when it returns.
  absl::Status FinishStage(StageState stage, int accepted, absl::string_view stopped);
  absl::Status WriteOriginalGauge(const std::string& gauge, double value);
  // The run is complete: removes what it made. Interrupted, it leaves a state that says so.
  absl::Status Remove();

 private:
  RunDir(Env& env, std::string path) : env_(env), path_(std::move(path)) {}
  std::string RecordsPath(int stage) const;
  absl::Status WriteState(const RunState& state);
  absl::Status CheckEntries();
  absl::Status Discard();

  Env& env_;
  const std::string path_;
  std::unique_ptr<FileLock> lock_;
  RunState state_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_PIPELINE_RUN_DIR_H_
