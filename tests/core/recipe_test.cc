// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/recipe.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/proto/pruning.pb.h"
#include "src/proto/quant.pb.h"
#include "src/proto/recipe.pb.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

// A pass that keeps its options and does nothing: the reader of recipes needs no more.
template <typename Options>
class KeepsOptions : public BlockPass {
 public:
  explicit KeepsOptions(Options options) : options_(std::move(options)) {}
  absl::string_view name() const override { return "keeps-options"; }
  const google::protobuf::Message& options() const override { return options_; }
  absl::StatusOr<PassNotes> Plan(const ModelView& model) const override { return PassNotes(); }
  absl::Status RunBlock(ModelView& model, const BlockLease& block,
                        const google::protobuf::Message* decision,
                        PassContext& context) const override {
    return absl::OkStatus();
  }

 private:
  Options options_;
};

PassRegistry Passes() {
  PassRegistry registry;
  REQUIRE_OK(registry.Register(
      "wanlite.PruneMagnitudeOptions",
      [](const google::protobuf::Message& message) -> absl::StatusOr<std::unique_ptr<Pass>> {
        const auto& options = static_cast<const PruneMagnitudeOptions&>(message);
        if (!options.has_amount()) return OptionError("amount", "is required");
        if (options.amount() > 1) return OptionError("amount", "above 1");
        for (int i = 0; i < options.linears().include_size(); ++i) {
          if (options.linears().include(i) == "bad")
            return OptionError("linears.include[" + std::to_string(i) + "]", "is bad");
        }
        return std::make_unique<KeepsOptions<PruneMagnitudeOptions>>(options);
      }));
  REQUIRE_OK(registry.Register(
      "wanlite.QuantizeInt8Options",
      [](const google::protobuf::Message& message) -> absl::StatusOr<std::unique_ptr<Pass>> {
        auto options = static_cast<const QuantizeInt8Options&>(message);
        if (options.linears().exclude_size() > 0)
          return absl::InvalidArgumentError("cannot exclude");
        if (!options.has_rotation_group()) options.set_rotation_group(256);
        return std::make_unique<KeepsOptions<QuantizeInt8Options>>(options);
      }));
  REQUIRE_OK(registry.Register(
      "google.protobuf.Duration",
      [](const google::protobuf::Message& message) -> absl::StatusOr<std::unique_ptr<Pass>> {
        const auto& options = static_cast<const google::protobuf::Duration&>(message);
        if (options.seconds() < 0) return OptionError("seconds", "below 0");
        return std::make_unique<KeepsOptions<google::protobuf::Duration>>(options);
      }));
  return registry;
}

std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<ParsedRecipe> recipe = ParsedRecipe::Parse(text, "r.textproto", Passes());
  if (recipe.ok()) return "OK";
  CHECK(recipe.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(recipe.status().message());
}

TEST_CASE("a recipe gives its passes in order and a text with every default") {
  const std::string text = R"(# two passes
name: "both"
seed: 7
passes { prune_magnitude { amount: 0.3 linears { include: ["a.*", 'b"'] } } }
passes { quantize_int8 {} }
passes { custom { [type.googleapis.com/google.protobuf.Duration] { nanos: 3 } } }
)";
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                       ParsedRecipe::Parse(text, "x/y.textproto", Passes()));
  CHECK(recipe.name() == "both");
  CHECK(recipe.seed() == 7);
  REQUIRE(recipe.stages().size() == 3);
  CHECK(recipe.resolved_text() == R"(name: "both"
seed: 7
passes {
  prune_magnitude {
    amount: 0.3
    scope: LOCAL
    linears {
      include: "a.*"
      include: "b\""
      skip: NOTHING
    }
    store: ZEROS
  }
}
passes {
  quantize_int8 {
    rotation: NONE
    rotation_group: 256
    activations: DYNAMIC
    embeddings: false
  }
}
passes {
  custom {
    [type.googleapis.com/google.protobuf.Duration] {
      seconds: 0
      nanos: 3
    }
  }
}
)");
  // The resolved text is a recipe itself and means the same.
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe again,
                       ParsedRecipe::Parse(recipe.resolved_text(), "z", Passes()));
  CHECK(again.resolved_text() == recipe.resolved_text());
  CHECK(again.Fingerprint() == recipe.Fingerprint());
  CHECK(recipe.Fingerprint().size() == 64);
}

