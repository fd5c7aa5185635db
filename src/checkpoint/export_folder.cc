// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/checkpoint/block_files.h"
#include "src/checkpoint/component_config.h"
#include "src/checkpoint/file_tools.h"
#include "src/checkpoint/manifest_json.h"
#include "src/checkpoint/model_folder_rep.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/checkpoint/safetensors_writer.h"
#include "src/checkpoint/unit_padding.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/checked_cast.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// One tensor of the export: a stored tensor, or a quantized linear's weight to be expanded.
struct ExportTensor {
  TensorInfo out;        // name, dtype and shape in the export
  std::string internal;  // path inside the component; of the linear when `quantized`
  bool quantized = false;
  // Path of the dense tensor inside the component.
  std::string dense_name() const { return quantized ? FullPath(internal, "weight") : internal; }
};

// Where a component of a foreign layout goes.
struct Place {
  std::string dir;          // relative to the export; empty for its root
  std::string stem;         // of the weight files
  std::string config_file;  // beside them
};

absl::StatusOr<Place> PlaceOf(const Component& component, FolderLayout layout, bool two_experts) {
  const std::string stem =
      component.role == ComponentRole::kTextEncoder ? "model" : "diffusion_pytorch_model";
  if (layout == FolderLayout::kDiffusers || component.name.empty()) {
    return Place{component.name, stem, kConfigFile};
  }
  if (component.role == ComponentRole::kDenoiser) {
    if (!two_experts) return Place{"", stem, kConfigFile};
    if (component.name == "transformer") return Place{kHighNoiseFolder, stem, kConfigFile};
    if (component.name == "transformer_2") return Place{kLowNoiseFolder, stem, kConfigFile};
    return absl::InvalidArgumentError(
        absl::StrCat("the original layout has no place for the denoiser ",
                     QuoteName(component.name), " beside transformer and transformer_2"));
  }
  // The original layout has one folder for several networks: each gets a config of its own name.
  return Place{"", component.name, absl::StrCat(component.name, ".", kConfigFile)};
}

