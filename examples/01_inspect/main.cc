// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Opens a model folder and says what is inside. No weight is read: the view is hollow, shapes come
// from the headers of the files.
//
//   example_inspect MODEL_DIR
#include <iostream>
#include <map>
#include <string>

#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/model_view.h"
#include "wanlite/status.h"

namespace {

absl::Status Inspect(const std::string& dir) {
  WANLITE_ASSIGN_OR_RETURN(
      const wanlite::ModelFolder folder,
      wanlite::ModelFolder::Open(wanlite::PosixEnv(), dir, {}, wanlite::BuiltinArchitectures()));
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ModelView model, folder.BuildView());

  std::cout << dir << ": " << wanlite::FolderLayoutName(folder.layout()) << " layout, "
            << folder.bytes() << " bytes of tensors\n";

  std::map<std::string, int64_t> parameters;
  for (const wanlite::NamedTensor& tensor : model.Tensors()) {
    parameters[model.ComponentOf(tensor.name).name] += tensor.tensor.numel();
  }
  std::map<std::string, int64_t> blocks;
  for (const wanlite::BlockInfo& block : model.blocks()) {
    if (block.removable) ++blocks[model.ComponentOf(block.path).name];
  }
  std::map<std::string, std::map<std::string, int64_t>> formats;
  for (const wanlite::LinearInfo& linear : model.linears()) {
    WANLITE_ASSIGN_OR_RETURN(const wanlite::LinearWeight* weight, model.Weight(linear.path));
    ++formats[model.ComponentOf(linear.path).name][std::string(weight->format())];
  }

  for (const wanlite::Component& component : model.components()) {
    std::cout << "  " << component.name << ": " << component.architecture << " ("
              << wanlite::ComponentRoleName(component.role) << "), " << parameters[component.name]
              << " parameters, " << blocks[component.name] << " removable blocks";
    for (const auto& [format, count] : formats[component.name]) {
      std::cout << ", " << count << " " << format << " linears";
    }
    std::cout << "\n";
  }

  // What structured pruning could remove: groups of axes that must shrink together.
  std::map<std::string, int64_t> groups;
  for (const wanlite::AxisGroup& group : model.groups()) ++groups[group.kind];
  for (const auto& [kind, count] : groups) {
    std::cout << "  " << count << " groups of " << kind << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: example_inspect MODEL_DIR\n";
    return 2;
  }
  const absl::Status status = Inspect(argv[1]);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
