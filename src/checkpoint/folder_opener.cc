// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/folder_opener.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/checkpoint/file_tools.h"
#include "src/checkpoint/manifest_json.h"
#include "src/checkpoint/renamed_source.h"
#include "src/checkpoint/safetensors_format.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Order of components in views and reports; others follow by name.
int Rank(const std::string& name) {
  constexpr absl::string_view kOrder[] = {"transformer", "transformer_2", "text_encoder", "vae"};
  const auto at = std::find(std::begin(kOrder), std::end(kOrder), name);
  return static_cast<int>(at - std::begin(kOrder));
}

bool ByRank(const std::string& a, const std::string& b) {
  return std::make_pair(Rank(a), a) < std::make_pair(Rank(b), b);
}

// Which expert a folder or file name speaks of; empty when of none.
std::string ExpertOf(absl::string_view name) {
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

std::string RoleFolder(ComponentRole role) {
  switch (role) {
    case ComponentRole::kDenoiser:
      return "transformer";
    case ComponentRole::kTextEncoder:
      return "text_encoder";
    case ComponentRole::kAutoencoder:
      return "vae";
    case ComponentRole::kOther:
      return "";
  }
  return "";
}

// The one group of a component's folder. Of several, that with the name the libraries give.
absl::StatusOr<const WeightFileGroup*> ChooseGroup(const std::string& dir,
                                                   const WeightFiles& files) {
  if (files.groups.empty()) {
    if (!files.pickles.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(dir, ": ", PickleAdvice(files.pickles)));
    }
    return absl::InvalidArgumentError(absl::StrCat(dir, " holds no .safetensors file"));
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

  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.ListFolder(dir_));
  const bool has_weights =
      absl::c_any_of(names, [](const std::string& n) { return absl::EndsWith(n, ".safetensors"); });
  if (env_.FileExists(JoinPath(dir_, kJournalFile))) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir_, " is not finished: ", kJournalFile,
                     " says that it is being written, or that the program "
                     "that wrote it was stopped; run the same command again"));
  }
  if (env_.FileExists(JoinPath(dir_, kManifestFile))) {
    WANLITE_RETURN_IF_ERROR(OpenWanlite(rep));
  } else if (!rep->model_index_json.empty()) {
    WANLITE_RETURN_IF_ERROR(OpenDiffusers(rep));
  } else if (env_.FolderExists(JoinPath(dir_, kHighNoiseFolder)) ||
             env_.FolderExists(JoinPath(dir_, kLowNoiseFolder))) {
    WANLITE_RETURN_IF_ERROR(OpenExperts(rep));
  } else if (has_weights) {
    WANLITE_RETURN_IF_ERROR(OpenFlat(rep, /*beside_experts=*/false));
  } else {
    WANLITE_RETURN_IF_ERROR(OpenDiffusers(rep));
  }
  return CheckFound(*rep);
}

absl::Status FolderOpener::CheckFound(const ModelFolder::Rep& rep) {
  const std::string pickles = pickles_.empty() ? "" : absl::StrCat("; ", PickleAdvice(pickles_));
  for (const std::string& name : options_.components) {
    if (rep.Find(name) != nullptr) continue;
    return absl::NotFoundError(absl::StrCat(
        dir_, " holds no component ", QuoteName(name), ", only ",
        found_.empty() ? "nothing that can be read" : absl::StrJoin(found_, ", "), pickles));
  }
  if (rep.components.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        dir_,
        " holds no model: wanted model_index.json with component folders, high_noise_model/ and "
        "low_noise_model/, .safetensors files, or a wanlite checkpoint (",
        kManifestFile, ")", pickles));
  }
  if (given_config_.has_value() && !given_config_used_) {
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
  // What cannot be told by itself is what the given config says, if that is all there is.
  if (alone && absl::IsInvalidArgument(own.status())) return use_given();
  return own;
}

