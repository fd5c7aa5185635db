// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/folder_opener.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/checkpoint/file_tools.h"
#include "src/checkpoint/manifest_json.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/catch_torch.h"
#include "src/core/strict_json.h"
#include "src/model/derived_source.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Order of components in views and reports; others follow by name.
int Rank(const std::string& name) {
  constexpr absl::string_view kOrder[] = {"transformer", "transformer_2", "text_encoder", "vae"};
  const auto at = std::find(std::begin(kOrder), std::end(kOrder), name);
  return static_cast<int>(at - std::begin(kOrder));
}
constexpr int kUnknownRank = 4;

bool ByRank(const std::string& a, const std::string& b) {
  return std::make_pair(Rank(a), a) < std::make_pair(Rank(b), b);
}

// Which expert a folder's name says; empty when none.
std::string ExpertOfFolder(absl::string_view name) {
  if (name == "transformer" || name == "transformer_2") return std::string(name);
  const std::string lower = absl::AsciiStrToLower(name);
  for (const absl::string_view mark : {"low_noise", "lownoise", "low-noise"}) {
    if (absl::StrContains(lower, mark)) return "transformer_2";
  }
  for (const absl::string_view mark : {"high_noise", "highnoise", "high-noise"}) {
    if (absl::StrContains(lower, mark)) return "transformer";
  }
  return "";
}

// The same of a weight file, where a bare HIGH or LOW is usual too. `lone`: no other file's name
// helps to understand it, so a "low" in lower case, which may be of a resolution or a rank, must be
// asked about.
absl::StatusOr<std::string> ExpertOfFile(const std::string& where, absl::string_view stem,
                                         bool lone) {
  std::string name = ExpertOfFolder(stem);
  bool high = false, low = false, capital = true;
  for (const absl::string_view word : absl::StrSplit(stem, absl::ByAnyChar("_-. "))) {
    const std::string lower = absl::AsciiStrToLower(word);
    if (lower != "high" && lower != "low") continue;
    (lower == "high" ? high : low) = true;
    capital = capital && word == absl::AsciiStrToUpper(word);
  }
  if (name.empty() && high != low && (capital || !lone))
    name = high ? "transformer" : "transformer_2";
  if (!name.empty() || (!high && !low)) return name;
  return absl::InvalidArgumentError(absl::StrCat(
      where,
      ": cannot tell which expert this is, or whether it is one; name it "
      "…high_noise….safetensors or …low_noise….safetensors if it is one of two, else without ",
      high ? "\"high\"" : "\"low\""));
}

// The one group of a component's folder. Of several, that with the name the libraries give.
absl::StatusOr<const WeightFileGroup*> ChooseGroup(const std::string& dir,
                                                   const WeightFiles& files) {
  if (files.groups.empty()) {
    const std::string advice = UnreadAdvice(files);
    return absl::InvalidArgumentError(
        absl::StrCat(dir, " holds no .safetensors file", advice.empty() ? "" : ": ", advice));
  }
  if (files.groups.size() == 1) return &files.groups.front();
  for (const absl::string_view stem : {"diffusion_pytorch_model", "model"}) {
    std::vector<const WeightFileGroup*> named;
    for (const WeightFileGroup& group : files.groups) {
      if (group.stem == stem) named.push_back(&group);
    }
    if (named.size() == 1) return named.front();
    if (named.size() > 1) break;
  }
  std::vector<std::string> names;
  for (const WeightFileGroup& group : files.groups) {
    names.push_back(group.index_file.empty() ? group.files.front() : group.index_file);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      dir, " holds ", names.size(), " sets of weights (", absl::StrJoin(names, ", "),
      "), wanted one, or one named diffusion_pytorch_model.safetensors or model.safetensors"));
}

