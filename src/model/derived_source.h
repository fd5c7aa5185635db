// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Tensors made of those of other sources when they are read: renamed, cut, scaled, put together.
// Shards are one source by it, foreign names are ours, components are a model, and an edited
// structure streams.
#ifndef WANLITE_SRC_MODEL_DERIVED_SOURCE_H_
#define WANLITE_SRC_MODEL_DERIVED_SOURCE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/linear_weight.h"
#include "wanlite/tensor_source.h"

namespace wanlite {

// Indices to keep along a dimension, in that order: {dim, int64 [n]}.
using AxisSelection = std::pair<int64_t, at::Tensor>;

// The given indices along a dimension; of a hollow tensor the shape that they leave.
at::Tensor SelectIndices(const at::Tensor& tensor, int64_t dim, const at::Tensor& index);
// value * factor in the dtype of value, rounded once. InvalidArgument for what that dtype cannot
// hold.
absl::StatusOr<at::Tensor> ScaleValues(const at::Tensor& value, double factor,
                                       absl::string_view name);

class DerivedSource final : public TensorSource {
 public:
  struct Piece {
    std::shared_ptr<const TensorSource> source;
    std::string name;                        // in `source`
    std::vector<AxisSelection> select = {};  // one after the other
    double scale = 1;                        // in the end
  };
  struct Entry {
    std::string name;
    std::vector<Piece> pieces;  // one dtype; equal shapes but for cat_dim
    int64_t cat_dim = 0;
    // In place of pieces.
    at::Tensor value = {};
    bool add = false;  // pieces are added up instead, in fp32 at least, and rounded once
  };
  static Entry Renamed(std::string name, std::shared_ptr<const TensorSource> source,
                       std::string source_name);
  // InvalidArgument when a name is there twice or pieces do not fit, NotFound when a source lacks
  // its tensor.
  static absl::StatusOr<std::shared_ptr<const DerivedSource>> Create(std::vector<Entry> entries);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  absl::StatusOr<at::Tensor> Read(absl::string_view name) const override;
  void Release(absl::string_view name) const override;
  void Prefetch(absl::string_view name) const override;

 private:
  DerivedSource() = default;
  const Entry* FindEntry(absl::string_view name) const;
  std::vector<TensorInfo> infos_;  // sorted by name
  std::vector<Entry> entries_;     // entries_[i] belongs to infos_[i]
};

// The tensors of a linear's weight as LinearWeight::Select leaves them, under the names they have
// in `source`, where the weight is whole. whole: hollow, with the shapes and dtypes of the source.
// Works for every format, since the format itself cuts.
absl::StatusOr<std::shared_ptr<const TensorSource>> SelectedWeightSource(
    std::shared_ptr<const TensorSource> source, std::string linear,
    std::shared_ptr<const LinearWeight> whole, std::vector<AxisSelection> select);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_DERIVED_SOURCE_H_
