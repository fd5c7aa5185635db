// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A named, shape-aware view of a live module tree. All edits of a model go through it, and they are
// all-or-nothing. Passes see models only through this class, so they work on any module tree.
#ifndef WANLITE_MODEL_VIEW_H_
#define WANLITE_MODEL_VIEW_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
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
  // The config.json for the sizes that the module has now, as Architecture::config_of. Whoever
  // changes sizes and saves the model needs it.
  std::function<absl::StatusOr<std::string>(absl::string_view config_json,
                                            const torch::nn::Module& module)>
      config_of = nullptr;
  bool resized = false;  // ModelView::KeepUnits changed sizes that config_json tells
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

  const std::vector<BlockInfo>& blocks() const;    // in forward order, each component's rest first
  const std::vector<LinearInfo>& linears() const;  // in forward order
  const std::vector<AxisGroup>& groups() const;
  // What runs beside the linears, as declared, for counts of operations.
  const std::vector<AttentionInfo>& attentions() const;
  const std::vector<ElementwiseInfo>& elementwise() const;
  // Tensors of which each token reads one row.
  const std::vector<std::string>& lookups() const;
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

  absl::StatusOr<const LinearWeight*> Weight(absl::string_view linear) const;

  // Edits. Each checks everything first and changes nothing on an error.
  absl::Status SetLinearWeight(absl::string_view linear, std::unique_ptr<LinearWeight> weight);
  // Keeps only the given units of an axis group, in ascending order, rescaling norms as declared.
  // keep: int64 [kept], strictly ascending, kept >= 1. Of a streaming view the blocks of the group
  // are cut again, from their source, by each lease.
  absl::Status KeepUnits(absl::string_view group, const at::Tensor& keep);
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
  // Fills everything for good: the model is in memory from here on.
  absl::Status LoadAll();

  // Casts the floating-point tensors that compute (dense weights, biases, norms) to `dtype`,
  // sparing those declared fp32 and the tensors of quantized weights. The model must be in memory.
  absl::Status Cast(at::ScalarType dtype);
  // Moves every tensor. The model must be in memory.
  absl::Status To(const at::Device& device);

  // SHA-256 over names, shapes, dtypes and weight formats; not over values.
  std::string Fingerprint() const;

 private:
  friend class BlockLease;
  struct Rep;
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