// Compares a file with its record.
absl::Status CheckFile(Env& env, const std::string& path, const FileEntry& entry, bool verify,
                       const CancellationToken* cancel) {
  absl::StatusOr<uint64_t> size = env.FileSize(path);
  if (absl::IsNotFound(size.status())) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is missing, ", kManifestFile, " lists it"));
  }
  WANLITE_RETURN_IF_ERROR(size.status());
  if (*size != static_cast<uint64_t>(entry.bytes())) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", *size, " bytes, ", kManifestFile, " says ", entry.bytes()));
  }
  if (!verify) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const std::string found, HashFile(env, path, cancel));
  if (found != entry.sha256()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " has the SHA-256 ", found, ", ",
                                                   kManifestFile, " says ", entry.sha256(),
                                                   ": the file is damaged"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListFilesBelow(Env& env, const std::string& dir) {
  constexpr int kDeepest = 8;  // deeper than any layout; links may go in circles
  std::vector<std::string> files;
  const std::function<absl::Status(const std::string&, int)> list = [&](const std::string& below,
                                                                        int depth) -> absl::Status {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                             ListVisible(env, below.empty() ? dir : JoinPath(dir, below)));
    for (const std::string& name : names) {
      const std::string path = below.empty() ? name : JoinPath(below, name);
      if (!env.FolderExists(JoinPath(dir, path))) {
        files.push_back(path);
      } else if (depth < kDeepest) {
        WANLITE_RETURN_IF_ERROR(list(path, depth + 1));
      }
    }
    return absl::OkStatus();
  };
  WANLITE_RETURN_IF_ERROR(list("", 0));
  absl::c_sort(files);
  return files;
}

bool IsTokenizerFolder(Env& env, const std::string& dir) {
  for (const char* name : {"spiece.model", "tokenizer.model", "tokenizer.json"}) {
    if (env.FileExists(JoinPath(dir, name))) return true;
  }
  return false;
}

bool FolderOpener::Wanted(const std::string& name) const {
  return options_.components.empty() || absl::c_linear_search(options_.components, name);
}

absl::Status FolderOpener::Open(ModelFolder::Rep* rep) {
  if (!env_.FolderExists(dir_)) {
    if (env_.FileExists(dir_)) {
      return absl::InvalidArgumentError(
          absl::StrCat(dir_, " is a file; give the folder of the model"));
    }
    return absl::NotFoundError(absl::StrCat("no model folder ", dir_));
  }
  if (!options_.config_path.empty()) {
    WANLITE_ASSIGN_OR_RETURN(given_config_, ReadConfig(env_, options_.config_path));
    given_config_->given = true;
    if (!given_config_->class_name.empty() &&
        architectures_.Find(given_config_->class_name) == nullptr) {
      return absl::UnimplementedError(absl::StrCat(options_.config_path, " is for the class ",
                                                   QuoteName(given_config_->class_name),
                                                   ", which this build does not know"));
    }
  }
  if (env_.FileExists(JoinPath(dir_, kModelIndexFile))) {
    WANLITE_ASSIGN_OR_RETURN(rep->model_index_json, env_.ReadFile(JoinPath(dir_, kModelIndexFile)));
  }
  if (env_.FileExists(JoinPath(dir_, kSchedulerConfig))) {
    WANLITE_ASSIGN_OR_RETURN(rep->scheduler_config_json,
                             env_.ReadFile(JoinPath(dir_, kSchedulerConfig)));
  }
  for (const std::string& folder :
       {JoinPath(dir_, "tokenizer"), JoinPath(dir_, "google/umt5-xxl"), dir_}) {
    if (rep->tokenizer_dir.empty() && IsTokenizerFolder(env_, folder)) rep->tokenizer_dir = folder;
  }

  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListVisible(env_, dir_));
  const bool has_components =
      absl::c_any_of(names, [&](const std::string& name) { return HoldsComponent(name); });
  const bool has_experts = env_.FolderExists(JoinPath(dir_, kHighNoiseFolder)) ||
                           env_.FolderExists(JoinPath(dir_, kLowNoiseFolder));
  const bool is_component = env_.FileExists(JoinPath(dir_, kConfigFile));
  if (env_.FileExists(JoinPath(dir_, kJournalFile))) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir_, " is not finished: ", kJournalFile,
                     " says that it is being written, or that the program "
                     "that wrote it was stopped; run the same command again"));
  }
  if (env_.FileExists(JoinPath(dir_, kManifestFile))) {
    WANLITE_RETURN_IF_ERROR(OpenWanlite(rep));
  } else if (has_components &&
             (!rep->model_index_json.empty() || (!has_experts && !is_component))) {
    WANLITE_RETURN_IF_ERROR(OpenDiffusers(rep));
  } else if (has_experts) {
    WANLITE_RETURN_IF_ERROR(OpenExperts(rep));
  } else if (HoldsWeights(env_, dir_)) {
    WANLITE_RETURN_IF_ERROR(OpenFlat(rep, /*beside_experts=*/false));
  } else {
    WANLITE_RETURN_IF_ERROR(OpenDiffusers(rep));
  }
  WANLITE_RETURN_IF_ERROR(CheckFound(*rep));
  for (const OpenedComponent& component : rep->components) {
    rep->notes.insert(rep->notes.end(), component.notes.begin(), component.notes.end());
  }
  for (const auto& [name, why] : rep->left_out) {
    rep->notes.push_back(absl::StrCat(name, " is left out: ", why.message()));
  }
  WANLITE_RETURN_IF_ERROR(AssumePipeline(rep));
  return options_.verify ? ListUnverified(rep) : absl::OkStatus();
}

