// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/checkpoint/block_files.h"
#include "src/checkpoint/confined_env.h"
#include "src/checkpoint/folder_opener.h"
#include "src/checkpoint/model_folder_rep.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/core/sha256.h"
#include "src/core/strict_json.h"
#include "src/model/derived_source.h"
#include "src/model/tensor_text.h"
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

// Where a manifest gives hashes of files they stand for the values. Elsewhere a page of each tensor
// does, half of it from either end: reading all of a model to open it would take minutes, and
// weights that were trained further differ everywhere.
absl::StatusOr<std::string> FingerprintOf(const ModelFolder::Rep& rep) {
  constexpr size_t kSampledBytes = 2048;
  Sha256 hash;
  hash.Update("wanlite model folder 2\n");
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
    for (const TensorInfo& info : infos) {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor tensor, component.source->Read(info.name));
      if (tensor.numel() == 0) continue;
      const absl::string_view bytes(static_cast<const char*>(tensor.const_data_ptr()),
                                    tensor.nbytes());
      hash.Update(bytes.substr(0, kSampledBytes));
      if (bytes.size() > kSampledBytes) {
        hash.Update(bytes.substr(std::max(kSampledBytes, bytes.size() - kSampledBytes)));
      }
    }
  }
  return hash.Finish();
}

// The tokenizer's files are read, and copied to whatever is made of the model, later.
absl::Status CheckTokenizerFiles(ConfinedEnv& inside, const std::string& dir) {
  if (dir.empty()) return absl::OkStatus();
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, inside.ListFolder(dir));
  for (const std::string& name : names) {
    const std::string path = JoinPath(dir, name);
    if (inside.FileExists(path)) WANLITE_RETURN_IF_ERROR(inside.CheckInside(path));
  }
  return absl::OkStatus();
}

}  // namespace

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
  rep->dir = WithoutTrailingSlashes(dir);
  rep->config_path = options.config_path;
  rep->architectures = architectures;
  // Links are followed no further than the folder goes, in whatever is read of it.
  ConfinedEnv inside(env, rep->dir);
  WANLITE_RETURN_IF_ERROR(FolderOpener(inside, rep->dir, options, architectures).Open(rep.get()));
  WANLITE_RETURN_IF_ERROR(CheckTokenizerFiles(inside, rep->tokenizer_dir));
  if (!rep->model_index_json.empty()) {
    WANLITE_RETURN_IF_ERROR(
        ParseStrictJson(rep->model_index_json, JoinPath(rep->dir, kModelIndexFile)).status());
  }
  if (!rep->scheduler_config_json.empty()) {
    WANLITE_RETURN_IF_ERROR(
        ParseStrictJson(rep->scheduler_config_json, JoinPath(rep->dir, kSchedulerConfig)).status());
  }
  for (const OpenedComponent& component : rep->components) {
    // What is made of the model records it in JSON.
    if (!IsUtf8(component.name)) {
      return absl::InvalidArgumentError(absl::StrCat(rep->dir, ": the name of component '",
                                                     absl::CHexEscape(component.name),
                                                     "' is not UTF-8; rename its folder or file"));
    }
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

const std::vector<std::string>& ModelFolder::notes() const { return rep_->notes; }
const FolderVerification& ModelFolder::verification() const { return rep_->verification; }

absl::Status ModelFolder::CheckHas(absl::string_view component) const {
  if (rep_->Find(component) != nullptr) return absl::OkStatus();
  const auto left_out = rep_->left_out.find(std::string(component));
  if (left_out != rep_->left_out.end()) return left_out->second;
  return absl::NotFoundError(absl::StrCat(rep_->dir, " has no component ", QuoteName(component),
                                          "; it has: ", absl::StrJoin(component_names(), ", ")));
}

absl::StatusOr<ModelFolder> ModelFolder::OpenAlone(absl::string_view component) const {
  WANLITE_RETURN_IF_ERROR(CheckHas(component));
  OpenOptions options;
  options.components = {std::string(component)};
  if (rep_->Find(component)->given_config) options.config_path = rep_->config_path;
  return Open(*rep_->env, rep_->dir, options, rep_->architectures);
}

absl::StatusOr<ModelView> ModelFolder::BuildView(const std::vector<std::string>& wanted) const {
  for (const std::string& name : wanted) WANLITE_RETURN_IF_ERROR(CheckHas(name));
  std::vector<Component> components;
  std::vector<DerivedSource::Entry> entries;
  for (const OpenedComponent& opened : rep_->components) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), opened.name) == wanted.end()) {
      continue;
    }
    WANLITE_ASSIGN_OR_RETURN(Component component,
                             BuildComponent(opened, rep_->architectures.weight_formats()));
    components.push_back(std::move(component));
    for (const TensorInfo& info : opened.source->tensors()) {
      entries.push_back(
          DerivedSource::Renamed(FullPath(opened.name, info.name), opened.source, info.name));
    }
  }
  WANLITE_ASSIGN_OR_RETURN(ModelView view, ModelView::Create(std::move(components)));
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const DerivedSource> source,
                           DerivedSource::Create(std::move(entries)));
  view.AttachSource(std::move(source));
  view.SetPipeline({rep_->model_index_json, rep_->scheduler_config_json});
  return view;
}

}  // namespace wanlite
