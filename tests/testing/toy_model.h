// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A small module tree that is no Wan: residual MLP blocks whose hidden channels are normalised, so
// that it has every kind of coupling a pass can meet.
#ifndef WANLITE_TESTS_TESTING_TOY_MODEL_H_
#define WANLITE_TESTS_TESTING_TOY_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/block_program.h"
#include "wanlite/model_view.h"
#include "wanlite/nn.h"

namespace wanlite::testing {

// y = x + down(rms_norm(up(x)) * sigmoid(gate(x))); up, gate, the norm and down share hidden
// channels.
class ToyBlock : public torch::nn::Module, public nn::Describable {
 public:
  ToyBlock(int64_t width, int64_t hidden) {
    up = register_module("up", std::make_shared<nn::Linear>(width, hidden));
    gate = register_module("gate", std::make_shared<nn::Linear>(width, hidden, /*bias=*/false));
    norm = register_parameter("norm", nn::NewTensor({hidden}));
    down = register_module("down", std::make_shared<nn::Linear>(hidden, width));
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor u = up->forward(x);
    const at::Tensor normed = u * torch::rsqrt(u.pow(2).mean(-1, true) + 1e-12) * norm;
    return x + down->forward(normed * torch::sigmoid(gate->forward(x)));
  }
  void Describe(TopologyBuilder& topology) const override {
    topology.Linear("up", "mlp.up", TokenStream::kVideo);
    topology.Linear("gate", "mlp.gate", TokenStream::kVideo);
    topology.Linear("down", "mlp.down", TokenStream::kVideo);
    topology.Group({"channels",
                    "mlp.channels",
                    "",
                    up->out_features(),
                    {{"up", 0, 1, AxisRole::kSliced},
                     {"gate", 0, 1, AxisRole::kSliced},
                     {"norm", 0, 1, AxisRole::kRmsNormalized},
                     {"down", 1, 1, AxisRole::kSliced}}});
  }
  std::shared_ptr<nn::Linear> up, gate, down;
  at::Tensor norm;
};

class ToyModel : public torch::nn::Module, public nn::Describable, public BlockProgram {
 public:
  explicit ToyModel(int64_t width = 8, int64_t hidden = 12, int64_t layers = 2)
      : ToyModel(width, std::vector<int64_t>(static_cast<size_t>(layers), hidden)) {}
  // hidden: of each block.
  ToyModel(int64_t width, const std::vector<int64_t>& hidden) {
    embed = register_module("embed", std::make_shared<nn::Linear>(4, width));
    auto list = std::make_shared<torch::nn::Module>("list");
    register_module("blocks", list);
    for (size_t i = 0; i < hidden.size(); ++i) {
      blocks.push_back(
          list->register_module(std::to_string(i), std::make_shared<ToyBlock>(width, hidden[i])));
    }
    head = register_module("head", std::make_shared<nn::Linear>(width, 3));
  }
  // x: [n, 4] -> [n, 3]
  at::Tensor forward(const at::Tensor& x) { return Run({{"input", x}}); }

  std::vector<Step> Steps() const override {
    std::vector<Step> steps;
    steps.push_back({"", {"x"}});
    for (size_t i = 0; i < blocks.size(); ++i) {
      steps.push_back({absl::StrCat("blocks.", i), {"x"}, /*residual=*/true});
    }
    steps.push_back({"", {"output"}});
    return steps;
  }
  std::vector<std::string> Inputs() const override { return {"input"}; }
  std::string Output() const override { return "output"; }
  void RunStep(size_t step, Values& values) const override {
    if (step == 0) {
      values["x"] = embed->forward(ValueOf(values, "input"));
    } else if (step <= blocks.size()) {
      values["x"] = blocks[step - 1]->forward(ValueOf(values, "x"));
    } else {
      values["output"] = head->forward(ValueOf(values, "x"));
    }
  }

  void Describe(TopologyBuilder& topology) const override {
    topology.Linear("embed", "embed", TokenStream::kVideo, /*sensitive=*/true);
    for (size_t i = 0; i < blocks.size(); ++i) topology.Block(absl::StrCat("blocks.", i));
    topology.Linear("head", "head", TokenStream::kVideo, /*sensitive=*/true);
    topology.KeepFloat32("head");
  }
  // Fills every tensor from a seeded generator.
  void Randomize(uint64_t seed) {
    at::NoGradGuard no_grad;
    at::Generator generator = at::detail::createCPUGenerator(seed);
    for (auto& parameter : parameters()) parameter.normal_(0, 0.5, generator);
  }
  std::shared_ptr<nn::Linear> embed, head;
  std::vector<std::shared_ptr<ToyBlock>> blocks;
};

inline std::shared_ptr<ToyModel> MakeToyModel(uint64_t seed = 1) {
  auto model = std::make_shared<ToyModel>();
  model->Randomize(seed);
  return model;
}

// The component of a toy model, under `name`.
inline Component ToyComponent(std::shared_ptr<ToyModel> model, std::string name = "toy") {
  return {std::move(name), ComponentRole::kDenoiser, "ToyModel", "{}", std::move(model)};
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_TOY_MODEL_H_
