// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/checkpoint/block_files.h"
#include "src/checkpoint/component_config.h"
#include "src/checkpoint/file_tools.h"
#include "src/checkpoint/manifest_json.h"
#include "src/checkpoint/model_folder_rep.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/checkpoint/safetensors_reader.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/core/strict_json.h"
#include "src/model/tensor_text.h"
#include "wanlite/checkpoint.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// model_index.json of what is left of the source's components: those that were taken out are null,
// as diffusers has what a pipeline does without, and a lone denoiser takes all timesteps.
absl::StatusOr<std::string> IndexFor(const ModelView& view, const ModelFolder* source,
                                     const std::string& text) {
  std::vector<std::string> gone;
  if (source != nullptr) {
    for (const std::string& name : source->component_names()) {
      if (view.FindComponent(name) == nullptr) gone.push_back(name);
    }
  }
  if (gone.empty()) return text;
  WANLITE_ASSIGN_OR_RETURN(nlohmann::json index, ParseStrictJson(text, kModelIndexFile));
  for (const std::string& name : gone) {
    if (index.contains(name)) index[name] = {nullptr, nullptr};
  }
  int denoisers = 0;
  for (const Component& component : view.components()) {
    if (component.role == ComponentRole::kDenoiser) ++denoisers;
  }
  if (denoisers == 1 && index.contains("boundary_ratio")) index["boundary_ratio"] = nullptr;
  return index.dump(2) + "\n";
}

// The folder while it is written: block files, each published atomically, and the journal, which is
// the manifest so far. A block counts when the journal lists it. Finish() completes the journal and
// renames it to wanlite.json: one atomic step between "never opens" and "complete".
class BlockCheckpointWriter final : public CheckpointWriter {
 public:
  BlockCheckpointWriter(Env& env, std::string dir, Manifest journal)
      : env_(env), dir_(std::move(dir)), journal_(std::move(journal)) {}

  bool HasBlock(absl::string_view block) const override {
    for (const ComponentEntry& component : journal_.components()) {
      const absl::StatusOr<std::string> file = BlockFile(component.name(), block);
      if (!file.ok()) continue;
      const FileEntry* entry = FindFile(component, *file);
      if (entry == nullptr) continue;
      const std::string path = JoinPath(ComponentDir(component.name()), *file);
      const absl::StatusOr<uint64_t> size = env_.FileSize(path);
      if (!size.ok() || *size != static_cast<uint64_t>(entry->bytes())) return false;
      const absl::StatusOr<std::string> hash = HashFile(env_, path);
      return hash.ok() && *hash == entry->sha256();
    }
    return false;
  }

  absl::Status WriteBlock(absl::string_view component, absl::string_view block,
                          const std::vector<NamedTensor>& tensors) override {
    WANLITE_ASSIGN_OR_RETURN(const std::string file, BlockFile(component, block));
    std::vector<NamedTensor> relative;
    for (const NamedTensor& named : tensors) {
      const std::optional<std::string> inside = PathInside(component, named.name);
      if (!inside.has_value()) {
        return absl::InvalidArgumentError(
            absl::StrCat("block ", block, ": tensor ", QuoteName(named.name),
                         " is not of component ", QuoteName(component)));
      }
      if (named.tensor.defined() && nn::IsHollow(named.tensor)) {
        return absl::FailedPreconditionError(absl::StrCat(
            "block ", block, ": tensor ", named.name, " holds no values; lease the block first"));
      }
      relative.push_back({*inside, named.tensor});
    }
    const std::string dir = ComponentDir(component);
    WANLITE_RETURN_IF_ERROR(env_.CreateFolders(dir));
    const std::string path = JoinPath(dir, file);
    WANLITE_ASSIGN_OR_RETURN(const std::string hash,
                             WriteSafetensors(env_, path, relative, {{"format", "pt"}}));
    WANLITE_ASSIGN_OR_RETURN(const uint64_t bytes, env_.FileSize(path));
    SetFile(EntryOf(component), file, static_cast<int64_t>(bytes), hash);
    return WriteJournal(journal_);
  }

