// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What the passes that zero single weights have in common: which weights they take, how the result
// is stored, and the inputs that their layers read.
#ifndef WANLITE_SRC_PRUNING_SPARSIFY_H_
#define WANLITE_SRC_PRUNING_SPARSIFY_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/proto/pruning.pb.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/select_linears.h"

namespace wanlite {

// What becomes of a pruned layer.
struct SparseForm {
  Sparsity::Store store = Sparsity::ZEROS;
  // Of each m neighbouring input features of an output n are kept; 0 and 0: zeros anywhere.
  int64_t n = 0, m = 0;
};

// OptionError of the fields "amount" and "store".
absl::Status CheckAmount(bool given, double amount);
absl::Status CheckStore(const SparseForm& form);
// OptionErrors of "n" and "m", which are 0 < n < m <= 32.
absl::Status CheckPattern(int64_t n, int64_t m);

// The matrix [out, in] of a layer whose weights can be zeroed: fp32, bf16 or fp16, dense or with
// zeros that an earlier pass has stored by a mask or packed; hollow when the weight is.
// InvalidArgument, naming the layer, for other formats and dtypes.
absl::StatusOr<at::Tensor> PrunableMatrix(const ModelView& model, const std::string& linear);
// The selected layers, all of them prunable and fit for the form; InvalidArgument, naming the
// layer, when m does not divide its input features.
absl::StatusOr<LinearSelection> SelectPrunable(const ModelView& model, const LinearFilter& filter,
                                               const SparseForm& form);

// Gives the layer `matrix` with zeros where `keep`, bool of its shape, is false, and counts
// "weights" and "zero_weights".
absl::Status SetSparse(ModelView& model, const std::string& linear, const at::Tensor& matrix,
                       const at::Tensor& keep, const SparseForm& form,
                       std::map<std::string, double>& metrics);
// Pass::ApplyPlan() of all selected layers.
absl::Status ApplySparseForm(ModelView& hollow, const LinearFilter& filter, const SparseForm& form);
// For the plan: what the form costs and saves.
std::string SparseFormNote(const SparseForm& form);
// "zero_fraction" of the sums of SetSparse().
void FinishZeros(std::map<std::string, double>& metrics);

// "96 of 192 weights to zero (50 %)"
std::string ZerosText(int64_t zeros, int64_t weights);

// A pass over linear layers, one by one or by the inputs that they share.
class SparsifyPass : public BlockPass {
 public:
  PassEffect effect() const override { return PassEffect::kPrunes; }
  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override;
  absl::Status ApplyPlan(ModelView& hollow,
                         const google::protobuf::Message* decision) const override;
  bool Touches(const ModelView& model, absl::string_view block) const override;
  std::optional<StreamOptions> activations() const override;
  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override;
  void FinishMetrics(std::map<std::string, double>& metrics) const override;

 protected:
  enum class Inputs {
    kNotSeen,
    kFeatureMoments,  // MomentTap::Of::kFeatures
    kPairMoments,     // MomentTap::Of::kPairs
  };
  SparsifyPass(LinearFilter linears, const SparseForm& form, Inputs inputs)
      : linears_(std::move(linears)), form_(form), inputs_(inputs) {}
  const SparseForm& form() const { return form_; }

  // How many of the layer's weights become zero.
  virtual int64_t Zeros(int64_t out, int64_t in) const = 0;
  // Bytes beside the layer's weight, as it is and as it will be.
  virtual int64_t ScratchBytes(int64_t out, int64_t in) const = 0;
  // For the plan, beside what the form says.
  virtual std::vector<std::string> Notes() const { return {}; }
  // Prunes the layers that read one input. moment: the mean of x^2, fp64 [in], of kFeatureMoments;
  // the sum of weighted x^T x, fp32 [in, in], of kPairMoments; else undefined, and there is one
  // reader.
  virtual absl::Status PruneReaders(ModelView& model, const std::vector<std::string>& readers,
                                    at::Tensor moment, PassContext& context) const = 0;

  // The layer's matrix; InvalidArgument, naming it, when it holds a NaN or an infinity.
  static absl::StatusOr<at::Tensor> FiniteMatrix(const ModelView& model, const std::string& linear);

 private:
  const LinearFilter linears_;
  const SparseForm form_;
  const Inputs inputs_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_SPARSIFY_H_
