// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/model_library.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class FolderLibrary : public ModelLibrary {
 public:
  FolderLibrary(Env& env, const ArchitectureRegistry& architectures, ModelFolder input,
                ModelFolder before)
      : env_(env),
        architectures_(architectures),
        input_(std::move(input)),
        before_(std::move(before)) {}

  absl::StatusOr<ModelView> Open(absl::string_view ref,
                                 const std::vector<std::string>& components) override {
    const ModelFolder* known = Known(ref);
    OpenOptions options;
    options.components = components;
    absl::StatusOr<ModelFolder> folder =
        known != nullptr && components.empty() ? *known
        : known != nullptr && components.size() == 1
            ? known->OpenAlone(components.front())  // read as it was, with the config it was given
            : ModelFolder::Open(env_, known != nullptr ? known->dir() : std::string(ref), options,
                                architectures_);
    if (!folder.ok()) return Annotate(folder.status(), absl::StrCat("model '", ref, "'"));
    return folder->BuildView();
  }

  absl::StatusOr<std::string> Fingerprint(absl::string_view ref) override {
    if (const ModelFolder* known = Known(ref); known != nullptr) return known->fingerprint();
    const auto found = fingerprints_.find(ref);
    if (found != fingerprints_.end()) return found->second;
    const auto folder = ModelFolder::Open(env_, ref, {}, architectures_);
    if (!folder.ok()) return Annotate(folder.status(), absl::StrCat("model '", ref, "'"));
    return fingerprints_[std::string(ref)] = folder->fingerprint();
  }

 private:
  const ModelFolder* Known(absl::string_view ref) const {
    return ref == "input" ? &input_ : ref == "before" ? &before_ : nullptr;
  }

  Env& env_;
  const ArchitectureRegistry& architectures_;
  const ModelFolder input_, before_;
  std::map<std::string, std::string, std::less<>> fingerprints_;
};

}  // namespace

std::unique_ptr<ModelLibrary> NewModelLibrary(Env& env, const ArchitectureRegistry& architectures,
                                              ModelFolder input, ModelFolder before) {
  return std::make_unique<FolderLibrary>(env, architectures, std::move(input), std::move(before));
}

}  // namespace wanlite