  absl::StatusOr<bool> AdoptBlock(absl::string_view component, absl::string_view block,
                                  const ModelFolder& source) override {
    WANLITE_ASSIGN_OR_RETURN(const std::string file, BlockFile(component, block));
    const FileEntry* entry = nullptr;
    if (const std::shared_ptr<const Manifest> manifest = source.manifest(); manifest != nullptr) {
      for (const ComponentEntry& candidate : manifest->components()) {
        if (candidate.name() == std::string(component)) entry = FindFile(candidate, file);
      }
    }
    if (entry == nullptr || source.rep().env != &env_) return false;
    const std::string from = JoinPath(JoinPath(source.dir(), component), file);
    WANLITE_ASSIGN_OR_RETURN(const FileStamp stamp, env_.Stamp(from));
    if (stamp.bytes != static_cast<uint64_t>(entry->bytes())) {
      return absl::DataLossError(
          absl::StrCat(from, " has ", stamp.bytes, " bytes, its manifest says ", entry->bytes()));
    }
    const std::string dir = ComponentDir(component);
    const std::string to = JoinPath(dir, file);
    const absl::StatusOr<FileStamp> there = env_.Stamp(to);
    if (!there.ok() || !(*there == stamp)) {
      const FileEntry* copied = FindFile(EntryOf(component), file);
      if (copied != nullptr && copied->sha256() == entry->sha256() && HasBlock(block)) return true;
      if (there.ok()) WANLITE_RETURN_IF_ERROR(env_.RemoveFile(to));
      if (!env_.FolderExists(dir)) WANLITE_RETURN_IF_ERROR(env_.CreateFolders(dir));
      const absl::Status linked = env_.Link(from, to);
      if (absl::IsUnimplemented(linked)) {
        WANLITE_RETURN_IF_ERROR(CopyFile(env_, from, to));
        SetFile(EntryOf(component), file, entry->bytes(), entry->sha256());
        WANLITE_RETURN_IF_ERROR(WriteJournal(journal_));
        return true;
      }
      WANLITE_RETURN_IF_ERROR(linked);
      WANLITE_RETURN_IF_ERROR(env_.SyncFolder(dir));
    }
    // The journal on the disk does without it: to link again costs less than to write it.
    SetFile(EntryOf(component), file, entry->bytes(), entry->sha256());
    return true;
  }

  absl::Status Finish(const ModelView& view, const ModelFolder* source,
                      const Manifest& lineage) override {
    Manifest manifest;
    manifest.set_format_version(kManifestFormatVersion);
    manifest.set_writer(journal_.writer());
    for (const Component& component : view.components()) {
      WANLITE_RETURN_IF_ERROR(FinishComponent(view, component, source, manifest.add_components()));
    }
    WANLITE_RETURN_IF_ERROR(RemoveStrayFiles(manifest));
    PipelineFiles pipeline = view.pipeline();
    if (pipeline.model_index.empty() && source != nullptr) {
      pipeline = {source->model_index_json(), source->scheduler_config_json()};
    }
    if (!pipeline.model_index.empty()) {
      WANLITE_ASSIGN_OR_RETURN(const std::string index,
                               IndexFor(view, source, pipeline.model_index));
      WANLITE_RETURN_IF_ERROR(env_.WriteFileAtomically(JoinPath(dir_, kModelIndexFile), index));
    }
    WANLITE_RETURN_IF_ERROR(WriteScheduler(env_, pipeline.scheduler_config, dir_));
    if (source != nullptr) {
      WANLITE_RETURN_IF_ERROR(CopyTokenizer(env_, *source, JoinPath(dir_, "tokenizer")));
      if (source->manifest() != nullptr) {
        *manifest.mutable_lineage() = source->manifest()->lineage();
      }
    }
    for (const LineageEntry& entry : lineage.lineage()) *manifest.add_lineage() = entry;
    WANLITE_RETURN_IF_ERROR(ListSettings(env_, dir_, &manifest));
    WANLITE_RETURN_IF_ERROR(WriteJournal(manifest));
    WANLITE_RETURN_IF_ERROR(
        env_.Rename(JoinPath(dir_, kJournalFile), JoinPath(dir_, kManifestFile)));
    return env_.SyncFolder(dir_);
  }

 private:
  std::string ComponentDir(absl::string_view component) const { return JoinPath(dir_, component); }

  static const FileEntry* FindFile(const ComponentEntry& component, const std::string& path) {
    for (const FileEntry& file : component.files()) {
      if (file.path() == path) return &file;
    }
    return nullptr;
  }

  ComponentEntry& EntryOf(absl::string_view component) {
    for (ComponentEntry& entry : *journal_.mutable_components()) {
      if (entry.name() == std::string(component)) return entry;
    }
    ComponentEntry& entry = *journal_.add_components();
    entry.set_name(std::string(component));
    return entry;
  }