absl::Status FolderOpener::AssumePipeline(ModelFolder::Rep* rep) {
  const OpenedComponent* denoiser = rep->Find("transformer");
  // A denoiser by itself is no pipeline.
  if (denoiser == nullptr || !denoiser->architecture.pipeline_defaults || found_.size() < 2) {
    return absl::OkStatus();
  }
  const int experts = absl::c_linear_search(found_, "transformer_2") ? 2 : 1;
  const bool has_index = !rep->model_index_json.empty();
  if (!has_index || rep->scheduler_config_json.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const PipelineDefaults defaults, CatchTorch([&] {
                               return denoiser->architecture.pipeline_defaults(
                                   denoiser->config_json, experts);
                             }));
    rep->notes.push_back(
        has_index ? absl::StrCat(dir_, " has no ", kSchedulerConfig,
                                 ": that of the published model of its size is taken")
                  : absl::StrCat(dir_, " has no ", kModelIndexFile, ": ", defaults.note));
    if (!has_index) rep->model_index_json = defaults.model_index_json;
    if (rep->scheduler_config_json.empty()) {
      rep->scheduler_config_json = defaults.scheduler_config_json;
    }
  }
  if (!has_index || experts < 2) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json index,
                           ParseStrictJson(rep->model_index_json, JoinPath(dir_, kModelIndexFile)));
  const auto boundary = index.find("boundary_ratio");
  if (boundary == index.end() || boundary->is_null()) {
    rep->notes.push_back(absl::StrCat(dir_, "/", kModelIndexFile,
                                      " has no boundary_ratio: as in diffusers transformer runs "
                                      "alone, and transformer_2 only if a boundary is given"));
  }
  return absl::OkStatus();
}

absl::Status FolderOpener::ListUnverified(ModelFolder::Rep* rep) {
  absl::c_sort(rep->verification.verified);
  std::set<std::string> known{kManifestFile};
  if (rep->manifest != nullptr) {
    for (const FileEntry& file : rep->manifest->files()) known.insert(file.path());
    for (const ComponentEntry& component : rep->manifest->components()) {
      for (const FileEntry& file : component.files()) {
        known.insert(component.name().empty() ? file.path()
                                              : JoinPath(component.name(), file.path()));
      }
    }
  }
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFilesBelow(env_, dir_));
  for (const std::string& file : files) {
    if (!known.contains(file)) rep->verification.unknown.push_back(file);
  }
  return absl::OkStatus();
}

