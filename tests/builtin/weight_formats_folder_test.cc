// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Every weight format in folders: saved, opened, leased, run, exported.

#include <google/protobuf/text_format.h>

#include <functional>
#include <memory>

#include "src/core/libtorch.h"
#include "src/model/sparse_nm_weight.h"
#include "src/proto/quant.pb.h"
#include "src/quant/weight_quantizer.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_architecture.h"
#include "tests/testing/toy_model.h"
#include "wanlite/checkpoint.h"

namespace wanlite {
namespace {

using testing::ToyModel;

constexpr const char* kFolderFormats[] = {
    "cast { dtype: BF16 }",
    "cast { dtype: FP16 }",
    "int8 {}",
    "int8 { rotation: CONVROT rotation_group: 16 }",
    "int8 { activations: STATIC }",
    "int8 { activations: FLOAT rotation: CONVROT rotation_group: 16 }",
    "fp8 {}",
    "fp8 { activations: FLOAT }",
    "int4 { group: 16 }",
    "int4 { group: 32 zero_point: true activations: INT8 }",
    "int4 { group: 16 activations: SAME }",
    "int4 { codes: NVFP4 }",
    "int4 { codes: NVFP4 activations: SAME }",
};

ArchitectureRegistry WideNetworks() {
  return testing::FixedToys([] { return std::make_shared<ToyModel>(32, 64); });
}

// A model whose layers hold what make(matrix) gives is saved, opened, leased, run and exported.
void CheckFolderOf(
    const std::function<absl::StatusOr<std::unique_ptr<LinearWeight>>(const at::Tensor&)>& make) {
  const at::NoGradGuard no_grad;
  const auto model = std::make_shared<ToyModel>(32, 64);
  model->Randomize(4);
  for (const auto& block : model->blocks) {
    for (nn::Linear* linear : {block->up.get(), block->gate.get(), block->down.get()}) {
      ASSERT_OK_AND_ASSIGN(auto weight, make(*linear->weight().dense()));
      linear->SetWeight(std::move(weight));
    }
  }
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create({testing::ToyComponent(model)}));
  const auto env = NewMemEnv();
  REQUIRE_OK(SaveCheckpoint(*env, "out", view));
  ASSERT_OK_AND_ASSIGN(const ModelFolder folder,
                       ModelFolder::Open(*env, "out", {}, WideNetworks()));
  ASSERT_OK_AND_ASSIGN(ModelView loaded, folder.BuildView());
  CHECK(loaded.Fingerprint() == view.Fingerprint());
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, loaded.Lease("toy.blocks.1"));
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, loaded.Weight("toy.blocks.1.gate"));
    CHECK(weight->format() == model->blocks[1]->gate->weight().format());
    CHECK(at::equal(weight->Dequantize(), model->blocks[1]->gate->weight().Dequantize()));
  }
  REQUIRE_OK(loaded.LoadAll());
  const auto again = std::dynamic_pointer_cast<ToyModel>(loaded.components()[0].module);
  const at::Tensor x = at::randn({5, 4}, at::detail::createCPUGenerator(1));
  CHECK(at::equal(again->forward(x), model->forward(x)));

  // Another layout holds the matrices that the weights stand for.
  ExportOptions options;
  options.layout = FolderLayout::kDiffusers;
  REQUIRE_OK(ExportFolder(*env, folder, "plain", options));
  ASSERT_OK_AND_ASSIGN(const auto source,
                       OpenSafetensors(*env, "plain/toy/diffusion_pytorch_model.safetensors"));
  ASSERT_OK_AND_ASSIGN(const at::Tensor exported, source->Read("blocks.0.up.weight"));
  CHECK(at::equal(exported.to(at::kFloat), model->blocks[0]->up->weight().Dequantize()));
}

TEST_CASE("a model of each weight format comes back from a checkpoint, and runs as before") {
  for (const char* text : kFolderFormats) {
    INFO(text);
    LinearFormat format;
    REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &format));
    ASSERT_OK_AND_ASSIGN(const auto quantizer, MakeWeightQuantizer(format, "format"));
    CheckFolderOf([&](const at::Tensor& matrix) {
      InputStatistics statistics;
      statistics.range = 3;
      return quantizer->Quantize(matrix, &statistics);
    });
  }
  for (const SparsePattern& pattern : {SparsePattern{2, 4}, {3, 16}, {1, 2}}) {
    INFO(pattern.n << ":" << pattern.m);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      CheckFolderOf([&](const at::Tensor& matrix) {
        at::Tensor groups = matrix.clone().reshape({matrix.size(0), -1, pattern.m});
        groups.slice(2, pattern.n).zero_();
        return MakeSparseNmWeight(groups.reshape_as(matrix).to(dtype), pattern);
      });
    }
  }
}

}  // namespace
}  // namespace wanlite