  static void SetFile(ComponentEntry& component, const std::string& path, int64_t bytes,
                      const std::string& hash) {
    FileEntry* file = nullptr;
    for (FileEntry& candidate : *component.mutable_files()) {
      if (candidate.path() == path) file = &candidate;
    }
    if (file == nullptr) file = component.add_files();
    file->set_path(path);
    file->set_bytes(bytes);
    file->set_sha256(hash);
  }

  absl::Status WriteJournal(const Manifest& manifest) {
    return env_.WriteFileAtomically(JoinPath(dir_, kJournalFile), ManifestToJson(manifest));
  }

  // Checks the component's blocks against the view, writes its config and index, and fills its
  // entry.
  absl::Status FinishComponent(const ModelView& view, const Component& component,
                               const ModelFolder* source, ComponentEntry* entry) {
    entry->set_name(component.name);
    entry->set_architecture(component.architecture);
    entry->set_role(std::string(ComponentRoleName(component.role)));
    entry->mutable_block_origin()->insert(component.block_origin.begin(),
                                          component.block_origin.end());
    entry->mutable_unit_origin()->insert(component.unit_origin.begin(),
                                         component.unit_origin.end());
    const std::string dir = ComponentDir(component.name);
    WANLITE_RETURN_IF_ERROR(env_.CreateFolders(dir));
    WANLITE_ASSIGN_OR_RETURN(const std::string config, ConfigOf(component, source));
    WANLITE_RETURN_IF_ERROR(env_.WriteFileAtomically(JoinPath(dir, kConfigFile), config));
    SetFile(*entry, kConfigFile, static_cast<int64_t>(config.size()), Sha256Hex(config));

    const ComponentEntry& written = EntryOf(component.name);
    std::map<std::string, std::string> file_of;
    int64_t total = 0;
    for (const BlockInfo& block : view.blocks()) {
      if (&view.ComponentOf(block.path) != &component) continue;
      WANLITE_ASSIGN_OR_RETURN(const std::string file, BlockFile(component.name, block.path));
      const FileEntry* record = FindFile(written, file);
      if (record == nullptr) {
        return absl::FailedPreconditionError(
            absl::StrCat(dir_, ": block ", block.path, " was not written"));
      }
      WANLITE_RETURN_IF_ERROR(
          CheckBlock(view, component, block.path, JoinPath(dir, file), file, &file_of, &total));
      *entry->add_files() = *record;
    }
    WANLITE_ASSIGN_OR_RETURN(const auto quantized, QuantizedLinears(view, component));
    for (const auto& [path, weight] : quantized) {
      WeightFormat& format = (*entry->mutable_weights())[path];
      format.set_format(std::string(weight->format()));
      format.set_attributes_json(weight->attributes());
    }
    const std::string stem =
        component.role == ComponentRole::kTextEncoder ? "model" : "diffusion_pytorch_model";
    const std::string index_file = absl::StrCat(stem, ".safetensors.index.json");
    const std::string index = WeightIndexJson(file_of, total);
    SetFile(*entry, index_file, static_cast<int64_t>(index.size()), Sha256Hex(index));
    return env_.WriteFileAtomically(JoinPath(dir, index_file), index);
  }

  // The file must hold just the tensors that the view has in the block now.
  absl::Status CheckBlock(const ModelView& view, const Component& component,
                          const std::string& block, const std::string& path,
                          const std::string& file, std::map<std::string, std::string>* file_of,
                          int64_t* total) {
    WANLITE_ASSIGN_OR_RETURN(const auto opened, SafetensorsFile::Open(env_, path));
    const std::vector<NamedTensor> wanted = view.BlockTensors(block);
    for (const NamedTensor& named : wanted) {
      const std::string name = PathInside(component.name, named.name).value_or(named.name);
      const TensorInfo* info = opened->Find(name);
      if (info == nullptr || named.tensor.sizes() != at::IntArrayRef(info->shape)) {
        return absl::FailedPreconditionError(
            absl::StrCat(path, ": tensor ", named.name, " is ",
                         info == nullptr ? "missing" : ShapeText(info->shape),
                         ", the model has it as ", ShapeText(named.tensor.sizes())));
      }
      (*file_of)[name] = file;
      *total += info->bytes();
    }
    if (opened->tensors().size() != wanted.size()) {
      return absl::FailedPreconditionError(absl::StrCat(path, " holds ", opened->tensors().size(),
                                                        " tensors, block ", block, " has ",
                                                        wanted.size()));
    }
    return absl::OkStatus();
  }

