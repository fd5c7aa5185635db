// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cctype>
#include <string>

#include "src/core/libtorch.h"
#include "src/proto/recipe.pb.h"
#include "tests/testing/catch.h"
#include "wanlite/architecture.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"
#include "wanlite/weight_formats.h"

namespace wanlite {
namespace {

TEST_CASE("every pass that recipes can name is registered") {
  const PassRegistry registry = BuiltinPasses();
  const std::vector<std::string> types = registry.option_types();
  const google::protobuf::OneofDescriptor& passes =
      *PassSpec::descriptor()->FindOneofByName("pass");
  for (int i = 0; i < passes.field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *passes.field(i);
    if (field.name() == "custom" || field.name() == "repeat") continue;  // no passes of their own
    INFO(field.name());
    CHECK(std::count(types.begin(), types.end(), field.message_type()->full_name()) == 1);
  }
  CHECK(types.size() == static_cast<size_t>(passes.field_count()) - 2);
}

TEST_CASE("a pass goes by one name: the recipe's field in kebab case, its options in camel case") {
  const absl::StatusOr<ParsedRecipe> recipe =
      ParsedRecipe::Parse("passes { prune_magnitude { amount: 0.5 } } passes { quantize_int8 {} }",
                          "r", BuiltinPasses());
  REQUIRE_OK(recipe);
  for (const RecipeStage& stage : recipe->stages()) {
    const Pass& pass = *stage.pass;
    std::string kebab(pass.name());
    std::string camel = "wanlite.";
    bool upper = true;
    for (const char c : kebab) {
      if (c != '-') camel += upper ? static_cast<char>(std::toupper(c)) : c;
      upper = c == '-';
    }
    CHECK(pass.options().GetDescriptor()->full_name() == camel + "Options");
    std::replace(kebab.begin(), kebab.end(), '-', '_');
    CHECK(PassSpec::descriptor()->FindFieldByName(kebab) != nullptr);
  }
}

TEST_CASE("the built-in passes refuse bad options by line and field") {
  const auto error = [](const std::string& text) {
    return std::string(
        ParsedRecipe::Parse(text, "r.textproto", BuiltinPasses()).status().message());
  };
  CHECK(error("passes {\n  prune_magnitude { amount: 1.5 }\n}") ==
        "r.textproto:2:29: passes[0].prune_magnitude.amount: 1.5 is not in [0, 1]");
  CHECK(error("passes { prune_magnitude { amount: -0.1 } }") ==
        "r.textproto:1:36: passes[0].prune_magnitude.amount: -0.1 is not in [0, 1]");
  CHECK(error("passes { prune_magnitude { } }") ==
        "r.textproto:1:10: passes[0].prune_magnitude.amount: is missing; wanted a fraction of the "
        "weights "
        "in [0, 1]");
  CHECK(error("passes { quantize_int8 { rotation: CONVROT rotation_group: 5 } }") ==
        "r.textproto:1:60: passes[0].quantize_int8.rotation_group: 5 is not one of 4, 16, 64, 256, "
        "1024");
}

TEST_CASE("the networks of a Wan folder are found by name and alias") {
  const ArchitectureRegistry& registry = BuiltinArchitectures();
  for (const char* name : {"WanTransformer3DModel", "UMT5EncoderModel", "AutoencoderKLWan"}) {
    INFO(name);
    CHECK(registry.Find(name) != nullptr);
  }
  CHECK(registry.Find("WanModel") == registry.Find("WanTransformer3DModel"));
  CHECK(registry.Find("NoSuchModel") == nullptr);
}

TEST_CASE("a weight is rebuilt from its state, format by format") {
  const at::Tensor matrix = at::arange(12, at::kFloat).reshape({3, 4});
  const WeightFormatRegistry formats = BuiltinWeightFormats();
  ASSERT_OK_AND_ASSIGN(const auto dense, formats.Build("dense", {{"weight", matrix}}, "{}"));
  CHECK(dense->format() == "dense");
  CHECK(dense->Dequantize().equal(matrix));

  const std::map<std::string, at::Tensor> int8 = {{"weight", at::ones({3, 4}, at::kChar)},
                                                  {"weight_scale", at::full({3, 1}, 0.5)}};
  ASSERT_OK_AND_ASSIGN(const auto quantized, formats.Build("int8", int8, "{}"));
  CHECK(quantized->format() == "int8");
  CHECK(quantized->Dequantize().equal(at::full({3, 4}, 0.5)));
}

TEST_CASE("a program adds weight formats of its own, under names that are free") {
  WeightFormatRegistry formats = BuiltinWeightFormats();
  const auto factory = [](const WeightState& state, absl::string_view,
                          const WeightFormatRegistry& registry) {
    WeightState base = {{"weight", state.at("weight") * 2}};
    return registry.Build("dense", base, "{}");
  };
  REQUIRE_OK(formats.Register("doubled", factory));
  const at::Tensor matrix = at::ones({3, 4});
  ASSERT_OK_AND_ASSIGN(const auto weight, formats.Build("doubled", {{"weight", matrix}}, "{}"));
  CHECK(weight->Dequantize().equal(matrix * 2));
  CHECK(absl::IsAlreadyExists(formats.Register("doubled", factory)));
  CHECK(absl::IsAlreadyExists(formats.Register("int8", factory)));
  CHECK(absl::IsInvalidArgument(formats.Register("", factory)));
  CHECK(absl::IsInvalidArgument(formats.Register("none", nullptr)));
  // What the factory throws is a status; the registry it was copied from knows nothing of it.
  CHECK_FALSE(formats.Build("doubled", {}, "{}").ok());
  CHECK(absl::IsUnimplemented(BuiltinWeightFormats().Build("doubled", {}, "{}").status()));
  CHECK(absl::IsUnimplemented(WeightFormatRegistry().Build("int8", {}, "{}").status()));
  // Readers of folders find the formats beside the networks.
  CHECK(BuiltinArchitectures().weight_formats().formats() == BuiltinWeightFormats().formats());
  CHECK(ArchitectureRegistry().weight_formats().formats() == std::vector<std::string>{"dense"});
}

TEST_CASE("a weight that is none is refused, naming what is wrong") {
  const at::Tensor matrix = at::ones({3, 4});
  const auto status = [](absl::string_view format, const WeightState& state) {
    return BuiltinWeightFormats().Build(format, state, "{}").status();
  };
  const absl::Status unknown = status("fp9", {{"weight", matrix}});
  CHECK(unknown.code() == absl::StatusCode::kUnimplemented);
  const std::string message(unknown.message());
  CHECK(message.find("weight format 'fp9' is not known; known are dense, ") == 0);
  for (const char* known : {"fp8", "int4", "int8", "low_rank", "nvfp4"}) {
    CHECK(message.find(known) != std::string::npos);
  }
  CHECK(status("dense", {{"weight", at::ones({3})}}) ==
        absl::InvalidArgumentError(
            "a dense weight is a floating-point matrix [out, in], found Float [3]"));
  CHECK(status("dense", {{"wait", matrix}, {"x", matrix}}) ==
        absl::InvalidArgumentError("a dense weight has the one tensor weight, found {wait, x}"));
  CHECK(status("int8", {{"weight", matrix}}).code() == absl::StatusCode::kInvalidArgument);
  CHECK(BuiltinWeightFormats().Build("dense", {{"weight", matrix}}, "{\"a\": 1}").status() ==
        absl::InvalidArgumentError("a dense weight has no attributes, found {\"a\": 1}"));
}

}  // namespace
}  // namespace wanlite
