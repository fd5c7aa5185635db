// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/sample_set.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/calibration/sample_set_json.h"
#include "src/checkpoint/file_tools.h"
#include "src/checkpoint/safetensors_reader.h"
#include "src/core/libtorch.h"
#include "src/core/quote_name.h"
#include "wanlite/status.h"

namespace wanlite {

struct SampleSet::Rep {
  std::string dir;
  SampleSetManifest manifest;
  std::string fingerprint;
  int64_t bytes = 0;
  std::vector<std::shared_ptr<const SafetensorsFile>> files;
  std::map<std::string, size_t, std::less<>> file_of;                  // by tensor
  std::map<std::string, std::vector<size_t>, std::less<>> samples_of;  // by component
};

absl::StatusOr<SampleSet> SampleSet::Open(Env& env, absl::string_view given,
                                          const SampleSetOptions& options) {
  auto rep = std::make_shared<Rep>();
  rep->dir = WithoutTrailingSlashes(given);
  const std::string& dir = rep->dir;
  const std::string path = JoinPath(dir, kSampleSetManifest);
  if (!env.FileExists(path)) {
    if (env.FileExists(JoinPath(dir, kSampleSetJournal))) {
      return absl::FailedPreconditionError(absl::StrCat(
          dir, ": the sample set is not finished; run the command that began it again"));
    }
    return absl::NotFoundError(absl::StrCat(dir, ": is no sample set: it has no ",
                                            kSampleSetManifest, "; wanlite record makes one"));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(path));
  WANLITE_ASSIGN_OR_RETURN(rep->manifest, SampleSetFromJson(text, path, &rep->fingerprint));
  for (const SampleSetFile& file : rep->manifest.files) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(options.cancel));
    const std::string file_path = JoinPath(dir, file.path);
    WANLITE_ASSIGN_OR_RETURN(const PathKind kind, env.KindOf(file_path));
    if (kind != PathKind::kFile) {
      // A link could lead anywhere.
      return absl::InvalidArgumentError(absl::StrCat(
          file_path, ": ", kind == PathKind::kNothing ? "is missing" : "is no plain file",
          ", the sample set lists it"));
    }
    WANLITE_ASSIGN_OR_RETURN(const uint64_t bytes, env.FileSize(file_path));
    if (bytes != static_cast<uint64_t>(file.bytes)) {
      return absl::DataLossError(absl::StrCat(file_path, ": has ", bytes, " bytes, ",
                                              kSampleSetManifest, " says ", file.bytes));
    }
    if (options.verify) {
      WANLITE_ASSIGN_OR_RETURN(const std::string hash, HashFile(env, file_path, options.cancel));
      if (hash != file.sha256) {
        return absl::DataLossError(absl::StrCat(file_path, ": was changed: its SHA-256 is ", hash,
                                                ", ", kSampleSetManifest, " says ",
                                                QuoteName(file.sha256)));
      }
    }
    WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const SafetensorsFile> opened,
                             SafetensorsFile::Open(env, file_path));
    for (const TensorInfo& tensor : opened->tensors()) {
      if (!rep->file_of.emplace(tensor.name, rep->files.size()).second) {
        return absl::InvalidArgumentError(absl::StrCat(
            file_path, ": the tensor ", QuoteName(tensor.name), " is in another file too"));
      }
    }
    rep->bytes += file.bytes;
    rep->files.push_back(std::move(opened));
  }
  for (size_t i = 0; i < rep->manifest.samples.size(); ++i) {
    const SampleInfo& sample = rep->manifest.samples[i];
    for (const auto& [name, tensor] : sample.values) {
      if (rep->file_of.contains(tensor)) continue;
      return absl::InvalidArgumentError(absl::StrCat(path, ": samples[", i, "] has ",
                                                     QuoteName(name), " in the tensor ",
                                                     QuoteName(tensor), ", which no file has"));
    }
    rep->samples_of[sample.component].push_back(i);
  }
  return SampleSet(std::move(rep));
}

const SampleSetInfo& SampleSet::info() const { return rep_->manifest.info; }
const std::string& SampleSet::fingerprint() const { return rep_->fingerprint; }
int64_t SampleSet::bytes() const { return rep_->bytes; }

std::vector<std::string> SampleSet::components() const {
  std::vector<std::string> names;
  for (const auto& [name, samples] : rep_->samples_of) names.push_back(name);
  return names;
}

int64_t SampleSet::size(absl::string_view component) const {
  const auto found = rep_->samples_of.find(component);
  return found == rep_->samples_of.end() ? 0 : static_cast<int64_t>(found->second.size());
}

const SampleInfo& SampleSet::sample(absl::string_view component, int64_t i) const {
  return rep_->manifest.samples[rep_->samples_of.find(component)->second[static_cast<size_t>(i)]];
}

absl::StatusOr<Values> SampleSet::Read(absl::string_view component, int64_t i) const {
  if (i < 0 || i >= size(component)) {
    return absl::OutOfRangeError(absl::StrCat(rep_->dir, ": there are ", size(component),
                                              " samples of '", component, "', none is number ", i));
  }
  Values values;
  for (const auto& [name, tensor] : sample(component, i).values) {
    const SafetensorsFile& file = *rep_->files[rep_->file_of.find(tensor)->second];
    WANLITE_ASSIGN_OR_RETURN(values[name], file.Read(tensor));
  }
  return values;
}

absl::Status SampleSet::CheckFits(const ModelView& model) const {
  const auto fail = [this](auto&&... parts) {
    return absl::FailedPreconditionError(absl::StrCat(rep_->dir, ": ", parts...));
  };
  bool any = false;
  std::string names;
  for (const Component& component : model.components()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", component.name);
    const auto found = rep_->samples_of.find(component.name);
    if (found == rep_->samples_of.end()) continue;
    any = true;
    const BlockProgram* program = ProgramOf(component);
    if (program == nullptr) {
      return fail("has samples of ", component.name, ", whose architecture ",
                  component.architecture, " has no program to run them block by block");
    }
    for (std::string input : program->Inputs()) {
      const bool optional = !input.empty() && input.back() == '?';
      if (optional) continue;
      for (const size_t i : found->second) {
        if (rep_->manifest.samples[i].values.contains(input)) continue;
        return fail("samples[", i, "] does not give the input ", input, " of ", component.name);
      }
    }
  }
  if (any) return absl::OkStatus();
  std::string has;
  for (const auto& [name, samples] : rep_->samples_of) {
    absl::StrAppend(&has, has.empty() ? "" : ", ", QuoteName(name));
  }
  return fail("has samples of ", has.empty() ? "nothing" : has, ", the model's components are ",
              names);
}

}  // namespace wanlite
