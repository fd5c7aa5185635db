// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The toy model as a kind of network: config.json is {"_class_name": "ToyModel", "hidden": [12,
// …]}, one number for each block.
#ifndef WANLITE_TESTS_TESTING_TOY_ARCHITECTURE_H_
#define WANLITE_TESTS_TESTING_TOY_ARCHITECTURE_H_

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"
#include "wanlite/architecture.h"
#include "wanlite/status.h"
#include "wanlite/weight_formats.h"

namespace wanlite::testing {

inline std::string ToyConfig(const std::vector<int64_t>& hidden) {
  return nlohmann::json({{"_class_name", "ToyModel"}, {"hidden", hidden}}).dump();
}

inline absl::StatusOr<std::vector<int64_t>> ToyHidden(absl::string_view config) {
  const auto json = nlohmann::json::parse(config.begin(), config.end(), nullptr, false);
  const auto hidden = json.is_object() ? json.find("hidden") : json.end();
  if (!json.is_object() || hidden == json.end() || !hidden->is_array() || hidden->empty()) {
    return absl::InvalidArgumentError("toy config: hidden is no list");
  }
  return hidden->get<std::vector<int64_t>>();
}

inline Architecture ToyArchitecture() {
  Architecture toy;
  toy.name = "ToyModel";
  toy.role = ComponentRole::kDenoiser;
  toy.build = [](absl::string_view config) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    WANLITE_ASSIGN_OR_RETURN(const std::vector<int64_t> hidden, ToyHidden(config));
    return std::make_shared<ToyModel>(8, hidden);
  };
  toy.config_of = [](absl::string_view,
                     const torch::nn::Module& module) -> absl::StatusOr<std::string> {
    std::vector<int64_t> hidden;
    for (const auto& block : dynamic_cast<const ToyModel&>(module).blocks) {
      hidden.push_back(block->up->out_features());
    }
    return ToyConfig(hidden);
  };
  toy.edit_config = [](absl::string_view config,
                       const StructureEdit& edit) -> absl::StatusOr<std::string> {
    WANLITE_ASSIGN_OR_RETURN(std::vector<int64_t> hidden, ToyHidden(config));
    const auto number = [&](absl::string_view path) {
      size_t block = hidden.size();
      absl::ConsumePrefix(&path, "blocks.");
      absl::ConsumeSuffix(&path, ".channels");
      return absl::SimpleAtoi(path, &block) && block < hidden.size() ? block : hidden.size();
    };
    for (const auto& [group, units] : edit.units) hidden.at(number(group)) = units;
    for (const std::string& block : edit.drop_blocks) hidden.at(number(block)) = 0;
    std::erase(hidden, 0);
    return ToyConfig(hidden);
  };
  return toy;
}

// A toy component that can be rebuilt, saved after edits and opened again.
inline Component EditableToy(std::shared_ptr<ToyModel> model, std::string name = "toy") {
  Component component = ToyComponent(std::move(model), std::move(name));
  component.definition = std::make_shared<const Architecture>(ToyArchitecture());
  component.config_json =
      *component.definition->config_of(component.config_json, *component.module);
  return component;
}

// Toys whose blocks are all as wide: {"_class_name": "ToyModel", "hidden": 12}.
inline std::string UniformToyConfig(const std::string& name, int64_t hidden) {
  return nlohmann::json({{"_class_name", name}, {"hidden", hidden}}).dump();
}

// A registry of one of them, Model being a ToyModel, with the built-in weight formats.
template <typename Model>
ArchitectureRegistry UniformToys(const std::string& name) {
  Architecture toy;
  toy.name = name;
  toy.role = ComponentRole::kDenoiser;
  toy.build = [](absl::string_view text) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    const auto config = nlohmann::json::parse(std::string(text), nullptr, false);
    return std::make_shared<Model>(8, config.value("hidden", int64_t{12}));
  };
  toy.normalize_config = [](absl::string_view text) -> absl::StatusOr<std::string> {
    return std::string(text);
  };
  toy.config_of = [name](absl::string_view,
                         const torch::nn::Module& module) -> absl::StatusOr<std::string> {
    const auto& model = dynamic_cast<const Model&>(module);
    return UniformToyConfig(name, model.blocks[0]->up->out_features());
  };
  toy.recognizes = [](const std::vector<std::string>&) { return false; };
  ArchitectureRegistry registry;
  REQUIRE_OK(registry.Register(std::move(toy)));
  registry.weight_formats() = BuiltinWeightFormats();
  return registry;
}

// Toy models that `build` makes, whatever their config says.
inline ArchitectureRegistry FixedToys(std::function<std::shared_ptr<ToyModel>()> build) {
  Architecture toy;
  toy.name = "ToyModel";
  toy.role = ComponentRole::kDenoiser;
  toy.build = [build = std::move(build)](
                  absl::string_view) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
    return build();
  };
  toy.normalize_config = [](absl::string_view text) -> absl::StatusOr<std::string> {
    return std::string(text);
  };
  toy.recognizes = [](const std::vector<std::string>&) { return false; };
  ArchitectureRegistry registry;
  REQUIRE_OK(registry.Register(std::move(toy)));
  registry.weight_formats() = BuiltinWeightFormats();
  return registry;
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_TOY_ARCHITECTURE_H_