std::string JsonText(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

// How components are padded, by name: those of which the programs that read the layout want more
// units. FailedPrecondition where they cannot build one from its config.
absl::StatusOr<std::map<std::string, UnitPadding>> FitForeignReaders(const ModelFolder& folder,
                                                                     const ModelView& view,
                                                                     const ExportOptions& options) {
  std::map<std::string, UnitPadding> paddings;
  if (options.layout == FolderLayout::kWanlite) return paddings;
  for (const Component& component : view.components()) {
    const OpenedComponent* opened = folder.rep().Find(component.name);
    if (opened == nullptr) continue;
    const Architecture& architecture = opened->architecture;
    WANLITE_ASSIGN_OR_RETURN(const std::string config, ConfigOf(component, &folder));
    absl::Status fits = architecture.exportable ? architecture.exportable(config, options.layout)
                                                : absl::OkStatus();
    std::string hint;
    if (architecture.padded_config && (options.pad || !fits.ok())) {
      const absl::StatusOr<std::string> padded =
          architecture.padded_config(config, options.pad ? options.pad_multiple : 1);
      if (!options.pad) {
        if (padded.ok()) hint = ", and so does this one when it is padded with zeros (--pad)";
      } else if (!padded.ok()) {
        fits = padded.status();
      } else {
        fits = absl::OkStatus();
        if (*padded != config) {
          WANLITE_ASSIGN_OR_RETURN(UnitPadding padding,
                                   UnitPadding::Create(view, component, architecture, *padded));
          paddings.emplace(component.name, std::move(padding));
        }
      }
    }
    if (fits.ok()) continue;
    return absl::Status(fits.code(),
                        absl::StrCat(component.name, " cannot be written in the layout ",
                                     FolderLayoutName(options.layout), ": ", fits.message(),
                                     "; the layout wanlite holds it", hint));
  }
  return paddings;
}

// Sizes of fp64, fp32, … order them; what the model keeps in fp32 is not lowered.
at::ScalarType OutDtype(const TensorInfo& info, bool keeps_float32,
                        const std::optional<at::ScalarType>& wanted) {
  if (!wanted.has_value() || !at::isFloatingType(info.dtype)) return info.dtype;
  if (keeps_float32 && c10::elementSize(*wanted) < c10::elementSize(at::kFloat)) return info.dtype;
  return *wanted;
}

class Exporter {
 public:
  Exporter(Env& env, const ModelFolder& folder, const ExportOptions& options, ModelView view,
           std::map<std::string, UnitPadding> paddings)
      : env_(env),
        folder_(folder),
        options_(options),
        view_(std::move(view)),
        paddings_(std::move(paddings)) {}

  absl::Status Run(const std::string& out_dir) {
    return options_.layout == FolderLayout::kWanlite ? WriteWanlite(out_dir)
                                                     : WriteForeign(out_dir);
  }

 private:
  absl::StatusOr<std::vector<ExportTensor>> PlanComponent(const Component& component);
  // Null for what keeps its sizes.
  const UnitPadding* PaddingOf(const Component& component) const {
    const auto found = paddings_.find(component.name);
    return found == paddings_.end() ? nullptr : &found->second;
  }
  // Gives the tensors their padded shapes, and says what that costs.
  absl::Status PlanPadding(const Component& component, std::vector<ExportTensor>& tensors);
  absl::Status WriteForeign(const std::string& out_dir);
  absl::Status WriteComponent(const Component& component, const std::vector<ExportTensor>& tensors,
                              const Place& place, const std::string& out_dir);
  absl::StatusOr<at::Tensor> Materialize(const OpenedComponent& opened, const ExportTensor& tensor);
  absl::StatusOr<at::Tensor> Value(const OpenedComponent& opened, const ExportTensor& tensor);
  absl::Status WriteWanlite(const std::string& out_dir);
  absl::Status WriteModelIndex(const std::string& out_dir);
  // What the index names and is no component, tokenizer or scheduler.
  absl::Status CopyOthers(const std::string& out_dir);
  void Note(absl::string_view text) {
    if (options_.note) options_.note(text);
  }
  void Progress(int64_t bytes) {
    done_bytes_ += bytes;
    if (options_.progress) options_.progress(done_bytes_, total_bytes_);
  }

  Env& env_;
  const ModelFolder& folder_;
  const ExportOptions& options_;
  ModelView view_;
  const std::map<std::string, UnitPadding> paddings_;  // by component
  int64_t done_bytes_ = 0;
  int64_t total_bytes_ = 0;
};

absl::StatusOr<std::vector<ExportTensor>> Exporter::PlanComponent(const Component& component) {
  const OpenedComponent& opened = *folder_.rep().Find(component.name);
  WANLITE_ASSIGN_OR_RETURN(const auto quantized, QuantizedLinears(view_, component));
  std::map<std::string, std::string> linear_of;  // state tensor -> its linear
  for (const auto& [path, weight] : quantized) {
    for (const WeightTensor& state : weight->State()) linear_of[FullPath(path, state.name)] = path;
  }
  TensorNames foreign = [](const std::string& internal) { return internal; };
  if (options_.layout == FolderLayout::kDiffusers) {
    WANLITE_ASSIGN_OR_RETURN(foreign, ForeignNames(opened.architecture, opened.config_json));
  }
  std::vector<ExportTensor> result;
  std::set<std::string> expanded;
  for (const NamedTensor& named : ModuleTensors(*component.module)) {
    const TensorInfo* info = opened.source->Find(named.name);
    if (info == nullptr) {
      return absl::InternalError(
          absl::StrCat(opened.where, ": tensor ", named.name, " has no source"));
    }
    const bool keeps = view_.KeepsFloat32(FullPath(component.name, named.name));
    const auto linear = linear_of.find(named.name);
    if (linear == linear_of.end()) {
      result.push_back({{foreign(named.name), OutDtype(*info, keeps, options_.dtype), info->shape},
                        named.name,
                        false});
      continue;
    }
    const std::string& path = linear->second;
    if (!expanded.insert(path).second) continue;
    // The dense weight takes the place of the format's tensors, in the precision of the layer's
    // bias.
    const LinearWeight& weight = *quantized.at(path);
    const TensorInfo* bias = opened.source->Find(FullPath(path, "bias"));
    const at::ScalarType own = bias == nullptr ? at::kFloat : bias->dtype;
    result.push_back({{foreign(FullPath(path, "weight")),
                       options_.dtype.value_or(own),
                       {weight.out_features(), weight.in_features()}},
                      path,
                      true});
  }
  WANLITE_RETURN_IF_ERROR(PlanPadding(component, result));
  return result;
}

absl::Status Exporter::PlanPadding(const Component& component, std::vector<ExportTensor>& tensors) {
  const UnitPadding* padding = PaddingOf(component);
  if (padding == nullptr) return absl::OkStatus();
  int64_t before = 0, after = 0;
  for (ExportTensor& tensor : tensors) {
    before += tensor.out.bytes();
    WANLITE_ASSIGN_OR_RETURN(tensor.out.shape, padding->ShapeOf(tensor.dense_name()));
    after += tensor.out.bytes();
  }
  char percent[32];
  std::snprintf(percent, sizeof(percent), "%.1f",
                100 * static_cast<double>(after - before) / static_cast<double>(before));
  Note(absl::StrCat(component.name,
                    " is padded with zeros: ", absl::StrJoin(padding->grown(), ", "), "; ",
                    after - before, " bytes more than ", before, " (", percent, " %)"));
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Exporter::Value(const OpenedComponent& opened,
                                           const ExportTensor& tensor) {
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, Materialize(opened, tensor));
  const auto padding = paddings_.find(opened.name);
  if (padding == paddings_.end()) return value;
  return padding->second.Pad(tensor.dense_name(), value);
}

absl::StatusOr<at::Tensor> Exporter::Materialize(const OpenedComponent& opened,
                                                 const ExportTensor& tensor) {
  if (!tensor.quantized) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, opened.source->Read(tensor.internal));
    return CheckedCast(value, tensor.out.dtype, tensor.out.name);
  }
  const LinearFormat& format = opened.formats.at(tensor.internal);
  std::map<std::string, at::Tensor> state;
  for (const TensorInfo& info : opened.source->tensors()) {
    const std::optional<std::string> suffix = PathInside(tensor.internal, info.name);
    if (!suffix.has_value() || *suffix == "bias" || absl::StrContains(*suffix, ".")) continue;
    WANLITE_ASSIGN_OR_RETURN(state[*suffix], opened.source->Read(info.name));
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> weight =
      folder_.rep().architectures.weight_formats().Build(format.format, state,
                                                         format.attributes_json);
  if (!weight.ok()) return Annotate(weight.status(), tensor.internal);
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor dense,
                           CatchTorch([&] { return (*weight)->Dequantize(); }));
  WANLITE_ASSIGN_OR_RETURN(const bool finite,
                           CatchTorch([&] { return dense.isfinite().all().item<bool>(); }));
  if (!finite) {
    return absl::InvalidArgumentError(
        absl::StrCat(opened.where, ": ", tensor.internal, ", expanded from ", format.format,
                     ", holds a NaN or an infinity: its scales are damaged or beyond fp32"));
  }
  return CheckedCast(dense, tensor.out.dtype, tensor.out.name);
}

