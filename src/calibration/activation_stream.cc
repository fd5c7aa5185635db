// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/activation_stream.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/calibration/activation_files.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/model/block_steps.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kIdentityFile[] = "stream";

}  // namespace

struct ActivationStream::Rep {
  // The two streams: what the compressed blocks make, and what the original ones made.
  enum class Kind { kInput, kReference };

  Rep(Env& env, std::string dir, const ModelView& view, const SampleSet& samples,
      const StreamOptions& options)
      : env(env), dir(std::move(dir)), view(view), samples(samples), options(options) {}

  Env& env;
  const std::string dir;
  const ModelView& view;
  const SampleSet& samples;
  const StreamOptions options;
  std::string component;
  std::vector<BlockSteps> steps;
  size_t at = 0;  // the steps that it stands before
  std::map<std::string, std::unique_ptr<ActivationReader>> readers;  // by folder

  int64_t size() const { return samples.size(component); }
  absl::Status CheckProgram() const;
  absl::Status CheckIdentity();
  // Of a block; for the rest, those before the blocks. steps.size() when it has none.
  size_t StepOf(absl::string_view block) const;
  // The values that these steps make, those alone that later ones make anew, or the others.
  std::set<std::string> Made(size_t step, bool anew) const;
  std::string FolderName(Kind kind, size_t step, bool anew) const;
  // Folders that hold what those before left.
  std::vector<std::string> FoldersBefore(Kind kind, size_t step) const;
  std::set<std::string> NeededBefore(size_t step) const;
  absl::StatusOr<Values> ValuesBefore(Kind kind, size_t step, int64_t sample);
  absl::Status CheckLease(const BlockLease& lease) const;
  absl::Status RunAt(const BlockLease& lease, Values& values) const;
  absl::Status WriteStep(Kind kind, const BlockLease& lease, const CancellationToken* cancel,
                         const std::function<void(const SampleInfo&)>& begin_sample = nullptr);
  absl::Status CheckReference() const {
    if (options.keep_reference) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "what the original blocks make is not kept: StreamOptions::keep_reference");
  }
  // A folder goes in one step: half of it would look like all of it.
  absl::Status RemoveFolder(const std::string& name);
};

absl::Status ActivationStream::Rep::CheckProgram() const {
  const std::string rest = BlockPath(*view.FindComponent(component), {});
  std::set<std::string> seen;
  for (size_t i = 0; i < steps.size(); ++i) {
    const std::string& block = steps[i].block;
    const bool at_an_end = i == 0 || i + 1 == steps.size();
    if (block == rest ? at_an_end : seen.insert(block).second) continue;
    return absl::UnimplementedError(absl::StrCat(
        component, ": its program runs ", block, block == rest ? " between blocks" : " twice",
        ", and activations are streamed through each block once"));
  }
  return absl::OkStatus();
}

absl::Status ActivationStream::Rep::CheckIdentity() {
  std::string blocks;
  for (const BlockSteps& step : steps) absl::StrAppend(&blocks, step.block, " ");
  const std::string identity =
      Sha256Hex(absl::StrCat(samples.fingerprint(), "\n", component, "\n", blocks, "\n",
                             options.dtype.has_value() ? static_cast<int>(*options.dtype) : -1,
                             "\n", options.keep_reference));
  const std::string path = JoinPath(dir, kIdentityFile);
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  if (!env.FileExists(path)) return env.WriteFileAtomically(path, identity);
  WANLITE_ASSIGN_OR_RETURN(const std::string found, env.ReadFile(path));
  if (found == identity) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(dir, ": holds activations of other samples, options or blocks"));
}

size_t ActivationStream::Rep::StepOf(absl::string_view block) const {
  size_t step = 0;
  while (step < steps.size() && steps[step].block != block) ++step;
  const bool is_rest = block == BlockPath(*view.FindComponent(component), {});
  return is_rest && step > 0 ? steps.size() : step;
}

