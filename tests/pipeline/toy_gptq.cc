// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/toy_gptq.h"

#include <google/protobuf/wrappers.pb.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/activation_stream.h"
#include "wanlite/linear_tap.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/status.h"

namespace wanlite::testing {
namespace {

using google::protobuf::Message;

// Sum of weighted x x^T over all rows that go into one linear layer, fp64 [in, in].
class SecondMoment : public LinearTap {
 public:
  explicit SecondMoment(std::string path) : path_(std::move(path)) {}
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    if (linear.path != path_) return;
    const at::Tensor rows = x.detach().to(at::kDouble).reshape({-1, x.size(-1)});
    const at::Tensor sum = weight * rows.t().mm(rows);
    moment = moment.defined() ? moment + sum : sum;
  }
  double weight = 1;
  at::Tensor moment;

 private:
  const std::string path_;
};

// The nearest values of a grid. scale: [out].
at::Tensor ToGrid(const at::Tensor& column, const at::Tensor& scale, double largest) {
  return (column / scale).round().clamp(-largest, largest) * scale;
}

// weight: [out, in]; moment: [in, in]; both fp64.
at::Tensor Gptq(at::Tensor weight, at::Tensor moment, const at::Tensor& scale, double largest) {
  weight = weight.clone();
  const at::Tensor damping = 0.01 * moment.diagonal().mean() + 1e-12;
  moment = moment + at::eye(moment.size(0), moment.options()) * damping;
  const at::Tensor inverse = at::cholesky_inverse(at::linalg_cholesky(moment));
  const at::Tensor upper = at::linalg_cholesky(inverse, /*upper=*/true);
  for (int64_t j = 0; j < weight.size(1); ++j) {
    const at::Tensor rounded = ToGrid(weight.select(1, j), scale, largest);
    const at::Tensor error = (weight.select(1, j) - rounded) / upper[j][j];
    weight.select(1, j).copy_(rounded);
    const int64_t rest = weight.size(1) - j - 1;
    if (rest == 0) break;
    weight.narrow(1, j + 1, rest).sub_(at::outer(error, upper[j].narrow(0, j + 1, rest)));
  }
  return weight;
}

template <typename Options, bool kGptq>
class GridPass : public BlockPass {
 public:
  explicit GridPass(const Options& bits) : bits_(bits) {}
  absl::string_view name() const override { return kGptq ? "gptq" : "round"; }
  const Message& options() const override { return bits_; }
  std::optional<StreamOptions> activations() const override {
    return kGptq ? std::optional<StreamOptions>(StreamOptions()) : std::nullopt;
  }
  absl::StatusOr<PassNotes> Plan(const ModelView&) const override { return PassNotes(); }
  bool Touches(const ModelView& model, absl::string_view block) const override {
    for (const LinearInfo& linear : model.linears()) {
      if (linear.block == block && Rounds(linear)) return true;
    }
    return false;
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    const at::NoGradGuard no_grad;
    const double largest = static_cast<double>((int64_t{1} << (bits_.value() % 100 - 1)) - 1);
    // In forward order, so that a layer sees what the rounded ones before it in the block make.
    for (const LinearInfo& linear : model.linears()) {
      if (linear.block != block.block() || !Rounds(linear)) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      const at::Tensor dense = weight->Dequantize().to(at::kDouble);
      const at::Tensor scale = dense.abs().amax(1) / largest;
      at::Tensor rounded;
      if (kGptq) {
        WANLITE_ASSIGN_OR_RETURN(const at::Tensor moment,
                                 Collect(model, block, linear.path, context));
        SeenMoments()[linear.path] = moment;
        rounded = Gptq(dense, moment, scale, largest);
      } else {
        rounded = ToGrid(dense, scale.unsqueeze(1), largest);
      }
      context.metrics["layers"] += 1;
      WANLITE_RETURN_IF_ERROR(
          model.SetLinearWeight(linear.path, MakeDenseWeight(rounded.to(at::kFloat))));
    }
    return absl::OkStatus();
  }

 private:
  bool Rounds(const LinearInfo& linear) const {
    uint64_t number = 0;
    return !linear.sensitive &&
           absl::SimpleAtoi(linear.block.substr(linear.block.rfind('.') + 1), &number) &&
           number >= bits_.value() / 100;
  }

  static absl::StatusOr<at::Tensor> Collect(const ModelView& model, const BlockLease& block,
                                            const std::string& path, PassContext& context) {
    if (context.activations == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(path, ": there are no samples of it"));
    }
    SecondMoment tap(path);
    WANLITE_ASSIGN_OR_RETURN(const TapGuard guard, TapLinears(model, block.block(), tap));
    for (int64_t i = 0; i < context.activations->size(); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      tap.weight = context.activations->sample(i).weight;
      WANLITE_RETURN_IF_ERROR(context.activations->Run(block, i).status());
    }
    return tap.moment;
  }

  const Options bits_;
};

template <typename Options, bool kGptq>
absl::Status AddGridPass(PassRegistry& registry) {
  return registry.Register(
      Options::descriptor()->full_name(),
      [](const Message& options) -> absl::StatusOr<std::unique_ptr<Pass>> {
        return std::make_unique<GridPass<Options, kGptq>>(static_cast<const Options&>(options));
      });
}

}  // namespace

std::map<std::string, at::Tensor>& SeenMoments() {
  static std::map<std::string, at::Tensor> moments;
  return moments;
}

absl::Status RegisterToyGptq(PassRegistry& registry) {
  WANLITE_RETURN_IF_ERROR((AddGridPass<google::protobuf::UInt32Value, true>(registry)));
  return AddGridPass<google::protobuf::UInt64Value, false>(registry);
}

}  // namespace wanlite::testing
