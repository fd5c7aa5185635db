// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/checkpoint/folder_opener.h"
#include "src/checkpoint/model_folder_rep.h"
#include "src/checkpoint/renamed_source.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/sha256.h"
#include "src/core/strict_json.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// A config's meaning without its spacing and key order.
std::string CanonicalJson(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return text;
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

// Where a manifest gives hashes of files they stand for the values. Elsewhere the first bytes of
// some tensors do: reading all of a model to open it would take minutes, and weights that were
// trained further differ everywhere.
absl::StatusOr<std::string> FingerprintOf(const ModelFolder::Rep& rep) {
  constexpr size_t kSampledTensors = 64;
  constexpr size_t kSampledBytes = 64;
  Sha256 hash;
  hash.Update("wanlite model folder 1\n");
  for (const OpenedComponent& component : rep.components) {
    hash.Update(absl::StrCat("component ", component.name, " ", component.architecture.name, "\n",
                             CanonicalJson(component.config_json), "\n"));
    const std::vector<TensorInfo>& infos = component.source->tensors();
    for (const TensorInfo& info : infos) {
      hash.Update(absl::StrCat(info.name, " ", c10::toString(info.dtype), " ",
                               ShapeText(info.shape), "\n"));
    }
    for (const auto& [layer, format] : component.formats) {
      hash.Update(absl::StrCat(layer, " ", format.format, " ", format.attributes_json, "\n"));
    }
    if (rep.manifest != nullptr) {
      for (const ComponentEntry& entry : rep.manifest->components()) {
        if (entry.name() != component.name) continue;
        for (const FileEntry& file : entry.files()) {
          hash.Update(absl::StrCat(file.path(), " ", file.sha256(), "\n"));
        }
      }
      continue;
    }
    const size_t step = std::max<size_t>(1, infos.size() / kSampledTensors);
    for (size_t i = 0; i < infos.size(); i += step) {
      if (infos[i].dtype == at::kBool) continue;  // may be refused, and says little
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor tensor, component.source->Read(infos[i].name));
      if (tensor.numel() == 0) continue;
      hash.Update(absl::string_view(static_cast<const char*>(tensor.const_data_ptr()),
                                    std::min(kSampledBytes, static_cast<size_t>(tensor.nbytes()))));
    }
  }
  return hash.Finish();
}

}  // namespace

absl::string_view FolderLayoutName(FolderLayout layout) {
  switch (layout) {
    case FolderLayout::kDiffusers:
      return "diffusers";
    case FolderLayout::kOriginal:
      return "original";
    case FolderLayout::kWanlite:
      return "wanlite";
  }
  return "unknown";
}

const OpenedComponent* ModelFolder::Rep::Find(absl::string_view name) const {
  for (const OpenedComponent& component : components) {
    if (component.name == name) return &component;
  }
  return nullptr;
}

absl::StatusOr<ModelFolder> ModelFolder::Open(Env& env, absl::string_view dir,
                                              const OpenOptions& options,
                                              const ArchitectureRegistry& architectures) {
  auto rep = std::make_shared<Rep>();
  rep->env = &env;
  rep->dir = std::string(dir);
  while (rep->dir.size() > 1 && rep->dir.back() == '/') rep->dir.pop_back();
  WANLITE_RETURN_IF_ERROR(FolderOpener(env, rep->dir, options, architectures).Open(rep.get()));
  if (!rep->model_index_json.empty()) {
    WANLITE_RETURN_IF_ERROR(
        ParseStrictJson(rep->model_index_json, JoinPath(rep->dir, kModelIndexFile)).status());
  }
  if (!rep->scheduler_config_json.empty()) {
    WANLITE_RETURN_IF_ERROR(
        ParseStrictJson(rep->scheduler_config_json, JoinPath(rep->dir, kSchedulerConfig)).status());
  }
  for (const OpenedComponent& component : rep->components) {
    for (const TensorInfo& info : component.source->tensors()) rep->bytes += info.bytes();
  }
  WANLITE_ASSIGN_OR_RETURN(rep->fingerprint, FingerprintOf(*rep));
  ModelFolder folder;
  folder.rep_ = std::move(rep);
  return folder;
}

FolderLayout ModelFolder::layout() const { return rep_->layout; }
const std::string& ModelFolder::dir() const { return rep_->dir; }

std::vector<std::string> ModelFolder::component_names() const {
  std::vector<std::string> names;
  for (const OpenedComponent& component : rep_->components) names.push_back(component.name);
  return names;
}

const std::string& ModelFolder::model_index_json() const { return rep_->model_index_json; }
const std::string& ModelFolder::scheduler_config_json() const {
  return rep_->scheduler_config_json;
}
const std::string& ModelFolder::tokenizer_dir() const { return rep_->tokenizer_dir; }
std::shared_ptr<const Manifest> ModelFolder::manifest() const { return rep_->manifest; }
int64_t ModelFolder::bytes() const { return rep_->bytes; }
const std::string& ModelFolder::fingerprint() const { return rep_->fingerprint; }

absl::StatusOr<ModelView> ModelFolder::BuildView() const {
  std::vector<Component> components;
  std::vector<RenamedSource::Entry> entries;
  for (const OpenedComponent& opened : rep_->components) {
    WANLITE_ASSIGN_OR_RETURN(Component component, BuildComponent(opened));
    components.push_back(std::move(component));
    for (const TensorInfo& info : opened.source->tensors()) {
      entries.push_back(
          {opened.name.empty() ? info.name : absl::StrCat(opened.name, ".", info.name),
           opened.source, info.name});
    }
  }
  WANLITE_ASSIGN_OR_RETURN(ModelView view, ModelView::Create(std::move(components)));
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const RenamedSource> source,
                           RenamedSource::Create(std::move(entries)));
  view.AttachSource(std::move(source));
  return view;
}

}  // namespace wanlite
