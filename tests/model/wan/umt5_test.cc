// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/umt5.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "src/model/wan/umt5_names.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "tests/testing/umt5_golden.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"

namespace wanlite::wan {
namespace {

using testing::RelativeL2;
using testing::SeededParameter;
using testing::SeededUniform;

// Tests run in the root of the source tree.
constexpr char kGoldenJson[] = "tests/golden/data/umt5.json";
constexpr char kGoldenTensors[] = "tests/golden/data/umt5.safetensors";

nlohmann::json Golden() {
  std::ifstream file(kGoldenJson);
  nlohmann::json golden = nlohmann::json::parse(file, nullptr, false);
  INFO(kGoldenJson);
  REQUIRE(golden.is_object());
  REQUIRE(golden["cases"].size() == 3);
  return golden;
}

std::shared_ptr<Umt5> Build(const std::string& config_json) {
  ASSERT_OK_AND_ASSIGN(const Umt5Config config, ParseUmt5Config(config_json));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<Umt5> encoder, Umt5::Create(config));
  return encoder;
}

void FillAsReference(torch::nn::Module& encoder) {
  const at::NoGradGuard no_grad;
  for (auto& item : encoder.named_parameters()) {
    item.value().copy_(SeededParameter(Umt5ToTransformers(item.key()), item.value().sizes()));
  }
}

Umt5Config SmallConfig() {
  Umt5Config config;
  config.vocab_size = 30;
  config.d_model = 10;
  config.d_kv = 3;
  config.d_ff = 12;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_buckets = 8;
  config.max_distance = 12;
  return config;
}

std::shared_ptr<Umt5> SmallEncoder() {
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<Umt5> encoder, Umt5::Create(SmallConfig()));
  FillAsReference(*encoder);
  return encoder;
}

at::Tensor Ids(const std::string& name, int64_t batch, int64_t tokens, int64_t vocabulary) {
  return ((SeededUniform(name, {batch, tokens}) + 1) / 2 * vocabulary).to(at::kLong);
}

TEST_CASE("Umt5: parameter names and shapes are those of transformers for every config") {
  const nlohmann::json golden_file = Golden();
  for (const nlohmann::json& golden : golden_file["cases"]) {
    INFO(golden["name"]);
    const std::shared_ptr<Umt5> encoder = Build(golden["config"].dump());
    std::map<std::string, std::vector<int64_t>> found;
    for (const auto& item : encoder->named_parameters()) {
      found[Umt5ToTransformers(item.key())] = item.value().sizes().vec();
    }
    CHECK(found == golden["parameters"].get<std::map<std::string, std::vector<int64_t>>>());
  }
}

TEST_CASE("Umt5: hidden states are those of transformers, padding and holes included", "[golden]") {
  ASSERT_OK_AND_ASSIGN(const auto tensors, OpenSafetensors(PosixEnv(), kGoldenTensors));
  const nlohmann::json golden_file = Golden();
  for (const nlohmann::json& golden : golden_file["cases"]) {
    const std::shared_ptr<Umt5> encoder = Build(golden["config"].dump());
    FillAsReference(*encoder);
    for (const nlohmann::json& run : golden["runs"]) {
      const std::string name = run["name"];
      const int64_t batch = run["batch"], tokens = run["tokens"];
      const at::Tensor mask = testing::GoldenMask(run);
      ASSERT_OK_AND_ASSIGN(const at::Tensor expected, tensors->Read(name + ".out"));
      const at::Tensor out =
          encoder->forward(Ids(name + ".ids", batch, tokens, encoder->config().vocab_size), mask);
      const double error = RelativeL2(out, expected);
      CAPTURE(name, error);
      CHECK(error <= 1e-5);
    }
  }
}

TEST_CASE("Umt5: no mask is a mask of ones, and padding does not change what stands before it") {
  const std::shared_ptr<Umt5> encoder = SmallEncoder();
  const at::Tensor ids = Ids("ids", 2, 9, 30);
  const at::Tensor plain = encoder->forward(ids);
  CHECK(at::allclose(encoder->forward(ids, at::ones({2, 9})), plain, 1e-5, 1e-6));
  const at::Tensor padded_ids = at::cat({ids, at::zeros({2, 5}, at::kLong)}, 1);
  at::Tensor mask = at::ones({2, 14}, at::kLong);
  mask.narrow(1, 9, 5).zero_();
  const at::Tensor padded = encoder->forward(padded_ids, mask);
  CHECK(RelativeL2(padded.narrow(1, 0, 9), plain) < 1e-6);
}

