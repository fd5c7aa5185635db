// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Wan folders quantized by recipes: what is left alone, the text encoder, and what is refused.

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/model/wan/umt5.h"
#include "src/model/wan/umt5_names.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "tests/testing/tiny_wan.h"
#include "tests/testing/umt5_golden.h"
#include "wanlite/checkpoint.h"
#include "wanlite/pipeline.h"
#include "wanlite/recipe.h"
#include "wanlite/registry.h"

namespace wanlite {
namespace {

using Catch::Contains;

ParsedRecipe Recipe(const std::string& text) {
  ASSERT_OK_AND_ASSIGN(ParsedRecipe recipe,
                       ParsedRecipe::Parse(text, "r.textproto", BuiltinPasses()));
  return recipe;
}

ModelFolder OpenWan(Env& env, const std::string& dir) {
  ASSERT_OK_AND_ASSIGN(ModelFolder folder, ModelFolder::Open(env, dir, {}, BuiltinArchitectures()));
  return folder;
}

ModelView Loaded(const ModelFolder& folder) {
  ASSERT_OK_AND_ASSIGN(ModelView view, folder.BuildView());
  REQUIRE_OK(view.LoadAll());
  return view;
}

// "in" -> "out".
ModelFolder Compressed(Env& env, const std::string& recipe) {
  CompressOptions options;
  options.out_dir = "out";
  REQUIRE_OK(
      CompressFolder(env, Recipe(recipe), OpenWan(env, "in"), BuiltinArchitectures(), options));
  return OpenWan(env, "out");
}

TEST_CASE("what a recipe leaves alone is bit-identical: outer blocks, experts, kinds, names") {
  const std::unique_ptr<Env> env = NewMemEnv();
  testing::TinyWanOptions options;
  options.layers = 8;
  options.text_encoder = false;  // its tokenizer wants a library of its own
  REQUIRE_OK(testing::WriteTinyWan(*env, "in", options));
  const ModelFolder out = Compressed(*env,
                                     "passes { quantize_int8 { linears { skip: OUTER_BLOCKS "
                                     "components: \"transformer_2\" kinds: \"*attn*\" "
                                     "exclude: \"*.blocks.4.cross_attn.*\" } } }");
  const ModelView before = Loaded(OpenWan(*env, "in"));
  const ModelView after = Loaded(out);
  std::vector<std::string> quantized;
  for (const LinearInfo& linear : after.weights()) {
    ASSERT_OK_AND_ASSIGN(const LinearWeight* weight, after.Weight(linear.path));
    if (weight->dense() == nullptr) quantized.push_back(linear.path);
  }
  std::vector<std::string> wanted;
  for (const char* layer : {"3.self_attn", "3.cross_attn", "4.self_attn"}) {
    for (const char* matrix : {"q", "k", "v", "o"}) {
      wanted.push_back(absl::StrCat("transformer_2.blocks.", layer, ".", matrix));
    }
  }
  CHECK(quantized == wanted);
  size_t compared = 0;
  for (const NamedTensor& named : before.Tensors()) {
    const std::string layer = named.name.substr(0, named.name.rfind('.'));
    if (named.name.ends_with(".weight") &&
        std::find(wanted.begin(), wanted.end(), layer) != wanted.end()) {
      continue;
    }
    INFO(named.name);
    ASSERT_OK_AND_ASSIGN(const at::Tensor kept, after.FindTensor(named.name));
    REQUIRE(kept.scalar_type() == named.tensor.scalar_type());
    CHECK(kept.equal(named.tensor));
    ++compared;
  }
  CHECK(compared == before.Tensors().size() - wanted.size());
}

// The text encoders of the golden file, as folders.
struct GoldenEncoder {
  nlohmann::json runs;
  std::shared_ptr<wan::Umt5> encoder;
};

std::vector<GoldenEncoder> GoldenEncoders() {
  std::ifstream file("tests/golden/data/umt5.json");  // tests run in the root of the source tree
  const nlohmann::json golden = nlohmann::json::parse(file, nullptr, false);
  REQUIRE(golden.is_object());
  std::vector<GoldenEncoder> encoders;
  const at::NoGradGuard no_grad;
  for (const nlohmann::json& item : golden["cases"]) {
    ASSERT_OK_AND_ASSIGN(const wan::Umt5Config config, wan::ParseUmt5Config(item["config"].dump()));
    ASSERT_OK_AND_ASSIGN(std::shared_ptr<wan::Umt5> encoder, wan::Umt5::Create(config));
    for (auto& tensor : encoder->named_parameters()) {
      tensor.value().copy_(
          testing::SeededParameter(wan::Umt5ToTransformers(tensor.key()), tensor.value().sizes()));
    }
    encoders.push_back({item["runs"], encoder});
  }
  return encoders;
}

void SaveEncoder(Env& env, const std::shared_ptr<wan::Umt5>& encoder) {
  const Architecture architecture = wan::Umt5Architecture();
  ASSERT_OK_AND_ASSIGN(const ModelView view,
                       ModelView::Create({{"text_encoder", architecture.role, architecture.name,
                                           wan::Umt5ConfigJson(encoder->config()), encoder}}));
  REQUIRE_OK(SaveCheckpoint(env, "in", view));
}

TEST_CASE("a text encoder quantized by a recipe, its table too, stays near its reference",
          "[golden]") {
  const at::NoGradGuard no_grad;
  ASSERT_OK_AND_ASSIGN(const auto tensors,
                       OpenSafetensors(PosixEnv(), "tests/golden/data/umt5.safetensors"));
  for (const GoldenEncoder& golden : GoldenEncoders()) {
    for (const bool embeddings : {false, true}) {
      const std::unique_ptr<Env> env = NewMemEnv();
      SaveEncoder(*env, golden.encoder);
      const std::string recipe =
          absl::StrCat("passes { quantize_int8 { embeddings: ", embeddings ? "true" : "false",
                       " linears { components: \"text_encoder\" } } }");
      ASSERT_OK_AND_ASSIGN(const std::vector<PassPlan> plan,
                           PlanRecipe(Recipe(recipe), OpenWan(*env, "in")));
      const ModelFolder out = Compressed(*env, recipe);
      CHECK(out.bytes() == plan[0].bytes_after);
      ModelView view = Loaded(out);
      REQUIRE(view.embeddings().size() == 1);
      CHECK(view.embeddings()[0].path == "text_encoder.token_embedding");
      ASSERT_OK_AND_ASSIGN(const LinearWeight* table, view.Weight("text_encoder.token_embedding"));
      CHECK((table->dense() == nullptr) == embeddings);
      const auto& quantized = dynamic_cast<const wan::Umt5&>(*view.components()[0].module);
      for (const nlohmann::json& run : golden.runs) {
        const std::string name = run["name"];
        const int64_t batch = run["batch"], tokens = run["tokens"];
        const at::Tensor mask = testing::GoldenMask(run);
        const at::Tensor ids = ((testing::SeededUniform(name + ".ids", {batch, tokens}) + 1) / 2 *
                                quantized.config().vocab_size)
                                   .to(at::kLong);
        ASSERT_OK_AND_ASSIGN(const at::Tensor expected, tensors->Read(name + ".out"));
        const double error = testing::RelativeL2(quantized.forward(ids, mask), expected);
        CAPTURE(name, embeddings, error);
        CHECK(error > 1e-3);
        CHECK(error < 0.05);
      }
    }
  }
}

TEST_CASE("a table of codes gives rows in the dtype of the norms, and dense ones to others") {
  const at::NoGradGuard no_grad;
  const std::unique_ptr<Env> env = NewMemEnv();
  const GoldenEncoder golden = GoldenEncoders().front();
  SaveEncoder(*env, golden.encoder);
  const ModelFolder out = Compressed(*env,
                                     "passes { quantize_int8 { embeddings: true linears { "
                                     "include: \"text_encoder.token_embedding\" } } }");
  ModelView view = Loaded(out);
  REQUIRE_OK(view.Cast(at::kBFloat16));
  const auto& encoder = dynamic_cast<const wan::Umt5&>(*view.components()[0].module);
  CHECK(encoder.forward(at::arange(5).unsqueeze(0)).scalar_type() == at::kBFloat16);
  CHECK(view.FindTensor("text_encoder.token_embedding.weight")->scalar_type() == at::kChar);
  // Each row within half of its step.
  ASSERT_OK_AND_ASSIGN(const LinearWeight* table, view.Weight("text_encoder.token_embedding"));
  at::Tensor original;
  for (const auto& item : golden.encoder->named_parameters()) {
    if (item.key() == "token_embedding.weight") original = item.value();
  }
  const at::Tensor step = original.abs().amax(1, true) / 127;
  CHECK(((table->Dequantize() - original).abs() <= step * 0.501).all().item<bool>());
  ExportOptions options;
  REQUIRE_OK(ExportFolder(*env, out, "export", options));
  ASSERT_OK_AND_ASSIGN(const ModelView exported, OpenWan(*env, "export").BuildView());
  ASSERT_OK_AND_ASSIGN(const LinearWeight* dense, exported.Weight("text_encoder.token_embedding"));
  CHECK(dense->dense() != nullptr);
}

TEST_CASE("quantizing what cannot be is refused by the plan, by layer or field") {
  const std::unique_ptr<Env> env = NewMemEnv();
  testing::TinyWanOptions options;
  options.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "in", options));
  const ModelFolder folder = OpenWan(*env, "in");
  const auto error = [&](const std::string& passes) {
    const absl::Status status = PlanRecipe(Recipe(passes), folder).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  // Without their linears.
  const std::string loop = " loop { steps: 1 batch: 1 learning_rate: 1e-4 }";
  const std::string passes[] = {
      "quantize_int8 {",
      "quantize_int8 { rotation: CONVROT",
      "quantize_int8 { activations: STATIC",
      "quantize_int4 {",
      "quantize_int4 { group: 8 zero_point: true",
      "quantize_int4 { group: 8 low_rank { rank: 2 }",
      "quantize_int4 { codes: NVFP4",
      "quantize_fp8 {",
      "cast { dtype: BF16",
      "gptq { format { int4 { group: 8 } }",
      "smooth {",
      "smooth { method: AWQ format { int8 { } }",
      "qat { format { int8 { } }" + loop,
      "quantize_auto { candidates { int8 { } } budget { effective_bits: 6 }",
  };
  for (const std::string& pass : passes) {
    INFO(pass);
    const auto with = [&](const std::string& linears) {
      return error("passes { " + pass + " linears { " + linears + " } } }");
    };
    CHECK_THAT(with("include: \"*.attn3.*\""),
               Contains("linears.include[0]: the pattern \"*.attn3.*\" fits no linear layer"));
    CHECK_THAT(with("exclude: \"*.attn3.*\""),
               Contains("linears.exclude[0]: the pattern \"*.attn3.*\" fits no linear layer"));
    CHECK_THAT(with("components: \"transformer_3\""), Contains("linears.components[0]"));
    CHECK_THAT(with("blocks { from: 2 }"), Contains("linears.blocks[0]"));
    CHECK_THAT(with("skip: OUTER_BLOCKS"),
               Contains("linears.skip: OUTER_BLOCKS leaves nothing of transformer, which has 2"));
    CHECK_THAT(error("passes { quantize_int8 {} } passes { " + pass + " } }"),
               Contains(": transformer.blocks.0.self_attn.") &&
                   Contains("its weight has the format int8"));
  }
  // Groups that do not divide the 24 and 40 input features, in each pass that may be given them.
  for (const std::string format :
       {"int4 { group: 16 }", "int4 { codes: NVFP4 }", "int4 { group: 16 low_rank { rank: 2 } }"}) {
    for (const std::string& pass :
         {"quantize_" + format, "gptq { format { " + format + " } }",
          "qat { format { " + format + " }" + loop + " }",
          "smooth { method: AWQ format { " + format + " } }",
          "quantize_auto { candidates { " + format + " } budget { effective_bits: 6 } }"}) {
      INFO(pass);
      // What has no grid is refused as an option of gptq, before there is a model.
      if (pass.find("gptq") == 0 && format.find("low_rank") != std::string::npos) continue;
      CHECK_THAT(error("passes { " + pass + " }"), Contains(".blocks.") && Contains("of 16"));
    }
  }
  CHECK_THAT(error("passes { quantize_int8 { embeddings: true } }"),
             Contains("embeddings: no token embedding fits what linears asks for; the model has "
                      "none"));
  // 24 and 48 input features.
  CHECK_THAT(error("passes { quantize_int4 {} }"),
             Contains("transformer.blocks.0.self_attn.q.weight: the group of 64 input features "
                      "does not divide the 24"));
}

TEST_CASE("scales that can be none are refused where a model is loaded, by layer and tensor") {
  const std::unique_ptr<Env> env = NewMemEnv();
  testing::TinyWanOptions options;
  options.text_encoder = false;
  REQUIRE_OK(testing::WriteTinyWan(*env, "in", options));
  const std::string layer = "transformer_2.blocks.1.ffn.2";
  struct Fault {
    const char* format;
    const char* tensor;
    float value;
    const char* message;
  };
  const Fault faults[] = {
      {"quantize_int8 { }", "weight_scale", -1, "not below 0"},
      {"quantize_int8 { }", "weight_scale", INFINITY, "holds inf"},
      {"quantize_int8 { }", "weight_scale", NAN, "holds nan"},
      {"quantize_int8 { }", "weight_scale", 0, "codes of row 0"},
      {"quantize_fp8 { }", "weight_scale", -2, "not below 0"},
      {"quantize_fp8 { }", "weight_scale", 0, "codes of row 0"},
      {"quantize_int4 { group: 4 }", "weight_scale", INFINITY, "holds inf"},
      {"quantize_int4 { group: 4 }", "weight_scale", -1, "not below 0"},
      {"quantize_int4 { group: 4 zero_point: true }", "weight_scale", 0, "codes of row 0"},
  };
  std::string made;
  for (const Fault& fault : faults) {
    CAPTURE(fault.format, fault.tensor, fault.value);
    if (made != fault.format) {
      REQUIRE_OK(env->RemoveAll("out"));
      // Without what the tiny model's narrow layers cannot be.
      Compressed(
          *env,
          absl::StrCat("passes { ",
                       std::string(fault.format).substr(0, std::string(fault.format).size() - 1),
                       " linears { include: \"", layer, "\" } } }"));
      made = fault.format;
    }
    const ModelFolder out = OpenWan(*env, "out");
    const std::string path = absl::StrCat(layer, ".", fault.tensor);
    {
      ModelView view = Loaded(out);  // sound
      ASSERT_OK_AND_ASSIGN(at::Tensor scale, view.FindTensor(path));
      const at::NoGradGuard no_grad;
      scale.flatten().narrow(0, 0, 1).fill_(fault.value);
      REQUIRE_OK(env->RemoveAll("bad"));
      REQUIRE_OK(SaveCheckpoint(*env, "bad", view, &out));
    }
    const ModelFolder bad = OpenWan(*env, "bad");
    ASSERT_OK_AND_ASSIGN(ModelView view, bad.BuildView());
    const absl::Status status = view.LoadAll();
    INFO(status);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(absl::StrContains(status.message(), absl::StrCat(path, " (")));
    CHECK(absl::StrContains(status.message(), fault.message));
    // Who looks for the fault may still read the block.
    ASSERT_OK_AND_ASSIGN(ModelView streamed, bad.BuildView());
    REQUIRE_OK(streamed.Lease("transformer_2.blocks.1").status());
  }
}

}  // namespace
}  // namespace wanlite
