// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/toy_passes.h"

#include <google/protobuf/wrappers.pb.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/select_linears.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"
#include "wanlite/status.h"

namespace wanlite::testing {
namespace {

using google::protobuf::DoubleValue;
using google::protobuf::Int64Value;
using google::protobuf::Message;
using google::protobuf::StringValue;

std::string ConfigText(int64_t hidden) {
  return nlohmann::json({{"_class_name", "ToyModel"}, {"hidden", hidden}}).dump();
}

// Plans what ApplyPlan() would leave, told by a second model of the same shapes.
class ToyPass : public Pass {
 public:
  PassScope scope() const override { return PassScope::kBlock; }
  absl::StatusOr<PassPlan> Plan(const ModelView& model) const override {
    PassPlan plan;
    plan.pass = std::string(name());
    plan.bytes_before = StoredBytes(model.Tensors());
    plan.bytes_after = plan.bytes_before + Growth(model);
    return plan;
  }
  virtual int64_t Growth(const ModelView& model) const { return 0; }
};

class KeepUnitsPass : public ToyPass {
 public:
  explicit KeepUnitsPass(const Int64Value& units) : units_(units) {}
  absl::string_view name() const override { return "keep-units"; }
  const Message& options() const override { return units_; }

  int64_t Growth(const ModelView& model) const override {
    int64_t growth = 0;
    for (const AxisGroup& group : model.groups()) {
      // up row and bias, gate row, norm, down column: fp32 of the toy's width of 8.
      growth += (units_.value() - group.units) * (8 + 1 + 8 + 1 + 8) * 4;
    }
    return growth;
  }
  absl::Status ApplyPlan(ModelView& hollow) const override { return Keep(hollow, nullptr); }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, State* state,
                        PassContext& context) const override {
    const std::string path = block.block();
    context.metrics["blocks"] += 1;
    return Keep(model, &path);
  }

 private:
  absl::Status Keep(ModelView& model, const std::string* block) const {
    for (const AxisGroup& group : std::vector<AxisGroup>(model.groups())) {
      if (block != nullptr && group.block != *block) continue;
      WANLITE_RETURN_IF_ERROR(model.KeepUnits(group.name, at::arange(units_.value(), at::kLong)));
    }
    return absl::OkStatus();
  }
  const Int64Value units_;
};

class ScaleModelPass : public ToyPass {
 public:
  explicit ScaleModelPass(const DoubleValue& factor) : factor_(factor) {}
  absl::string_view name() const override { return "scale-model"; }
  const Message& options() const override { return factor_; }
  PassScope scope() const override { return PassScope::kModel; }
  absl::Status RunModel(ModelView& model, PassContext& context) const override {
    for (const NamedTensor& named : model.Tensors()) {
      if (!named.tensor.is_floating_point()) continue;
      context.metrics["tensors"] += 1;
      named.tensor.set_data(named.tensor.detach() * factor_.value());
    }
    return absl::OkStatus();
  }

 private:
  const DoubleValue factor_;
};

class MisbehavePass : public ToyPass {
 public:
  explicit MisbehavePass(const StringValue& rule) : rule_(rule) {}
  absl::string_view name() const override { return "misbehave"; }
  const Message& options() const override { return rule_; }
  int64_t Growth(const ModelView& model) const override {
    return rule_.value() == "bytes" ? -1 : 0;
  }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, State* state,
                        PassContext& context) const override {
    if (block.block() != "toy.blocks.1") return absl::OkStatus();
    const std::string linear = "toy.blocks.1.up";
    WANLITE_ASSIGN_OR_RETURN(at::Tensor weight, model.FindTensor(linear + ".weight"));
    weight = weight.detach().clone();
    if (rule_.value() == "nan") weight[1][2] = std::numeric_limits<float>::quiet_NaN();
    if (rule_.value() == "error") return absl::DataLossError("went wrong");
    if (rule_.value() == "throw") TORCH_CHECK(false, "thrown");
    if (rule_.value() == "unplanned") weight = weight.to(at::kHalf);
    if (rule_.value() == "metric") context.metrics["x"] = std::numeric_limits<double>::infinity();
    return model.SetLinearWeight(linear, MakeDenseWeight(weight));
  }

 private:
  const StringValue rule_;
};