TEST_CASE("Umt5: a row without any token gives finite numbers") {
  const at::Tensor out = SmallEncoder()->forward(Ids("ids", 1, 4, 30), at::zeros({1, 4}));
  CHECK(at::isfinite(out).all().item<bool>());
}

TEST_CASE("Umt5: gradients agree with finite differences and reach every parameter") {
  const std::shared_ptr<Umt5> encoder = SmallEncoder();
  encoder->to(at::kDouble);
  const at::Tensor ids = Ids("ids", 2, 8, 30);
  at::Tensor mask = at::ones({2, 8}, at::kLong);
  mask[1].narrow(0, 5, 3).zero_();
  const at::Tensor weights = SeededUniform("loss", {2, 8, 10}).to(at::kDouble);
  const auto loss = [&] { return (encoder->forward(ids, mask) * weights).sum(); };
  loss().backward();
  const at::NoGradGuard no_grad;
  for (auto& item : encoder->named_parameters()) {
    INFO(item.key());
    at::Tensor& parameter = item.value();
    REQUIRE(parameter.grad().defined());
    const at::Tensor direction =
        SeededUniform("direction." + item.key(), parameter.sizes()).to(at::kDouble);
    const double expected = (parameter.grad() * direction).sum().item<double>();
    CHECK(std::abs(expected) > 1e-6);
    constexpr double kStep = 1e-6;
    parameter.add_(direction, kStep);
    const double up = loss().item<double>();
    parameter.add_(direction, -2 * kStep);
    const double down = loss().item<double>();
    parameter.add_(direction, kStep);
    CHECK((up - down) / (2 * kStep) == Approx(expected).epsilon(1e-4).margin(1e-7));
  }
}

TEST_CASE("Umt5: bf16 is near fp32, and fp16 overflow is clamped instead of NaN") {
  const std::shared_ptr<Umt5> encoder = SmallEncoder();
  const at::NoGradGuard no_grad;
  const at::Tensor ids = Ids("ids", 1, 6, 30);
  const at::Tensor exact = encoder->forward(ids);
  encoder->to(at::kBFloat16);
  const at::Tensor rounded = encoder->forward(ids);
  CHECK(rounded.scalar_type() == at::kBFloat16);
  CHECK(RelativeL2(rounded, exact) < 0.05);
  encoder->to(at::kHalf);
  encoder->named_parameters()["blocks.0.ffn.fc2.weight"].fill_(60000.0);
  const at::Tensor clamped = encoder->forward(ids);
  CHECK(clamped.scalar_type() == at::kHalf);
  CHECK(at::isfinite(clamped).all().item<bool>());
}

TEST_CASE("RelativePositionBuckets: both directions, single distances first, one bucket far away") {
  const int64_t tokens = 300;
  const at::Tensor buckets = RelativePositionBuckets(tokens, 32, 128).reshape({tokens, tokens});
  const auto at_pair = [&](int64_t query, int64_t key) {
    return buckets[query][key].item<int64_t>();
  };
  CHECK(at_pair(10, 10) == 0);
  for (int64_t distance = 1; distance < 8; ++distance) {
    CHECK(at_pair(20, 20 - distance) == distance);
    CHECK(at_pair(20, 20 + distance) == 16 + distance);
  }
  CHECK(at_pair(299, 299 - 128) == 15);
  CHECK(at_pair(299, 0) == 15);
  CHECK(at_pair(0, 299) == 31);
  CHECK(buckets.max().item<int64_t>() == 31);
}

TEST_CASE("Umt5: the same seed gives the same parameters with the reference's deviations") {
  Umt5Config config = SmallConfig();
  config.vocab_size = 2000;
  config.d_model = 64;
  config.d_ff = 256;
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Umt5> one, Umt5::Create(config));
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Umt5> two, Umt5::Create(config));
  one->InitParameters(3);
  two->InitParameters(3);
  const auto a = one->named_parameters(), b = two->named_parameters();
  for (const auto& item : a) CHECK(at::equal(item.value(), b[item.key()]));
  CHECK(a["token_embedding.weight"].std().item<double>() == Approx(1.0).epsilon(0.05));
  CHECK(a["blocks.0.attn.q.weight"].std().item<double>() ==
        Approx(1 / std::sqrt(64.0 * 3)).epsilon(0.1));
  CHECK(a["blocks.1.ffn.fc2.weight"].std().item<double>() == Approx(1 / 16.0).epsilon(0.05));
  CHECK(at::equal(a["blocks.1.norm2.weight"], at::ones({64})));
  two->InitParameters(4);
  CHECK_FALSE(at::equal(a["token_embedding.weight"], b["token_embedding.weight"]));
}