std::set<std::string> ActivationStream::Rep::Made(size_t step, bool anew) const {
  std::set<std::string> made;
  for (const std::string& name : steps[step].changes) {
    const bool later =
        std::any_of(steps.begin() + static_cast<int64_t>(step) + 1, steps.end(),
                    [&](const BlockSteps& other) { return other.changes.contains(name); });
    if (later == anew) made.insert(name);
  }
  return made;
}

std::string ActivationStream::Rep::FolderName(Kind kind, size_t step, bool anew) const {
  return absl::StrCat(kind == Rep::Kind::kInput ? "input" : "reference", "-",
                      absl::Dec(step, absl::kZeroPad4), anew ? "" : "-constants");
}

std::vector<std::string> ActivationStream::Rep::FoldersBefore(Kind kind, size_t step) const {
  std::vector<std::string> folders;
  std::set<std::string> made_later;
  for (size_t i = step; i-- > 0;) {
    if (!Made(i, /*anew=*/false).empty()) folders.push_back(FolderName(kind, i, false));
    bool newest = false;
    for (const std::string& name : Made(i, /*anew=*/true)) {
      newest = made_later.insert(name).second || newest;
    }
    if (newest) folders.push_back(FolderName(kind, i, true));
  }
  // Oldest first, so that what is newer wins.
  std::reverse(folders.begin(), folders.end());
  return folders;
}

std::set<std::string> ActivationStream::Rep::NeededBefore(size_t step) const {
  std::set<std::string> needed;
  for (const std::string& name : FoldersBefore(Rep::Kind::kInput, step)) needed.insert(name);
  if (!options.keep_reference) return needed;
  for (const std::string& name : FoldersBefore(Rep::Kind::kReference, step)) needed.insert(name);
  return needed;
}

absl::StatusOr<Values> ActivationStream::Rep::ValuesBefore(Kind kind, size_t step, int64_t sample) {
  WANLITE_ASSIGN_OR_RETURN(Values values, samples.Read(component, sample));
  for (const std::string& name : FoldersBefore(kind, step)) {
    std::unique_ptr<ActivationReader>& reader = readers[name];
    if (reader == nullptr) {
      WANLITE_ASSIGN_OR_RETURN(reader, ActivationReader::Open(env, JoinPath(dir, name)));
    }
    const absl::Status read = reader->Read(sample, values);
    if (!read.ok()) {
      readers.erase(name);  // it keeps what it has seen of the folder
      return read;
    }
  }
  return values;
}

absl::Status ActivationStream::Rep::CheckLease(const BlockLease& lease) const {
  if (at == steps.size()) {
    return absl::FailedPreconditionError(absl::StrCat(component, ": all of its steps were run"));
  }
  if (lease.block() == steps[at].block) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the activations are those of ", steps[at].block, ", leased is ", lease.block()));
}

absl::Status ActivationStream::Rep::RunAt(const BlockLease& lease, Values& values) const {
  WANLITE_RETURN_IF_ERROR(CheckLease(lease));
  const BlockSteps& now = steps[at];
  const BlockProgram* program = ProgramOf(*view.FindComponent(component));
  return Annotate(CatchTorch([&] { now.Run(*program, values); }), now.block);
}

