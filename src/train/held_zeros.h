// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Zeros that a pass put into dense matrices, without a mask that keeps them while they are trained.
#ifndef WANLITE_SRC_TRAIN_HELD_ZEROS_H_
#define WANLITE_SRC_TRAIN_HELD_ZEROS_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/linear_weight.h"
#include "wanlite/model_view.h"

namespace wanlite::train {

// A matrix with a larger part of exact zeros was pruned: training and rounding to bf16 leave next
// to none, and no sparsity worth having is below it. One that is all zeros was not: it is where a
// layer begins that is to do nothing at first.
inline constexpr double kPrunedShare = 0.01;
// The entries of a pruned matrix that may be other than zero, bool of its shape; undefined for one
// that was not pruned.
at::Tensor KeptEntries(const at::Tensor& matrix);

// While it lives, the dense matrices of linear layers that were pruned are masked weights, so that
// their zeros stay, whatever the optimizer. Made after MasterWeights, and ends before them.
class HeldZeros {
 public:
  // Of a component in memory; of a leased block. The model must outlive it where it is.
  static absl::StatusOr<HeldZeros> Of(ModelView& model, absl::string_view component);
  static absl::StatusOr<HeldZeros> OfBlock(ModelView& model, absl::string_view block);

  int64_t layers() const { return static_cast<int64_t>(layers_.size()); }
  // Dense again, over the same tensors, with the zeros.
  absl::Status Restore();

  ~HeldZeros();  // restores without asking
  HeldZeros(HeldZeros&& other) noexcept;
  HeldZeros& operator=(HeldZeros&&) = delete;

 private:
  explicit HeldZeros(ModelView& model) : model_(&model) {}
  absl::Status Hold(const LinearInfo& linear);

  struct Layer {
    std::string path;
    std::unique_ptr<LinearWeight> dense;  // over the tensor that is trained
    at::Tensor mask;
  };
  ModelView* model_;
  std::vector<Layer> layers_;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_HELD_ZEROS_H_
