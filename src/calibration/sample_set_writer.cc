// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/calibration/sample_set_json.h"
#include "src/checkpoint/file_tools.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "src/core/sha256.h"
#include "wanlite/checkpoint.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kSampleSetLock[] = "lock";
constexpr char kSampleSetWriter[] = "wanlite " WANLITE_VERSION;

// What tells one set from another before there is any of it. The version counts: two of them may
// differ in what they record.
absl::StatusOr<std::string> IdentityOf(const SampleSetInfo& info) {
  WANLITE_ASSIGN_OR_RETURN(const std::string json,
                           SampleSetToJson({kSampleSetWriter, info, {}, {}}));
  return Sha256Hex(json);
}

}  // namespace

SampleSetWriter::SampleSetWriter(Env& env, std::string dir, SampleSetInfo info)
    : env_(env), dir_(std::move(dir)), info_(std::move(info)) {}
SampleSetWriter::~SampleSetWriter() = default;

std::string SampleSetWriter::PathOf(absl::string_view name) const {
  return JoinPath(dir_, absl::StrCat(name, kSampleFileEnding));
}

absl::StatusOr<std::unique_ptr<SampleSetWriter>> SampleSetWriter::Create(
    Env& env, absl::string_view dir, const SampleSetInfo& info) {
  std::unique_ptr<SampleSetWriter> writer(
      new SampleSetWriter(env, WithoutTrailingSlashes(dir), info));
  WANLITE_ASSIGN_OR_RETURN(writer->identity_, IdentityOf(info));
  WANLITE_RETURN_IF_ERROR(writer->Begin());
  return writer;
}

absl::Status SampleSetWriter::Begin() {
  const std::string journal = JoinPath(dir_, kSampleSetJournal);
  const std::string manifest = JoinPath(dir_, kSampleSetManifest);
  WANLITE_ASSIGN_OR_RETURN(const PathKind kind, env_.KindOf(dir_));
  if (kind != PathKind::kNothing && kind != PathKind::kFolder) {
    return absl::AlreadyExistsError(absl::StrCat(dir_, ": exists, and is no folder"));
  }
  if (kind == PathKind::kNothing) WANLITE_RETURN_IF_ERROR(env_.CreateFolders(dir_));
  const bool begun = env_.FileExists(journal);
  if (!begun) {
    if (env_.FileExists(manifest)) {
      return absl::AlreadyExistsError(absl::StrCat(dir_, ": holds a sample set already"));
    }
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.ListFolder(dir_));
    for (const std::string& name : names) {
      if (name == kSampleSetLock || IsTemporaryName(name, kSampleSetJournal)) continue;
      return absl::AlreadyExistsError(
          absl::StrCat(dir_, ": holds ", name, ", a sample set wants a folder of its own"));
    }
  }
  absl::StatusOr<std::unique_ptr<FileLock>> lock = env_.Lock(JoinPath(dir_, kSampleSetLock));
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(absl::StrCat(dir_, ": another process writes there"));
  }
  WANLITE_ASSIGN_OR_RETURN(lock_, std::move(lock));
  if (begun) {
    WANLITE_ASSIGN_OR_RETURN(const std::string text, env_.ReadFile(journal));
    std::string identity;
    absl::StatusOr<std::vector<SampleSetFile>> files = JournalFromJson(text, journal, &identity);
    if (!files.ok() || identity != identity_) {
      return absl::FailedPreconditionError(absl::StrCat(
          files.ok() ? absl::StrCat(dir_,
                                    ": holds an unfinished sample set of other settings, or "
                                    "of another version of wanlite")
                     : std::string(files.status().message()),
          "; remove it or choose another folder"));
    }
    for (const SampleSetFile& file : *files) files_[file.path] = {file.bytes, file.sha256};
    complete_ = env_.FileExists(manifest);
  }
  // What a killed run left half written. A whole file that its journal did not get to know is
  // written again.
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.ListFolder(dir_));
  for (const std::string& name : names) {
    if (name == kSampleSetLock || name == kSampleSetJournal || name == kSampleSetManifest ||
        files_.contains(name)) {
      continue;
    }
    if (absl::EndsWith(name, kSampleFileEnding)) continue;
    if (!IsTemporaryName(name)) {
      return absl::FailedPreconditionError(
          absl::StrCat(dir_, ": holds ", name, ", which is no part of a sample set"));
    }
    WANLITE_RETURN_IF_ERROR(env_.RemoveFile(JoinPath(dir_, name)));
  }
  if (complete_) {
    return RemoveTraces();
  }
  return begun ? absl::OkStatus() : WriteJournal();
}

