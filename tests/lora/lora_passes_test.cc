// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// load_lora, add_lora and merge_lora as passes of recipes.

#include <set>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "tests/pipeline/toy_passes.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "tests/testing/temp_folder.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/train.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::Compress;
using testing::DiskWithModel;
using testing::OpenFolder;
using testing::SeededUniform;
using testing::TempFolder;
using testing::ToyRecipe;
using testing::Tree;

// Branches of two layers and differences of three tensors, of ranks of their own.
std::vector<NamedTensor> ToyAdapter(const std::string& seed, at::ScalarType dtype = at::kFloat) {
  const auto draw = [&](const std::string& name, at::IntArrayRef shape) {
    return NamedTensor{"diffusion_model." + name, SeededUniform(seed + name, shape).to(dtype)};
  };
  return {draw("blocks.0.up.lora_down.weight", {2, 8}),
          draw("blocks.0.up.lora_up.weight", {12, 2}),
          draw("blocks.1.down.lora_down.weight", {3, 12}),
          draw("blocks.1.down.lora_up.weight", {8, 3}),
          draw("blocks.1.norm.diff", {12}),
          draw("blocks.0.down.diff_b", {8}),
          draw("blocks.1.gate.diff", {12, 8})};
}

std::string WriteAdapter(const TempFolder& folder, const std::string& name,
                         const std::vector<NamedTensor>& tensors) {
  const std::string path = folder / (name + ".safetensors");
  REQUIRE_OK(WriteSafetensors(PosixEnv(), path, tensors));
  return path;
}

std::string LoadText(const std::string& path, const std::string& more = "component: 'toy'") {
  return absl::StrCat("passes { load_lora { files { path: '", path, "' ", more, " } } }");
}