TEST_CASE("Umt5: the full-size network builds without memory and has umT5-XXL's parameters") {
  const nn::HollowGuard hollow;
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Umt5> encoder, Umt5::Create(Umt5Config()));
  int64_t count = 0;
  for (const at::Tensor& parameter : encoder->parameters()) count += parameter.numel();
  // Embedding and last norm; per block: attention, position bias, feed-forward, two norms.
  CHECK(count ==
        int64_t{256384} * 4096 + 4096 +
            24 * (4 * int64_t{4096} * 4096 + 32 * 64 + 3 * int64_t{4096} * 10240 + 2 * 4096));
  CHECK(encoder->named_parameters().size() == 2 + 24 * 10);
}

TEST_CASE("Umt5: a pruned encoder equals the masked one, for every group of units") {
  const std::shared_ptr<Umt5> probe = SmallEncoder();
  std::vector<Component> probe_components(1);
  probe_components[0] = {"text_encoder", ComponentRole::kTextEncoder, "UMT5EncoderModel",
                         Umt5ConfigJson(SmallConfig()), probe};
  ASSERT_OK_AND_ASSIGN(const ModelView probe_view, ModelView::Create(std::move(probe_components)));
  REQUIRE(probe_view.groups().size() == 4);
  const at::NoGradGuard no_grad;
  const at::Tensor ids = Ids("ids", 2, 7, 30);
  for (const AxisGroup& group : probe_view.groups()) {
    INFO(group.name);
    const std::shared_ptr<Umt5> pruned = SmallEncoder(), masked = SmallEncoder();
    std::vector<Component> components(1);
    components[0] = {"text_encoder", ComponentRole::kTextEncoder, "UMT5EncoderModel",
                     Umt5ConfigJson(SmallConfig()), pruned};
    ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create(std::move(components)));
    // Keeps all units but the second and the last.
    std::vector<int64_t> keep;
    for (int64_t unit = 0; unit < group.units; ++unit) {
      if (unit != 1 && unit != group.units - 1) keep.push_back(unit);
    }
    REQUIRE_OK(view.KeepUnits(group.name, at::tensor(keep)));
    // Masking what the last matrix of the group reads removes the unit's contribution.
    auto parameters = masked->named_parameters();
    for (const AxisRef& ref : group.refs) {
      if (ref.dim != 1 || ref.tensor.find("pos_embedding") != std::string::npos) continue;
      at::Tensor weight =
          parameters[ref.tensor.substr(std::string("text_encoder.").size()) + ".weight"];
      for (const int64_t unit : {int64_t{1}, group.units - 1}) {
        weight.narrow(1, unit * ref.repeat, ref.repeat).zero_();
      }
    }
    const at::Tensor expected = masked->forward(ids);
    CHECK_FALSE(at::allclose(expected, probe->forward(ids), 1e-3, 1e-3));
    CHECK(RelativeL2(pruned->forward(ids), expected) < 1e-6);
    // The config after pruning builds a network of the same shapes.
    ASSERT_OK_AND_ASSIGN(const std::string json, Umt5Architecture().config_of("", *pruned));
    const std::shared_ptr<Umt5> again = Build(json);
    const auto old_shapes = pruned->named_parameters(), new_shapes = again->named_parameters();
    for (const auto& item : old_shapes)
      CHECK(item.value().sizes() == new_shapes[item.key()].sizes());
  }
}

TEST_CASE("a text encoder without a block computes what the whole one does when it is skipped") {
  Umt5Config config = SmallConfig();
  config.num_layers = 3;
  config.attn_heads = {4, 3, 4};
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<Umt5> encoder, Umt5::Create(config));
  FillAsReference(*encoder);
  const at::NoGradGuard no_grad;
  const at::Tensor ids = Ids("ids", 2, 7, 30);
  Values values{{"input_ids", ids}};
  for (const size_t step : {0, 1, 3, 4}) encoder->RunStep(step, values);
  Component component{"text_encoder", ComponentRole::kTextEncoder, "UMT5EncoderModel",
                      Umt5ConfigJson(config), encoder};
  component.definition = std::make_shared<const Architecture>(Umt5Architecture());
  ASSERT_OK_AND_ASSIGN(ModelView view, ModelView::Create({component}));
  REQUIRE_OK(view.DropBlocks({"text_encoder.blocks.1"}));
  auto& shallow = dynamic_cast<Umt5&>(*view.components()[0].module);
  CHECK(shallow.forward(ids).equal(values.at("last_hidden_state")));
  CHECK(view.components()[0].config_json == Umt5ConfigJson(SmallConfig()));
  CHECK(absl::IsInvalidArgument(
      Umt5Architecture()
          .edit_config(Umt5ConfigJson(config), {.units = {{"blocks.0.attn.heads", 0}}})
          .status()));
}

