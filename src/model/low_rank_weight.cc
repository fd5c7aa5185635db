// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "src/model/wrap_weight.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

constexpr char kLowRankA[] = "low_rank_a";
constexpr char kLowRankB[] = "low_rank_b";

class LowRankWeight : public LinearWeight {
 public:
  LowRankWeight(std::unique_ptr<LinearWeight> base, at::Tensor a, at::Tensor b, double alpha,
                LowRankUse use)
      : base_(std::move(base)), a_(std::move(a)), b_(std::move(b)), alpha_(alpha), use_(use) {}

  absl::string_view format() const override { return "low_rank"; }
  std::string attributes() const override {
    nlohmann::json json = WrapAttributes(*base_);
    json["alpha"] = alpha_;
    if (use_ == LowRankUse::kPartOfFormat) json["part_of_format"] = true;
    return json.dump();
  }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

  const InputForm* input_form() const override { return base_->input_form(); }
  bool reads_dense_input() const override { return true; }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor y = base_->Apply(x, bias);
    // In the wider of the two dtypes: bf16 branches of fp32 models lose nothing more.
    const at::ScalarType dtype = at::promote_types(x.dtype(), a_.scalar_type());
    const at::Tensor branch =
        at::linear(at::linear(x.dense().to(dtype), a_.to(dtype)), b_.to(dtype));
    return at::add(y, branch.to(y.scalar_type()), scaling());
  }

  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic = base_->arithmetic();
    arithmetic.extra_macs_per_token +=
        static_cast<double>(a_.size(0)) * static_cast<double>(in_features() + out_features());
    arithmetic.extra_bits = static_cast<int>(8 * a_.element_size());
    arithmetic.output_ops += 2;
    return arithmetic;
  }

  std::vector<WeightTensor> State() const override {
    std::vector<WeightTensor> states = base_->State();
    for (WeightTensor& state : states) state.trains = false;
    states.push_back({kLowRankA, a_});
    states.push_back({kLowRankB, b_});
    return states;
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    return at::add(base_->Dequantize(), b_.to(at::kFloat).matmul(a_.to(at::kFloat)), scaling());
  }
  at::Tensor Matrix() const override {
    const at::Tensor base = base_->Matrix();
    return at::add(base, b_.matmul(a_).to(base.scalar_type()), scaling());
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Select(dim, index));
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      return std::make_unique<LowRankWeight>(
          std::move(base), dim == 1 ? SelectFrom(a_, 1, index) : CopyOf(a_),
          dim == 0 ? SelectFrom(b_, 0, index) : CopyOf(b_), alpha_, use_);
    });
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
    return std::make_unique<LowRankWeight>(std::move(base), a_, b_, alpha_, use_);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Merge() const override {
    if (use_ == LowRankUse::kPartOfFormat) return LinearWeight::Merge();
    return MergeDense(*this, *base_);
  }
  std::unique_ptr<LinearWeight> Packed() const override {
    std::unique_ptr<LinearWeight> base = base_->Packed();
    if (base == nullptr) return nullptr;
    return std::make_unique<LowRankWeight>(std::move(base), a_, b_, alpha_, use_);
  }

 private:
  double scaling() const { return alpha_ / static_cast<double>(a_.size(0)); }

  std::unique_ptr<LinearWeight> base_;
  at::Tensor a_;  // [rank, in]
  at::Tensor b_;  // [out, rank]
  double alpha_;
  LowRankUse use_;
};

std::string DescribeTensor(const at::Tensor& tensor) {
  if (!tensor.defined()) return "nothing";
  return absl::StrCat(DtypeName(tensor.scalar_type()), " [", absl::StrJoin(tensor.sizes(), ", "),
                      "]");
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeLowRankWeight(std::unique_ptr<LinearWeight> base,
                                                                const at::Tensor& a,
                                                                const at::Tensor& b, double alpha,
                                                                LowRankUse use) {
  WANLITE_RETURN_IF_ERROR(CheckBase("low_rank", base.get(), {kLowRankA, kLowRankB}));
  if (!a.defined() || !b.defined() || a.dim() != 2 || b.dim() != 2 || a.size(0) < 1 ||
      a.size(0) != b.size(1) || a.size(1) != base->in_features() ||
      b.size(0) != base->out_features() || !a.is_floating_point() ||
      a.scalar_type() != b.scalar_type()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a low-rank branch of a layer [", base->out_features(), ", ", base->in_features(),
        "] is low_rank_a [rank, ", base->in_features(), "] and low_rank_b [", base->out_features(),
        ", rank] of one floating dtype, found ", DescribeTensor(a), " and ", DescribeTensor(b)));
  }
  if (!std::isfinite(alpha)) {
    return absl::InvalidArgumentError(absl::StrCat("alpha of a low-rank branch is ", alpha));
  }
  return std::make_unique<LowRankWeight>(std::move(base), a, b, alpha, use);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> LowRankWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse("attributes of a low_rank weight", attributes_json));
  WANLITE_RETURN_IF_ERROR(attributes.OnlyHas({"base", "alpha", "part_of_format"}));
  double alpha = std::nan("");
  WANLITE_RETURN_IF_ERROR(attributes.Double({"alpha"}, alpha));
  bool part = false;
  WANLITE_RETURN_IF_ERROR(attributes.Bool({"part_of_format"}, part));
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                           BaseFromState(attributes, state, {kLowRankA, kLowRankB}, formats));
  return MakeLowRankWeight(std::move(base), state.at(kLowRankA), state.at(kLowRankB), alpha,
                           part ? LowRankUse::kPartOfFormat : LowRankUse::kAdapter);
}

}  // namespace wanlite
