// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "regressor.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/relu.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

Block::Block(int64_t width, int64_t hidden)
    : up_(register_module("up", std::make_shared<wanlite::nn::Linear>(width, hidden))),
      down_(register_module("down", std::make_shared<wanlite::nn::Linear>(hidden, width))) {}

at::Tensor Block::forward(const at::Tensor& x) const {
  return x + down_->forward(at::relu(up_->forward(x)));
}

void Block::Describe(wanlite::TopologyBuilder& topology) const {
  topology.Linear("up", "mlp.up", wanlite::TokenStream::kVideo);
  topology.Linear("down", "mlp.down", wanlite::TokenStream::kVideo);
  wanlite::AxisGroup channels;
  channels.name = "channels";
  channels.kind = "mlp.channels";
  channels.units = hidden();
  channels.refs.push_back({.tensor = "up", .dim = 0});
  channels.refs.push_back({.tensor = "down", .dim = 1});
  topology.Group(channels);
}

Regressor::Regressor(const std::vector<int64_t>& hidden) {
  auto list = register_module("blocks", std::make_shared<torch::nn::Module>("list"));
  for (size_t i = 0; i < hidden.size(); ++i) {
    blocks_.push_back(
        list->register_module(absl::StrCat(i), std::make_shared<Block>(kWidth, hidden[i])));
  }
  head_ = register_module("head", std::make_shared<wanlite::nn::Linear>(kWidth, 1));
}

void Regressor::Randomize(uint64_t seed) {
  const at::NoGradGuard no_grad;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (at::Tensor& parameter : parameters()) {
    parameter.normal_(0, 1 / std::sqrt(static_cast<double>(parameter.size(-1))), generator);
  }
}

void Regressor::Describe(wanlite::TopologyBuilder& topology) const {
  for (size_t i = 0; i < blocks_.size(); ++i) topology.Block(absl::StrCat("blocks.", i));
  topology.Linear("head", "head", wanlite::TokenStream::kVideo, /*sensitive=*/true);
}

std::vector<wanlite::BlockProgram::Step> Regressor::Steps() const {
  std::vector<Step> steps;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    steps.push_back({absl::StrCat("blocks.", i), {"x"}, /*residual=*/true});
  }
  steps.push_back({/*block=*/"", {"y"}});  // the head is in no block
  return steps;
}

void Regressor::RunStep(size_t step, wanlite::Values& values) const {
  const at::Tensor& x = wanlite::ValueOf(values, "x");
  if (step < blocks_.size()) {
    values["x"] = blocks_[step]->forward(x);
  } else {
    values["y"] = head_->forward(x);
  }
}

std::string Regressor::Config() const {
  nlohmann::ordered_json config = {{"_class_name", "Regressor"}, {"hidden", nullptr}};
  for (const auto& block : blocks_) config["hidden"].push_back(block->hidden());
  return config.dump(2) + "\n";
}

wanlite::Architecture Regressor::Definition() {
  wanlite::Architecture own;
  own.name = "Regressor";
  own.role = wanlite::ComponentRole::kOther;
  own.build = [](absl::string_view text) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    const auto config = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
    if (!config.is_object() || !config.contains("hidden") || !config["hidden"].is_array()) {
      return absl::InvalidArgumentError("a Regressor's config needs a list 'hidden'");
    }
    std::vector<int64_t> hidden;
    for (const auto& channels : config["hidden"]) {
      if (!channels.is_number_integer() || channels.get<int64_t>() < 1) {
        return absl::InvalidArgumentError("'hidden' must hold integers of at least 1");
      }
      hidden.push_back(channels.get<int64_t>());
    }
    return std::make_shared<Regressor>(hidden);
  };
  own.normalize_config = [](absl::string_view json) -> absl::StatusOr<std::string> {
    return std::string(json);
  };
  own.config_of = [](absl::string_view,
                     const torch::nn::Module& module) -> absl::StatusOr<std::string> {
    return dynamic_cast<const Regressor&>(module).Config();
  };
  own.recognizes = [](const std::vector<std::string>&) { return false; };
  return own;
}
