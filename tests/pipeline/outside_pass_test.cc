// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What it takes to add a pass that lives outside wanlite: this much, with public headers alone.
#include <ATen/ops/mul.h>
#include <google/protobuf/field_mask.pb.h>

#include <memory>
#include <string>

#include "wanlite/pass.h"
#include "wanlite/registry.h"
#include "wanlite/select_linears.h"
#include "wanlite/status.h"

namespace outside {

// Halves the weights of the layers that its options name.
class HalveLayers : public wanlite::BlockPass {
 public:
  explicit HalveLayers(const google::protobuf::FieldMask& options) : options_(options) {
    layers_.include.assign(options.paths().begin(), options.paths().end());
  }
  absl::string_view name() const override { return "halve-layers"; }
  const google::protobuf::Message& options() const override { return options_; }

  absl::StatusOr<wanlite::PassNotes> Plan(const wanlite::ModelView& model) const override {
    WANLITE_ASSIGN_OR_RETURN(const auto selection, SelectLinears(model, layers_, "paths"));
    wanlite::PassNotes notes;
    for (const auto& linear : selection.linears) {
      WANLITE_RETURN_IF_ERROR(wanlite::DenseWeightOf(model, linear.path).status());
      notes.value_changes.emplace_back(linear.path, "halved");
    }
    return notes;
  }

  absl::Status RunBlock(wanlite::ModelView& model, const wanlite::BlockLease& block,
                        const google::protobuf::Message* decision,
                        wanlite::PassContext& context) const override {
    WANLITE_ASSIGN_OR_RETURN(const auto selection, SelectLinears(model, layers_, "paths"));
    for (const auto& linear : selection.InBlock(block.block())) {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor weight, model.FindTensor(linear.path + ".weight"));
      WANLITE_RETURN_IF_ERROR(model.SetLinearWeight(
          linear.path, wanlite::MakeDenseWeight(at::mul(weight.detach(), 0.5))));
      context.metrics["layers"] += 1;
    }
    return absl::OkStatus();
  }

 private:
  const google::protobuf::FieldMask options_;
  wanlite::LinearFilter layers_;
};

absl::StatusOr<std::unique_ptr<wanlite::Pass>> MakeHalveLayers(
    const google::protobuf::FieldMask& options) {
  if (options.paths().empty()) return wanlite::OptionError("paths", "names no layers");
  return std::make_unique<HalveLayers>(options);
}

}  // namespace outside

#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

PassRegistry WithHalveLayers() {
  PassRegistry registry = testing::ToyPasses();
  REQUIRE_OK(RegisterPass<google::protobuf::FieldMask>(registry, outside::MakeHalveLayers));
  return registry;
}

std::string Halve(const std::string& paths) {
  return "passes { custom { [type.googleapis.com/google.protobuf.FieldMask] {" + paths + "} } }";
}

TEST_CASE("a pass from outside is registered by a line, planned, run and refused as any other") {
  const PassRegistry passes = WithHalveLayers();
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                       ParsedRecipe::Parse(Halve("paths: '*.blocks.1.up'"), "r", passes));
  const std::unique_ptr<Env> env = testing::DiskWithModel();
  const ModelFolder in = testing::OpenFolder(*env, "/in");
  ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plans, PlanRecipe(recipe, in));
  REQUIRE(plans[0].changes.size() == 2);
  CHECK(plans[0].changes[1].path == "toy_2.blocks.1.up");
  CHECK(plans[0].changes[1].description == "halved");

  ASSERT_OK_AND_ASSIGN(const RunReport report, testing::Compress(*env, recipe));
  CHECK(report.passes[0].metrics.at("layers") == 2);
  ModelView before = *in.BuildView();
  ModelView after = *testing::OpenFolder(*env, "/out").BuildView();
  REQUIRE_OK(before.LoadAll());
  REQUIRE_OK(after.LoadAll());
  for (const NamedTensor& named : before.Tensors()) {
    const bool halved = named.name.find("blocks.1.up.weight") != std::string::npos;
    INFO(named.name);
    CHECK(at::mul(named.tensor, halved ? 0.5 : 1.0).equal(*after.FindTensor(named.name)));
  }

  CHECK(ParsedRecipe::Parse(Halve(""), "r", passes).status() ==
        absl::InvalidArgumentError("r:1:10: passes[0].custom.paths: names no layers"));
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe nothing,
                       ParsedRecipe::Parse(Halve("paths: 'x.*'"), "r", passes));
  const std::string error(PlanRecipe(nothing, in).status().message());
  CHECK(error.find("halve-layers: paths.include[0]: the pattern \"x.*\" fits no linear") == 0);
  // A second pass for the same options is none.
  PassRegistry twice = WithHalveLayers();
  CHECK(absl::IsAlreadyExists(
      RegisterPass<google::protobuf::FieldMask>(twice, outside::MakeHalveLayers)));
}

}  // namespace
}  // namespace wanlite
