// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/run_dir.h"

#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/core/input_limits.h"
#include "src/core/proto_text.h"
#include "src/core/sha256.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int kFormatVersion = 3;
constexpr char kWriter[] = "wanlite " WANLITE_VERSION;
constexpr char kLock[] = "lock";
constexpr char kState[] = "run_state.textproto";
constexpr char kStagePrefix[] = "stage-";
constexpr char kRecordsSuffix[] = "-records";
constexpr char kScratchSuffix[] = "-scratch";
constexpr char kDecision[] = "decision.pb";

// Whether this is a name that a run gives to a folder.
bool IsStageName(absl::string_view name) {
  int number = 0;
  return absl::ConsumePrefix(&name, kStagePrefix) && !absl::StrContains(name, "/") &&
         absl::SimpleAtoi(name.substr(0, name.find('-')), &number) && number > 0;
}

std::string StageName(int stage, absl::string_view pass) {
  return absl::StrCat(kStagePrefix, stage + 1, "-", pass);
}

std::string RecordsName(int stage) { return absl::StrCat(kStagePrefix, stage + 1, kRecordsSuffix); }
std::string ScratchName(int stage) { return absl::StrCat(kStagePrefix, stage + 1, kScratchSuffix); }

std::string HashOf(const DecisionRecord& decision) {
  Sha256 hash;
  hash.Update(absl::StrCat(decision.type(), "\n", decision.value().size(), "\n"));
  hash.Update(decision.value());
  const Metrics metrics(decision.metrics().begin(), decision.metrics().end());
  for (const auto& [name, value] : metrics) hash.Update(absl::StrCat("\n", name, " ", value));
  return hash.Finish();
}

absl::Status CheckSame(absl::string_view path, absl::string_view what, absl::string_view found,
                       absl::string_view wanted) {
  if (found == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": holds an unfinished run of another ", what, " (fingerprint ",
                   found.substr(0, 12), ", this one has ", wanted.substr(0, 12),
                   "); finish that run, choose another run folder, or restart to discard it"));
}

absl::Status CheckModelFiles(absl::string_view path, const RunState& state,
                             const std::map<std::string, FileStamp>& now) {
  std::map<std::string, FileStamp> then;
  for (const ModelFile& file : state.model_files()) {
    then[file.path()] = FileStamp{file.bytes(), file.modified_ns(), file.inode()};
  }
  if (then == now) return absl::OkStatus();
  std::string which = "some";
  for (const auto& files : {then, now}) {
    for (const auto& [name, stamp] : files) {
      const auto before = then.find(name);
      const auto after = now.find(name);
      if (before == then.end() || after == now.end() || !(before->second == after->second)) {
        which = name;
      }
    }
  }
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": files of the model were changed or replaced since the unfinished run ",
                   "began (", which, "); restart to discard it"));
}

// NAME is no part of a run: the same words for whatever finds it.
absl::Status ForeignEntry(absl::string_view path, absl::string_view name) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": cannot be the run folder: it holds ", name,
                   ", which is no part of a run; nothing was removed"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunDir>> RunDir::Open(Env& env, std::string path,
                                                     const RunIdentity& identity, bool restart) {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(path));
  auto run = std::unique_ptr<RunDir>(new RunDir(env, path));
  // Nothing is written to a folder that someone uses for something else: not even a lock.
  if (!HasState(env, path)) WANLITE_RETURN_IF_ERROR(run->CheckEntries());
  absl::StatusOr<std::unique_ptr<FileLock>> lock = env.Lock(JoinPath(path, kLock));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(absl::StrCat(path, ": another process is running there"));
  }
  WANLITE_ASSIGN_OR_RETURN(run->lock_, std::move(lock));

  const std::string state_path = JoinPath(path, kState);
  if (HasState(env, path)) {
    WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(state_path));
    absl::Status status = ParseTextProto(text, state_path, run->state_);
    for (const std::string& name : run->state_.folders()) {
      if (status.ok() && !IsStageName(name)) {
        status = absl::InvalidArgumentError(
            absl::StrCat(state_path, ": '", name, "' is no folder of a run"));
      }
    }
    if (!status.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          status.message(),
          " (the state of the unfinished run is damaged, so nobody knows what the ",
          "run made; remove ", path, " yourself to restart, or choose another run folder)"));
    }
    if (run->state_.format_version() != kFormatVersion) {
      return absl::FailedPreconditionError(
          absl::StrCat(state_path, ": format_version ", run->state_.format_version(),
                       ", this version knows runs ", "of ", kFormatVersion,
                       "; finish the run with the version that began it, or remove ", path,
                       " yourself to restart"));
    }
  }
  WANLITE_RETURN_IF_ERROR(run->CheckEntries());
  const RunState& found = run->state_;
  // A run that was being discarded is none to continue.
  if (!restart && HasState(env, path) && !found.recipe_fingerprint().empty()) {
    if (found.writer() != kWriter) {
      return absl::FailedPreconditionError(
          absl::StrCat(state_path, ": the unfinished run is one of ", found.writer(), ", this is ",
                       kWriter, "; finish it with that version, or restart to discard it"));
    }
    WANLITE_RETURN_IF_ERROR(
        CheckSame(path, "recipe", found.recipe_fingerprint(), identity.recipe_fingerprint));
    WANLITE_RETURN_IF_ERROR(
        CheckSame(path, "model", found.model_fingerprint(), identity.model_fingerprint));
    WANLITE_RETURN_IF_ERROR(
        CheckSame(path, "sample set", found.samples_fingerprint(), identity.samples_fingerprint));
    WANLITE_RETURN_IF_ERROR(CheckModelFiles(path, found, identity.model_files));
    return run;
  }
  WANLITE_RETURN_IF_ERROR(run->Discard());
  RunState fresh;
  fresh.set_format_version(kFormatVersion);
  fresh.set_writer(kWriter);
  fresh.set_recipe_fingerprint(identity.recipe_fingerprint);
  fresh.set_model_fingerprint(identity.model_fingerprint);
  fresh.set_samples_fingerprint(identity.samples_fingerprint);
  for (const auto& [name, stamp] : identity.model_files) {
    ModelFile& file = *fresh.add_model_files();
    file.set_path(name);
    file.set_bytes(stamp.bytes);
    file.set_modified_ns(stamp.modified_ns);
    file.set_inode(stamp.inode);
  }
  WANLITE_RETURN_IF_ERROR(run->WriteState(fresh));
  run->state_ = std::move(fresh);
  return run;
}