TEST_CASE("a nameless recipe is called after its file") {
  const std::unique_ptr<Env> env = NewMemEnv();
  REQUIRE_OK(env->WriteFileAtomically("/digits_int8.textproto", "passes { quantize_int8 {} }"));
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe,
                       ParsedRecipe::Load(*env, "/digits_int8.textproto", Passes()));
  CHECK(recipe.name() == "digits_int8");
  CHECK(ParsedRecipe::Load(*env, "/none", Passes()).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("a byte-order mark before a recipe is no part of it") {
  const absl::string_view text = "passes { quantize_int8 {} }";
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe plain, ParsedRecipe::Parse(text, "a", Passes()));
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe marked,
                       ParsedRecipe::Parse(absl::StrCat("\xEF\xBB\xBF", text), "a", Passes()));
  CHECK(marked.Fingerprint() == plain.Fingerprint());
  // Columns are counted from the first character.
  const absl::Status status = ParsedRecipe::Parse("\xEF\xBB\xBFpases {}", "a", Passes()).status();
  CHECK(absl::StrContains(status.message(), "a:1:1: "));
  CHECK(absl::StrContains(status.message(), "pases"));
}

TEST_CASE("recipes that differ in one option have different fingerprints") {
  const auto fingerprint = [](const std::string& text) {
    return ParsedRecipe::Parse(text, "r", Passes())->Fingerprint();
  };
  const std::string base = fingerprint("passes { quantize_int8 {} }");
  CHECK(fingerprint("# a comment\npasses {\n quantize_int8 { rotation: NONE }\n}") == base);
  CHECK(fingerprint("passes { quantize_int8 { rotation: CONVROT } }") != base);
  CHECK(fingerprint("seed: 1 passes { quantize_int8 {} }") != base);
}