template <typename Options, typename PassT>
void AddPass(PassRegistry& registry) {
  REQUIRE_OK(registry.Register(Options::descriptor()->full_name(),
                               [](const Message& options) -> absl::StatusOr<std::unique_ptr<Pass>> {
                                 return std::make_unique<PassT>(
                                     static_cast<const Options&>(options));
                               }));
}

void AddToTree(Env& env, const std::string& dir, const std::string& prefix,
               std::map<std::string, std::string>& tree) {
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, env.ListFolder(dir));
  for (const std::string& name : names) {
    const std::string path = JoinPath(dir, name);
    if (env.FolderExists(path)) {
      tree[prefix + name + "/"] = "";
      AddToTree(env, path, prefix + name + "/", tree);
    } else {
      ASSERT_OK_AND_ASSIGN(tree[prefix + name], env.ReadFile(path));
    }
  }
}

}  // namespace

const ArchitectureRegistry& ToyArchitectures() {
  static const ArchitectureRegistry& registry = *[] {
    Architecture toy;
    toy.name = "ToyModel";
    toy.role = ComponentRole::kDenoiser;
    toy.build = [](absl::string_view text) -> absl::StatusOr<std::shared_ptr<torch::nn::Module>> {
      const auto config = nlohmann::json::parse(std::string(text), nullptr, false);
      return std::make_shared<ToyModel>(8, config.value("hidden", int64_t{12}));
    };
    toy.to_diffusers = [](absl::string_view, const std::string& name) { return name; };
    toy.normalize_config = [](absl::string_view text) -> absl::StatusOr<std::string> {
      return std::string(text);
    };
    toy.config_of = [](absl::string_view,
                       const torch::nn::Module& module) -> absl::StatusOr<std::string> {
      return ConfigText(dynamic_cast<const ToyModel&>(module).blocks[0]->up->out_features());
    };
    toy.recognizes = [](const std::vector<std::string>&) { return false; };
    auto* list = new ArchitectureRegistry;
    REQUIRE_OK(list->Register(std::move(toy)));
    return list;
  }();
  return registry;
}

PassRegistry ToyPasses() {
  PassRegistry registry = BuiltinPasses();
  AddPass<Int64Value, KeepUnitsPass>(registry);
  AddPass<DoubleValue, ScaleModelPass>(registry);
  AddPass<StringValue, MisbehavePass>(registry);
  return registry;
}

ParsedRecipe ToyRecipe(const std::string& text) {
  ASSERT_OK_AND_ASSIGN(ParsedRecipe recipe,
                       ParsedRecipe::Parse(text, "toy.textproto", ToyPasses()));
  return recipe;
}

std::string KeepUnits(int units) {
  return absl::StrCat(
      "passes { custom { [type.googleapis.com/google.protobuf.Int64Value] { value: ", units,
      " } } }\n");
}
std::string ScaleModel(double factor) {
  return absl::StrCat(
      "passes { custom { [type.googleapis.com/google.protobuf.DoubleValue] { value: ", factor,
      " } } }\n");
}
std::string Misbehave(const std::string& rule) {
  return absl::StrCat(
      "passes { custom { [type.googleapis.com/google.protobuf.StringValue] { value: \"", rule,
      "\" } } }\n");
}

std::unique_ptr<Env> DiskWithModel(uint64_t seed) {
  std::vector<Component> components;
  for (const char* name : {"toy", "toy_2"}) {
    components.push_back(ToyComponent(MakeToyModel(seed++), name));
    components.back().config_json = ConfigText(12);
  }
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create(std::move(components)));
  std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "/in", view));
  return env;
}

ModelFolder OpenFolder(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelFolder folder,
                       ModelFolder::Open(env, dir, OpenOptions(), ToyArchitectures()));
  return folder;
}

absl::StatusOr<RunReport> Compress(Env& env, const ParsedRecipe& recipe,
                                   const CompressOptions& given) {
  CompressOptions options = given;
  if (options.out_dir.empty()) options.out_dir = "/out";
  return CompressFolder(env, recipe, OpenFolder(env, "/in"), ToyArchitectures(), options);
}

std::map<std::string, std::string> Tree(Env& env, const std::string& dir) {
  std::map<std::string, std::string> tree;
  AddToTree(env, dir, "", tree);
  return tree;
}

}  // namespace wanlite::testing
