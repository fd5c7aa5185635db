// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What passes know of weight formats: how the matrix of one layer becomes a weight of the format.
// Passes that quantize, round with second moments, train or search are written against this, so
// that each of them works with each format.
#ifndef WANLITE_SRC_QUANT_WEIGHT_QUANTIZER_H_
#define WANLITE_SRC_QUANT_WEIGHT_QUANTIZER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/linear_weight.h"

namespace wanlite {

class LinearFormat;  // src/proto/quant.proto

// Sums of squares over the weights of one layer, for reports.
struct QuantizationError {
  double squared_error = 0;
  double squared_weight = 0;
  // |W - Q| / |W| in the Frobenius norm, 0 for a matrix of zeros.
  double Relative() const;
};

// What recorded inputs of one layer look like, in the basis of the format.
struct InputStatistics {
  // The magnitude that the largest code of a static quantizer stands for; positive, finite.
  double range = 0;
  at::Tensor channel_max;   // fp32 [in], largest magnitude of each feature
  at::Tensor channel_mean;  // fp32 [in], mean magnitude
};

// Of columns that share them.
struct GroupScales {
  at::Tensor scale;  // fp32 [out, groups]
  at::Tensor zero;   // fp32 of scale's shape, the code of 0; undefined where codes are symmetric
};

// What values are divided by to become codes: the scale, and 1 where that is 0.
at::Tensor DivisorOf(const at::Tensor& scale);

// The values that codes of a format stand for, row by row and group by group.
class WeightGrid {
 public:
  virtual ~WeightGrid();
  // Columns that share a scale; 0: all of a row.
  virtual int64_t group() const = 0;
  // Rows [n, in], fp32, in the basis that codes are made in: of weights and of inputs alike, so
  // that products stay what they are. The default changes nothing.
  virtual at::Tensor ToBasis(const at::Tensor& rows) const;
  // ToBasis() undone; orthogonal, as that is. The default changes nothing. Both take gradients.
  virtual at::Tensor FromBasis(const at::Tensor& rows) const;
  // What the weight reads of its input, as numbers: fp32 [n, in], in the basis, rounded as it
  // rounds them. inputs: floating [n, in]. The default is of weights that read floating inputs:
  // ToBasis().
  virtual at::Tensor RoundInput(const at::Tensor& inputs) const;
  // Whether scales may be learned: whether a grid of the same layer takes them whatever the matrix
  // has become.
  virtual bool free_scales() const { return true; }
  // Scales for one group, as Nearest() leaves them. columns: fp32 [out, n]; clip: part of the range
  // that is kept, in (0, 1]. Result: [out, 1]. A row of zeros has scale 0.
  virtual GroupScales Fit(const at::Tensor& columns, double clip = 1) const = 0;
  // The nearest scales that the format stores, of scales found elsewhere (learned, say). [out, any]
  virtual GroupScales Nearest(const GroupScales& scales) const = 0;
  // The nearest values of the grid. columns: fp32 [out, n]; scales: [out, 1].
  virtual at::Tensor Round(const at::Tensor& columns, const GroupScales& scales) const = 0;
  // The weight whose matrix is `rounded`, fp32 [out, in] in the basis, all of it values of the grid
  // of `scales`, [out, in / group] ([out, 1] for group 0). InvalidArgument for scales that the
  // format does not store.
  virtual absl::StatusOr<std::unique_ptr<LinearWeight>> Pack(
      const at::Tensor& rounded, const GroupScales& scales,
      const InputStatistics* statistics) const = 0;
};

// Immutable, thread-safe.
class WeightQuantizer {
 public:
  virtual ~WeightQuantizer();
  // For tables and messages: "int8", "int4 g64 w4a8".
  virtual std::string name() const = 0;
  // Whether Quantize() needs statistics of the layer's inputs.
  virtual bool needs_statistics() const { return false; }
  // What the layer cannot be: InvalidArgument, which the caller annotates with its name.
  virtual absl::Status CheckShape(int64_t out_features, int64_t in_features) const = 0;
  // The weight that Quantize() would leave, without values. Of a shape that CheckShape() takes.
  virtual std::unique_ptr<LinearWeight> Hollow(int64_t out_features, int64_t in_features) const = 0;
  // dense: fp32, bf16 or fp16 [out, in] on the CPU. `statistics` may be null unless they are
  // needed. InvalidArgument for weights that hold a NaN, an infinity or what the format cannot give
  // back finite, naming the row.
  virtual absl::StatusOr<std::unique_ptr<LinearWeight>> Quantize(
      const at::Tensor& dense, const InputStatistics* statistics,
      QuantizationError* error = nullptr) const = 0;
  // Null where the format is none. largest: the largest magnitude of the matrix, which formats with
  // a scale for all of it (NVFP4) start from; below 0: not known, and such formats have no grid.
  virtual std::unique_ptr<WeightGrid> Grid(int64_t in_features, double largest = -1) const {
    return nullptr;
  }
  // What of its arithmetic the CPU only simulates, without the speed that the format stands for; ""
  // for nothing. For plans and the lineage.
  virtual std::string simulation() const { return ""; }
  // What a plan says beside of layers of these shapes {out, in}.
  virtual std::vector<std::string> Notes(
      const std::vector<std::pair<int64_t, int64_t>>& shapes) const {
    return {};
  }
};

// Fills in the defaults of `format`. InvalidArgument as OptionError(), of fields below `field`, for
// a format that is not set, options that cannot be meant, and `linears` that are not empty.
absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeWeightQuantizer(LinearFormat& format,
                                                                     absl::string_view field);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_WEIGHT_QUANTIZER_H_
