// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/tensor_text.h"
#include "src/model/wrap_weight.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

std::string LoraA(size_t branch) { return absl::StrCat("lora_a_", branch); }
std::string LoraB(size_t branch) { return absl::StrCat("lora_b_", branch); }

class LoraWeight : public LinearWeight {
 public:
  LoraWeight(std::unique_ptr<LinearWeight> base, std::vector<LoraBranch> branches)
      : base_(std::move(base)), branches_(std::move(branches)) {}

  const LinearWeight& base() const { return *base_; }
  const std::vector<LoraBranch>& branches() const { return branches_; }

  absl::string_view format() const override { return "lora"; }
  std::string attributes() const override {
    nlohmann::json json = WrapAttributes(*base_);
    for (const LoraBranch& branch : branches_) {
      json["adapters"].push_back(branch.adapter);
      json["alphas"].push_back(branch.alpha);
      json["strengths"].push_back(branch.strength);
    }
    return json.dump();
  }
  int64_t in_features() const override { return base_->in_features(); }
  int64_t out_features() const override { return base_->out_features(); }

  const InputForm* input_form() const override { return base_->input_form(); }
  bool reads_dense_input() const override { return true; }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    at::Tensor y = base_->Apply(x, bias);
    for (const LoraBranch& branch : branches_) {
      const at::ScalarType dtype = at::promote_types(x.dtype(), branch.a.scalar_type());
      const at::Tensor added =
          at::linear(at::linear(x.dense().to(dtype), branch.a.to(dtype)), branch.b.to(dtype));
      y = at::add(y, added.to(y.scalar_type()), branch.scale());
    }
    return y;
  }

  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic = base_->arithmetic();
    for (const LoraBranch& branch : branches_) {
      arithmetic.extra_macs_per_token += static_cast<double>(branch.a.size(0)) *
                                         static_cast<double>(in_features() + out_features());
      arithmetic.extra_bits = static_cast<int>(8 * branch.a.element_size());
      arithmetic.output_ops += 2;
    }
    return arithmetic;
  }

  std::vector<WeightTensor> State() const override {
    std::vector<WeightTensor> states = base_->State();
    for (WeightTensor& state : states) state.trains = false;
    for (size_t i = 0; i < branches_.size(); ++i) {
      states.push_back({LoraA(i), branches_[i].a});
      states.push_back({LoraB(i), branches_[i].b});
    }
    return states;
  }

  at::Tensor Dequantize() const override {
    const at::NoGradGuard no_grad;
    at::Tensor sum = base_->Dequantize();
    for (const LoraBranch& branch : branches_) {
      sum = at::add(sum, branch.b.to(at::kFloat).matmul(branch.a.to(at::kFloat)), branch.scale());
    }
    return sum;
  }
  at::Tensor Matrix() const override {
    at::Tensor sum = base_->Matrix();
    for (const LoraBranch& branch : branches_) {
      sum = at::add(sum, branch.b.matmul(branch.a).to(sum.scalar_type()), branch.scale());
    }
    return sum;
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Select(dim, index));
    return CatchTorch([&]() -> std::unique_ptr<LinearWeight> {
      std::vector<LoraBranch> branches = branches_;
      for (LoraBranch& branch : branches) {
        branch.a = dim == 1 ? SelectFrom(branch.a, 1, index) : CopyOf(branch.a);
        branch.b = dim == 0 ? SelectFrom(branch.b, 0, index) : CopyOf(branch.b);
      }
      return std::make_unique<LoraWeight>(std::move(base), std::move(branches));
    });
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base, base_->Share());
    return std::make_unique<LoraWeight>(std::move(base), branches_);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Merge() const override {
    if (base_->dense() != nullptr) return MergeDense(*this, *base_);
    return absl::FailedPreconditionError(
        absl::StrCat("a weight of format ", std::string(base_->format()),
                     " cannot take an adapter into itself: it stays beside it, unmerged"));
  }
  std::unique_ptr<LinearWeight> Packed() const override {
    std::unique_ptr<LinearWeight> base = base_->Packed();
    if (base == nullptr) return nullptr;
    return std::make_unique<LoraWeight>(std::move(base), branches_);
  }

 private:
  std::unique_ptr<LinearWeight> base_;
  std::vector<LoraBranch> branches_;
};

