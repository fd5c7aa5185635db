// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A named, shape-aware view of a live module tree. All edits of a model go through it, and they are
// all-or-nothing. Passes see models only through this class, so they work on any module tree.
#ifndef WANLITE_MODEL_VIEW_H_
#define WANLITE_MODEL_VIEW_H_

#include <ATen/core/Tensor.h>

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
#include "absl/types/span.h"
#include "wanlite/linear_weight.h"
#include "wanlite/tensor_source.h"
#include "wanlite/topology.h"

namespace torch::nn {
class Module;
}
namespace wanlite {
struct Architecture;
namespace nn {
class Linear;
}

enum class ComponentRole { kDenoiser, kTextEncoder, kAutoencoder, kOther };
absl::string_view ComponentRoleName(ComponentRole role);

// One network of a model. A video model has several (two experts, text encoder, autoencoder); a
// model of one's own usually one, with an empty name.
struct Component {
  std::string name;  // folder in the checkpoint and first path segment: "transformer"
  ComponentRole role = ComponentRole::kOther;
  std::string architecture;  // class name in its config.json: "WanTransformer3DModel"
  std::string config_json;   // text of its config.json
  std::shared_ptr<torch::nn::Module> module;
  // How networks of its class are built and described. Needed by whoever changes sizes and saves
  // the model, and by ModelView::Rebuild().
  std::shared_ptr<const Architecture> definition = nullptr;
  // Where blocks were dropped before: every block and what it was called then, by paths inside the
  // component ("blocks.3" -> "blocks.4").
  std::map<std::string, std::string> block_origin = {};
  // Where units were removed: how many the axis groups had before any were, by names inside the
  // component as they were before blocks were dropped ("blocks.4.ffn.channels" -> 40).
  std::map<std::string, int64_t> unit_origin = {};
  bool resized = false;  // ModelView::KeepUnits changed sizes that config_json tells
};

// What becomes of a component's structure. Paths are inside the component, as they are before the
// edit.
struct StructureEdit {
  std::vector<std::string> drop_blocks = {};  // "blocks.3"
  // New numbers of units of axis groups by name ("blocks.0.ffn.channels").
  std::map<std::string, int64_t> units = {};
};

// A tensor of the component as it was, or a part of one.
struct TensorPiece {
  std::string from;
  // Indices along dimensions, one after the other: {dim, int64 [n]}, in any order, repeated or not.
  std::vector<std::pair<int64_t, at::Tensor>> select = {};
  double scale = 1;  // in the end
};

// Where a tensor of an edited component comes from. Names a tensor, or a linear layer with all its
// tensors, whatever its weight format: then it is one piece, unscaled, of another linear, and what
// is selected of its rows (dim 0) is selected of its bias.
struct DerivedTensor {
  std::string name;
  std::vector<TensorPiece> pieces = {};  // put together along cat_dim
  int64_t cat_dim = 0;
  at::Tensor value = {};  // in place of pieces
  // The pieces, floating and of one shape, are added up instead: scales and all in fp32 at least,
  // rounded once.
  bool add = false;
};

// How a pipeline runs the model: the texts of model_index.json and scheduler/scheduler_config.json;
// empty for a model of no such folder. wanlite/sampling.h reads and edits them.
struct PipelineFiles {
  std::string model_index;
  std::string scheduler_config;
};

class BlockLease;

// Cheap to move, not copyable. Not thread-safe.
class ModelView {
 public:
  // Reads the declared topology and finds the linears. Linears no module describes are listed with
  // an empty kind. InvalidArgument when a declaration names a tensor that does not exist.
  static absl::StatusOr<ModelView> Create(std::vector<Component> components);
  ModelView(ModelView&&) noexcept;
  ModelView& operator=(ModelView&&) noexcept;
  ~ModelView();

  const std::vector<Component>& components() const;
  const Component* FindComponent(absl::string_view name) const;
  // The component that a full path belongs to.
  const Component& ComponentOf(absl::string_view path) const;

  // Of the folder that the model was opened in. A pass that makes a model for other settings than
  // its own (fewer steps, no guidance) sets them in Pass::Restructure(); a checkpoint of the model
  // is written with them.
  const PipelineFiles& pipeline() const;
  void SetPipeline(PipelineFiles files);

  const std::vector<BlockInfo>& blocks() const;    // in forward order, each component's rest first
  const std::vector<LinearInfo>& linears() const;  // in forward order
  const std::vector<AxisGroup>& groups() const;
  // Units that a group of groups() had before any were removed.
  int64_t OriginalUnits(const AxisGroup& group) const;
  // What runs beside the linears, as declared, for counts of operations.
  const std::vector<AttentionInfo>& attentions() const;
  const std::vector<ElementwiseInfo>& elementwise() const;
  // Tables of which each token reads one row (nn::Embedding), described as linears of the kind
  // "embedding". Not among linears(), since nothing is multiplied by them.
  const std::vector<LinearInfo>& embeddings() const;
  // Whatever Weight() knows: linears(), then embeddings().
  std::vector<LinearInfo> weights() const;
  const LinearInfo* FindLinear(absl::string_view path) const;
  // Block of a linear or tensor.
  const std::string& BlockOf(absl::string_view path) const;