absl::Status ActivationStream::Rep::WriteStep(
    Kind kind, const BlockLease& lease, const CancellationToken* cancel,
    const std::function<void(const SampleInfo&)>& begin_sample) {
  WANLITE_RETURN_IF_ERROR(CheckLease(lease));
  const std::string anew = FolderName(kind, at, true), once = FolderName(kind, at, false);
  const std::set<std::string> names_anew = Made(at, true), names_once = Made(at, false);
  for (const std::string& name : {anew, once}) WANLITE_RETURN_IF_ERROR(RemoveFolder(name));
  const auto write = [&](const std::string& dir_anew, const std::string& dir_once) -> absl::Status {
    const at::NoGradGuard no_grad;
    // Constants are as they were made: they are read in every block.
    ActivationWriter writer_anew(env, dir_anew, options.memory_bytes, options.dtype, false);
    ActivationWriter writer_once(env, dir_once, options.memory_bytes, std::nullopt, true);
    const auto run_sample = [&](int64_t sample) -> absl::Status {
      WANLITE_ASSIGN_OR_RETURN(Values values, ValuesBefore(kind, at, sample));
      if (begin_sample) begin_sample(samples.sample(component, sample));
      WANLITE_RETURN_IF_ERROR(RunAt(lease, values));
      Values made_anew, made_once;
      for (const std::string& name : names_anew) made_anew[name] = values[name];
      for (const std::string& name : names_once) made_once[name] = values[name];
      if (!names_anew.empty()) WANLITE_RETURN_IF_ERROR(writer_anew.Add(made_anew));
      return names_once.empty() ? absl::OkStatus() : writer_once.Add(made_once);
    };
    for (int64_t sample = 0; sample < size(); ++sample) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
      const absl::Status done = run_sample(sample);
      if (!done.ok()) return Annotate(done, absl::StrCat("sample ", sample));
    }
    if (!names_once.empty()) WANLITE_RETURN_IF_ERROR(writer_once.Finish());
    return names_anew.empty() ? absl::OkStatus() : writer_anew.Finish();
  };
  const auto with_once = [&](const std::string& dir_once) {
    if (names_anew.empty()) return write("", dir_once);
    return env.WriteFolderAtomically(JoinPath(dir, anew), [&](const std::string& dir_anew) {
      return write(dir_anew, dir_once);
    });
  };
  if (names_once.empty()) return with_once("");
  return env.WriteFolderAtomically(JoinPath(dir, once), with_once);
}

absl::Status ActivationStream::Rep::RemoveFolder(const std::string& name) {
  const std::string path = JoinPath(dir, name);
  readers.erase(name);
  if (!env.FolderExists(path)) return absl::OkStatus();
  const std::string away = IsTemporaryName(name) ? path : TemporaryPath(path);
  if (away != path) WANLITE_RETURN_IF_ERROR(env.Rename(path, away));
  return env.RemoveAll(away);
}

ActivationStream::ActivationStream(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
ActivationStream::~ActivationStream() = default;

absl::StatusOr<std::unique_ptr<ActivationStream>> ActivationStream::Open(
    Env& env, std::string dir, const ModelView& view, const SampleSet& samples,
    absl::string_view component, const StreamOptions& options) {
  const Component* found = view.FindComponent(component);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("the model has no component '", component, "'"));
  }
  if (samples.size(component) == 0) {
    return absl::NotFoundError(absl::StrCat("there are no samples of '", component, "'"));
  }
  if (ProgramOf(*found) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("'", component, "' of architecture ",
                                                      found->architecture,
                                                      " has no program to run it block by block"));
  }
  auto rep = std::make_unique<Rep>(env, WithoutTrailingSlashes(dir), view, samples, options);
  rep->component = std::string(component);
  rep->steps = BlockStepsOf(*found);
  WANLITE_RETURN_IF_ERROR(rep->CheckProgram());
  WANLITE_RETURN_IF_ERROR(rep->CheckIdentity());
  return std::unique_ptr<ActivationStream>(new ActivationStream(std::move(rep)));
}

const std::string& ActivationStream::component() const { return rep_->component; }
int64_t ActivationStream::size() const { return rep_->size(); }
const SampleInfo& ActivationStream::sample(int64_t i) const {
  return rep_->samples.sample(rep_->component, i);
}

bool ActivationStream::Covers(absl::string_view block) const {
  return rep_->StepOf(block) < rep_->steps.size();
}