absl::Status FolderOpener::CheckFound(const ModelFolder::Rep& rep) {
  const std::string advice = UnreadAdvice(unread_);
  const std::string unread = advice.empty() ? "" : absl::StrCat("; ", advice);
  for (const std::string& name : options_.components) {
    if (rep.Find(name) != nullptr) continue;
    return absl::NotFoundError(absl::StrCat(
        dir_, " holds no component ", QuoteName(name), ", only ",
        found_.empty() ? "nothing that can be read" : absl::StrJoin(found_, ", "), unread));
  }
  if (rep.components.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        dir_,
        " holds no model: wanted model_index.json with component folders, high_noise_model/ and "
        "low_noise_model/, .safetensors files, or a wanlite checkpoint (",
        kManifestFile, ")", unread));
  }
  // It may be for a component that is there but was not asked for.
  const bool all_opened = found_.size() == rep.components.size();
  if (given_config_.has_value() && !given_config_used_ && all_opened) {
    return absl::InvalidArgumentError(
        absl::StrCat(options_.config_path, " fits none of the components in ", dir_));
  }
  return absl::OkStatus();
}

absl::StatusOr<const Architecture*> FolderOpener::ChooseConfig(bool alone,
                                                               ComponentCandidate* candidate) {
  if (!given_config_.has_value()) return ResolveArchitecture(*candidate, architectures_);
  if (given_config_->class_name.empty()) {
    // Nothing says what it is for: for the only component, or for the denoisers.
    ComponentCandidate with = *candidate;
    with.config = given_config_;
    if (alone) {
      WANLITE_ASSIGN_OR_RETURN(const Architecture* architecture,
                               ResolveArchitecture(with, architectures_));
      candidate->config = given_config_;
      given_config_used_ = true;
      return architecture;
    }
    WANLITE_ASSIGN_OR_RETURN(const Architecture* architecture,
                             ResolveArchitecture(*candidate, architectures_));
    if (architecture->role == ComponentRole::kDenoiser) {
      candidate->config = given_config_;
      given_config_used_ = true;
    }
    return architecture;
  }
  const Architecture* given = architectures_.Find(given_config_->class_name);
  const auto use_given = [&] {
    candidate->config = given_config_;
    given_config_used_ = true;
    return given;
  };
  const absl::StatusOr<const Architecture*> own = ResolveArchitecture(*candidate, architectures_);
  if (own.ok()) return *own == given ? use_given() : own;
  // Its own config says nothing that is understood; then its names do, or there is nothing else.
  const Architecture* by_names = RecognizeNames(*candidate->weights.source, architectures_);
  if (by_names == given || (alone && by_names == nullptr)) return use_given();
  return own;
}

absl::Status FolderOpener::OpenComponentFolder(const std::string& name, const std::string& dir,
                                               ModelFolder::Rep* rep) {
  found_.push_back(name);
  if (!Wanted(name)) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const WeightFiles files, ListWeightFiles(env_, dir));
  WANLITE_ASSIGN_OR_RETURN(const WeightFileGroup* group, ChooseGroup(dir, files));
  for (const WeightFileGroup& other : files.groups) {
    if (&other == group) continue;
    rep->notes.push_back(absl::StrCat(dir, "/", other.files.front(),
                                      " is left out: ", group->files.front(), " is taken"));
  }
  ComponentCandidate candidate;
  candidate.where = dir;
  WANLITE_ASSIGN_OR_RETURN(candidate.weights, OpenWeightFiles(env_, dir, *group));
  const std::string config = JoinPath(dir, kConfigFile);
  if (env_.FileExists(config)) {
    WANLITE_ASSIGN_OR_RETURN(candidate.config, ReadConfig(env_, config));
  }
  WANLITE_ASSIGN_OR_RETURN(const Architecture* architecture,
                           ChooseConfig(/*alone=*/false, &candidate));
  WANLITE_ASSIGN_OR_RETURN(OpenedComponent opened, LoadComponent(candidate, *architecture, name));
  rep->components.push_back(std::move(opened));
  return absl::OkStatus();
}

bool FolderOpener::IsComponentFolder(const std::string& name) {
  if (name == "scheduler" || absl::StartsWith(name, "tokenizer") || name == "feature_extractor") {
    return false;
  }
  const std::string dir = JoinPath(dir_, name);
  if (!env_.FolderExists(dir)) return false;
  if (env_.FileExists(JoinPath(dir, kConfigFile))) return true;
  // Without a config only the well-known names count: they may get theirs from the caller.
  return Rank(name) < kUnknownRank && HoldsWeights(env_, dir);
}