absl::Status Exporter::WriteComponent(const Component& component,
                                      const std::vector<ExportTensor>& tensors, const Place& place,
                                      const std::string& out_dir) {
  const OpenedComponent& opened = *folder_.rep().Find(component.name);
  const std::string dir = JoinPath(out_dir, place.dir);
  WANLITE_RETURN_IF_ERROR(env_.CreateFolders(dir));
  WANLITE_ASSIGN_OR_RETURN(std::string config, ConfigOf(component, &folder_));
  if (const UnitPadding* padding = PaddingOf(component)) config = padding->config_json();
  if (options_.layout == FolderLayout::kOriginal && opened.architecture.original_config) {
    WANLITE_ASSIGN_OR_RETURN(config, opened.architecture.original_config(config));
  }
  WANLITE_RETURN_IF_ERROR(env_.WriteFileAtomically(JoinPath(dir, place.config_file), config));

  std::vector<std::vector<const ExportTensor*>> shards(1);
  int64_t shard_bytes = 0;
  int64_t all_bytes = 0;
  for (const ExportTensor& tensor : tensors) {
    const int64_t bytes = tensor.out.bytes();
    if (!shards.back().empty() && shard_bytes + bytes > options_.max_shard_bytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shards.back().push_back(&tensor);
    shard_bytes += bytes;
    all_bytes += bytes;
  }
  std::map<std::string, std::string> file_of;
  for (size_t i = 0; i < shards.size(); ++i) {
    std::string file = absl::StrCat(place.stem, ".safetensors");
    if (shards.size() > 1) {
      char number[32];
      std::snprintf(number, sizeof(number), "-%05zu-of-%05zu", i + 1, shards.size());
      file = absl::StrCat(place.stem, number, ".safetensors");
    }
    std::vector<TensorInfo> infos;
    std::map<std::string, const ExportTensor*> by_name;
    for (const ExportTensor* tensor : shards[i]) {
      infos.push_back(tensor->out);
      by_name[tensor->out.name] = tensor;
      file_of[tensor->out.name] = file;
    }
    WANLITE_ASSIGN_OR_RETURN(
        const std::unique_ptr<SafetensorsWriter> writer,
        SafetensorsWriter::Create(env_, JoinPath(dir, file), std::move(infos), {{"format", "pt"}}));
    for (const TensorInfo& info : writer->order()) {
      const ExportTensor& tensor = *by_name.at(info.name);
      WANLITE_RETURN_IF_ERROR(CheckCancelled(options_.cancel));
      {
        WANLITE_ASSIGN_OR_RETURN(const at::Tensor value, Value(opened, tensor));
        WANLITE_RETURN_IF_ERROR(writer->Append(value));
      }
      // Nothing of it is in use any more, so its pages need not stay.
      if (tensor.quantized) {
        for (const TensorInfo& stored : opened.source->tensors()) {
          if (PathInside(tensor.internal, stored.name).has_value())
            opened.source->Release(stored.name);
        }
      } else {
        opened.source->Release(tensor.internal);
      }
      Progress(info.bytes());
    }
    WANLITE_RETURN_IF_ERROR(writer->Finish().status());
  }
  if (shards.size() == 1) return absl::OkStatus();
  return env_.WriteFileAtomically(
      JoinPath(dir, absl::StrCat(place.stem, ".safetensors.index.json")),
      WeightIndexJson(file_of, all_bytes));
}

// [library, class] of diffusers' model_index.json; the class is null for a part that is not there.
bool IsIndexEntry(const nlohmann::ordered_json& value) {
  return value.is_array() && value.size() == 2 && value[1].is_string();
}

absl::Status Exporter::CopyOthers(const std::string& out_dir) {
  std::set<std::string> others;
  for (const auto& [name, why] : folder_.rep().left_out) others.insert(name);
  const auto index = nlohmann::ordered_json::parse(folder_.model_index_json(), nullptr,
                                                   /*allow_exceptions=*/false);
  if (index.is_object()) {
    for (const auto& [name, value] : index.items()) {
      if (IsIndexEntry(value) && IsSafeRelativePath(name) && !absl::StrContains(name, "/")) {
        others.insert(name);
      }
    }
  }
  const bool copies =
      options_.layout == FolderLayout::kDiffusers && folder_.layout() == FolderLayout::kDiffusers;
  for (const std::string& name : others) {
    if (name == "scheduler" || name == "tokenizer" || view_.FindComponent(name) != nullptr)
      continue;
    const std::string from = JoinPath(folder_.dir(), name);
    if (!copies || !env_.FolderExists(from)) {
      Note(absl::StrCat(name, " is not in the export"));
      continue;
    }
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFilesBelow(env_, from));
    for (const std::string& file : files) {
      const std::string to = JoinPath(JoinPath(out_dir, name), file);
      WANLITE_RETURN_IF_ERROR(env_.CreateFolders(Dirname(to)));
      WANLITE_RETURN_IF_ERROR(CopyFile(env_, JoinPath(from, file), to));
    }
    Note(absl::StrCat(name, " is copied as it is"));
  }
  return absl::OkStatus();
}

