// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Model folders: opening any layout wanlite reads, and writing checkpoints and exports durably.
//
//   diffusers   model_index.json + transformer/ transformer_2/ text_encoder/ vae/ …, each with a
//               config.json and one or several safetensors; also a lone component folder.
//               Components that this build does not know (an image encoder) are passed over, with a
//               note.
//   original    safetensors under the original Wan names, with or without high_noise_model/ and
//               low_noise_model/
//   wanlite     a diffusers-like folder with wanlite.json (the manifest), original names, one
//               safetensors file per block, any weight format
//
// Files are treated as hostile: sizes are checked before memory is taken, nothing outside the
// folder is read, through links neither (but for the blobs/ of the Hugging Face cache that the
// folder is in), pickles are refused.
#ifndef WANLITE_CHECKPOINT_H_
#define WANLITE_CHECKPOINT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/architecture.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"
#include "wanlite/tensor_source.h"

namespace wanlite {

class Manifest;  // generated from src/proto/manifest.proto

struct OpenOptions {
  // config.json for layouts that carry none (original names). Applies to the component it fits.
  std::string config_path;
  // Components to open; empty means all that are there. NotFound when one is missing.
  std::vector<std::string> components;
  // Read every byte of the files that the manifest lists and compare with its SHA-256. Other
  // layouts have no hashes: see ModelFolder::verification().
  bool verify = false;
  // Asked between the pieces of what is verified; never when null.
  const CancellationToken* cancel = nullptr;
};

// What OpenOptions::verify did: paths relative to the folder, sorted.
struct FolderVerification {
  std::vector<std::string> verified;  // read, and equal to their SHA-256
  std::vector<std::string> unknown;   // no hash of them is known
};

// An opened model folder. Immutable, thread-safe.
class ModelFolder {
 public:
  static absl::StatusOr<ModelFolder> Open(Env& env, absl::string_view dir,
                                          const OpenOptions& options,
                                          const ArchitectureRegistry& architectures);

  FolderLayout layout() const;
  const std::string& dir() const;
  std::vector<std::string> component_names() const;
  // What was assumed, and what in the folder was passed over: lines for people.
  const std::vector<std::string>& notes() const;
  // OK when the component is open, else why not: NotFound, or what keeps it from being read.
  absl::Status CheckHas(absl::string_view component) const;
  // Empty unless it was asked for.
  const FolderVerification& verification() const;
  // Text of model_index.json and scheduler/scheduler_config.json. For a video model without them,
  // what it is published with (a note says so); else empty when absent.
  const std::string& model_index_json() const;
  const std::string& scheduler_config_json() const;
  // Folder of the tokenizer files; empty when absent.
  const std::string& tokenizer_dir() const;
  // Null unless the layout is kWanlite.
  std::shared_ptr<const Manifest> manifest() const;
  // Total size of the tensor data.
  int64_t bytes() const;
  // Hash of what is inside, for lineages, run states and cache keys: names, shapes, configs, and
  // the files' hashes where a manifest has them, else samples of every tensor. The same wherever
  // the files lie.
  const std::string& fingerprint() const;

  // A hollow view over the opened components with a source attached: Lease() or LoadAll() to fill
  // it. Every tensor is checked: missing and extra ones, shapes, dtypes are InvalidArgument with
  // names. `components`: those to build, all when empty; errors as of CheckHas().
  absl::StatusOr<ModelView> BuildView(const std::vector<std::string>& components = {}) const;
  // The folder once more with this one of its components, read as in this one but mapped anew, so
  // that its memory can be freed by itself. Errors as of CheckHas() and Open().
  absl::StatusOr<ModelFolder> OpenAlone(absl::string_view component) const;

  // For the library's own files (src/checkpoint/model_folder_rep.h).
  struct Rep;
  const Rep& rep() const { return *rep_; }