absl::Status SampleSetWriter::WriteJournal() const {
  std::vector<SampleSetFile> files;
  for (const auto& [path, file] : files_) files.push_back({path, file.bytes, file.sha256});
  return env_.WriteFileAtomically(JoinPath(dir_, kSampleSetJournal),
                                  JournalToJson(identity_, files));
}

bool SampleSetWriter::HasFile(absl::string_view name) const {
  const auto found = files_.find(absl::StrCat(name, kSampleFileEnding));
  if (found == files_.end()) return false;
  const absl::StatusOr<uint64_t> bytes = env_.FileSize(PathOf(name));
  if (!bytes.ok() || *bytes != static_cast<uint64_t>(found->second.bytes)) return false;
  const absl::StatusOr<std::string> hash = HashFile(env_, PathOf(name));
  return hash.ok() && *hash == found->second.sha256;
}

absl::Status SampleSetWriter::WriteFile(absl::string_view name,
                                        const std::vector<NamedTensor>& tensors) {
  const std::string file = absl::StrCat(name, kSampleFileEnding);
  if (!IsSafeRelativePath(file) || absl::StrContains(file, "/")) {
    return absl::InvalidArgumentError(
        absl::StrCat(QuoteName(name), " cannot be a file of a sample set"));
  }
  if (complete_) return absl::FailedPreconditionError(absl::StrCat(dir_, ": is complete"));
  WANLITE_ASSIGN_OR_RETURN(const std::string sha256,
                           WriteSafetensors(env_, PathOf(name), tensors, {{"format", "pt"}}));
  WANLITE_ASSIGN_OR_RETURN(const uint64_t bytes, env_.FileSize(PathOf(name)));
  files_[file] = {static_cast<int64_t>(bytes), sha256};
  return WriteJournal();
}

absl::StatusOr<std::shared_ptr<const TensorSource>> SampleSetWriter::OpenFile(
    absl::string_view name) const {
  return OpenSafetensors(env_, PathOf(name));
}

absl::Status SampleSetWriter::Finish(const std::vector<SampleInfo>& samples) {
  if (complete_) return absl::FailedPreconditionError(absl::StrCat(dir_, ": is complete"));
  SampleSetManifest manifest{kSampleSetWriter, info_, {}, samples};
  std::set<std::string> known;
  for (const auto& [path, file] : files_) {
    manifest.files.push_back({path, file.bytes, file.sha256});
    WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const TensorSource> source,
                             OpenSafetensors(env_, JoinPath(dir_, path)));
    for (const TensorInfo& tensor : source->tensors()) {
      if (known.insert(tensor.name).second) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(dir_, ": two files have a tensor ", QuoteName(tensor.name)));
    }
  }
  for (const SampleInfo& sample : samples) {
    for (const auto& [name, tensor] : sample.values) {
      if (known.contains(tensor)) continue;
      return absl::InvalidArgumentError(absl::StrCat(dir_, ": a sample of '", sample.component,
                                                     "' names the tensor ", QuoteName(tensor),
                                                     ", which no file has"));
    }
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string json, SampleSetToJson(manifest));
  WANLITE_RETURN_IF_ERROR(env_.WriteFileAtomically(JoinPath(dir_, kSampleSetManifest), json));
  complete_ = true;
  return RemoveTraces();
}

absl::Status SampleSetWriter::RemoveTraces() {
  // The journal last: while it is there, a killed run knows that the folder is its own.
  WANLITE_RETURN_IF_ERROR(env_.RemoveFile(JoinPath(dir_, kSampleSetLock)));
  lock_ = nullptr;
  return env_.RemoveFile(JoinPath(dir_, kSampleSetJournal));
}

}  // namespace wanlite
