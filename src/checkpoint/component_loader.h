// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// From weight files and a config to one component under internal names: which architecture it is,
// which scheme its names follow, and what its config says in the form checkpoints keep.
#ifndef WANLITE_SRC_CHECKPOINT_COMPONENT_LOADER_H_
#define WANLITE_SRC_CHECKPOINT_COMPONENT_LOADER_H_

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/weight_files.h"
#include "wanlite/architecture.h"

namespace wanlite {

// kSame: the architecture knows one set of names only, or the files decide for neither.
enum class NameScheme { kSame, kOriginal, kDiffusers };

struct LinearFormat {
  std::string format;
  std::string attributes_json;
};

struct OpenedComponent {
  std::string name;
  Architecture architecture;
  std::string where;            // folder or file, for messages
  std::string config_json;      // in the form checkpoints keep
  bool given_config = false;    // its config is the one of OpenOptions
  bool default_config = false;  // no config was found, the architecture's defaults are assumed
  NameScheme scheme = NameScheme::kSame;
  std::shared_ptr<const TensorSource> source;       // internal names, relative to the component
  std::vector<std::string> unexpected;              // names in the files that mean nothing
  std::vector<std::string> notes;                   // assumptions and what was passed over
  std::map<std::string, LinearFormat> formats;      // linears that are not dense, by internal path
  std::map<std::string, std::string> block_origin;  // as Component::block_origin
  std::map<std::string, int64_t> unit_origin;       // as Component::unit_origin
};

// A config.json, parsed as far as needed to know what it is for.
struct ConfigText {
  std::string path;
  std::string text;
  std::string class_name;  // "_class_name" or architectures[0]; empty when it names none
  bool given = false;      // by OpenOptions, not by the folder
};
absl::StatusOr<ConfigText> ReadConfig(Env& env, const std::string& path);
// The folder that the libraries give a network of this role; empty for kOther.
std::string RoleFolder(ComponentRole role);
// "_class_name" of diffusers' configs, "architectures"[0] of transformers'; empty without either.
std::string ClassNameOf(const nlohmann::json& config);

// What is known about a component before its architecture is.
struct ComponentCandidate {
  std::string where;
  OpenedGroup weights;
  std::optional<ConfigText> config;
};

// Which architecture the candidate is: by its config's class name, else by its tensor names.
// Unimplemented for a class this build does not know, InvalidArgument when nothing fits.
absl::StatusOr<const Architecture*> ResolveArchitecture(const ComponentCandidate& candidate,
                                                        const ArchitectureRegistry& registry);

// The first architecture that knows the source's tensor names; nullptr when none does.
const Architecture* RecognizeNames(const TensorSource& source,
                                   const ArchitectureRegistry& registry);

absl::StatusOr<OpenedComponent> LoadComponent(const ComponentCandidate& candidate,
                                              const Architecture& architecture, std::string name);

// The module of a config, built without memory. Errors of the config come back annotated with
// `where`.
absl::StatusOr<std::shared_ptr<torch::nn::Module>> BuildHollow(const Architecture& architecture,
                                                               const std::string& config_json,
                                                               const std::string& where);
// The network's names in diffusers; internal ones where the architecture knows no others.
absl::StatusOr<TensorNames> ForeignNames(const Architecture& architecture,
                                         const std::string& config_json);
// Every tensor of a module by its path inside it.
std::vector<NamedTensor> ModuleTensors(const torch::nn::Module& module);

// A component with hollow tensors of the stored dtypes and formats, checked name by name and shape
// by shape against the source. InvalidArgument lists the first few of each kind of error.
absl::StatusOr<Component> BuildComponent(const OpenedComponent& opened,
                                         const WeightFormatRegistry& formats);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_COMPONENT_LOADER_H_
