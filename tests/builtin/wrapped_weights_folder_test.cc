// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights that wrap others, in folders: saved, opened, leased, cut and exported.

#include "src/core/libtorch.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_architecture.h"
#include "tests/testing/toy_model.h"
#include "wanlite/checkpoint.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using testing::MakeToyModel;
using testing::ToyModel;

ArchitectureRegistry Networks() {
  return testing::FixedToys([] { return std::make_shared<ToyModel>(); });
}

// A toy model with every wrapped format in its blocks.
std::shared_ptr<ToyModel> Wrapped() {
  const auto model = MakeToyModel(3);
  const auto wrap = [](nn::Linear& linear, const auto& make) {
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> base, linear.weight().Share());
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> weight, make(std::move(base)));
    linear.SetWeight(std::move(weight));
  };
  using Base = std::unique_ptr<LinearWeight>;
  const auto masked = [](Base base) {
    const at::Tensor matrix = base->Dequantize();
    return MakeMaskedWeight(std::move(base), matrix > 0);
  };
  const auto low_rank = [](Base base) {
    const int64_t out = base->out_features(), in = base->in_features();
    return MakeLowRankWeight(std::move(base), at::ones({2, in}), at::full({out, 2}, 0.1), 3);
  };
  const auto int8 = [](Base base) { return MakeInt8Weight(base->Dequantize(), 4); };
  const auto fake = [](bool learned) {
    return [learned](Base base) {
      return MakeFakeQuantWeight(std::move(base), "int8 { rotation: CONVROT rotation_group: 4 }",
                                 learned);
    };
  };
  wrap(*model->blocks[0]->up, masked);
  wrap(*model->blocks[0]->gate, int8);
  wrap(*model->blocks[0]->gate, low_rank);
  wrap(*model->blocks[0]->down, fake(false));
  wrap(*model->blocks[1]->up, masked);
  wrap(*model->blocks[1]->up, fake(true));
  wrap(*model->blocks[1]->gate, low_rank);
  return model;
}

TEST_CASE("wrapped weights come back from a checkpoint, whole and block by block") {
  const at::NoGradGuard no_grad;
  const auto model = Wrapped();
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create({testing::ToyComponent(model)}));
  const auto env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "out", view));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder, ModelFolder::Open(*env, "out", {}, Networks()));
  const at::Tensor x = at::randn({5, 4}, at::detail::createCPUGenerator(1));
  ASSERT_OK_AND_ASSIGN(ModelView loaded, folder.BuildView());
  CHECK(loaded.Fingerprint() == view.Fingerprint());
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, loaded.Lease("toy.blocks.0"));
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, loaded.Weight("toy.blocks.0.gate"));
    CHECK(std::string(weight->format()) == "low_rank");
    CHECK(at::equal(weight->Dequantize(), model->blocks[0]->gate->weight().Dequantize()));
  }
  REQUIRE_OK(loaded.LoadAll());
  const auto again = std::dynamic_pointer_cast<ToyModel>(loaded.components()[0].module);
  CHECK(at::equal(again->forward(x), model->forward(x)));
  // What trains and what does not is known again.
  const auto parameters = again->named_parameters();
  CHECK_FALSE(parameters["blocks.0.gate.weight"].requires_grad());
  CHECK(parameters["blocks.0.gate.low_rank_a"].requires_grad());
  CHECK(parameters["blocks.1.up.quant_scale"].requires_grad());
  CHECK(parameters["blocks.1.up.weight"].requires_grad());
  CHECK_FALSE(parameters["blocks.1.up.weight_mask"].requires_grad());

  // Another layout holds the matrices that they stand for.
  ExportOptions options;
  options.layout = FolderLayout::kOriginal;
  const absl::Status exported = ExportFolder(*env, folder, "plain", options);
  REQUIRE_OK(exported);

  // Units go from all of them at once.
  REQUIRE_OK(loaded.KeepUnits("toy.blocks.0.channels", at::arange(4, 12)));
  CHECK(again->blocks[0]->gate->out_features() == 8);
  CHECK(std::string(again->blocks[0]->down->weight().format()) == "fake_quant");
  CHECK(again->forward(x).isfinite().all().item<bool>());

  // A program that does not know the formats says which one it misses.
  ArchitectureRegistry poor = Networks();
  poor.weight_formats() = WeightFormatRegistry();
  ASSERT_OK_AND_ASSIGN(const ModelFolder closed, ModelFolder::Open(*env, "out", {}, poor));
  const absl::Status refused = closed.BuildView().status();
  CHECK(absl::IsUnimplemented(refused));
  CHECK(std::string(refused.message()).find("known are dense") != std::string::npos);
}

}  // namespace
}  // namespace wanlite
