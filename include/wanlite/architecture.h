// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The kinds of network wanlite can build from a config.json. Passes never need this; readers of
// model folders do.
#ifndef WANLITE_ARCHITECTURE_H_
#define WANLITE_ARCHITECTURE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"
#include "wanlite/weight_formats.h"

namespace wanlite {

enum class FolderLayout { kDiffusers, kOriginal, kWanlite };
absl::string_view FolderLayoutName(FolderLayout layout);

// From the internal name of a tensor to its diffusers / transformers name. Internal names are the
// original Wan ones. Knows the tensors of every weight format ("….ffn.0.weight_scale").
using TensorNames = std::function<std::string(const std::string& internal_name)>;

// Shapes of tensors by name.
using TensorShapes = std::map<std::string, std::vector<int64_t>>;

// What a pipeline runs with when its folder does not say.
struct PipelineDefaults {
  std::string note;  // for people: which published model this is, and its settings
  std::string model_index_json;
  std::string scheduler_config_json;
};

struct Architecture {
  std::string name;  // `_class_name` or `architectures[0]` of config.json, "WanTransformer3DModel"
  std::vector<std::string> aliases;  // other class names for it ("WanModel" in original configs)
  ComponentRole role = ComponentRole::kOther;

  // Builds the module from the text of config.json; initialises nothing (build under an
  // nn::HollowGuard for a model without memory). InvalidArgument naming the field when the config
  // is wrong; Unimplemented for a variant that is not built.
  std::function<absl::StatusOr<std::shared_ptr<torch::nn::Module>>(absl::string_view config_json)>
      build;

  // The names that the network of this config has in diffusers and transformers. Asked for once per
  // config and called for every tensor, so readers invert it by table. Empty: internal names.
  std::function<absl::StatusOr<TensorNames>(absl::string_view config_json)> names;
  // Names that a diffusers file may hold beside those, and what they stand for: {"foreign",
  // "internal"}; an empty internal name means "ignore it".
  std::vector<std::pair<std::string, std::string>> foreign_aliases;

  // Translates any accepted form of config.json (original Wan keys, say) to the diffusers form that
  // checkpoints keep.
  std::function<absl::StatusOr<std::string>(absl::string_view config_json)> normalize_config;
  // The config.json of the original project for a diffusers one; may be empty, then exports in the
  // original layout keep the diffusers form.
  std::function<absl::StatusOr<std::string>(absl::string_view config_json)> original_config;
  // The config.json again after structural passes: sizes read from the module.
  std::function<absl::StatusOr<std::string>(absl::string_view config_json,
                                            const torch::nn::Module& module)>
      config_of;
  // The config.json of the network with its structure edited; empty: ModelView::Rebuild() is
  // Unimplemented. InvalidArgument for an edit that leaves no network.
  std::function<absl::StatusOr<std::string>(absl::string_view config_json,
                                            const StructureEdit& edit)>
      edit_config;
  // True when a file with these tensor names holds this network, under original or diffusers names.
  std::function<bool(const std::vector<std::string>& names)> recognizes;

  // Fills a parameter, by its name inside the network and in the dtype that it has, as it is where
  // the network is trained from nothing: equal seeds give equal values. Throws c10::Error for a
  // hollow one. Empty: networks of this kind are never begun anew.
  std::function<void(const std::string& name, const at::Tensor& parameter, uint64_t seed)>
      init_parameter;

  // The rest may be left empty.
  // Keys of config.json in any accepted form, those included that say nothing about the network;
  // keys that begin with '_' need no mention. A config without a class is for this network only if
  // it has one of them, and others are told to the user. Empty: any key.
  std::vector<std::string> config_keys;
  // The config.json that follows from the shapes of the tensors, under original or diffusers names,
  // and from what all published networks have in common; InvalidArgument when it does not follow.
  std::function<absl::StatusOr<std::string>(const TensorShapes& shapes)> config_of_shapes;
  // OK when the programs that read that layout can build the network from its config; else
  // FailedPrecondition with the reason. Not asked for kWanlite. Empty: they can.
  std::function<absl::Status(absl::string_view config_json, FolderLayout layout)> exportable;
  // The config.json of the smallest network that those programs can build and that computes the
  // same when zeros fill the units it has more: widths of feed-forward networks are the widest
  // one's, rounded up to `multiple` (at least 1). FailedPrecondition, naming the field, when there
  // is none. Empty: there never is.
  std::function<absl::StatusOr<std::string>(absl::string_view config_json, int64_t multiple)>
      padded_config;
  // Of a denoiser: what a pipeline of `experts` (1 or 2) such networks is published with.
  std::function<absl::StatusOr<PipelineDefaults>(absl::string_view config_json, int experts)>
      pipeline_defaults;
};

// A value; order of registration is the order of tries. No singletons.
class ArchitectureRegistry {
 public:
  absl::Status Register(Architecture architecture);
  // By name or alias; nullptr when unknown.
  const Architecture* Find(absl::string_view name) const;
  const std::vector<Architecture>& architectures() const { return architectures_; }
  // The weight formats that checkpoints of these networks may hold: dense alone, until others are
  // set (BuiltinWeightFormats()) or registered.
  WeightFormatRegistry& weight_formats() { return weight_formats_; }
  const WeightFormatRegistry& weight_formats() const { return weight_formats_; }

 private:
  std::vector<Architecture> architectures_;
  WeightFormatRegistry weight_formats_;
};

// Every architecture of this build (WanTransformer3DModel, UMT5EncoderModel, AutoencoderKLWan) with
// its weight formats.
const ArchitectureRegistry& BuiltinArchitectures();

}  // namespace wanlite

#endif  // WANLITE_ARCHITECTURE_H_
