// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/select_units.h"

#include <google/protobuf/text_format.h>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/option_field.h"
#include "src/proto/select.pb.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"

namespace wanlite {
namespace {

using testing::ToyComponent;
using testing::ToyModel;

// Two denoisers of eight and seven blocks, and a text encoder of two.
ModelView DeepToys() {
  Component text = ToyComponent(std::make_shared<ToyModel>(8, 12, 2), "text");
  text.role = ComponentRole::kTextEncoder;
  ASSERT_OK_AND_ASSIGN(
      ModelView view,
      ModelView::Create({ToyComponent(std::make_shared<ToyModel>(8, 12, 8), "a"),
                         ToyComponent(std::make_shared<ToyModel>(8, 12, 7), "b"), text}));
  return view;
}

UnitSelector SelectorOf(const std::string& text) {
  UnitSelector selector;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &selector));
  return selector;
}

// "a.0 a.1 b.0", or "FIELD: message".
std::string Selected(const std::string& text, const UnitScope& scope = {{"*.channels"}}) {
  static const ModelView& view = *new ModelView(DeepToys());
  const absl::StatusOr<std::vector<AxisGroup>> groups = SelectUnits(view, SelectorOf(text), scope);
  if (!groups.ok()) {
    const auto field = groups.status().GetPayload(kOptionFieldPayload);
    REQUIRE(field.has_value());
    return std::string(groups.status().message());
  }
  std::string names;
  for (const AxisGroup& group : *groups) {
    std::string name = group.name;
    name.erase(name.find(".blocks"), 7);
    name.resize(name.rfind('.'));
    absl::StrAppend(&names, names.empty() ? "" : " ", name);
  }
  return names;
}

TEST_CASE("units are selected by name, kind, component, block and role") {
  CHECK(Selected("") == "a.0 a.1 a.2 a.3 a.4 a.5 a.6 a.7 b.0 b.1 b.2 b.3 b.4 b.5 b.6");
  CHECK(Selected("components: 'text'") == "text.0 text.1");
  CHECK(Selected("include: '*.blocks.1.*'") == "a.1 b.1 text.1");
  CHECK(Selected("include: '*.blocks.1.*' components: 'b'") == "b.1");
  CHECK(Selected("blocks { from: 0 to: 1 } blocks { from: -1 }") == "a.0 a.7 b.0 b.6");
  CHECK(Selected("blocks { from: 6 } exclude: 'a.blocks.7*'") == "a.6 b.6");
  CHECK(Selected("skip: OUTER_BLOCKS") == "a.3 a.4 b.3");
  CHECK(Selected("kinds: 'mlp.*' components: '?' blocks { from: 2 to: 3 }") == "a.2 b.2");
  CHECK(Selected("", {{"mlp.*"}, {ComponentRole::kTextEncoder}}) == "text.0 text.1");
}

TEST_CASE("a selection of units that fits nothing says which field is to blame") {
  const auto starts = [](const std::string& text, const std::string& start) {
    CAPTURE(text);
    CHECK(text.substr(0, start.size()) == start);
  };
  starts(Selected("include: 'a.*' include: 'c.*'"),
         "units.include[1]: the pattern \"c.*\" fits no");
  starts(Selected("exclude: 'c.*'"), "units.exclude[0]");
  starts(Selected("kinds: 'ffn.*'"), "units.kinds[0]");
  starts(Selected("components: 'c'"), "units.components[0]");
  starts(Selected("blocks { from: 8 }"), "units.blocks[0]: there is no block { from: 8 }");
  starts(Selected("components: 'text' skip: OUTER_BLOCKS"),
         "units.skip: OUTER_BLOCKS leaves nothing of text");
  starts(Selected("components: 'text' blocks { from: 2 }"), "units: no axis group is selected");
  starts(Selected("exclude: '?.*'"),
         "units: no axis group is selected: no component with the role");
  CHECK(Selected("", {{"width"}}) ==
        "units: no axis group is selected: no component with the role denoiser has one left; name "
        "others with include or components; the model has no group of a kind like width");
}

}  // namespace
}  // namespace wanlite