TEST_CASE("Umt5Architecture: names, topology and aliases fit both schemes") {
  const Architecture architecture = Umt5Architecture();
  const std::string json = Umt5ConfigJson(SmallConfig());
  ASSERT_OK_AND_ASSIGN(const auto module, architecture.build(json));
  std::vector<std::string> names;
  std::set<std::string> foreign;
  ASSERT_OK_AND_ASSIGN(const TensorNames foreign_name, architecture.names(json));
  for (const auto& item : module->named_parameters()) {
    names.push_back(item.key());
    foreign.insert(foreign_name(item.key()));
  }
  CHECK(foreign.size() == names.size());
  CHECK(foreign.count("shared.weight") == 1);
  CHECK(foreign_name("blocks.1.ffn.fc1.weight_scale") ==
        "encoder.block.1.layer.1.DenseReluDense.wi_1.weight_scale");
  CHECK(architecture.recognizes(names));
  CHECK(architecture.recognizes({foreign.begin(), foreign.end()}));
  CHECK_FALSE(architecture.recognizes({"conv1.weight", "token_embedding.weight"}));
  for (const auto& [alias, internal] : architecture.foreign_aliases) {
    CHECK(std::find(names.begin(), names.end(), internal) != names.end());
  }
  ASSERT_OK_AND_ASSIGN(const std::string normal, architecture.normalize_config(json));
  CHECK(normal == json);

  std::vector<Component> components(1);
  components[0] = {"text_encoder", architecture.role, architecture.name, json, module};
  ASSERT_OK_AND_ASSIGN(const ModelView view, ModelView::Create(std::move(components)));
  CHECK(view.linears().size() == 14);
  for (const LinearInfo& linear : view.linears()) {
    CHECK(linear.stream == TokenStream::kText);
    CHECK_FALSE(linear.kind.empty());
    CHECK(linear.block.find("text_encoder.blocks.") == 0);
  }
}

TEST_CASE("Umt5Config: accepts Wan's own keys, and errors name the field") {
  ASSERT_OK_AND_ASSIGN(const Umt5Config wan,
                       ParseUmt5Config(R"({"vocab": 256384, "dim": 4096, "dim_attn": 4096,
                                           "dim_ffn": 10240, "num_heads": 64, "num_layers": 24,
                                           "num_buckets": 32, "shared_pos": false})"));
  CHECK(Umt5ConfigJson(wan) == Umt5ConfigJson(Umt5Config()));
  const auto error = [](const std::string& change, absl::StatusCode code, const std::string& part) {
    nlohmann::json json = nlohmann::json::parse(Umt5ConfigJson(SmallConfig()));
    json.merge_patch(nlohmann::json::parse(change));
    const absl::Status status = ParseUmt5Config(json.dump()).status();
    INFO(change << " -> " << status.ToString());
    CHECK(status.code() == code);
    CHECK(std::string(status.message()).find(part) != std::string::npos);
  };
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  const auto kUnimplemented = absl::StatusCode::kUnimplemented;
  error(R"({"model_type": "t5"})", kUnimplemented, "model_type is \"t5\"");
  error(R"({"feed_forward_proj": "relu"})", kUnimplemented, "feed_forward_proj is \"relu\"");
  error(R"({"shared_pos": true})", kUnimplemented, "shared_pos");
  error(R"({"d_model": null})", kInvalid, "d_model is missing");
  error(R"({"d_ff": -1})", kInvalid, "d_ff is -1");
  error(R"({"num_heads": 2.5})", kInvalid, "num_heads is 2.5, must be an integer");
  error(R"({"relative_attention_num_buckets": 2})", kInvalid,
        "relative_attention_num_buckets is 2");
  error(R"({"relative_attention_max_distance": 2})", kInvalid,
        "relative_attention_max_distance is 2");
  error(R"({"wanlite_ffn_dims": [3]})", kInvalid, "wanlite_ffn_dims has 1 values");
  CHECK(ParseUmt5Config("{").status().code() == kInvalid);
}

TEST_CASE("Umt5: wrong inputs are refused with what was found") {
  const std::shared_ptr<Umt5> encoder = SmallEncoder();
  CHECK_THROWS_WITH(encoder->forward(at::zeros({1, 4})), Catch::Contains("Float [1, 4]"));
  CHECK_THROWS_WITH(encoder->forward(at::zeros({1, 4}, at::kLong), at::zeros({1, 3})),
                    Catch::Contains("[1, 3]"));
}

}  // namespace
}  // namespace wanlite::wan
