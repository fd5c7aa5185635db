// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/lora/add_lora.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/nn.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using google::protobuf::Message;

enum AddLoraStream : uint64_t { kAdapterStart = 1 };

// A stream of random numbers for each layer.
uint64_t SeedOf(uint64_t seed, absl::string_view path) {
  uint64_t number = MixSeed(seed, {kAdapterStart});
  for (const char c : path) number = MixSeed(number, {static_cast<unsigned char>(c)});
  return number;
}

class AddLoraPass : public BlockPass {
 public:
  explicit AddLoraPass(const AddLoraOptions& options)
      : options_(options), linears_(FilterOf(options.linears())) {}

  absl::string_view name() const override { return "add-lora"; }
  const Message& options() const override { return options_; }

  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    PassNotes notes;
    notes.notes = selection.notes;
    int64_t values = 0;
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      const int64_t in = weight->in_features(), out = weight->out_features();
      if (options_.rank() > std::min(in, out)) {
        return OptionError("rank", absl::StrCat(options_.rank(), " is more than the sizes of ",
                                                linear.path, ", which is [", out, ", ", in, "]"));
      }
      for (const LoraBranch& branch : LoraBranches(*weight)) {
        if (branch.adapter != options_.adapter()) continue;
        return OptionError("adapter", absl::StrCat("\"", options_.adapter(), "\" is an adapter of ",
                                                   linear.path, " already"));
      }
      values += options_.rank() * (in + out);
    }
    notes.notes.push_back(absl::StrCat(selection.linears.size(), " layers get adapters of rank ",
                                       options_.rank(), ": ", values, " values that train"));
    return notes;
  }

  absl::Status ApplyPlan(ModelView& hollow, const Message*) const override {
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(hollow, linears_));
    for (const LinearInfo& linear : selection.linears) {
      WANLITE_RETURN_IF_ERROR(Add(hollow, linear, [&](at::IntArrayRef shape, bool) {
        const nn::HollowGuard guard;
        return nn::NewTensor(shape, at::kFloat);
      }));
    }
    return absl::OkStatus();
  }

  bool Touches(const ModelView& model, absl::string_view block) const override {
    return TouchesSelection(model, linears_, block);
  }

  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message*,
                        PassContext& context) const override {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
    WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(model, linears_));
    for (const LinearInfo& linear : selection.InBlock(block.block())) {
      const auto random = at::detail::createCPUGenerator(SeedOf(context.seed, linear.path));
      WANLITE_RETURN_IF_ERROR(Add(model, linear, [&](at::IntArrayRef shape, bool is_a) {
        if (!is_a) return at::zeros(shape, at::kFloat);
        const double bound = 1 / std::sqrt(static_cast<double>(shape[1]));
        return at::empty(shape, at::kFloat).uniform_(-bound, bound, random);
      }));
      context.metrics["adapter_branches"] += 1;
    }
    return absl::OkStatus();
  }

 private:
  // make(shape, is_a): the values of A, or of B.
  template <typename Make>
  absl::Status Add(ModelView& model, const LinearInfo& linear, Make make) const {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    absl::StatusOr<std::unique_ptr<LinearWeight>> base = weight->Share();
    if (!base.ok()) return Annotate(base.status(), linear.path);
    LoraBranch branch{options_.adapter(), {}, {}, options_.alpha(), 1};
    WANLITE_RETURN_IF_ERROR(CatchTorch([&] {
      const at::NoGradGuard no_grad;
      branch.a = make({options_.rank(), weight->in_features()}, true);
      branch.b = make({weight->out_features(), options_.rank()}, false);
    }));
    absl::StatusOr<std::unique_ptr<LinearWeight>> adapted =
        MakeLoraWeight(*std::move(base), {std::move(branch)});
    if (!adapted.ok()) return Annotate(adapted.status(), linear.path);
    return model.SetLinearWeight(linear.path, *std::move(adapted));
  }

  const AddLoraOptions options_;
  const LinearFilter linears_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pass>> MakeAddLora(const AddLoraOptions& options) {
  AddLoraOptions resolved = options;
  if (resolved.rank() < 1) {
    return OptionError("rank", absl::StrCat(resolved.rank(), " is not at least 1"));
  }
  if (!resolved.has_alpha()) resolved.set_alpha(static_cast<double>(resolved.rank()));
  if (!std::isfinite(resolved.alpha()) || resolved.alpha() == 0) {
    return OptionError("alpha", absl::StrCat(resolved.alpha(), " is not finite, or zero"));
  }
  if (resolved.adapter().empty()) resolved.set_adapter("adapter");
  return std::make_unique<AddLoraPass>(resolved);
}

}  // namespace wanlite
