// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The exchangeable weight of a linear layer. wanlite::nn::Linear never changes its place in a
// model; pruning, quantization and distillation exchange what is inside it. A new weight format is
// a new implementation of LinearWeight plus one line in the list of formats
// (src/model/weight_formats.cc).
#ifndef WANLITE_LINEAR_WEIGHT_H_
#define WANLITE_LINEAR_WEIGHT_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/tensor_source.h"

namespace wanlite {

// What a linear layer computes with, for counts of operations.
struct LinearArithmetic {
  // Width in bits of the two operands that are multiplied. A format that expands its weights before
  // the product (weight-only quantization) has the width it expands to; what is stored is
  // bits_per_weight().
  int weight_bits = 32;
  int activation_bits = 32;
  bool integer = false;  // both operands are integers
  // Element-wise operations beside the product: per element of the input (quantizing, rotating) and
  // of the output (scaling back). The bias is not among them.
  double input_ops = 0;
  double output_ops = 0;
};

// Immutable but for the storage of its tensors, which loading and moving between devices exchange
// in place (set_data on the tensors that State() returns).
class LinearWeight {
 public:
  virtual ~LinearWeight() = default;

  // Name of the format as written in manifests: "dense", "int8".
  virtual absl::string_view format() const = 0;
  // Parameters of the format as a JSON object, {} when it has none. Goes into the manifest; the
  // factory of the format gets it back.
  virtual std::string attributes() const { return "{}"; }

  virtual int64_t in_features() const = 0;
  virtual int64_t out_features() const = 0;

  // y = x W^T + bias. x: floating [..., in]; bias: [out] or absent; result [..., out] in x's dtype.
  // Throws c10::Error on a shape that does not fit.
  virtual at::Tensor Apply(const at::Tensor& x, const std::optional<at::Tensor>& bias) const = 0;
  // What Apply() multiplies. Of hollow weights too.
  virtual LinearArithmetic arithmetic() const = 0;

  // Its tensors by the suffix they get after the layer's path ("weight", "weight_scale"), the main
  // one first. The returned handles are the live ones.
  virtual std::vector<NamedTensor> State() const = 0;
  // True when the tensors of State() take gradients (dense formats).
  virtual bool trainable() const { return false; }

  // The matrix it stands for, fp32 [out, in]. Costs memory: one layer at a time.
  virtual at::Tensor Dequantize() const = 0;

  // The same format holding only the given rows (dim 0, output features) or columns (dim 1, input
  // features), in that order. index: int64 [n]. Unimplemented or InvalidArgument when the format
  // cannot be cut there (a rotation group that would be split, say).
  virtual absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                               const at::Tensor& index) const = 0;

  // Bits of storage per weight, scales included, for reports.
  double bits_per_weight() const;
};

// A full matrix in fp32, bf16 or fp16. weight: [out, in].
std::unique_ptr<LinearWeight> MakeDenseWeight(at::Tensor weight);

// Rebuilds a weight from what State() and attributes() gave.
using LinearWeightFactory = std::function<absl::StatusOr<std::unique_ptr<LinearWeight>>(
    const std::map<std::string, at::Tensor>& state, absl::string_view attributes_json)>;

// InvalidArgument for missing tensors or wrong shapes; Unimplemented for a format this build does
// not know, naming those it does.
absl::StatusOr<std::unique_ptr<LinearWeight>> MakeLinearWeight(
    absl::string_view format, const std::map<std::string, at::Tensor>& state,
    absl::string_view attributes_json);

}  // namespace wanlite

#endif  // WANLITE_LINEAR_WEIGHT_H_