bool FolderOpener::HoldsComponent(const std::string& name) {
  return name != kHighNoiseFolder && name != kLowNoiseFolder && IsComponentFolder(name) &&
         (Rank(name) < kUnknownRank || HoldsWeights(env_, JoinPath(dir_, name)));
}

absl::Status FolderOpener::OpenDiffusers(ModelFolder::Rep* rep) {
  rep->layout = FolderLayout::kDiffusers;
  WANLITE_ASSIGN_OR_RETURN(std::vector<std::string> names, ListVisible(env_, dir_));
  std::sort(names.begin(), names.end(), ByRank);
  std::vector<std::string> loose;
  for (const std::string& name : names) {
    if (absl::EndsWith(name, ".safetensors")) loose.push_back(name);
    if (!HoldsComponent(name)) continue;
    if (absl::StrContains(name, ".")) {
      return absl::InvalidArgumentError(
          absl::StrCat(JoinPath(dir_, name), ": the name of a component ", "cannot hold a dot"));
    }
    const absl::Status opened = OpenComponentFolder(name, JoinPath(dir_, name), rep);
    if (opened.ok()) continue;
    // A model without a denoiser of its is another one; without the rest much can be done with it.
    if (!absl::IsUnimplemented(opened) || !options_.components.empty() ||
        !ExpertOfFolder(name).empty()) {
      return opened;
    }
    found_.pop_back();
    rep->left_out.emplace(name, opened);
  }
  if (rep->components.empty() && !rep->left_out.empty()) return rep->left_out.begin()->second;
  if (rep->components.empty()) {
    WANLITE_ASSIGN_OR_RETURN(unread_, ListWeightFiles(env_, dir_));
  } else if (!loose.empty()) {
    rep->notes.push_back(
        absl::StrCat(dir_, ": left out, being beside the components' folders: ", JoinFew(loose)));
  }
  return absl::OkStatus();
}

absl::Status FolderOpener::OpenExperts(ModelFolder::Rep* rep) {
  rep->layout = FolderLayout::kOriginal;
  for (const auto& [folder, name] :
       {std::pair<std::string, std::string>{kHighNoiseFolder, "transformer"},
        {kLowNoiseFolder, "transformer_2"}}) {
    const std::string dir = JoinPath(dir_, folder);
    if (env_.FolderExists(dir)) WANLITE_RETURN_IF_ERROR(OpenComponentFolder(name, dir, rep));
  }
  return OpenFlat(rep, /*beside_experts=*/true);
}

absl::Status FolderOpener::ReadFlat(const WeightFileGroup& group, LooseFile* file) {
  file->stem = group.stem;
  file->candidate.where = JoinPath(
      dir_, group.files.size() == 1 ? group.files.front() : absl::StrCat(group.stem, "-*"));
  WANLITE_ASSIGN_OR_RETURN(file->candidate.weights, OpenWeightFiles(env_, dir_, group));
  file->of_names = RecognizeNames(*file->candidate.weights.source, architectures_);
  const std::string sidecar = JoinPath(dir_, absl::StrCat(group.stem, ".", kConfigFile));
  file->has_sidecar = env_.FileExists(sidecar);
  if (!file->has_sidecar) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(file->candidate.config, ReadConfig(env_, sidecar));
  return absl::OkStatus();
}

// The folder's config goes to the files that it is for.
absl::Status FolderOpener::ShareConfig(bool alone, std::vector<LooseFile>* files) {
  const std::string path = JoinPath(dir_, kConfigFile);
  if (!env_.FileExists(path)) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const ConfigText config, ReadConfig(env_, path));
  const bool nameless = config.class_name.empty();
  const Architecture* of_config = nameless ? nullptr : architectures_.Find(config.class_name);
  const bool some_known = absl::c_any_of(
      *files, [&](const LooseFile& file) { return file.of_names == of_config && of_config; });
  for (LooseFile& file : *files) {
    if (file.has_sidecar) continue;
    // One that is not understood is for all of them, so that none gets defaults in its place.
    const bool fits =
        alone || (!nameless && of_config == nullptr) ||
        (nameless ? file.of_names != nullptr && file.of_names->role == ComponentRole::kDenoiser
                  : file.of_names == of_config || (file.of_names == nullptr && !some_known));
    if (fits) file.candidate.config = config;
  }
  return absl::OkStatus();
}

