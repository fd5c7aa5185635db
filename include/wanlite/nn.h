// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// For authors of model code: the layers that wanlite can edit. This header includes LibTorch's
// module header, which is slow to compile; users of finished models do not need it.
#ifndef WANLITE_NN_H_
#define WANLITE_NN_H_

#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>

#include "wanlite/linear_weight.h"
#include "wanlite/topology.h"

namespace wanlite {
class LinearTap;
}
namespace wanlite::nn {

// Who is told of a layer's inputs, and as which layer.
struct TapPoint {
  LinearTap* tap;
  LinearInfo linear;
};

// While one lives, NewTensor() on this thread makes hollow tensors: right shape and dtype, one
// element of storage (a NaN). A model built under a guard costs no memory; plans are made from it,
// and block leases fill it.
class HollowGuard {
 public:
  HollowGuard();
  ~HollowGuard();
  HollowGuard(const HollowGuard&) = delete;
  HollowGuard& operator=(const HollowGuard&) = delete;

 private:
  bool previous_;
};

// Storage of a parameter to be: uninitialised CPU memory, or hollow under a HollowGuard.
at::Tensor NewTensor(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat);
// A hollow tensor with the shape and dtype of another.
at::Tensor HollowLike(const at::Tensor& tensor);
// Whether the tensor was made hollow and never given values: its storage is marked. Views of a
// hollow tensor are hollow, copies are not. A tensor without elements never is.
bool IsHollow(const at::Tensor& tensor);

// A linear layer whose weight can be exchanged. Registers the tensors of its weight under their
// suffixes ("weight", "weight_scale", ...) and "bias" as parameters of the module, taking gradients
// where WeightTensor::trains says so. Do not call to(dtype) on a model with quantized weights: it
// would cast the integers too. Cast through ModelView::Cast().
class Linear : public torch::nn::Module {
 public:
  // A dense weight made by NewTensor(); not initialised.
  Linear(int64_t in_features, int64_t out_features, bool bias = true,
         at::ScalarType dtype = at::kFloat);

  // x: [..., in] -> [..., out]. Layers that read the same input share an Activation of it.
  at::Tensor forward(const Activation& x) const;

  const LinearWeight& weight() const { return *weight_; }
  const std::optional<at::Tensor>& bias() const { return bias_; }
  int64_t in_features() const { return weight_->in_features(); }
  int64_t out_features() const { return weight_->out_features(); }

  // Exchanges the weight and returns the old one; sizes must agree unless `resize`. Throws
  // c10::Error otherwise, and for a State() that cannot be registered (tensors undefined, named
  // twice or "bias", training but not floating); the layer is as it was then. Optimizers that hold
  // the old tensors must be rebuilt.
  std::unique_ptr<LinearWeight> SetWeight(std::unique_ptr<LinearWeight> weight,
                                          bool resize = false);
  // bias: [out] or absent.
  void SetBias(std::optional<at::Tensor> bias);

  // For TapLinears() (linear_tap.h): `point` is told of every input until another is set; null
  // tells nobody.
  void SetTap(const TapPoint* point) { tap_ = point; }
  bool tapped() const { return tap_ != nullptr; }

 private:
  // The layer's parameters were `weight` its weight.
  torch::OrderedDict<std::string, at::Tensor> ParametersWith(const LinearWeight& weight) const;
  std::unique_ptr<LinearWeight> weight_;
  std::optional<at::Tensor> bias_;
  const TapPoint* tap_ = nullptr;
};

// A table [rows, dim] of which each token reads one row. Its weight can be exchanged as that of a
// linear layer with `rows` outputs, which is what forward() applies (an output tied to the table).
class Embedding : public Linear {
 public:
  // A dense table made by NewTensor(); not initialised.
  Embedding(int64_t rows, int64_t dim, at::ScalarType dtype = at::kFloat);

  // ids: int64 [...], each in [0, rows) -> [..., dim], in the table's own dtype when it is dense,
  // else in `dtype`: only the rows that are read are expanded. Throws c10::Error for other ids.
  at::Tensor Lookup(const at::Tensor& ids, at::ScalarType dtype) const;
  at::Device device() const;
};

// A module that says how its tensors hang together. Implemented by every module of a model that
// passes may change structurally; a plain module needs nothing for layer-wise passes.
class Describable {
 public:
  virtual ~Describable() = default;
  // Called with a builder that stands at this module's path; again whenever the structure changed.
  // Declares the sizes as they are then, and changes nothing.
  virtual void Describe(TopologyBuilder& topology) const = 0;
};

}  // namespace wanlite::nn

#endif  // WANLITE_NN_H_