bool RunDir::HasState(Env& env, const std::string& path) {
  const absl::StatusOr<PathKind> kind = env.KindOf(JoinPath(path, kState));
  return kind.ok() && *kind == PathKind::kFile;
}

std::string RunDir::StagePath(int stage, absl::string_view pass) const {
  return JoinPath(path_, StageName(stage, pass));
}

std::string RunDir::ScratchPath(int stage) const { return JoinPath(path_, ScratchName(stage)); }

std::string RunDir::RecordsPath(int stage) const { return JoinPath(path_, RecordsName(stage)); }

absl::Status RunDir::CheckEntries() {
  const std::set<std::string> folders(state_.folders().begin(), state_.folders().end());
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.ListFolder(path_));
  for (const std::string& name : names) {
    WANLITE_ASSIGN_OR_RETURN(const PathKind kind, env_.KindOf(JoinPath(path_, name)));
    bool known = folders.contains(name)
                     ? kind == PathKind::kFolder
                     : kind == PathKind::kFile && (name == kState || IsTemporaryName(name, kState));
    if (name == kLock && kind == PathKind::kFile) {
      // A lock holds nothing; what does is someone's file of that name.
      WANLITE_ASSIGN_OR_RETURN(const uint64_t bytes, env_.FileSize(JoinPath(path_, name)));
      known = bytes == 0;
    }
    if (!known) return ForeignEntry(path_, name);
  }
  return absl::OkStatus();
}

absl::Status RunDir::Discard() {
  if (state_.folders().empty()) return absl::OkStatus();
  // First a state that nobody continues: killed in between, half of the folders would be missing.
  RunState discarded;
  discarded.set_format_version(kFormatVersion);
  *discarded.mutable_folders() = state_.folders();
  WANLITE_RETURN_IF_ERROR(WriteState(discarded));
  for (const std::string& name : state_.folders()) {
    WANLITE_RETURN_IF_ERROR(env_.RemoveAll(JoinPath(path_, name)));
  }
  return absl::OkStatus();
}

absl::Status RunDir::BeginStage(int stage, absl::string_view pass) {
  const std::set<std::string> own{StageName(stage, pass), RecordsName(stage), ScratchName(stage)};
  const std::string input = stage > 0 ? state_.stages(stage - 1).folder() : "";
  // What the run would go back to.
  const std::string accepted =
      state_.accepted() > 0 ? state_.stages(state_.accepted() - 1).folder() : "";
  const std::set<std::string> listed(state_.folders().begin(), state_.folders().end());
  std::set<std::string> kept;
  for (const std::string& name : listed) {
    if (name == input || name == accepted || own.contains(name)) {
      kept.insert(name);
    } else {
      WANLITE_RETURN_IF_ERROR(env_.RemoveAll(JoinPath(path_, name)));
    }
  }
  for (const std::string& name : own) {
    if (!kept.insert(name).second) continue;
    WANLITE_ASSIGN_OR_RETURN(const PathKind kind, env_.KindOf(JoinPath(path_, name)));
    if (kind != PathKind::kNothing) return ForeignEntry(path_, name);
  }
  if (kept != listed) {
    RunState next = state_;
    next.clear_folders();
    for (const std::string& name : kept) next.add_folders(name);
    WANLITE_RETURN_IF_ERROR(WriteState(next));
    state_ = std::move(next);
  }
  if (env_.FolderExists(ScratchPath(stage))) return absl::OkStatus();
  return env_.CreateFolders(ScratchPath(stage));
}

