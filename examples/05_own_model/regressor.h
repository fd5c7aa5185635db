// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A network of one's own, and what wanlite must know of it. Nothing here is a video model.
#ifndef WANLITE_EXAMPLES_05_OWN_MODEL_REGRESSOR_H_
#define WANLITE_EXAMPLES_05_OWN_MODEL_REGRESSOR_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "wanlite/architecture.h"
#include "wanlite/block_program.h"
#include "wanlite/nn.h"

// x + down(relu(up(x)))
class Block : public torch::nn::Module, public wanlite::nn::Describable {
 public:
  Block(int64_t width, int64_t hidden);
  // x: [n, width] -> [n, width]
  at::Tensor forward(const at::Tensor& x) const;
  // Hidden channel i is row i of `up` and column i of `down`: they shrink together.
  void Describe(wanlite::TopologyBuilder& topology) const override;
  int64_t hidden() const { return up_->out_features(); }

 private:
  std::shared_ptr<wanlite::nn::Linear> up_, down_;
};

// Blocks and a head: x [n, width] -> y [n, 1].
class Regressor : public torch::nn::Module,
                  public wanlite::nn::Describable,
                  public wanlite::BlockProgram {
 public:
  static constexpr int64_t kWidth = 64;
  // Hidden channels of each block. Parameters are not initialised.
  explicit Regressor(const std::vector<int64_t>& hidden);
  void Randomize(uint64_t seed);

  at::Tensor forward(const at::Tensor& x) const { return Run({{"x", x}}); }
  void Describe(wanlite::TopologyBuilder& topology) const override;

  // How it runs block by block. Calibration, training and streaming need no more of it than this.
  std::vector<Step> Steps() const override;
  std::vector<std::string> Inputs() const override { return {"x"}; }
  std::string Output() const override { return "y"; }
  void RunStep(size_t step, wanlite::Values& values) const override;

  // {"_class_name": "Regressor", "hidden": [256, 256, 256]}
  std::string Config() const;
  // How readers of model folders build one. A registry holds what its owner puts in; one may start
  // from BuiltinArchitectures() as well.
  static wanlite::Architecture Definition();

 private:
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<wanlite::nn::Linear> head_;
};

#endif  // WANLITE_EXAMPLES_05_OWN_MODEL_REGRESSOR_H_