bool ActivationStream::CanEnter(absl::string_view block) const {
  if (!Covers(block)) return false;
  const std::set<std::string> needed = rep_->NeededBefore(rep_->StepOf(block));
  return std::all_of(needed.begin(), needed.end(), [&](const std::string& name) {
    return rep_->env.FolderExists(JoinPath(rep_->dir, name));
  });
}

absl::Status ActivationStream::Enter(absl::string_view block) {
  if (!CanEnter(block)) {
    return absl::NotFoundError(
        absl::StrCat(rep_->dir, ": holds no activations that ", block, " could start from"));
  }
  rep_->at = rep_->StepOf(block);
  const std::set<std::string> needed = rep_->NeededBefore(rep_->at);
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, rep_->env.ListFolder(rep_->dir));
  for (const std::string& name : names) {
    if (needed.contains(name) || name == kIdentityFile) continue;
    if (rep_->env.FolderExists(JoinPath(rep_->dir, name))) {
      WANLITE_RETURN_IF_ERROR(rep_->RemoveFolder(name));
    } else {
      WANLITE_RETURN_IF_ERROR(rep_->env.RemoveFile(JoinPath(rep_->dir, name)));
    }
  }
  return absl::OkStatus();
}

std::string ActivationStream::block() const {
  return rep_->at < rep_->steps.size() ? rep_->steps[rep_->at].block : "";
}

absl::StatusOr<Values> ActivationStream::Input(int64_t sample) const {
  return rep_->ValuesBefore(Rep::Kind::kInput, rep_->at, sample);
}

absl::StatusOr<Values> ActivationStream::Reference(int64_t sample) const {
  WANLITE_RETURN_IF_ERROR(rep_->CheckReference());
  return rep_->ValuesBefore(Rep::Kind::kReference, rep_->at, sample);
}

absl::StatusOr<Values> ActivationStream::ReferenceOutput(int64_t sample) const {
  WANLITE_RETURN_IF_ERROR(rep_->CheckReference());
  if (rep_->at == rep_->steps.size()) {
    return absl::FailedPreconditionError(
        absl::StrCat(rep_->component, ": all of its steps were run"));
  }
  for (const std::string& name : rep_->FoldersBefore(Rep::Kind::kReference, rep_->at + 1)) {
    if (rep_->env.FolderExists(JoinPath(rep_->dir, name))) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(block(), ": what the original block makes is known after AdvanceReference()"));
  }
  return rep_->ValuesBefore(Rep::Kind::kReference, rep_->at + 1, sample);
}

absl::StatusOr<Values> ActivationStream::Run(const BlockLease& lease, int64_t sample) const {
  WANLITE_ASSIGN_OR_RETURN(Values values, Input(sample));
  return Run(lease, std::move(values));
}

absl::StatusOr<Values> ActivationStream::Run(const BlockLease& lease, Values values) const {
  WANLITE_RETURN_IF_ERROR(rep_->RunAt(lease, values));
  return values;
}

absl::Status ActivationStream::AdvanceReference(const BlockLease& lease,
                                                const CancellationToken* cancel) {
  if (!rep_->options.keep_reference) return absl::OkStatus();
  return rep_->WriteStep(Rep::Kind::kReference, lease, cancel);
}

absl::Status ActivationStream::Advance(const BlockLease& lease, const CancellationToken* cancel,
                                       const std::function<void(const SampleInfo&)>& begin_sample) {
  WANLITE_RETURN_IF_ERROR(rep_->WriteStep(Rep::Kind::kInput, lease, cancel, begin_sample));
  ++rep_->at;
  return absl::OkStatus();
}

absl::Status ActivationStream::Remove() {
  rep_->readers.clear();
  if (!rep_->env.FolderExists(rep_->dir)) return absl::OkStatus();
  const std::string away = TemporaryPath(rep_->dir);
  WANLITE_RETURN_IF_ERROR(rep_->env.Rename(rep_->dir, away));
  return rep_->env.RemoveAll(away);
}

}  // namespace wanlite
