// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/select_linears.h"

#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "src/proto/select.pb.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

using Paths = std::vector<std::string>;

// Experts a and b of five blocks, and a text encoder of one.
ModelView ThreeComponents() {
  std::vector<Component> components;
  for (const char* name : {"a", "b", "text"}) {
    const bool text = std::string(name) == "text";
    components.push_back(
        testing::ToyComponent(std::make_shared<testing::ToyModel>(8, 12, text ? 1 : 5), name));
    if (text) components.back().role = ComponentRole::kTextEncoder;
  }
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
  return view;
}

Paths PathsOf(const ModelView& view, const LinearFilter& filter) {
  ASSERT_OK_AND_ASSIGN(const LinearSelection selection, SelectLinears(view, filter));
  Paths paths;
  for (const LinearInfo& linear : selection.linears) paths.push_back(linear.path);
  return paths;
}

TEST_CASE("without a word, every linear of the denoisers that is not sensitive is selected") {
  const ModelView view = ThreeComponents();
  const Paths all = PathsOf(view, {});
  CHECK(all.size() == 2 * 5 * 3);
  CHECK(all.front() == "a.blocks.0.up");
  CHECK(all.back() == "b.blocks.4.down");
}

TEST_CASE("a layer is selected when it fits patterns, kinds, components and blocks at once") {
  const ModelView view = ThreeComponents();
  CHECK(PathsOf(view, {.include = {"*.embed", "a.blocks.?.up"}, .exclude = {"b.*", "*.3.up"}}) ==
        Paths{"a.embed", "a.blocks.0.up", "a.blocks.1.up", "a.blocks.2.up", "a.blocks.4.up",
              "text.embed"});
  CHECK(PathsOf(view, {.kinds = {"mlp.d*"}, .components = {"b"}, .blocks = {{3, std::nullopt}}}) ==
        Paths{"b.blocks.3.down", "b.blocks.4.down"});
  // A component that is named need be no denoiser.
  CHECK(PathsOf(view, {.exclude = {"*.up"}, .components = {"text"}}) ==
        Paths{"text.blocks.0.gate", "text.blocks.0.down"});
}

TEST_CASE("blocks are counted from either end, of each component by its own number") {
  const ModelView view = ThreeComponents();
  const auto ups = [&](std::vector<LinearFilter::Blocks> blocks) {
    Paths numbers;
    for (const std::string& path : PathsOf(view, {.kinds = {"mlp.up"}, .blocks = blocks})) {
      numbers.push_back(path.substr(0, path.size() - 3));
    }
    return numbers;
  };
  // All but the first and the last two.
  CHECK(ups({{1, -2}}) == Paths{"a.blocks.1", "a.blocks.2", "b.blocks.1", "b.blocks.2"});
  CHECK(ups({{-1, std::nullopt}, {0, 1}}) ==
        Paths{"a.blocks.0", "a.blocks.4", "b.blocks.0", "b.blocks.4"});
  CHECK(ups({{-100, 1}}) == Paths{"a.blocks.0", "b.blocks.0"});
  // Layers outside all blocks are in no range, whatever names them.
  CHECK(PathsOf(view, {.include = {"a.embed", "a.blocks.0.up"}, .blocks = {{0, std::nullopt}}}) ==
        Paths{"a.blocks.0.up"});
}

TEST_CASE("what fits nothing is refused by field") {
  const ModelView view = ThreeComponents();
  const auto error = [&](const LinearFilter& filter) {
    const absl::Status status = SelectLinears(view, filter).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  CHECK(
      error({.include = {"a.*", "c.*"}}) ==
      "linears.include[1]: the pattern \"c.*\" fits no linear layer of the model; its linears are "
      "named like a.embed");
  CHECK(error({.kinds = {"attn"}}).find("linears.kinds[0]: the pattern \"attn\" fits no kind") ==
        0);
  CHECK(error({.components = {"c"}}).find("linears.components[0]: ") == 0);
  CHECK(error({.blocks = {{5, std::nullopt}}}) ==
        "linears.blocks[0]: there is no block { from: 5 } with linear layers in the model");
  CHECK(error({.blocks = {{3, -2}}}) ==
        "linears.blocks[0]: there is no block { from: 3 to: -2 } with linear layers in the model");
  CHECK(error({.include = {"a.*"}, .components = {"b"}})
            .find("no linear layer is selected: none fits all that linears asks for") == 0);
  CHECK(error({.exclude = {"*"}}).find("no linear layer is selected: ") == 0);
  CHECK(
      error({.exclude = {"*.up", "c.*"}}) ==
      "linears.exclude[1]: the pattern \"c.*\" fits no linear layer of the model; its linears are "
      "named like a.embed");
  CHECK(error({.embeddings = true}) ==
        "embeddings: no token embedding fits what linears asks for; the model has none");
}

TEST_CASE("the outer blocks are skipped, counted from each component's own number of them") {
  std::vector<Component> components;
  for (const auto& [name, blocks] : {std::pair{"a", 8}, {"b", 7}}) {
    components.push_back(
        testing::ToyComponent(std::make_shared<testing::ToyModel>(8, 12, blocks), name));
  }
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create(std::move(components)));
  LinearSelector selector;
  selector.add_kinds("mlp.up");
  selector.set_skip(LinearSelector::OUTER_BLOCKS);
  ASSERT_OK_AND_ASSIGN(const LinearSelection selection, SelectLinears(view, FilterOf(selector)));
  Paths paths;
  for (const LinearInfo& linear : selection.linears) paths.push_back(linear.path);
  CHECK(paths == Paths{"a.blocks.3.up", "a.blocks.4.up", "b.blocks.3.up"});
  CHECK(selection.notes == Paths{"blocks 0-2 and 5-7 of a are left alone (skip: OUTER_BLOCKS)",
                                 "blocks 0-2 and 4-6 of b are left alone (skip: OUTER_BLOCKS)"});
  // Layers outside all blocks are in none of them.
  CHECK(PathsOf(view, {.include = {"a.embed", "a.blocks.0.up", "a.blocks.3.up"},
                       .skip_outer_blocks = true}) == Paths{"a.embed", "a.blocks.3.up"});

  const absl::Status none = SelectLinears(ThreeComponents(), {.skip_outer_blocks = true}).status();
  CHECK(none.code() == absl::StatusCode::kInvalidArgument);
  CHECK(none.message() ==
        "linears.skip: OUTER_BLOCKS leaves nothing of a, which has 5 blocks: the first 3 and the "
        "last 3 are skipped");
  // Within a range too: what it would select and loses.
  const absl::Status range =
      SelectLinears(view, {.blocks = {{0, 2}}, .skip_outer_blocks = true}).status();
  CHECK(range.message().find("linears.skip: OUTER_BLOCKS leaves nothing of a") == 0);
}

TEST_CASE("the message of recipes says the same as the filter") {
  LinearSelector selector;
  selector.add_include("a.*");
  selector.add_exclude("*.up");
  selector.add_kinds("mlp.*");
  selector.add_components("a");
  selector.add_blocks()->set_from(1);
  selector.add_blocks()->set_to(-3);
  const LinearFilter filter = FilterOf(selector);
  CHECK(filter.blocks[0].from == 1);
  CHECK_FALSE(filter.blocks[0].to.has_value());
  CHECK(filter.blocks[1].to == -3);
  CHECK(PathsOf(ThreeComponents(), filter).front() == "a.blocks.0.gate");
}

}  // namespace
}  // namespace wanlite