  // Block files of an earlier attempt that the finished model no longer has.
  absl::Status RemoveStrayFiles(const Manifest& manifest) {
    std::set<std::string> listed;
    for (const ComponentEntry& component : manifest.components()) {
      for (const FileEntry& file : component.files()) {
        listed.insert(JoinPath(ComponentDir(component.name()), file.path()));
      }
    }
    for (const ComponentEntry& component : journal_.components()) {
      for (const FileEntry& file : component.files()) {
        const std::string path = JoinPath(ComponentDir(component.name()), file.path());
        if (!listed.contains(path) && env_.FileExists(path)) {
          WANLITE_RETURN_IF_ERROR(env_.RemoveFile(path));
        }
      }
    }
    return absl::OkStatus();
  }

  Env& env_;
  const std::string dir_;
  Manifest journal_;
};

// What a killed write of ours leaves beside the published files: regular files under the names that
// temporary files get. Links are let be, whatever they are called.
absl::Status RemoveKilledWrites(Env& env, const std::string& dir) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
  for (const std::string& name : names) {
    const std::string path = JoinPath(dir, name);
    WANLITE_ASSIGN_OR_RETURN(const PathKind kind, env.KindOf(path));
    if (kind == PathKind::kFile && IsTemporaryName(name)) {
      WANLITE_RETURN_IF_ERROR(env.RemoveFile(path));
    } else if (kind == PathKind::kFolder) {
      WANLITE_RETURN_IF_ERROR(RemoveKilledWrites(env, path));
    }
  }
  return absl::OkStatus();
}

// Nothing of a checkpoint in the making may lie elsewhere: it would be written there.
absl::Status RefuseLinks(Env& env, const std::string& dir) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
  for (const std::string& name : names) {
    const std::string path = JoinPath(dir, name);
    WANLITE_ASSIGN_OR_RETURN(const PathKind kind, env.KindOf(path));
    if (kind == PathKind::kLink) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, " is a link, which no unfinished wanlite checkpoint holds"));
    }
    if (kind == PathKind::kFolder) WANLITE_RETURN_IF_ERROR(RefuseLinks(env, path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CheckpointWriter::Create(
    Env& env, absl::string_view dir_view) {
  std::string dir = WithoutTrailingSlashes(dir_view);
  if (env.FileExists(JoinPath(dir, kManifestFile))) {
    return absl::AlreadyExistsError(absl::StrCat(dir, " is a finished wanlite checkpoint already"));
  }
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  Manifest journal;
  const std::string journal_path = JoinPath(dir, kJournalFile);
  if (env.FileExists(journal_path)) {
    WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(journal_path));
    WANLITE_ASSIGN_OR_RETURN(journal, ManifestFromJson(text, journal_path));
    WANLITE_RETURN_IF_ERROR(RefuseLinks(env, dir));
    WANLITE_RETURN_IF_ERROR(RemoveKilledWrites(env, dir));
  } else {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
    for (const std::string& name : names) {
      // A kill right after the folder was made may have left the journal's temporary file.
      if (IsTemporaryName(name, kJournalFile)) continue;
      return absl::AlreadyExistsError(
          absl::StrCat(dir, " is not empty (", name, ") and is no unfinished wanlite checkpoint"));
    }
    WANLITE_RETURN_IF_ERROR(RemoveKilledWrites(env, dir));
    journal.set_format_version(kManifestFormatVersion);
    // Written before any block, so that from its first file on the folder does not pass for a
    // model.
    journal.set_writer(absl::StrCat("wanlite ", WANLITE_VERSION));
    WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(journal_path, ManifestToJson(journal)));
  }
  journal.set_writer(absl::StrCat("wanlite ", WANLITE_VERSION));
  return std::make_unique<BlockCheckpointWriter>(env, std::move(dir), std::move(journal));
}

absl::Status SaveCheckpoint(Env& env, absl::string_view dir, const ModelView& view,
                            const ModelFolder* source) {
  if (view.streaming()) {
    return absl::FailedPreconditionError(
        "SaveCheckpoint: the model is not in memory; LoadAll() it or write it block by block");
  }
  return env.WriteFolderAtomically(dir, [&](const std::string& folder) -> absl::Status {
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer,
                             CheckpointWriter::Create(env, folder));
    for (const BlockInfo& block : view.blocks()) {
      WANLITE_RETURN_IF_ERROR(writer->WriteBlock(view.ComponentOf(block.path).name, block.path,
                                                 view.BlockTensors(block.path)));
    }
    return writer->Finish(view, source, Manifest());
  });
}

}  // namespace wanlite
