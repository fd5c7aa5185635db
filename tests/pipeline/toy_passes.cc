// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/toy_passes.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_architecture.h"
#include "tests/testing/toy_model.h"
#include "wanlite/model_library.h"
#include "wanlite/status.h"

namespace wanlite::testing {
namespace {

using google::protobuf::BoolValue;
using google::protobuf::BytesValue;
using google::protobuf::DoubleValue;
using google::protobuf::FloatValue;
using google::protobuf::Int32Value;
using google::protobuf::Int64Value;
using google::protobuf::ListValue;
using google::protobuf::Message;
using google::protobuf::StringValue;
using google::protobuf::Struct;
using google::protobuf::UInt32Value;

// A plan without words of its own.
template <typename Base>
class ToyPass : public Base {
 public:
  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override { return PassNotes(); }
};

absl::Status KeepInBlock(ModelView& model, const std::string* block,
                         const std::function<at::Tensor(const AxisGroup&)>& units) {
  for (const AxisGroup& group : std::vector<AxisGroup>(model.groups())) {
    if (block != nullptr && group.block != *block) continue;
    WANLITE_RETURN_IF_ERROR(model.KeepUnits(group.name, units(group)));
  }
  return absl::OkStatus();
}

class KeepUnitsPass : public ToyPass<BlockPass> {
 public:
  explicit KeepUnitsPass(const Int64Value& units) : units_(units) {}
  absl::string_view name() const override { return "keep-units"; }
  const Message& options() const override { return units_; }
  absl::Status ApplyPlan(ModelView& hollow, const Message* decision) const override {
    return Keep(hollow, nullptr);
  }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message* decision,
                        PassContext& context) const override {
    const std::string path = block.block();
    context.metrics["blocks"] += 1;
    return Keep(model, &path);
  }

 private:
  absl::Status Keep(ModelView& model, const std::string* block) const {
    return KeepInBlock(model, block,
                       [&](const AxisGroup&) { return at::arange(units_.value(), at::kLong); });
  }
  const Int64Value units_;
};

// Widths from values: of every group the same number of units, those with the largest rows, as many
// as come near the largest on average. What it keeps is told by no shape.
class KeepStrongestPass : public ToyPass<BlockPass> {
 public:
  explicit KeepStrongestPass(const FloatValue& share) : share_(share) {}
  absl::string_view name() const override { return "keep-strongest"; }
  const Message& options() const override { return share_; }
  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    PassNotes notes;
    notes.exact = false;
    return notes;
  }

  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    ++Counts().decisions;
    std::map<std::string, at::Tensor> strength;
    double near = 0;
    for (const AxisGroup& group : model.groups()) {
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(group.block));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor rows,
                               model.FindTensor(group.refs.front().tensor + ".weight"));
      const at::Tensor norms = rows.detach().norm(2, 1);
      strength[group.name] = norms.clone();
      near += (norms >= share_.value() * norms.max()).sum().item<double>();
    }
    const int64_t kept = static_cast<int64_t>(near / static_cast<double>(strength.size()));
    context.metrics["kept"] += static_cast<double>(kept);
    auto decision = std::make_unique<Struct>();
    for (const auto& [name, norms] : strength) {
      const at::Tensor best = std::get<0>(std::get<1>(norms.topk(kept)).sort());
      auto& units = *(*decision->mutable_fields())[name].mutable_list_value();
      for (int64_t i = 0; i < kept; ++i) {
        units.add_values()->set_number_value(static_cast<double>(best[i].item<int64_t>()));
      }
    }
    return decision;
  }
  absl::Status ApplyPlan(ModelView& hollow, const Message* decision) const override {
    return decision == nullptr ? absl::OkStatus() : Keep(hollow, nullptr, decision);
  }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message* decision,
                        PassContext& context) const override {
    const std::string path = block.block();
    return Keep(model, &path, decision);
  }

 private:
  static absl::Status Keep(ModelView& model, const std::string* block, const Message* decision) {
    const auto& fields = static_cast<const Struct*>(decision)->fields();
    return KeepInBlock(model, block, [&](const AxisGroup& group) {
      std::vector<int64_t> units;
      for (const auto& value : fields.at(group.name).list_value().values()) {
        units.push_back(static_cast<int64_t>(value.number_value()));
      }
      return at::tensor(units, at::kLong);
    });
  }
  const FloatValue share_;
};