absl::Status FolderOpener::OpenComponentFolder(const std::string& name, const std::string& dir,
                                               ModelFolder::Rep* rep) {
  found_.push_back(name);
  if (!Wanted(name)) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const WeightFiles files, ListWeightFiles(env_, dir));
  WANLITE_ASSIGN_OR_RETURN(const WeightFileGroup* group, ChooseGroup(dir, files));
  ComponentCandidate candidate;
  candidate.where = dir;
  WANLITE_ASSIGN_OR_RETURN(candidate.weights, OpenWeightFiles(env_, dir, *group));
  const std::string config = JoinPath(dir, kConfigFile);
  if (env_.FileExists(config)) {
    WANLITE_ASSIGN_OR_RETURN(candidate.config, ReadConfig(env_, config));
  }
  absl::StatusOr<const Architecture*> architecture = ChooseConfig(/*alone=*/false, &candidate);
  if (!architecture.ok() && options_.components.empty()) {
    return absl::Status(architecture.status().code(),
                        absl::StrCat(architecture.status().message(), " (component ", name,
                                     "; name the components to open if it is not needed)"));
  }
  WANLITE_RETURN_IF_ERROR(architecture.status());
  WANLITE_ASSIGN_OR_RETURN(OpenedComponent opened, LoadComponent(candidate, **architecture, name));
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
  if (Rank(name) == 4) return false;
  const auto names = env_.ListFolder(dir);
  return names.ok() && absl::c_any_of(*names, [](const std::string& file) {
           return absl::EndsWith(file, ".safetensors");
         });
}