absl::Status Exporter::WriteModelIndex(const std::string& out_dir) {
  const std::string& text = folder_.model_index_json();
  bool has_denoiser = false;
  for (const Component& component : view_.components()) {
    has_denoiser = has_denoiser || component.role == ComponentRole::kDenoiser;
  }
  // A lone component folder has no index, and what is no video model gets none.
  if (text.empty() && (!has_denoiser || view_.components().front().name.empty())) {
    return absl::OkStatus();
  }
  nlohmann::ordered_json json;
  json["_class_name"] = "WanPipeline";
  if (!text.empty()) {
    json = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return absl::InternalError("model_index.json is no object any more");
  }
  const std::string path = JoinPath(out_dir, kModelIndexFile);
  if (options_.layout == FolderLayout::kOriginal) {
    // The settings alone: its folders are others.
    nlohmann::ordered_json settings = nlohmann::ordered_json::object();
    for (const auto& [key, value] : json.items()) {
      if (!IsIndexEntry(value)) settings[key] = value;
    }
    if (!settings.contains("boundary_ratio") && !settings.contains("wanlite_defaults")) {
      return absl::OkStatus();
    }
    Note(
        "Wan's own programs take boundary, shift, guidance and steps from their task's settings; "
        "wanlite reads them from model_index.json and scheduler/ here");
    return env_.WriteFileAtomically(path, JsonText(settings));
  }
  if (const auto own = json.find("wanlite_defaults"); own != json.end() && own->is_object()) {
    std::vector<std::string> settings;
    for (const char* key :
         {"num_inference_steps", "guidance_scale", "guidance_scale_2", "boundary_step"}) {
      if (own->contains(key)) settings.push_back(absl::StrCat(key, " ", (*own)[key].dump()));
    }
    if (!settings.empty()) {
      Note(absl::StrCat("diffusers takes these from its caller, not from the folder: ",
                        absl::StrJoin(settings, ", ")));
    }
  }
  bool complete = !text.empty();
  const auto add = [&](const std::string& name, const char* library, const std::string& type) {
    if (json.contains(name)) return;
    json[name] = {library, type};
    complete = false;
  };
  for (const Component& component : view_.components()) {
    add(component.name,
        component.role == ComponentRole::kTextEncoder ? "transformers" : "diffusers",
        component.architecture);
  }
  if (!folder_.tokenizer_dir().empty()) add("tokenizer", "transformers", "T5TokenizerFast");
  const auto scheduler =
      nlohmann::json::parse(folder_.scheduler_config_json(), nullptr, /*allow_exceptions=*/false);
  if (scheduler.is_object() && (scheduler.value("wanlite_sigma_grid", nlohmann::json()) == "even" ||
                                scheduler.contains("wanlite_timesteps"))) {
    const nlohmann::json timesteps = scheduler.value("wanlite_timesteps", nlohmann::json());
    Note(absl::StrCat(
        "diffusers spaces the steps in its own way: give its scheduler the sigmas that the model "
        "was distilled for, before the shift, set_timesteps(sigmas=[",
        timesteps.is_array() ? absl::StrCat("t / 1000 for t in ", timesteps.dump())
                             : std::string("1 - i / steps for i in range(steps)"),
        "])"));
  }
  if (scheduler.is_object() && scheduler.contains("_class_name") &&
      scheduler["_class_name"].is_string()) {
    add("scheduler", "diffusers", scheduler["_class_name"].get<std::string>());
  }
  return env_.WriteFileAtomically(path, complete ? text : JsonText(json));
}