TEST_CASE("an error names file, line, column and field, and what would be right") {
  const std::pair<std::string, std::string> cases[] = {
      // Names.
      {"passes { prune_magnitude { amount: 0.3 } }\npasses {\n  quantize_int8 {\n    rotaton: "
       "CONVROT\n  }\n}",
       "r.textproto:4:5: passes[1].quantize_int8.rotaton: unknown field, did you mean 'rotation'?"},
      {"passes { quantize_int8 { colour: 3 } }",
       "r.textproto:1:26: passes[0].quantize_int8.colour: unknown field, use one of rotation, "
       "rotation_group, linears, activations, calibration, embeddings"},
      {"nam: \"x\"", "r.textproto:1:1: nam: unknown field, did you mean 'name'?"},
      {"passes { prune-magnitude { amount: 0.3 } }",
       "r.textproto:1:10: passes[0].prune-magnitude: unknown field, did you mean "
       "'prune_magnitude'?"},
      {"passes { PruneMagnitude { amount: 0.3 } }",
       "r.textproto:1:10: passes[0].PruneMagnitude: unknown field, did you mean "
       "'prune_magnitude'?"},
      {"passes { QuantizeInt8Options { } }",
       "r.textproto:1:10: passes[0].QuantizeInt8Options: unknown field, did you mean "
       "'quantize_int8'?"},
      {"passes { merge_all { } }",
       "r.textproto:1:10: passes[0].merge_all: unknown field, use one of prune_magnitude, "
       "quantize_int8, cast, quantize_fp8, quantize_int4, smooth, gptq, qat, quantize_auto, "
       "convert, prune_ffn, prune_heads, prune_width, prune_vae, drop_blocks, reduce_time_path, "
       "prune_wanda, prune_sparsegpt, prune_nm, recover, prune_auto, distill, distill_blocks, "
       "student, distill_guidance, distill_steps, load_lora, merge_lora, add_lora, repeat, custom"},
      // Types and values.
      {"passes { quantize_int8 { rotation: CONVROTT } }",
       "r.textproto:1:36: passes[0].quantize_int8.rotation: unknown value 'CONVROTT', did you mean "
       "'CONVROT'?"},
      {"passes { quantize_int8 { rotation: 7 } }",
       "r.textproto:1:36: passes[0].quantize_int8.rotation: wants one of NONE, CONVROT, found 7"},
      {"passes { prune_magnitude { amount: high } }",
       "r.textproto:1:36: passes[0].prune_magnitude.amount: wants a number, found 'high'"},
      {"passes { prune_magnitude { amount: \"0.5\" } }",
       "r.textproto:1:36: passes[0].prune_magnitude.amount: wants a number, found '\"0.5\"'"},
      {"passes { prune_magnitude { amount: nan } }",
       "r.textproto:1:36: passes[0].prune_magnitude.amount: wants a finite number, found nan"},
      {"passes { prune_magnitude { amount: 0.3\n linears { include: 5 } } }",
       "r.textproto:2:21: passes[0].prune_magnitude.linears.include[0]: wants a text in quotes, "
       "found '5'"},
      {"passes { prune_magnitude { amount: 0.3 linears { include: [\"a\", \"\\xff\"] } } }",
       "r.textproto:1:65: passes[0].prune_magnitude.linears.include[1]: wants a text in UTF-8"},
      {"passes { quantize_int8 { rotation_group: 2.5 } }",
       "r.textproto:1:42: passes[0].quantize_int8.rotation_group: wants a whole number, found "
       "'2.5'"},
      {"seed: -1", "r.textproto:1:7: seed: wants a whole number of 0 or more, found '-'"},
      {"seed: 99999999999999999999",
       "r.textproto:1:7: seed: wants a whole number of 0 or more, 99999999999999999999 is out of "
       "range"},
      // Structure.
      {"passes { quantize_int8: 3 }",
       "r.textproto:1:25: passes[0].quantize_int8: wants { … }, found '3'"},
      {"seed: 1\nseed: 2", "r.textproto:2:1: seed: is given twice"},
      {"passes { quantize_int8 {} prune_magnitude { amount: 1 } }",
       "r.textproto:1:27: passes[0].prune_magnitude: stands beside 'quantize_int8', but only one "
       "of them "
       "may be given"},
      {"passes { quantize_int8 { }",
       "r.textproto:1:27: passes[0]: the text ends before the closing '}'"},
      {"passes { quantize_int8 { rotation: } }",
       "r.textproto:1:36: passes[0].quantize_int8.rotation: wants one of NONE, CONVROT, found '}'"},
      {"passes { quantize_int8 {} } }", "r.textproto:1:29: expected a field name, found '}'"},
      {"", "r.textproto:1:1: passes: the recipe names no pass, write passes { NAME { … } }"},
      {"passes { quantize_int8 {} }\npasses { }",
       "r.textproto:2:8: passes[1]: names no pass, use one of prune_magnitude, quantize_int8, "
       "cast, quantize_fp8, quantize_int4, smooth, gptq, qat, quantize_auto, convert, "
       "prune_ffn, prune_heads, prune_width, prune_vae, drop_blocks, reduce_time_path, "
       "prune_wanda, prune_sparsegpt, prune_nm, recover, prune_auto, distill, distill_blocks, "
       "student, distill_guidance, distill_steps, load_lora, merge_lora, add_lora, repeat, custom"},
      // Repeats.
      {"passes { repeat { passes { quantize_int8 {} } } }",
       "r.textproto:1:10: passes[0].repeat.rounds: is missing; wanted the number of rounds, 1 or "
       "more"},
      {"passes { repeat { rounds: -2 passes { quantize_int8 {} } } }",
       "r.textproto:1:27: passes[0].repeat.rounds: -2 is no number of rounds, wanted 1 or more"},
      {"passes { repeat { rounds: 200 passes { quantize_int8 {} } passes { quantize_int8 {} } } }",
       "r.textproto:1:27: passes[0].repeat.rounds: 200 rounds make 400 stages, at most 256 are "
       "taken"},
      {"passes { quantize_int8 {} } passes { repeat { rounds: 256 passes { quantize_int8 {} } } }",
       "r.textproto:1:36: passes[1]: the passes and rounds up to here make 257 stages, at most 256 "
       "are taken"},
      {"passes { repeat { rounds: 2 } }",
       "r.textproto:1:10: passes[0].repeat.passes: the repeat names no pass, write passes { NAME { "
       "… } }"},
      {"passes { repeat { rounds: 2 passes { repeat { rounds: 2 passes { quantize_int8 {} } } } } "
       "}",
       "r.textproto:1:45: passes[0].repeat.passes[0].repeat: a repeat cannot hold another one"},
      {"passes { repeat { rounds: 2 passes { prune_magnitude { amount: 2 } } } }",
       "r.textproto:1:64: passes[0].repeat.passes[0].prune_magnitude.amount: above 1"},
      {"passes { repeat { rounds: 2 schedule: FAST passes { quantize_int8 {} } } }",
       "r.textproto:1:39: passes[0].repeat.schedule: unknown value 'FAST', use one of LINEAR, "
       "CUBIC"},
      {"passes { repeat { rounds: 2 schedule: FAST\npasses { quantize_int8 {} } } }",
       "r.textproto:1:39: passes[0].repeat.schedule: unknown value 'FAST', use one of LINEAR, "
       "CUBIC"},
      {"passes { repeat { rounds: 2 passes { quantize_int8 {} } floor { at_least: 1 } } }",
       "r.textproto:1:57: passes[0].repeat.floor.gauge: is missing; wanted what measures the "
       "quality"},
      {"passes { repeat { rounds: 2 passes { quantize_int8 {} } floor { gauge: 'g' } } }",
       "r.textproto:1:57: passes[0].repeat.floor.at_least: is missing; wanted what every round "
       "must keep"},
      // What the pass itself refuses.
      {"passes {\n  prune_magnitude {\n    amount: 1.5\n  }\n}",
       "r.textproto:3:13: passes[0].prune_magnitude.amount: above 1"},
      {"passes { prune_magnitude { } }",
       "r.textproto:1:10: passes[0].prune_magnitude.amount: is required"},
      {"passes { prune_magnitude { amount: 1 linears { include: \"a\"\n include: \"bad\" } } }",
       "r.textproto:2:11: passes[0].prune_magnitude.linears.include[1]: is bad"},
      {"passes { quantize_int8 { linears { exclude: \"a\" } } }",
       "r.textproto:1:10: passes[0].quantize_int8: cannot exclude"},
      // Passes from outside.
      {"passes { custom { [type.googleapis.com/no.Such] { } } }",
       "r.textproto:1:19: passes[0].custom[type.googleapis.com/no.Such]: no options message "
       "type.googleapis.com/no.Such is known to this program"},
      {"passes { custom { [type.googleapis.com/wanlite.Recipe] { } } }",
       "r.textproto:1:10: passes[0].custom: no pass with options wanlite.Recipe is registered; "
       "there are "
       "google.protobuf.Duration, wanlite.PruneMagnitudeOptions, wanlite.QuantizeInt8Options"},
      {"passes { custom { [type.googleapis.com/google.protobuf.Duration] { second: 1 } } }",
       "r.textproto:1:68: passes[0].custom.second: unknown field, did you mean 'seconds'?"},
      {"passes { custom { [type.googleapis.com/google.protobuf.Duration] { seconds: -1 } } }",
       "r.textproto:1:77: passes[0].custom.seconds: below 0"},
      {"passes { custom { } }",
       "r.textproto:1:10: passes[0].custom: names no options message, write custom { "
       "[type.googleapis.com/your.Options] { … } }"},
  };
  for (const auto& [text, error] : cases) {
    INFO(text);
    CHECK(ErrorOf(text) == error);
  }
}