// Formats from values: the half of the linears whose largest weight is smallest becomes INT8.
class Int8SmallestPass : public ToyPass<BlockPass> {
 public:
  explicit Int8SmallestPass(const BoolValue& unused) : options_(unused) {}
  absl::string_view name() const override { return "int8-smallest"; }
  const Message& options() const override { return options_; }
  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override {
    PassNotes notes;
    notes.exact = false;
    return notes;
  }
  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    ++Counts().decisions;
    std::vector<std::pair<double, std::string>> largest;
    for (const LinearInfo& linear : model.linears()) {
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(linear.block));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      largest.emplace_back(weight->Dequantize().abs().max().item<double>(), linear.path);
    }
    std::sort(largest.begin(), largest.end());
    auto decision = std::make_unique<ListValue>();
    for (size_t i = 0; i < largest.size() / 2; ++i) {
      decision->add_values()->set_string_value(largest[i].second);
    }
    return decision;
  }
  absl::Status ApplyPlan(ModelView& hollow, const Message* decision) const override {
    for (const std::string& path : Chosen(decision)) {
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, hollow.Weight(path));
      const nn::HollowGuard guard;
      const int64_t out = weight->out_features(), in = weight->in_features();
      WANLITE_RETURN_IF_ERROR(Set(hollow, path, nn::NewTensor({out, in}, at::kChar),
                                  nn::NewTensor({out, 1}, at::kFloat)));
    }
    return absl::OkStatus();
  }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message* decision,
                        PassContext& context) const override {
    for (const std::string& path : Chosen(decision)) {
      if (model.BlockOf(path) != block.block()) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(path));
      const at::Tensor dense = weight->Dequantize();
      const at::Tensor scale = std::get<0>(dense.abs().max(1, /*keepdim=*/true)) / 127;
      WANLITE_RETURN_IF_ERROR(Set(model, path, (dense / scale).round().to(at::kChar), scale));
      context.metrics["layers"] += 1;
    }
    return absl::OkStatus();
  }

 private:
  static std::vector<std::string> Chosen(const Message* decision) {
    std::vector<std::string> paths;
    if (decision == nullptr) return paths;
    for (const auto& value : static_cast<const ListValue*>(decision)->values()) {
      paths.push_back(value.string_value());
    }
    return paths;
  }
  static absl::Status Set(ModelView& model, const std::string& path, const at::Tensor& weight,
                          const at::Tensor& scale) {
    WANLITE_ASSIGN_OR_RETURN(
        std::unique_ptr<LinearWeight> int8,
        BuiltinWeightFormats().Build("int8", {{"weight", weight}, {"weight_scale", scale}}, "{}"));
    return model.SetLinearWeight(path, std::move(int8));
  }
  const BoolValue options_;
};

class ScaleModelPass : public ToyPass<ModelPass> {
 public:
  explicit ScaleModelPass(const DoubleValue& factor) : factor_(factor) {}
  absl::string_view name() const override { return "scale-model"; }
  const Message& options() const override { return factor_; }
  absl::Status RunModel(ModelView& model, const Message* decision,
                        PassContext& context) const override {
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

// Long work: every step adds to the head's bias of `toy`, by the seed and the step. The state after
// each step is kept in the scratch folder, with which a killed run goes on.
class StepsPass : public ToyPass<ModelPass> {
 public:
  explicit StepsPass(const Int32Value& steps) : steps_(steps) {}
  absl::string_view name() const override { return "steps"; }
  const Message& options() const override { return steps_; }
  absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const override {
    return std::vector<std::string>{"toy"};
  }
  absl::Status RunModel(ModelView& model, const Message* decision,
                        PassContext& context) const override {
    if (model.FindComponent("toy_2") != nullptr) ++Counts().whole_models;
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, name()));
    const std::string path = JoinPath(scratch, "state.safetensors");
    WANLITE_ASSIGN_OR_RETURN(at::Tensor state, model.FindTensor("toy.head.bias"));
    state = state.detach().clone();
    int64_t step = 0;
    if (context.env->FileExists(path)) {
      WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(*context.env, path));
      WANLITE_ASSIGN_OR_RETURN(state, source->Read("state"));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor done, source->Read("step"));
      step = done.item<int64_t>();
    }
    for (; step < steps_.value(); ++step) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      ++Counts().steps;
      state = state * 0.75 + static_cast<double>(context.seed + step);
      WANLITE_RETURN_IF_ERROR(
          WriteSafetensors(*context.env, path, {{"state", state}, {"step", at::tensor({step + 1})}})
              .status());
    }
    context.metrics["steps"] = static_cast<double>(steps_.value());
    return model.SetTensor("toy.head.bias", state);
  }

 private:
  const Int32Value steps_;
};

// Takes the head's bias of `toy` from other models: that of the run's input and the one before this
// pass, added up.
class RememberPass : public ToyPass<ModelPass> {
 public:
  explicit RememberPass(const BytesValue& unused) : options_(unused) {}
  absl::string_view name() const override { return "remember"; }
  const Message& options() const override { return options_; }
  absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const override {
    return std::vector<std::string>{"toy"};
  }
  absl::Status RunModel(ModelView& model, const Message* decision,
                        PassContext& context) const override {
    if (context.models == nullptr) return absl::FailedPreconditionError("no models");
    at::Tensor sum = at::zeros({3});
    for (const char* ref : {"input", "before"}) {
      WANLITE_ASSIGN_OR_RETURN(ModelView other, context.models->Open(ref, {"toy"}));
      WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, other.Lease("toy"));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor bias, other.FindTensor("toy.head.bias"));
      sum += bias.detach();
    }
    return model.SetTensor("toy.head.bias", sum);
  }

 private:
  const BytesValue options_;
};

