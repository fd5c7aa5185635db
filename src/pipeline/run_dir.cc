// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/run_dir.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/core/proto_text.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int kFormatVersion = 1;
constexpr char kLock[] = "lock";
constexpr char kState[] = "run_state.textproto";
constexpr char kStagePrefix[] = "stage-";
constexpr char kRecordsSuffix[] = "-records";

// The number in "stage-3-quantize-int8", counted from 0.
std::optional<int> StageOf(absl::string_view name) {
  if (!absl::StartsWith(name, kStagePrefix)) return std::nullopt;
  name.remove_prefix(sizeof(kStagePrefix) - 1);
  int number = 0;
  if (!absl::SimpleAtoi(name.substr(0, name.find('-')), &number)) return std::nullopt;
  return number - 1;
}

absl::Status CheckSame(absl::string_view path, absl::string_view what, absl::string_view found,
                       absl::string_view wanted) {
  if (found == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": holds an unfinished run of another ", what, " (fingerprint ",
                   found.substr(0, 12), ", this one has ", wanted.substr(0, 12),
                   "); finish that run, choose another run folder, or restart to discard it"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunDir>> RunDir::Open(Env& env, std::string path,
                                                     const std::string& recipe_fingerprint,
                                                     const std::string& model_fingerprint,
                                                     bool restart) {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(path));
  // Nothing is written to or removed from a folder that someone uses for something else.
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(path));
  for (const std::string& name : names) {
    if (name == kLock || name == kState || name == absl::StrCat(kState, ".tmp") || StageOf(name))
      continue;
    return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be the run folder: it holds ",
                                                      name, ", which is no part of a run"));
  }

  auto run = std::unique_ptr<RunDir>(new RunDir(env, path));
  absl::StatusOr<std::unique_ptr<FileLock>> lock = env.Lock(JoinPath(path, kLock));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(absl::StrCat(path, ": another process is running there"));
  }
  WANLITE_ASSIGN_OR_RETURN(run->lock_, std::move(lock));

  const std::string state_path = JoinPath(path, kState);
  if (!restart && env.FileExists(state_path)) {
    WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(state_path));
    if (absl::Status status = ParseTextProto(text, state_path, run->state_); !status.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(status.message(),
                       " (the state of the unfinished run is damaged; restart to discard it)"));
    }
    if (run->state_.format_version() != kFormatVersion) {
      return absl::FailedPreconditionError(
          absl::StrCat(state_path, ": format_version ", run->state_.format_version(),
                       ", this version continues runs of ", kFormatVersion,
                       "; restart to discard the unfinished run"));
    }
    WANLITE_RETURN_IF_ERROR(
        CheckSame(path, "recipe", run->state_.recipe_fingerprint(), recipe_fingerprint));
    WANLITE_RETURN_IF_ERROR(
        CheckSame(path, "model", run->state_.model_fingerprint(), model_fingerprint));
    return run;
  }
  // The state goes first: stages without one belong to no run.
  if (env.FileExists(state_path)) WANLITE_RETURN_IF_ERROR(env.RemoveFile(state_path));
  WANLITE_RETURN_IF_ERROR(run->RemoveStages(/*keep_stage=*/-1, /*keep_records=*/-1));
  run->state_.set_format_version(kFormatVersion);
  run->state_.set_recipe_fingerprint(recipe_fingerprint);
  run->state_.set_model_fingerprint(model_fingerprint);
  WANLITE_RETURN_IF_ERROR(run->WriteState(run->state_));
  return run;
}

bool RunDir::HasState(Env& env, const std::string& path) {
  return env.FileExists(JoinPath(path, kState));
}

void RunDir::RemoveLeftovers(Env& env, const std::string& path) {
  const std::string finished = absl::StrCat(path, ".finished");
  if (env.FolderExists(finished)) env.RemoveAll(finished).IgnoreError();
}

std::string RunDir::StagePath(int stage, absl::string_view pass) const {
  return JoinPath(path_, absl::StrCat(kStagePrefix, stage + 1, "-", pass));
}

std::string RunDir::RecordsPath(int stage) const {
  return JoinPath(path_, absl::StrCat(kStagePrefix, stage + 1, kRecordsSuffix));
}

absl::Status RunDir::RemoveStages(int keep_stage, int keep_records) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.ListFolder(path_));
  for (const std::string& name : names) {
    const std::optional<int> stage = StageOf(name);
    if (!stage) continue;
    const bool records = absl::EndsWith(name, kRecordsSuffix);
    const bool keep = keep_records >= 0 && *stage == keep_records;
    const bool keep_input = !records && keep_stage >= 0 && *stage == keep_stage;
    if (!keep && !keep_input) WANLITE_RETURN_IF_ERROR(env_.RemoveAll(JoinPath(path_, name)));
  }
  return absl::OkStatus();
}

absl::Status RunDir::RemoveStale(int stage, bool fresh) {
  return RemoveStages(/*keep_stage=*/stage - 1, /*keep_records=*/fresh ? -1 : stage);
}

std::optional<Metrics> RunDir::ReadRecord(int stage, const std::string& key,
                                          absl::string_view block) {
  const std::string path = JoinPath(RecordsPath(stage), absl::StrCat(key, ".textproto"));
  const absl::StatusOr<std::string> text = env_.ReadFile(path);
  if (!text.ok()) return std::nullopt;
  BlockRecord record;
  if (!ParseTextProto(*text, path, record).ok() || record.block() != block) return std::nullopt;
  return Metrics(record.metrics().begin(), record.metrics().end());
}

absl::Status RunDir::WriteRecord(int stage, const std::string& key, absl::string_view block,
                                 const Metrics& metrics) {
  BlockRecord record;
  record.set_block(std::string(block));
  record.mutable_metrics()->insert(metrics.begin(), metrics.end());
  const std::string folder = RecordsPath(stage);
  if (!env_.FolderExists(folder)) WANLITE_RETURN_IF_ERROR(env_.CreateFolders(folder));
  return env_.WriteFileAtomically(JoinPath(folder, absl::StrCat(key, ".textproto")),
                                  ResolvedText(record));
}

absl::Status RunDir::FinishStage(StageState stage) {
  RunState next = state_;
  *next.add_stages() = std::move(stage);
  WANLITE_RETURN_IF_ERROR(WriteState(next));
  state_ = std::move(next);
  return absl::OkStatus();
}

absl::Status RunDir::WriteState(const RunState& state) {
  return env_.WriteFileAtomically(JoinPath(path_, kState), ResolvedText(state));
}

absl::Status RunDir::Remove() {
  // A rename first: were the folder removed entry by entry, a kill in between would leave one that
  // says neither that the run is complete nor how to continue it.
  RemoveLeftovers(env_, path_);
  WANLITE_RETURN_IF_ERROR(env_.Rename(path_, absl::StrCat(path_, ".finished")));
  RemoveLeftovers(env_, path_);
  return absl::OkStatus();
}

}  // namespace wanlite