absl::Status FolderOpener::OpenFlat(ModelFolder::Rep* rep, bool beside_experts) {
  WANLITE_ASSIGN_OR_RETURN(const WeightFiles files, ListWeightFiles(env_, dir_));
  unread_ = files;
  // Several sets with the libraries' own names are one component with variants beside it.
  const bool alone = files.groups.size() == 1 && !beside_experts;
  // Where not all components are wanted, those that are not need not be readable.
  const bool strict = options_.components.empty();
  absl::Status passed_over;  // the first reason
  std::vector<LooseFile> read, found;
  for (const WeightFileGroup& group : files.groups) {
    LooseFile file;
    const absl::Status status = ReadFlat(group, &file);
    if (strict) WANLITE_RETURN_IF_ERROR(status);
    passed_over.Update(status);
    if (status.ok()) read.push_back(std::move(file));
  }
  if (!beside_experts) WANLITE_RETURN_IF_ERROR(ShareConfig(alone, &read));
  for (LooseFile& file : read) {
    const bool stray = !file.candidate.config.has_value() && file.of_names == nullptr;
    const absl::StatusOr<const Architecture*> architecture = ChooseConfig(alone, &file.candidate);
    if (architecture.ok()) {
      file.architecture = *architecture;
      found.push_back(std::move(file));
      continue;
    }
    if (strict && !stray) return architecture.status();
    passed_over.Update(architecture.status());
    rep->notes.push_back(absl::StrCat(file.candidate.where,
                                      " is left out: it is of no network that this build knows"));
  }
  if (found.empty() && rep->components.empty()) WANLITE_RETURN_IF_ERROR(passed_over);

  std::vector<std::string> component_of(found.size());
  std::vector<size_t> denoisers;
  for (size_t i = 0; i < found.size(); ++i) {
    component_of[i] = RoleFolder(found[i].architecture->role);
    if (found[i].architecture->role == ComponentRole::kDenoiser) denoisers.push_back(i);
    if (found[i].architecture->role == ComponentRole::kOther && (found[i].has_sidecar || !alone)) {
      component_of[i] = found[i].stem;
    }
  }
  for (const size_t i : denoisers) {
    const bool lone = denoisers.size() == 1;
    // A lone expert is what the caller says it is, else what its file or folder is called.
    const bool first = absl::c_linear_search(options_.components, "transformer");
    const bool second = absl::c_linear_search(options_.components, "transformer_2");
    std::string name;
    if (lone && first != second) {
      name = first ? "transformer" : "transformer_2";
    } else {
      WANLITE_ASSIGN_OR_RETURN(name, ExpertOfFile(found[i].candidate.where, found[i].stem, lone));
      if (lone && name.empty()) name = ExpertOfFolder(Basename(dir_));
    }
    if (!lone && name.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          found[i].candidate.where, ": cannot tell which expert this is; name the files ",
          "…high_noise….safetensors and …low_noise….safetensors"));
    }
    if (!name.empty()) component_of[i] = name;
  }
  std::vector<size_t> order(found.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return ByRank(component_of[a], component_of[b]); });
  bool original = beside_experts;
  for (const size_t i : order) {
    const std::string& name = component_of[i];
    if (absl::c_linear_search(found_, name)) {
      if (beside_experts && !ExpertOfFolder(name).empty()) {
        rep->notes.push_back(absl::StrCat(found[i].candidate.where,
                                          " is left out: the expert in its folder is taken"));
        continue;
      }
      return absl::InvalidArgumentError(
          absl::StrCat(found[i].candidate.where, " is a second ", QuoteName(name), " in ", dir_));
    }
    if (absl::StrContains(name, ".")) {
      return absl::InvalidArgumentError(absl::StrCat(found[i].candidate.where, ": the name of a ",
                                                     "component cannot hold a dot"));
    }
    found_.push_back(name);
    if (!Wanted(name)) continue;
    WANLITE_ASSIGN_OR_RETURN(OpenedComponent opened,
                             LoadComponent(found[i].candidate, *found[i].architecture, name));
    original = original || opened.scheme == NameScheme::kOriginal;
    rep->components.push_back(std::move(opened));
  }
  rep->layout = original ? FolderLayout::kOriginal : FolderLayout::kDiffusers;
  for (const std::string& name : options_.components) {
    if (!absl::c_linear_search(found_, name)) WANLITE_RETURN_IF_ERROR(passed_over);
  }
  return absl::OkStatus();
}