absl::Status Exporter::WriteForeign(const std::string& out_dir) {
  WANLITE_RETURN_IF_ERROR(env_.CreateFolders(out_dir));
  // Until it is removed the folder does not open, whatever is in it.
  const std::string marker = JoinPath(out_dir, kJournalFile);
  WANLITE_RETURN_IF_ERROR(env_.WriteFileAtomically(marker, "{}\n"));
  int denoisers = 0;
  std::vector<std::vector<ExportTensor>> plans;
  for (const Component& component : view_.components()) {
    denoisers += component.role == ComponentRole::kDenoiser ? 1 : 0;
    WANLITE_ASSIGN_OR_RETURN(std::vector<ExportTensor> plan, PlanComponent(component));
    for (const ExportTensor& tensor : plan) total_bytes_ += tensor.out.bytes();
    plans.push_back(std::move(plan));
  }
  std::set<std::string> configs;
  for (size_t i = 0; i < plans.size(); ++i) {
    const Component& component = view_.components()[i];
    // A lone low-noise expert needs its folder's name to be known again.
    const bool by_folder = denoisers > 1 || component.name == "transformer_2";
    WANLITE_ASSIGN_OR_RETURN(const Place place, PlaceOf(component, options_.layout, by_folder));
    if (!configs.insert(JoinPath(place.dir, place.config_file)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the original layout has no place for ", QuoteName(component.name)));
    }
    WANLITE_RETURN_IF_ERROR(WriteComponent(component, plans[i], place, out_dir));
  }
  const bool diffusers = options_.layout == FolderLayout::kDiffusers;
  WANLITE_RETURN_IF_ERROR(WriteModelIndex(out_dir));
  WANLITE_RETURN_IF_ERROR(CopyOthers(out_dir));
  WANLITE_RETURN_IF_ERROR(WriteScheduler(env_, folder_.scheduler_config_json(), out_dir));
  WANLITE_RETURN_IF_ERROR(
      CopyTokenizer(env_, folder_, JoinPath(out_dir, diffusers ? "tokenizer" : "google/umt5-xxl")));
  WANLITE_RETURN_IF_ERROR(env_.RemoveFile(marker));
  return env_.SyncFolder(out_dir);
}

absl::Status Exporter::WriteWanlite(const std::string& out_dir) {
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer,
                           CheckpointWriter::Create(env_, out_dir));
  std::set<std::string> kept;  // tensors of weights that keep their dtype, by full path
  for (const LinearInfo& linear : view_.weights()) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, view_.Weight(linear.path));
    for (const WeightTensor& state : weight->State()) {
      if (state.role == WeightTensor::Role::kParameter) continue;
      kept.insert(FullPath(linear.path, state.name));
    }
  }
  const auto target = [&](const NamedTensor& named) {
    const TensorInfo info{named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()};
    return kept.contains(named.name)
               ? info.dtype
               : OutDtype(info, view_.KeepsFloat32(named.name), options_.dtype);
  };
  for (const NamedTensor& named : view_.Tensors()) {
    total_bytes_ += named.tensor.numel() * static_cast<int64_t>(c10::elementSize(target(named)));
  }
  const std::vector<BlockInfo> blocks = view_.blocks();
  for (const BlockInfo& block : blocks) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(options_.cancel));
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, view_.Lease(block.path));
    std::vector<NamedTensor> tensors = lease.State();
    int64_t bytes = 0;
    for (NamedTensor& named : tensors) {
      const at::ScalarType dtype = target(named);
      WANLITE_ASSIGN_OR_RETURN(named.tensor, CheckedCast(named.tensor, dtype, named.name));
      bytes += static_cast<int64_t>(named.tensor.nbytes());
    }
    WANLITE_RETURN_IF_ERROR(
        writer->WriteBlock(view_.ComponentOf(block.path).name, block.path, tensors));
    Progress(bytes);
  }
  return writer->Finish(view_, &folder_, Manifest());
}

}  // namespace

