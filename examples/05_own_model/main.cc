// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A model of one's own. Nothing here is a video model: what wanlite needs is that linear layers are
// wanlite::nn::Linear and, for passes that change shapes, that modules describe themselves. The
// same passes then work on it in memory, and its checkpoint opens again.
//
//   example_own_model OUT_DIR
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <torch/nn/module.h>

#include <cmath>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/model_view.h"
#include "wanlite/nn.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace {

constexpr int64_t kWidth = 64;
constexpr int64_t kHidden = 256;
constexpr int kBlocks = 3;

// x + down(relu(up(x)))
class Block : public torch::nn::Module, public wanlite::nn::Describable {
 public:
  Block()
      : up_(register_module("up", std::make_shared<wanlite::nn::Linear>(kWidth, kHidden))),
        down_(register_module("down", std::make_shared<wanlite::nn::Linear>(kHidden, kWidth))) {}

  // x: [n, width] -> [n, width]
  at::Tensor forward(const at::Tensor& x) const {
    return x + down_->forward(at::relu(up_->forward(x)));
  }

  void Describe(wanlite::TopologyBuilder& topology) const override {
    topology.Linear("up", "mlp.up", wanlite::TokenStream::kVideo);
    topology.Linear("down", "mlp.down", wanlite::TokenStream::kVideo);
    // Hidden channel i is row i of `up` and column i of `down`: they shrink together.
    wanlite::AxisGroup channels;
    channels.name = "channels";
    channels.kind = "mlp.channels";
    channels.units = up_->out_features();
    channels.refs.push_back({.tensor = "up", .dim = 0});
    channels.refs.push_back({.tensor = "down", .dim = 1});
    topology.Group(channels);
  }

 private:
  std::shared_ptr<wanlite::nn::Linear> up_;
  std::shared_ptr<wanlite::nn::Linear> down_;
};

class Regressor : public torch::nn::Module, public wanlite::nn::Describable {
 public:
  Regressor() {
    auto list = register_module("blocks", std::make_shared<torch::nn::Module>("list"));
    for (int i = 0; i < kBlocks; ++i) {
      blocks_.push_back(list->register_module(absl::StrCat(i), std::make_shared<Block>()));
    }
    head_ = register_module("head", std::make_shared<wanlite::nn::Linear>(kWidth, 1));
  }

  // x: [n, width] -> [n, 1]
  at::Tensor forward(at::Tensor x) const {
    for (const auto& block : blocks_) x = block->forward(x);
    return head_->forward(x);
  }

  void Describe(wanlite::TopologyBuilder& topology) const override {
    for (int i = 0; i < kBlocks; ++i) topology.Block(absl::StrCat("blocks.", i));
    topology.Linear("head", "head", wanlite::TokenStream::kVideo, /*sensitive=*/true);
  }

  void Randomize() {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : parameters()) {
      parameter.normal_(0, 1 / std::sqrt(static_cast<double>(parameter.size(-1))));
    }
  }

 private:
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<wanlite::nn::Linear> head_;
};

// How readers of model folders build one. A registry holds what its owner puts in; one may start
// from BuiltinArchitectures() as well.
absl::StatusOr<wanlite::ArchitectureRegistry> OwnArchitectures() {
  wanlite::Architecture own;
  own.name = "Regressor";
  own.role = wanlite::ComponentRole::kOther;
  own.build = [](absl::string_view) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    return std::make_shared<Regressor>();
  };
  own.normalize_config = [](absl::string_view json) -> absl::StatusOr<std::string> {
    return std::string(json);
  };
  own.config_of = [](absl::string_view json,
                     const torch::nn::Module&) -> absl::StatusOr<std::string> {
    return std::string(json);
  };
  own.recognizes = [](const std::vector<std::string>&) { return false; };
  wanlite::ArchitectureRegistry registry;
  registry.weight_formats() = wanlite::BuiltinWeightFormats();
  WANLITE_RETURN_IF_ERROR(registry.Register(std::move(own)));
  return registry;
}

absl::Status Run(const std::string& out_dir) {
  const at::NoGradGuard no_grad;
  auto regressor = std::make_shared<Regressor>();
  regressor->Randomize();
  const at::Tensor x = at::randn({5, kWidth});
  const at::Tensor before = regressor->forward(x);

  std::vector<wanlite::Component> components;
  components.push_back({.name = "regressor",
                        .role = wanlite::ComponentRole::kOther,
                        .architecture = "Regressor",
                        .config_json = R"({"_class_name": "Regressor"})",
                        .module = regressor});
  WANLITE_ASSIGN_OR_RETURN(wanlite::ModelView model,
                           wanlite::ModelView::Create(std::move(components)));

  // Without `include`, passes take the linears of denoisers; this model has none, so name them.
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ParsedRecipe recipe,
                           wanlite::ParsedRecipe::Parse(R"(
          name: "own_model"
          passes { prune_magnitude { amount: 0.2 linears { include: "regressor.blocks.*" } } }
          passes { quantize_int8 { linears { include: "regressor.blocks.*" } } }
        )",
                                                        "own_model", wanlite::BuiltinPasses()));
  WANLITE_ASSIGN_OR_RETURN(const wanlite::RunReport report,
                           wanlite::CompressInMemory(recipe, model));
  for (const wanlite::PassReport& pass : report.passes) {
    std::cout << pass.pass << ": " << pass.bytes_before << " -> " << pass.bytes_after << " bytes\n";
  }

  // The module that we hold is the one that was edited.
  const at::Tensor after = regressor->forward(x);
  const double error =
      (at::linalg_vector_norm(after - before) / at::linalg_vector_norm(before)).item<double>();
  std::cout << "relative L2 change of the output: " << error << "\n";

  wanlite::Env& env = wanlite::PosixEnv();
  WANLITE_RETURN_IF_ERROR(wanlite::SaveCheckpoint(env, out_dir, model));
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ArchitectureRegistry architectures, OwnArchitectures());
  WANLITE_ASSIGN_OR_RETURN(const wanlite::ModelFolder folder,
                           wanlite::ModelFolder::Open(env, out_dir, {}, architectures));
  WANLITE_ASSIGN_OR_RETURN(wanlite::ModelView reopened, folder.BuildView());
  WANLITE_RETURN_IF_ERROR(reopened.LoadAll());
  const auto loaded =
      std::dynamic_pointer_cast<Regressor>(reopened.FindComponent("regressor")->module);
  if (loaded == nullptr || !loaded->forward(x).equal(after)) {
    return absl::InternalError("the reopened model does not give the same output");
  }
  std::cout << "saved to " << out_dir << " and opened again: same output, bit by bit\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: example_own_model OUT_DIR\n";
    return 2;
  }
  const absl::Status status = Run(argv[1]);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
