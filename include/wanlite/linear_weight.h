// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The exchangeable weight of a linear layer. wanlite::nn::Linear never changes its place in a
// model; pruning, quantization and distillation exchange what is inside it. A new weight format is
// a new implementation of LinearWeight plus one entry in a WeightFormatRegistry (weight_formats.h).
#ifndef WANLITE_LINEAR_WEIGHT_H_
#define WANLITE_LINEAR_WEIGHT_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/activation.h"

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
  // Multiply-adds of floating products beside the main one (a low-rank branch), and the width of
  // their operands.
  double extra_macs_per_token = 0;
  int extra_bits = 32;
  // The part of in * out multiply-adds that is executed: below 1 where the kernel skips zeros
  // (2:4 sparsity) or the matrix is a product of two thin ones.
  double realised_fraction = 1;
};

// One tensor of a weight, by the suffix that it gets after the layer's path ("weight",
// "weight_scale"). A suffix is not "bias" and holds no dot: readers of checkpoints part a tensor's
// name from its layer's at the last one.
struct WeightTensor {
  enum class Role {
    kParameter,  // floating values that compute: cast with the model
    kScale,      // floating values that keep their dtype when the model is cast
    kCode,       // what scales give a meaning to: integers, fp8, packed values
    kMask,       // which weights there are: bool
  };
  std::string name;
  at::Tensor tensor;
  Role role = Role::kParameter;
  // Whether it takes gradients; it must be floating then. A frozen parameter does not, the scale of
  // a quantizer that learns its step does.
  bool trains = role == Role::kParameter;
};

// Immutable but for the storage of its tensors, which loading and moving between devices exchange
// in place (set_data on the tensors that State() returns), and training changes.
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
  // Numbers that make up the matrix: all its entries, unless the format has fewer (a product of two
  // thin ones). Of hollow weights too.
  virtual int64_t parameters() const { return in_features() * out_features(); }

  // How Apply() reads its input; null: as the floating tensor. Of hollow weights too.
  virtual const InputForm* input_form() const { return nullptr; }
  // Whether Apply() reads the floating tensor, beside a form or instead of one.
  virtual bool reads_dense_input() const { return input_form() == nullptr; }

  // y = x W^T + bias. x: floating [..., in]; bias: [out] or absent; result [..., out] in x's dtype.
  // Throws c10::Error on a shape that does not fit, and rather than lose a gradient.
  virtual at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const = 0;
  // What Apply() multiplies. Of hollow weights too.
  virtual LinearArithmetic arithmetic() const = 0;

  // Its tensors, the main one first, names unique. The returned handles are the live ones.
  virtual std::vector<WeightTensor> State() const = 0;
  // The matrix [out, in] itself when it is stored as nothing but that (the format "dense", which
  // manifests do not list), else null.
  virtual const at::Tensor* dense() const { return nullptr; }

  // Fraction of the entries of the matrix that Apply() multiplies by which is not zero; 1 for a
  // matrix without entries. Not of hollow weights. By default of Dequantize(), which costs memory.
  virtual double NonZero() const;
  // The matrix it stands for, fp32 [out, in], without gradients. Costs memory: one layer at a time.
  virtual at::Tensor Dequantize() const = 0;
  // The same with its graph, so that a weight that wraps this one can train it; floating, of any
  // dtype. By default Dequantize().
  virtual at::Tensor Matrix() const { return Dequantize(); }

  // The same format holding only the given rows (dim 0, output features) or columns (dim 1, input
  // features), in that order, in tensors of its own. index: int64 [n]. Unimplemented or
  // InvalidArgument when the format cannot be cut there (a rotation group that would be split,
  // say).
  virtual absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                               const at::Tensor& index) const = 0;
  // Another weight of the format over the same tensors, for one that wraps it (wrapped_weights.h)
  // and takes its place. Unimplemented by default.
  virtual absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const;
  // What a weight made for training turns into when that is done: a low-rank branch or a mask goes
  // into the matrix, fake quantization becomes real. FailedPrecondition for all others.
  virtual absl::StatusOr<std::unique_ptr<LinearWeight>> Merge() const;

  // The same weight laid out for the kernels of this machine, so that Apply() need not do that at
  // every call: the same results, to the bit unless the format says otherwise, of the same name.
  // Its State() is what it keeps in memory, which no checkpoint takes; it cannot be cut, wrapped or
  // trained. Null where nothing would be gained (the default), for hollow weights, and away from
  // the CPU. Throws c10::Error without memory for it.
  virtual std::unique_ptr<LinearWeight> Packed() const { return nullptr; }

  // Bytes of its tensors, of hollow ones as they would be stored.
  int64_t bytes() const;
  // Bits of storage per weight, scales included, for reports.
  double bits_per_weight() const;
};

// A full matrix in fp32, bf16 or fp16. weight: [out, in].
std::unique_ptr<LinearWeight> MakeDenseWeight(at::Tensor weight);

}  // namespace wanlite

#endif  // WANLITE_LINEAR_WEIGHT_H_