ModelView Opened(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelView view, OpenFolder(env, dir).BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

std::map<std::string, at::Tensor> ValuesOf(const ModelView& model) {
  std::map<std::string, at::Tensor> values;
  for (const NamedTensor& named : model.Tensors()) values[named.name] = named.tensor.detach();
  return values;
}

TEST_CASE("files are loaded beside dense weights and merge into them exactly") {
  const TempFolder folder;
  const std::string path = WriteAdapter(folder, "a", ToyAdapter("a"));
  const auto disk = DiskWithModel();
  const auto before = ValuesOf(Opened(*disk, "/in"));
  const ParsedRecipe recipe = ToyRecipe(LoadText(path, "component: 'toy' strength: 0.5"));
  ASSERT_OK_AND_ASSIGN(const RunReport report, Compress(*disk, recipe));
  REQUIRE(report.passes.size() == 1);
  CHECK(report.passes[0].metrics.at("adapter_branches") == 2);
  CHECK(report.passes[0].metrics.at("tensor_differences") == 3);
  {
    const ModelView loaded = Opened(*disk, "/out");
    ASSERT_OK_AND_ASSIGN(const LinearWeight* up, loaded.Weight("toy.blocks.0.up"));
    REQUIRE(LoraBranches(*up).size() == 1);
    CHECK(LoraBranches(*up)[0].adapter == "a");
    CHECK(LoraBranches(*up)[0].strength == 0.5);
    const auto values = ValuesOf(loaded);
    CHECK(at::equal(values.at("toy.blocks.0.up.weight"), before.at("toy.blocks.0.up.weight")));
    CHECK(at::equal(
        values.at("toy.blocks.1.norm"),
        before.at("toy.blocks.1.norm") + 0.5 * SeededUniform("ablocks.1.norm.diff", {12})));
    for (const auto& [name, value] : before) {
      if (name.rfind("toy_2.", 0) == 0) CHECK(at::equal(values.at(name), value));
    }
  }
  CompressOptions merged;
  merged.out_dir = "/merged";
  REQUIRE_OK(Compress(
      *disk,
      ToyRecipe(LoadText(path, "component: 'toy' strength: 0.5") + "passes { merge_lora { } }"),
      merged));
  const auto values = ValuesOf(Opened(*disk, "/merged"));
  CHECK(values.size() == before.size());
  CHECK(at::equal(values.at("toy.blocks.0.up.weight"),
                  at::add(before.at("toy.blocks.0.up.weight"),
                          SeededUniform("ablocks.0.up.lora_up.weight", {12, 2})
                              .matmul(SeededUniform("ablocks.0.up.lora_down.weight", {2, 8})),
                          0.5)));
}

TEST_CASE("a run that loads, adds and merges adapters is the same killed at any write") {
  const TempFolder folder;
  const std::string a = WriteAdapter(folder, "a", ToyAdapter("a"));
  const std::string b = WriteAdapter(folder, "b", ToyAdapter("b", at::kHalf));
  const ParsedRecipe recipe = ToyRecipe(absl::StrCat(
      "seed: 5 passes { quantize_int8 { linears { include: 'toy.blocks.0.*' } } }",
      "passes { load_lora { files { path: '", a, "' component: 'toy' } files { path: '", b,
      "' component: 'toy' strength: 2 } } }", "passes { add_lora { rank: 2 } }",
      "passes { merge_lora { linears { include: 'toy.blocks.1.*' } } }"));
  const auto whole = DiskWithModel();
  REQUIRE_OK(Compress(*whole, recipe));
  const auto expected = Tree(*whole, "/out");
  {
    const ModelView out = Opened(*whole, "/out");
    ASSERT_OK_AND_ASSIGN(const LinearWeight* up, out.Weight("toy.blocks.0.up"));
    CHECK(LoraBranches(*up).size() == 3);
    CHECK(LoraBase(*up).format() == "int8");
    ASSERT_OK_AND_ASSIGN(const LinearWeight* down, out.Weight("toy.blocks.1.down"));
    CHECK(down->dense() != nullptr);
  }
  int64_t kill = 0;
  for (;; kill += 3) {
    INFO("killed at write " << kill);
    const auto disk = DiskWithModel();
    const auto dying = NewFaultEnv(*disk, kill);
    const auto killed = Compress(*dying, recipe);
    if (killed.ok()) break;
    REQUIRE_OK(Compress(*disk, recipe));
    REQUIRE(Tree(*disk, "/out") == expected);
  }
  CHECK(kill > 60);
}

TEST_CASE("a merge into weights that cannot take it is refused before anything is written") {
  const TempFolder folder;
  const std::string path = WriteAdapter(folder, "a", ToyAdapter("a"));
  const std::string quantize =
      "passes { quantize_int8 { linears { include: 'toy.blocks.0.up' include: 'toy.blocks.1.down' "
      "} } }";
  const auto disk = DiskWithModel();
  const auto tree = Tree(*disk, "/");
  const auto refused =
      Compress(*disk, ToyRecipe(quantize + LoadText(path) + "passes { merge_lora { } }"));
  CHECK(absl::IsFailedPrecondition(refused.status()));
  CHECK_THAT(std::string(refused.status().message()),
             Contains("2 of 2 layers") && Contains("toy.blocks.0.up (int8)") &&
                 Contains("toy.blocks.1.down (int8)") && Contains("expand"));
  CHECK(Tree(*disk, "/") == tree);
  // A whole matrix in a file has nowhere to go in INT8.
  const auto matrix = Compress(
      *disk, ToyRecipe("passes { quantize_int8 { linears { include: 'toy.blocks.1.gate' } } }" +
                       LoadText(path)));
  CHECK(absl::IsFailedPrecondition(matrix.status()));
  CHECK_THAT(std::string(matrix.status().message()),
             Contains("blocks.1.gate.diff") && Contains("toy.blocks.1.gate") && Contains("int8"));
  CHECK(Tree(*disk, "/") == tree);
  // Said by name, they become dense.
  REQUIRE_OK(Compress(
      *disk, ToyRecipe(quantize + LoadText(path) + "passes { merge_lora { expand: BF16 } }")));
  const ModelView out = Opened(*disk, "/out");
  ASSERT_OK_AND_ASSIGN(const LinearWeight* up, out.Weight("toy.blocks.0.up"));
  REQUIRE(up->dense() != nullptr);
  CHECK(up->dense()->scalar_type() == at::kBFloat16);
  // Without an adapter there is nothing to merge.
  CHECK(absl::IsFailedPrecondition(
      Compress(*DiskWithModel(), ToyRecipe("passes { merge_lora { } }")).status()));
}

TEST_CASE("fresh adapters change no output, are seeded by their layer, and alone are trained") {
  const auto disk = DiskWithModel();
  const ParsedRecipe recipe = ToyRecipe("seed: 9 passes { add_lora { rank: 2 alpha: 8 } }");
  REQUIRE_OK(Compress(*disk, recipe));
  ModelView before = Opened(*disk, "/in");
  ModelView after = Opened(*disk, "/out");
  const auto x = Values{{"input", SeededUniform("x", {5, 4})}};
  for (size_t i = 0; i < 2; ++i) {
    const auto run = [&](const ModelView& model) {
      return dynamic_cast<const BlockProgram&>(*model.components()[i].module).Run(x);
    };
    CHECK(at::equal(run(before), run(after)));
  }
  std::set<double> first;
  for (const LinearInfo& linear : after.linears()) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, after.Weight(linear.path));
    CHECK(LoraBranches(*weight).empty() == linear.sensitive);
    if (linear.sensitive) continue;
    const LoraBranch branch = LoraBranches(*weight)[0];
    CHECK(branch.scale() == 4);
    CHECK(at::count_nonzero(branch.b.detach()).item<int64_t>() == 0);
    const double bound = 1 / std::sqrt(static_cast<double>(weight->in_features()));
    CHECK(branch.a.detach().abs().max().item<double>() <= bound);
    CHECK(branch.a.detach().abs().max().item<double>() > bound / 2);
    first.insert(branch.a.detach()[0][0].item<double>());
  }
  CHECK(first.size() == 12);
  ASSERT_OK_AND_ASSIGN(const auto trained,
                       train::TrainableTensors(after, {.include = {"*.lora_*"}}));
  CHECK(trained.size() == 24);

  const auto refused = [&](const std::string& options) {
    return std::string(
        ParsedRecipe::Parse("passes { add_lora { " + options + " } }", "r", BuiltinPasses())
            .status()
            .message());
  };
  CHECK_THAT(refused(""), Contains("rank"));
  CHECK_THAT(refused("rank: 2 alpha: 0"), Contains("alpha"));
  const auto large = Compress(*DiskWithModel(), ToyRecipe("passes { add_lora { rank: 9 } }"));
  CHECK_THAT(std::string(large.status().message()), Contains("9 is more than the sizes of toy."));
  const auto twice =
      Compress(*DiskWithModel(),
               ToyRecipe("passes { add_lora { rank: 2 } } passes { add_lora { rank: 2 } }"));
  CHECK_THAT(std::string(twice.status().message()), Contains("is an adapter of toy."));
}

