// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/folder_stamps.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "src/checkpoint/model_folder_rep.h"
#include "wanlite/status.h"

namespace wanlite {

absl::StatusOr<std::map<std::string, FileStamp>> StampsOf(Env& env, const ModelFolder& folder) {
  // A component's weights lie in its folder, or are named by their file.
  std::set<std::string> folders;
  for (const OpenedComponent& component : folder.rep().components) {
    folders.insert(env.FolderExists(component.where) ? component.where : Dirname(component.where));
  }
  std::map<std::string, FileStamp> stamps;
  for (const std::string& dir : folders) {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
    for (const std::string& name : names) {
      const std::string path = JoinPath(dir, name);
      if (!absl::EndsWith(name, ".safetensors") || !env.FileExists(path)) continue;
      const std::string below(absl::StripPrefix(path, folder.dir() + "/"));
      WANLITE_ASSIGN_OR_RETURN(stamps[below], env.Stamp(path));
    }
  }
  return stamps;
}

}  // namespace wanlite
