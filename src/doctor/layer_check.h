// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// One layer of a compressed model beside the same layer of the original, on the same inputs.
#ifndef WANLITE_SRC_DOCTOR_LAYER_CHECK_H_
#define WANLITE_SRC_DOCTOR_LAYER_CHECK_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/linear_tap.h"
#include "wanlite/linear_weight.h"

namespace wanlite {

// What came into a layer.
struct SeenInput {
  at::Tensor rows;         // [n, in], some of them, evenly spread, in the layer's dtype
  at::Tensor channel_max;  // fp32 [in], over all rows
};

// Keeps inputs of layers, at most `rows` of each.
class InputKeeper : public LinearTap {
 public:
  explicit InputKeeper(int64_t rows) : rows_(rows) {}
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override;
  std::map<std::string, SeenInput> seen;  // by path

 private:
  const int64_t rows_;
};

struct ScaleRange {
  std::string name;            // "weight_scale"
  double least = 0, most = 0;  // magnitudes of those that are neither zero nor broken
  int64_t zeros = 0, broken = 0, count = 0;
};

struct LayerCheck {
  std::string path;
  std::string format;  // with its attributes
  double bits = 0;     // stored per weight
  // False: other sizes than the original's, or no input; then only what it holds is looked at.
  bool compared = false;
  // Of the product with the original's inputs, biases aside, and where it should end.
  double error = 0, band = 0;
  double weight_error = 0;  // of the matrix
  // Factor that brings the original's product nearest to its own.
  double gain = 1;
  int64_t wrong_rows = 0, zero_rows = 0, rows = 0;  // of output features
  double saturated_weights = 0;                     // share of codes at their limit
  // Share of the inputs' codes at their limit, -1 where there are none; one scale for all tokens?
  double saturated_inputs = -1;
  bool static_input = false;
  std::vector<ScaleRange> scales;
  double input_max = 0;
  // Largest magnitude of a channel of the input over the median channel's, and the channels with
  // the largest.
  double outlier_ratio = 0;
  std::vector<int64_t> outlier_channels;
  bool finite = true;
  std::string cause;  // in plain words; empty within its band

  bool healthy() const { return cause.empty(); }
};

struct TensorCheck {
  std::string path;
  double error = 0, band = 0;
  bool finite = true;
  std::string cause;
};

// Where the error of a product should end: by the bits that weights and inputs are kept in, and by
// what was pruned.
double ErrorBand(const LinearWeight& weight, const LinearWeight* original);

struct LayerPair {
  std::string path;
  const LinearWeight* weight = nullptr;
  const LinearWeight* original = nullptr;  // null: the original has no such layer
  const SeenInput* input = nullptr;        // of the original's layer; null: none was seen
  // Other layers of the block of the original, for weights that got into the wrong place.
  std::vector<std::pair<std::string, const LinearWeight*>> others = {};
};

// May throw c10::Error.
LayerCheck CheckLayer(const LayerPair& pair);

// Tensors of one name. May throw c10::Error.
TensorCheck CheckTensor(const std::string& path, const at::Tensor& tensor,
                        const at::Tensor& original);

}  // namespace wanlite

#endif  // WANLITE_SRC_DOCTOR_LAYER_CHECK_H_