  // Every tensor by its full path, in the order of the module tree. Of hollow models too: shapes
  // and dtypes are right, values are not.
  std::vector<NamedTensor> Tensors() const;
  // Those of one block; for a component's rest, those outside its blocks.
  std::vector<NamedTensor> BlockTensors(absl::string_view block) const;
  absl::StatusOr<at::Tensor> FindTensor(absl::string_view path) const;
  // Whether a tensor must stay fp32 under a lower compute dtype.
  bool KeepsFloat32(absl::string_view tensor_path) const;

  // Of a linear or an embedding; SetLinearWeight() exchanges those of both.
  absl::StatusOr<const LinearWeight*> Weight(absl::string_view linear) const;

  // Edits. Each checks everything first and changes nothing on an error.
  absl::Status SetLinearWeight(absl::string_view linear, std::unique_ptr<LinearWeight> weight);
  // Keeps only the given units of an axis group, in ascending order, rescaling norms as declared.
  // keep: int64 [kept], strictly ascending, kept >= 1. Of a streaming view the blocks of the group
  // are cut again, from their source, by each lease.
  absl::Status KeepUnits(absl::string_view group, const at::Tensor& keep);
  // Builds a component anew from its config.json edited by Architecture::edit_config, with values
  // derived from those it has: in memory at once, of a streaming view by each lease. Blocks that
  // are left are numbered from 0 again ("blocks.4" becomes "blocks.3"); BlockInfo::origin tells
  // which they were. `tensors`: paths inside the component, names as after the edit, pieces as
  // before; a tensor that it does not name comes from the one of its name, in its block. The
  // component has another module afterwards (weights may have been moved out of the one before),
  // and what blocks(), linears() and groups() returned before is gone. FailedPrecondition without
  // Component::definition and while a block of the component is leased; InvalidArgument for an edit
  // that does not fit the model.
  absl::Status Rebuild(absl::string_view component, const StructureEdit& edit,
                       const std::vector<DerivedTensor>& tensors = {});
  // Leaves removable blocks out, by full paths, of one component or of several. As Rebuild().
  absl::Status DropBlocks(absl::Span<const std::string> blocks);
  // Takes a component out of the model. What components(), blocks(), linears() and groups()
  // returned before is gone. InvalidArgument for the only one; FailedPrecondition while a block of
  // the model is leased.
  absl::Status RemoveComponent(absl::string_view component);
  // Exchanges the value of a tensor that is not a linear's weight; shape and dtype stay.
  absl::Status SetTensor(absl::string_view path, const at::Tensor& value);

  // Where the tensors of hollow components come from: names in the source are full paths.
  void AttachSource(std::shared_ptr<const TensorSource> source);
  // From here on the block's tensors come from `now`: what was written of it after an edit, so that
  // leasing it again gives the edited values. Names in `now` are full paths. InvalidArgument or
  // NotFound when `now` lacks a tensor of the block or has it in another shape or dtype than the
  // block has now. No-op for a model in memory.
  absl::Status Rebase(absl::string_view block, std::shared_ptr<const TensorSource> now);
  // True when blocks must be leased before their values are read.
  bool streaming() const;
  // Fills the block's tensors from the source (no-op for a model in memory). One lease per block.
  absl::StatusOr<BlockLease> Lease(absl::string_view block);
  // What brings the block's values nearer (TensorSource::Prefetch), for a block that is leased
  // next. May be called on another thread while the model is used. Does nothing for a model in
  // memory.
  std::function<void()> ReadAhead(absl::string_view block) const;
  // Fills everything for good: the model is in memory from here on.
  absl::Status LoadAll();

  // Casts the floating-point tensors that compute (dense weights, biases, norms) to `dtype`,
  // sparing those declared fp32 and the tensors of quantized weights. The model must be in memory.
  absl::Status Cast(at::ScalarType dtype);
  // Moves every tensor. The model must be in memory.
  absl::Status To(const at::Device& device);

  // Lays the weights of linear layers out for this machine's kernels (LinearWeight::Packed), one
  // layer after another, and lets the pages that they came from go: memory holds no second copy.
  // The model is for running only from then on. It must be in memory, and cast.
  absl::Status PackWeights();

  // SHA-256 over names, shapes, dtypes and weight formats; not over values.
  std::string Fingerprint() const;

  // For the library's own files (src/model/model_view_rep.h).
  struct Rep;

 private:
  friend class BlockLease;
  explicit ModelView(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

// While it lives, the tensors of a block hold their values. Ends by destruction: a streaming view's
// block becomes hollow again (its new formats and shapes stay, its values do not), so write State()
// out before, and Rebase() the view on it if the block is to be leased again.
class BlockLease {
 public:
  BlockLease(BlockLease&&) noexcept;
  BlockLease& operator=(BlockLease&&) = delete;
  ~BlockLease();
  const std::string& block() const { return block_; }
  // All tensors of the block as they are now, by full path.
  std::vector<NamedTensor> State() const;

 private:
  friend class ModelView;
  BlockLease(ModelView::Rep* rep, std::string block) : rep_(rep), block_(std::move(block)) {}
  ModelView::Rep* rep_;
  std::string block_;
};

}  // namespace wanlite

#endif  // WANLITE_MODEL_VIEW_H_