absl::Status FolderOpener::OpenDiffusers(ModelFolder::Rep* rep) {
  rep->layout = FolderLayout::kDiffusers;
  WANLITE_ASSIGN_OR_RETURN(std::vector<std::string> names, env_.ListFolder(dir_));
  std::sort(names.begin(), names.end(), ByRank);
  for (const std::string& name : names) {
    if (!IsComponentFolder(name)) continue;
    if (absl::StrContains(name, ".")) {
      return absl::InvalidArgumentError(
          absl::StrCat(JoinPath(dir_, name), ": the name of a component ", "cannot hold a dot"));
    }
    WANLITE_RETURN_IF_ERROR(OpenComponentFolder(name, JoinPath(dir_, name), rep));
  }
  if (rep->components.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const WeightFiles files, ListWeightFiles(env_, dir_));
    pickles_ = files.pickles;
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

absl::Status FolderOpener::OpenFlat(ModelFolder::Rep* rep, bool beside_experts) {
  WANLITE_ASSIGN_OR_RETURN(const WeightFiles files, ListWeightFiles(env_, dir_));
  pickles_ = files.pickles;
  struct Found {
    ComponentCandidate candidate;
    const Architecture* architecture;
    std::string stem;
    bool has_sidecar;
  };
  // Several sets with the libraries' own names are one component with variants beside it.
  const bool alone = files.groups.size() == 1 && !beside_experts;
  std::vector<Found> found;
  for (const WeightFileGroup& group : files.groups) {
    Found entry;
    entry.stem = group.stem;
    entry.candidate.where = JoinPath(
        dir_, group.files.size() == 1 ? group.files.front() : absl::StrCat(group.stem, "-*"));
    WANLITE_ASSIGN_OR_RETURN(entry.candidate.weights, OpenWeightFiles(env_, dir_, group));
    // Its own config beside it, else the folder's when that is for this network.
    const std::string sidecar = JoinPath(dir_, absl::StrCat(group.stem, ".", kConfigFile));
    const std::string config = JoinPath(dir_, kConfigFile);
    entry.has_sidecar = env_.FileExists(sidecar);
    if (entry.has_sidecar) {
      WANLITE_ASSIGN_OR_RETURN(entry.candidate.config, ReadConfig(env_, sidecar));
    } else if (env_.FileExists(config) && !beside_experts) {
      WANLITE_ASSIGN_OR_RETURN(const ConfigText text, ReadConfig(env_, config));
      const Architecture* of_config =
          text.class_name.empty() ? nullptr : architectures_.Find(text.class_name);
      const Architecture* of_names = nullptr;
      for (const Architecture& architecture : architectures_.architectures()) {
        if (of_names == nullptr && RecognizesNames(architecture, *entry.candidate.weights.source)) {
          of_names = &architecture;
        }
      }
      const bool fits = of_names == nullptr ? alone || of_config != nullptr
                        : text.class_name.empty()
                            ? alone || of_names->role == ComponentRole::kDenoiser
                            : of_config == of_names;
      if (fits) entry.candidate.config = text;
    }
    absl::StatusOr<const Architecture*> architecture = ChooseConfig(alone, &entry.candidate);
    WANLITE_RETURN_IF_ERROR(architecture.status());
    entry.architecture = *architecture;
    found.push_back(std::move(entry));
  }

  std::vector<std::string> component_of(found.size());
  std::vector<size_t> denoisers;
  for (size_t i = 0; i < found.size(); ++i) {
    component_of[i] = RoleFolder(found[i].architecture->role);
    if (found[i].architecture->role == ComponentRole::kDenoiser) denoisers.push_back(i);
    if (found[i].architecture->role == ComponentRole::kOther && (found[i].has_sidecar || !alone)) {
      component_of[i] = found[i].stem;
    }
  }
  if (denoisers.size() == 1) {
    // A lone expert is what the caller says it is, else what its file or folder is called.
    std::string name = ExpertOf(found[denoisers[0]].stem);
    if (name.empty()) name = ExpertOf(Basename(dir_));
    const bool first = absl::c_linear_search(options_.components, "transformer");
    const bool second = absl::c_linear_search(options_.components, "transformer_2");
    if (first != second) name = first ? "transformer" : "transformer_2";
    if (!name.empty()) component_of[denoisers[0]] = name;
  } else {
    for (const size_t i : denoisers) {
      component_of[i] = ExpertOf(found[i].stem);
      if (component_of[i].empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            found[i].candidate.where, ": cannot tell which expert this is; name the files ",
            "…high_noise….safetensors and …low_noise….safetensors"));
      }
    }
  }
  std::vector<size_t> order(found.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return ByRank(component_of[a], component_of[b]); });
  bool original = beside_experts;
  for (const size_t i : order) {
    const std::string& name = component_of[i];
    if (absl::c_linear_search(found_, name)) {
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
  return absl::OkStatus();
}

absl::Status FolderOpener::OpenWanlite(ModelFolder::Rep* rep) {
  rep->layout = FolderLayout::kWanlite;
  const std::string manifest_path = JoinPath(dir_, kManifestFile);
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env_.ReadFile(manifest_path));
  WANLITE_ASSIGN_OR_RETURN(Manifest manifest, ManifestFromJson(text, manifest_path));
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
    std::vector<RenamedSource::Entry> tensors;
    for (const FileEntry& file : entry.files()) {
      const std::string path = JoinPath(opened.where, file.path());
      WANLITE_RETURN_IF_ERROR(CheckFile(env_, path, file, options_.verify, options_.cancel));
      if (file.path() == kConfigFile) {
        WANLITE_ASSIGN_OR_RETURN(const ConfigText config, ReadConfig(env_, path));
        opened.config_json = config.text;
      }
      if (!absl::EndsWith(file.path(), ".safetensors")) continue;
      WANLITE_ASSIGN_OR_RETURN(const std::shared_ptr<const SafetensorsFile> opened_file,
                               SafetensorsFile::Open(env_, path));
      for (const TensorInfo& info : opened_file->tensors()) {
        tensors.push_back({info.name, opened_file, info.name});
      }
    }
    if (opened.config_json.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          manifest_path, ": component ", QuoteName(entry.name()), " lists no ", kConfigFile));
    }
    absl::StatusOr<std::shared_ptr<const RenamedSource>> source =
        RenamedSource::Create(std::move(tensors));
    if (!source.ok()) return Annotate(source.status(), opened.where);
    opened.source = *std::move(source);
    for (const auto& [layer, format] : entry.weights()) {
      opened.formats[layer] = {format.format(), format.attributes_json()};
    }
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