absl::Status ExportFolder(Env& env, const ModelFolder& folder, absl::string_view out_dir,
                          const ExportOptions& options) {
  if (options.max_shard_bytes <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_shard_bytes is ", options.max_shard_bytes, ", wanted at least 1"));
  }
  if (options.dtype.has_value() &&
      (!at::isFloatingType(*options.dtype) || c10::elementSize(*options.dtype) < 2)) {
    return absl::InvalidArgumentError(absl::StrCat("dtype is ", c10::toString(*options.dtype),
                                                   ", wanted a float of 16 bits or more"));
  }
  constexpr int64_t kMaxMultiple = int64_t{1} << 20;
  if (options.pad_multiple < 1 || options.pad_multiple > kMaxMultiple) {
    return absl::InvalidArgumentError(
        absl::StrCat("pad_multiple is ", options.pad_multiple, ", must be 1 to ", kMaxMultiple));
  }
  if (options.pad && options.layout == FolderLayout::kWanlite) {
    return absl::InvalidArgumentError("the layout wanlite holds all sizes, so nothing is padded");
  }
  WANLITE_ASSIGN_OR_RETURN(ModelView view, folder.BuildView());
  WANLITE_ASSIGN_OR_RETURN(auto paddings, FitForeignReaders(folder, view, options));
  return env.WriteFolderAtomically(out_dir, [&](const std::string& temporary) {
    return Exporter(env, folder, options, std::move(view), std::move(paddings)).Run(temporary);
  });
}

}  // namespace wanlite