TEST_CASE("hostile texts are refused in bounded time and memory") {
  CHECK(ErrorOf(std::string((1 << 20) + 1, ' ')) ==
        "r.textproto: recipe of 1048577 bytes, at most 1048576 are read");
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "passes {";
  CHECK(ErrorOf(deep) != "OK");
  std::string lists = "passes ";
  for (int i = 0; i < 100000; ++i) lists += "[";
  CHECK(ErrorOf(lists) != "OK");
  std::string many;
  for (int i = 0; i < 300; ++i) many += "passes { quantize_int8 {} } ";
  CHECK(ErrorOf(many) == "r.textproto:1:1: passes: 300 passes, at most 256 are taken");
  // Every cut and every damaged byte of a good recipe: an answer, whatever it is, and no crash.
  const std::string good =
      "name: \"n\" seed: 1 passes { prune_magnitude { amount: 0.3 linears { include: [\"a\", "
      "\"b\"] } } } "
      "passes { custom "
      "{ [type.googleapis.com/google.protobuf.Duration] { seconds: 1 } } }";
  for (size_t i = 0; i < good.size(); ++i) {
    ErrorOf(good.substr(0, i));
    for (const char c : {'\0', '{', '}', '[', '<', '"', '\xff', ' ', '-', '\n'}) {
      std::string damaged = good;
      damaged[i] = c;
      ErrorOf(damaged);
    }
  }
}

std::string AnyInAny(int depth, const std::string& inner) {
  std::string text = "passes { custom {";
  for (int i = 1; i < depth; ++i) text += "[type.googleapis.com/google.protobuf.Any] {";
  text += inner;
  for (int i = 1; i < depth; ++i) text += "}";
  return text + "} }";
}