 private:
  std::shared_ptr<const Rep> rep_;
};

// Writes a wanlite checkpoint block by block into a folder that is not yet a checkpoint: it becomes
// one by Finish(), which publishes wanlite.json last. A block file is published atomically and is a
// resume point.
class CheckpointWriter {
 public:
  // Creates `dir` or continues in it. AlreadyExists when it holds a finished checkpoint or anything
  // else that is not an unfinished one.
  static absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(Env& env, absl::string_view dir);
  virtual ~CheckpointWriter() = default;
  // True when the block's file is already published and its size and SHA-256 match its record.
  virtual bool HasBlock(absl::string_view block) const = 0;
  // `tensors`: full paths, all of one component.
  virtual absl::Status WriteBlock(absl::string_view component, absl::string_view block,
                                  const std::vector<NamedTensor>& tensors) = 0;
  // Takes a block over from another folder as it is there: its file becomes a link to that one, or
  // a copy where the disk has no links, and is neither read nor hashed, for the manifest there has
  // its SHA-256. False, and nothing done, when `source` is no wanlite checkpoint, or has no file of
  // its own for the block. DataLoss when the file has not the size that the manifest says.
  virtual absl::StatusOr<bool> AdoptBlock(absl::string_view component, absl::string_view block,
                                          const ModelFolder& source) = 0;
  // Writes configs and the manifest, model_index.json and the scheduler as ModelView::pipeline()
  // has them, and copies the tokenizer from the source folder. `view` gives formats and configs;
  // `lineage` is appended to the source's.
  virtual absl::Status Finish(const ModelView& view, const ModelFolder* source,
                              const Manifest& lineage) = 0;
};

// Writes a view in memory as a wanlite checkpoint in one go: a temporary sibling folder, then a
// rename. AlreadyExists when `dir` exists, FailedPrecondition for a streaming view, and for a
// component whose sizes changed while nothing says how its config.json tells them: neither its
// definition nor `source`.
absl::Status SaveCheckpoint(Env& env, absl::string_view dir, const ModelView& view,
                            const ModelFolder* source = nullptr);

// Bounds-checked reader of one safetensors file, its shards, and its writer.
absl::StatusOr<std::shared_ptr<const TensorSource>> OpenSafetensors(Env& env,
                                                                    absl::string_view path);
// Atomic and durable; the same tensors give the same bytes. Tensors of wider elements come first,
// else in the given order, so that all data is aligned for its dtype. Returns the SHA-256 of the
// file in hex.
absl::StatusOr<std::string> WriteSafetensors(
    Env& env, absl::string_view path, const std::vector<NamedTensor>& tensors,
    const std::vector<std::pair<std::string, std::string>>& metadata = {});

struct ExportOptions {
  FolderLayout layout = FolderLayout::kDiffusers;
  // Dtype of dense tensors in the export; unset keeps each tensor's own.
  std::optional<at::ScalarType> dtype;
  int64_t max_shard_bytes = int64_t{5} << 30;
  // Fills pruned networks with zeros where the programs that read a foreign layout want one size in
  // all blocks, or more heads: what they compute stays the same. Notes say what it costs.
  bool pad = false;
  // Feed-forward widths are rounded up to multiples of it, with `pad`. In [1, 1048576].
  int64_t pad_multiple = 1;
  // Called after each tensor with bytes done and bytes in all.
  std::function<void(int64_t, int64_t)> progress;
  // Asked before each tensor; a cancelled export leaves nothing. Never when null.
  const CancellationToken* cancel = nullptr;
  // Called with lines for people: what the export holds beside the model, and what is lost in it.
  std::function<void(absl::string_view)> note;
};
// Writes `folder` in another layout (quantized weights are expanded to dense for foreign layouts,
// one at a time). Atomic: the folder appears when it is complete. FailedPrecondition, before
// anything is written, when the programs that read that layout could not load it.
absl::Status ExportFolder(Env& env, const ModelFolder& folder, absl::string_view out_dir,
                          const ExportOptions& options);

}  // namespace wanlite

#endif  // WANLITE_CHECKPOINT_H_