absl::Status CheckBranch(const LinearWeight& base, const LoraBranch& branch) {
  const at::Tensor &a = branch.a, &b = branch.b;
  if (!a.defined() || !b.defined() || a.dim() != 2 || b.dim() != 2 || a.size(0) < 1 ||
      a.size(0) != b.size(1) || a.size(1) != base.in_features() ||
      b.size(0) != base.out_features() || !a.is_floating_point() ||
      a.scalar_type() != b.scalar_type()) {
    const auto text = [](const at::Tensor& tensor) {
      return tensor.defined() ? TensorText(tensor) : std::string("nothing");
    };
    return absl::InvalidArgumentError(absl::StrCat(
        "adapter ", branch.adapter, ": a branch of a layer [", base.out_features(), ", ",
        base.in_features(), "] is A [rank, ", base.in_features(), "] and B [", base.out_features(),
        ", rank] of one floating dtype, found ", text(a), " and ", text(b)));
  }
  if (branch.adapter.empty()) return absl::InvalidArgumentError("an adapter has no name");
  if (std::isfinite(branch.alpha) && std::isfinite(branch.strength)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("adapter ", branch.adapter, ": alpha is ",
                                                 branch.alpha, " and strength ", branch.strength,
                                                 ", both must be finite"));
}

}  // namespace

double LoraBranch::scale() const { return strength * alpha / static_cast<double>(a.size(0)); }

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeLoraWeight(std::unique_ptr<LinearWeight> base,
                                                             std::vector<LoraBranch> branches) {
  if (base != nullptr && base->format() == "lora") {
    std::vector<LoraBranch> all = LoraBranches(*base);
    all.insert(all.end(), branches.begin(), branches.end());
    branches = std::move(all);
    WANLITE_ASSIGN_OR_RETURN(base, LoraBase(*base).Share());
  }
  WANLITE_RETURN_IF_ERROR(CheckBase("lora", base.get(), {"lora_a_0", "lora_b_0"}));
  if (branches.empty()) return absl::InvalidArgumentError("a weight of format lora has no branch");
  for (const LoraBranch& branch : branches) WANLITE_RETURN_IF_ERROR(CheckBranch(*base, branch));
  return std::make_unique<LoraWeight>(std::move(base), std::move(branches));
}

std::vector<LoraBranch> LoraBranches(const LinearWeight& weight) {
  const auto* lora = dynamic_cast<const LoraWeight*>(&weight);
  return lora == nullptr ? std::vector<LoraBranch>() : lora->branches();
}

const LinearWeight& LoraBase(const LinearWeight& weight) {
  const auto* lora = dynamic_cast<const LoraWeight*>(&weight);
  return lora == nullptr ? weight : lora->base();
}

absl::StatusOr<std::unique_ptr<LinearWeight>> LoraWeightFromState(
    const WeightState& state, absl::string_view attributes_json,
    const WeightFormatRegistry& formats) {
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse("attributes of a lora weight", attributes_json));
  WANLITE_RETURN_IF_ERROR(attributes.OnlyHas({"base", "adapters", "alphas", "strengths"}));
  std::vector<std::string> adapters;
  std::vector<double> alphas, strengths;
  WANLITE_RETURN_IF_ERROR(attributes.Strings({"adapters"}, adapters));
  WANLITE_RETURN_IF_ERROR(attributes.Doubles({"alphas"}, alphas));
  WANLITE_RETURN_IF_ERROR(attributes.Doubles({"strengths"}, strengths));
  if (adapters.empty() || alphas.size() != adapters.size() || strengths.size() != adapters.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("attributes of a lora weight: ", adapters.size(), " adapters, ", alphas.size(),
                     " alphas and ", strengths.size(),
                     " strengths, wanted at least one of each and as many of each"));
  }
  WeightState rest = state;
  std::vector<LoraBranch> branches;
  for (size_t i = 0; i < adapters.size(); ++i) {
    LoraBranch branch{adapters[i], {}, {}, alphas[i], strengths[i]};
    for (const auto& [name, tensor] :
         {std::make_pair(LoraA(i), &branch.a), std::make_pair(LoraB(i), &branch.b)}) {
      const auto found = rest.find(name);
      if (found == rest.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("the weight needs the tensor ", name, ", which is missing"));
      }
      *tensor = found->second;
      rest.erase(found);
    }
    branches.push_back(std::move(branch));
  }
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> base,
                           BaseFromState(attributes, rest, {}, formats));
  return MakeLoraWeight(std::move(base), std::move(branches));
}

}  // namespace wanlite
