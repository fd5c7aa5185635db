// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The passes of the weight formats, run on folders: per layer, block and component, and killed.

#include <string>

#include "src/core/libtorch.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "wanlite/pipeline.h"

namespace wanlite {
namespace {

using testing::Compress;
using testing::DiskWithModel;
using testing::OpenFolder;
using testing::ToyRecipe;
using testing::Tree;

// Each kind of layer of one component, or some blocks of another, in another format.
constexpr char kManyFormats[] =
    "passes { cast { dtype: BF16 linears { kinds: 'mlp.up' components: 'toy' } } }"
    "passes { quantize_int4 { group: 4 activations: INT8 linears { kinds: 'mlp.down' components: "
    "'toy' } } }"
    "passes { quantize_fp8 { linears { kinds: 'mlp.gate' components: 'toy' } } }"
    "passes { quantize_int4 { group: 4 zero_point: true linears { components: 'toy_2' blocks { "
    "from: "
    "1 } } } }"
    "passes { quantize_int8 { activations: FLOAT linears { components: 'toy_2' blocks { to: 1 } "
    "exclude: '*.up' } } }";

TEST_CASE("formats are chosen by kind, block and component, and the rest keeps its bits") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  REQUIRE_OK(Compress(*disk, ToyRecipe(kManyFormats)));
  ASSERT_OK_AND_ASSIGN(ModelView before, OpenFolder(*disk, "/in").BuildView());
  ASSERT_OK_AND_ASSIGN(ModelView after, OpenFolder(*disk, "/out").BuildView());
  REQUIRE_OK(before.LoadAll());
  REQUIRE_OK(after.LoadAll());
  const auto format = [&](const char* path) {
    return std::string((*after.Weight(path))->format());
  };
  CHECK(format("toy.blocks.0.up") == "dense");
  CHECK((*after.Weight("toy.blocks.0.up"))->dense()->scalar_type() == at::kBFloat16);
  CHECK(format("toy.blocks.1.down") == "int4");
  CHECK(format("toy.blocks.1.gate") == "fp8");
  CHECK(format("toy_2.blocks.0.up") == "dense");
  CHECK(format("toy_2.blocks.0.down") == "int8_weight_only");
  CHECK(format("toy_2.blocks.1.up") == "int4");
  // What is left alone has its bits: biases and norms, the layers of no pass.
  std::map<std::string, at::Tensor> old;
  for (const NamedTensor& named : before.Tensors()) old[named.name] = named.tensor;
  int64_t kept = 0;
  for (const NamedTensor& named : after.Tensors()) {
    const auto found = old.find(named.name);
    if (found == old.end() || found->second.dtype() != named.tensor.dtype()) continue;
    INFO(named.name);
    CHECK(at::equal(named.tensor, found->second));
    ++kept;
  }
  // Of each component embed, head and their biases, and in two blocks the norm and two biases; of
  // toy_2 up of block 0.
  CHECK(kept == 2 * (4 + 2 * 3) + 1);
}

TEST_CASE("a run to many formats killed at any write continues to the same bytes") {
  const ParsedRecipe recipe = ToyRecipe(kManyFormats);
  const std::unique_ptr<Env> whole = DiskWithModel();
  REQUIRE_OK(Compress(*whole, recipe));
  const auto expected = Tree(*whole, "/out");
  // Every third write: the steps between are those of the pipeline, which has tests of its own.
  int64_t kills = 0;
  for (int64_t kill = 0;; kill += 3) {
    INFO("killed at write " << kill);
    const std::unique_ptr<Env> disk = DiskWithModel();
    const std::unique_ptr<FaultEnv> dying = NewFaultEnv(*disk, kill);
    if (Compress(*dying, recipe).ok()) break;
    ++kills;
    REQUIRE_OK(Compress(*disk, recipe));
    REQUIRE(Tree(*disk, "/out") == expected);
  }
  CHECK(kills > 30);
}

TEST_CASE("layers that a format cannot take are refused by the plan, by name") {
  const std::unique_ptr<Env> disk = DiskWithModel();
  const std::pair<const char*, const char*> bad[] = {
      {"passes { quantize_int4 { group: 8 } }", "toy.blocks.0.down.weight"},
      {"passes { quantize_int4 { codes: NVFP4 } }", "toy.blocks.0.up.weight"},
      {"passes { quantize_fp8 { linears { kinds: 'attn.*' } } }", "attn.*"},
      {"passes { quantize_fp8 {} } passes { quantize_int8 {} }", "format fp8"}};
  for (const auto& [text, named] : bad) {
    INFO(text);
    const absl::Status refused = Compress(*disk, ToyRecipe(text)).status();
    CHECK_FALSE(refused.ok());
    CHECK(std::string(refused.message()).find(named) != std::string::npos);
    CHECK_FALSE(disk->FolderExists("/out"));
  }
}

}  // namespace
}  // namespace wanlite