absl::Status FolderOpener::OpenWanlite(ModelFolder::Rep* rep) {
  rep->layout = FolderLayout::kWanlite;
  const std::string manifest_path = JoinPath(dir_, kManifestFile);
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env_.ReadFile(manifest_path));
  WANLITE_ASSIGN_OR_RETURN(Manifest manifest, ManifestFromJson(text, manifest_path));
  std::vector<std::string>& verified = rep->verification.verified;
  // People edit settings, so these are compared when that is asked for, and else left alone.
  for (const FileEntry& file : manifest.files()) {
    if (!options_.verify) break;
    WANLITE_RETURN_IF_ERROR(
        CheckFile(env_, JoinPath(dir_, file.path()), file, /*verify=*/true, options_.cancel));
    verified.push_back(file.path());
  }
  for (const ComponentEntry& entry : manifest.components()) {
    found_.push_back(entry.name());
    if (!Wanted(entry.name())) continue;
    OpenedComponent opened;
    opened.name = entry.name();
    opened.where = JoinPath(dir_, entry.name());
    opened.scheme = NameScheme::kOriginal;
    const Architecture* architecture = architectures_.Find(entry.architecture());
    if (architecture == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat(manifest_path, ": component ", QuoteName(entry.name()), " is a ",
                       QuoteName(entry.architecture()), ", which this build does not know"));
    }
    opened.architecture = *architecture;
    std::vector<DerivedSource::Entry> tensors;
    for (const FileEntry& file : entry.files()) {
      const std::string path = JoinPath(opened.where, file.path());
      WANLITE_RETURN_IF_ERROR(CheckFile(env_, path, file, options_.verify, options_.cancel));
      if (options_.verify) {
        verified.push_back(entry.name().empty() ? file.path()
                                                : JoinPath(entry.name(), file.path()));
      }
      if (file.path() == kConfigFile) {
        WANLITE_ASSIGN_OR_RETURN(const ConfigText config, ReadConfig(env_, path));
        opened.config_json = config.text;
      }
      if (!absl::EndsWith(file.path(), ".safetensors")) continue;
      WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const SafetensorsFile> opened_file,
                               SafetensorsFile::Open(env_, path));
      for (const TensorInfo& info : opened_file->tensors()) {
        tensors.push_back(DerivedSource::Renamed(info.name, opened_file, info.name));
      }
    }
    if (opened.config_json.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          manifest_path, ": component ", QuoteName(entry.name()), " lists no ", kConfigFile));
    }
    absl::StatusOr<std::shared_ptr<const DerivedSource>> source =
        DerivedSource::Create(std::move(tensors));
    if (!source.ok()) return Annotate(source.status(), opened.where);
    opened.source = *std::move(source);
    for (const auto& [layer, format] : entry.weights()) {
      opened.formats[layer] = {format.format(), format.attributes_json()};
    }
    opened.block_origin.insert(entry.block_origin().begin(), entry.block_origin().end());
    opened.unit_origin.insert(entry.unit_origin().begin(), entry.unit_origin().end());
    rep->components.push_back(std::move(opened));
  }
  // Views have one order of components, whatever the order of the manifest.
  std::stable_sort(
      rep->components.begin(), rep->components.end(),
      [](const OpenedComponent& a, const OpenedComponent& b) { return ByRank(a.name, b.name); });
  if (given_config_.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(dir_, " is a wanlite checkpoint and has its configs; --config is not for it"));
  }
  rep->manifest = std::make_shared<const Manifest>(std::move(manifest));
  return absl::OkStatus();
}

}  // namespace wanlite