absl::Status RunDir::ClearStage(int stage, absl::string_view pass) {
  // The records go last: while they are there, nothing else of the stage counts anyway.
  for (const std::string& name : {StageName(stage, pass), ScratchName(stage), RecordsName(stage)}) {
    WANLITE_RETURN_IF_ERROR(env_.RemoveAll(JoinPath(path_, name)));
  }
  return env_.CreateFolders(ScratchPath(stage));
}

absl::StatusOr<std::optional<DecisionRecord>> RunDir::ReadDecision(int stage) {
  const std::string path = JoinPath(RecordsPath(stage), kDecision);
  if (!env_.FileExists(path)) return std::nullopt;
  WANLITE_ASSIGN_OR_RETURN(const std::string bytes, env_.ReadFile(path, kMaxTextBytes));
  DecisionRecord decision;
  if (!decision.ParseFromString(bytes) || HashOf(decision) != decision.sha256()) {
    return absl::DataLossError(absl::StrCat(path, ": the record of the decision is damaged"));
  }
  return decision;
}

absl::Status RunDir::WriteDecision(int stage, DecisionRecord decision) {
  decision.set_sha256(HashOf(decision));
  const std::string bytes = decision.SerializeAsString();
  if (bytes.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a decision of ", bytes.size(),
                                                   " bytes; what is larger than ", kMaxTextBytes,
                                                   " belongs into the scratch folder"));
  }
  const std::string folder = RecordsPath(stage);
  if (!env_.FolderExists(folder)) WANLITE_RETURN_IF_ERROR(env_.CreateFolders(folder));
  return env_.WriteFileAtomically(JoinPath(folder, kDecision), bytes);
}

std::optional<Metrics> RunDir::ReadRecord(int stage, size_t number, absl::string_view block) {
  const std::string path = JoinPath(RecordsPath(stage), absl::StrCat(number, ".textproto"));
  const absl::StatusOr<std::string> text = env_.ReadFile(path);
  if (!text.ok()) return std::nullopt;
  BlockRecord record;
  if (!ParseTextProto(*text, path, record).ok() || record.block() != block) return std::nullopt;
  return Metrics(record.metrics().begin(), record.metrics().end());
}

absl::Status RunDir::WriteRecord(int stage, size_t number, absl::string_view block,
                                 const Metrics& metrics) {
  BlockRecord record;
  record.set_block(std::string(block));
  record.mutable_metrics()->insert(metrics.begin(), metrics.end());
  return env_.WriteFileAtomically(JoinPath(RecordsPath(stage), absl::StrCat(number, ".textproto")),
                                  ResolvedText(record));
}

absl::Status RunDir::WriteOriginalGauge(const std::string& gauge, double value) {
  RunState next = state_;
  (*next.mutable_original_gauges())[gauge] = value;
  WANLITE_RETURN_IF_ERROR(WriteState(next));
  state_ = std::move(next);
  return absl::OkStatus();
}

absl::Status RunDir::FinishStage(StageState stage, int accepted, absl::string_view stopped) {
  RunState next = state_;
  *next.add_stages() = std::move(stage);
  next.set_accepted(accepted);
  next.set_stopped(std::string(stopped));
  WANLITE_RETURN_IF_ERROR(WriteState(next));
  state_ = std::move(next);
  return absl::OkStatus();
}

absl::Status RunDir::WriteState(const RunState& state) {
  return env_.WriteFileAtomically(JoinPath(path_, kState), ResolvedText(state));
}

absl::Status RunDir::Remove() {
  for (const std::string& name : state_.folders()) {
    WANLITE_RETURN_IF_ERROR(env_.RemoveAll(JoinPath(path_, name)));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.ListFolder(path_));
  for (const std::string& name : names) {
    if (!IsTemporaryName(name, kState)) continue;
    WANLITE_RETURN_IF_ERROR(env_.RemoveFile(JoinPath(path_, name)));
  }
  WANLITE_RETURN_IF_ERROR(env_.RemoveFile(JoinPath(path_, kState)));
  // Without its state the folder says nothing any more. It stays when someone else uses it.
  env_.RemoveFile(JoinPath(path_, kLock)).IgnoreError();
  env_.RemoveFolder(path_).IgnoreError();
  return absl::OkStatus();
}

}  // namespace wanlite