TEST_CASE("recipes name the file that cannot be loaded, and know it again") {
  const TempFolder folder;
  const std::string path = WriteAdapter(folder, "a", ToyAdapter("a"));
  const auto error = [&](const std::string& text) {
    return std::string(ParsedRecipe::Parse(text, "recipe", BuiltinPasses()).status().message());
  };
  CHECK_THAT(error("passes { load_lora { } }"), Contains("files"));
  CHECK_THAT(error(LoadText(folder / "none.safetensors")), Contains("none.safetensors"));
  CHECK_THAT(error(LoadText(path, absl::StrCat("sha256: '", std::string(64, '0'), "'"))),
             Contains("sha256"));
  CHECK_THAT(error(absl::StrCat("passes { load_lora { files { path: '", path, "' } files { path: '",
                                path, "' } } }")),
             Contains("is the name of two adapters"));

  // A file that became another one in a run that was killed is no continuation.
  const auto disk = DiskWithModel();
  const auto dying = NewFaultEnv(*disk, 25);
  REQUIRE_FALSE(Compress(*dying, ToyRecipe(LoadText(path))).ok());
  REQUIRE(disk->FolderExists("/out.run"));
  REQUIRE_OK(PosixEnv().RemoveFile(path));
  WriteAdapter(folder, "a", ToyAdapter("b"));
  const auto resumed = Compress(*disk, ToyRecipe(LoadText(path)));
  CHECK(absl::IsFailedPrecondition(resumed.status()));

  // A value that is none ends the run before the first block changes.
  std::vector<NamedTensor> tensors = ToyAdapter("c");
  tensors[1].tensor[0][0] = std::nan("");
  const std::string broken = WriteAdapter(folder, "broken", tensors);
  const auto clean = DiskWithModel();
  const auto status = Compress(*clean, ToyRecipe(LoadText(broken))).status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK_THAT(std::string(status.message()), Contains("blocks.0.up.lora_up.weight"));
  CHECK_FALSE(clean->FolderExists("/out"));
}

}  // namespace
}  // namespace wanlite