class MisbehavePass : public ToyPass<BlockPass> {
 public:
  explicit MisbehavePass(const StringValue& rule) : rule_(rule) {}
  absl::string_view name() const override { return "misbehave"; }
  const Message& options() const override { return rule_; }
  absl::StatusOr<std::unique_ptr<Message>> Decide(ModelView& model,
                                                  PassContext& context) const override {
    if (rule_.value() == "decide-edits") {
      WANLITE_RETURN_IF_ERROR(model.KeepUnits(model.groups()[0].name, at::arange(3, at::kLong)));
    }
    return std::make_unique<StringValue>(rule_);
  }
  absl::Status ApplyPlan(ModelView& hollow, const Message* decision) const override {
    if (decision == nullptr || rule_.value() != "inexact") return absl::OkStatus();
    return hollow.KeepUnits(hollow.groups()[0].name, at::arange(3, at::kLong));
  }
  bool Touches(const ModelView& model, absl::string_view block) const override {
    return rule_.value() != "untouched" || block != "toy.blocks.1";
  }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message* decision,
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

class AsIfPass : public ToyPass<BlockPass> {
 public:
  explicit AsIfPass(const UInt32Value& effect) : effect_(effect) {}
  absl::string_view name() const override { return "as-if"; }
  const Message& options() const override { return effect_; }
  PassEffect effect() const override { return static_cast<PassEffect>(effect_.value()); }
  bool Touches(const ModelView& model, absl::string_view block) const override { return false; }
  absl::Status RunBlock(ModelView& model, const BlockLease& block, const Message* decision,
                        PassContext& context) const override {
    return absl::OkStatus();
  }

 private:
  const UInt32Value effect_;
};

template <typename Options, typename PassT>
void AddPass(PassRegistry& registry) {
  REQUIRE_OK(RegisterPass<Options>(
      registry, [](const Options& options) -> absl::StatusOr<std::unique_ptr<Pass>> {
        return std::make_unique<PassT>(options);
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
  static const auto& registry = *new ArchitectureRegistry(UniformToys<ToyModel>("ToyModel"));
  return registry;
}

PassRegistry ToyPasses() {
  PassRegistry registry = BuiltinPasses();
  AddPass<Int64Value, KeepUnitsPass>(registry);
  AddPass<DoubleValue, ScaleModelPass>(registry);
  AddPass<StringValue, MisbehavePass>(registry);
  AddPass<FloatValue, KeepStrongestPass>(registry);
  AddPass<BoolValue, Int8SmallestPass>(registry);
  AddPass<Int32Value, StepsPass>(registry);
  AddPass<BytesValue, RememberPass>(registry);
  AddPass<UInt32Value, AsIfPass>(registry);
  return registry;
}

ParsedRecipe ToyRecipe(const std::string& text) {
  ASSERT_OK_AND_ASSIGN(ParsedRecipe recipe,
                       ParsedRecipe::Parse(text, "toy.textproto", ToyPasses()));
  return recipe;
}

ToyCounts& Counts() {
  static ToyCounts counts;
  return counts;
}

std::string Custom(const std::string& type, const std::string& value) {
  return absl::StrCat("passes { custom { [type.googleapis.com/google.protobuf.", type,
                      "] { value: ", value, " } } }\n");
}
std::string KeepUnits(int units) { return Custom("Int64Value", absl::StrCat(units)); }
std::string KeepStrongest(double share) { return Custom("FloatValue", absl::StrCat(share)); }
std::string Int8Smallest() { return Custom("BoolValue", "true"); }
std::string ScaleModel(double factor) { return Custom("DoubleValue", absl::StrCat(factor)); }
std::string Steps(int steps) { return Custom("Int32Value", absl::StrCat(steps)); }
std::string Remember() { return Custom("BytesValue", "'x'"); }
std::string AsIf(PassEffect effect) {
  return Custom("UInt32Value", absl::StrCat(static_cast<int>(effect)));
}
std::string Misbehave(const std::string& rule) {
  return Custom("StringValue", absl::StrCat("\"", rule, "\""));
}

std::unique_ptr<Env> DiskWithModel(uint64_t seed) {
  std::vector<Component> components;
  for (const char* name : {"toy", "toy_2"}) {
    components.push_back(ToyComponent(MakeToyModel(seed++), name));
    components.back().config_json = UniformToyConfig("ToyModel", 12);
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