TEST_CASE("messages nested in each other through Any are counted") {
  const std::string leaf = "[type.googleapis.com/google.protobuf.Duration] { seconds: 1 }";
  // Parsed, and refused for what it is: no pass has the options Any.
  CHECK(ErrorOf(AnyInAny(20, leaf)).find("no pass with options") != std::string::npos);
  for (const int depth : {100, 4000, 15000}) {
    CHECK(ErrorOf(AnyInAny(depth, leaf)).find("messages are nested deeper than 64") !=
          std::string::npos);
  }
  // Written as bytes the nesting is no text.
  google::protobuf::Any any;
  any.PackFrom(google::protobuf::Duration());
  for (int i = 0; i < 3000; ++i) {
    google::protobuf::Any outer;
    outer.PackFrom(any);
    any = std::move(outer);
  }
  std::string bytes = "passes { custom { type_url: \"" + any.type_url() + "\" value: \"";
  for (const char c : any.value()) {
    constexpr char kDigits[] = "01234567";
    const unsigned byte = static_cast<unsigned char>(c);
    bytes += {'\\', kDigits[byte >> 6], kDigits[byte >> 3 & 7], kDigits[byte & 7]};
  }
  CHECK(ErrorOf(bytes + "\" } }").find("messages are nested deeper than 64") != std::string::npos);
}

TEST_CASE("a repeat is resolved as any other field, and its text means the same") {
  const std::string text =
      "passes { repeat { rounds: 3 passes { quantize_int8 {} } floor { gauge: 'g' at_least: 0.5 } "
      "} "
      "}";
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe recipe, ParsedRecipe::Parse(text, "r", Passes()));
  REQUIRE(recipe.stages().size() == 3);
  // A pass without rounds of its own is the same in each.
  CHECK(recipe.stages()[0].pass == recipe.stages()[2].pass);
  for (const RecipeStage& stage : recipe.stages()) {
    CHECK(stage.judged);
    REQUIRE(stage.floor.has_value());
    CHECK(stage.floor->gauge == "g");
    CHECK(stage.floor->at_least == 0.5);
    CHECK_FALSE(stage.floor->relative);
  }
  CHECK(recipe.resolved_text().find("schedule: LINEAR") != std::string::npos);
  CHECK(recipe.resolved_text().find("rotation_group: 256") != std::string::npos);
  ASSERT_OK_AND_ASSIGN(const ParsedRecipe again,
                       ParsedRecipe::Parse(recipe.resolved_text(), "r", Passes()));
  CHECK(again.Fingerprint() == recipe.Fingerprint());
}

TEST_CASE("a recipe of very many fields is refused, and a message quotes no whole recipe") {
  std::string many = "passes { prune_magnitude { amount: 0.3 linears { include: [\"a\"";
  for (int i = 0; i < 100'000; ++i) many += ",\"a\"";
  CHECK(ErrorOf(many + "] } } }").find("more than 65536 names, values and signs") !=
        std::string::npos);
  // Each of the fields inside has the path of what it is in; kept, they take a hundred times the
  // text.
  std::string long_name(50'000, 'n');
  std::string inside = long_name + " {";
  for (int i = 0; i < 15'000; ++i) inside += " b:1";
  for (const std::string& text :
       {inside + "}", "passes { " + inside + "} }", "name: " + long_name,
        "passes { custom { [type.googleapis.com/" + long_name + "] {} } }",
        "passes { quantize_int8 { rotation: " + long_name + " } }"}) {
    const std::string error = ErrorOf(text);
    CHECK(error != "OK");
    CHECK(error.size() < 1000);
  }
}

TEST_CASE("a registry knows each pass once and names those it has") {
  PassRegistry registry = Passes();
  CHECK(registry.Register("wanlite.QuantizeInt8Options", nullptr).code() ==
        absl::StatusCode::kAlreadyExists);
  const absl::Status status = registry.Build(Recipe()).status();
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(status.message() ==
        "no pass with options wanlite.Recipe is registered; there are google.protobuf.Duration, "
        "wanlite.PruneMagnitudeOptions, wanlite.QuantizeInt8Options");
  CHECK(PassRegistry().Build(Recipe()).status().message() ==
        "no pass with options wanlite.Recipe is registered; there are none");
}

}  // namespace
}  // namespace wanlite
