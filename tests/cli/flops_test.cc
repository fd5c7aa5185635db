// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// `wanlite flops` on everything a user may point it at.
#include <chrono>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/cli/program.h"
#include "tests/testing/catch.h"
#include "tests/testing/tiny_wan.h"
#include "wanlite/env.h"
#include "wanlite/wan/config.h"

namespace wanlite {
namespace {

using Json = nlohmann::json;
using testing::Outcome;
using testing::RunWanlite;
using testing::RunWanliteJson;
using testing::TempFolder;
using testing::Write;

// The original names of A14B's config, as published.
constexpr char kOriginalA14B[] = R"({"_class_name": "WanModel", "_diffusers_version": "0.33.0",
  "dim": 5120, "eps": 1e-06, "ffn_dim": 13824, "freq_dim": 256, "in_dim": 16, "model_type": "t2v",
  "num_heads": 40, "num_layers": 40, "out_dim": 16, "text_len": 512})";

double Sum(const Json& parts) {
  return parts["linear"].get<double>() + parts["self_attention"].get<double>() +
         parts["cross_attention"].get<double>() + parts["convolution"].get<double>();
}

TEST_CASE("flops of a lone config, by either naming, is that of one expert of A14B") {
  const TempFolder temp;
  Write(temp / "diffusers.json", wan::DitConfigJson(wan::DitConfig{}));
  Write(temp / "original.json", kOriginalA14B);
  Json nameless = Json::parse(kOriginalA14B);
  nameless.erase("_class_name");
  Write(temp / "nameless.json", nameless.dump());
  Json first;
  for (const char* name : {"diffusers.json", "original.json", "nameless.json"}) {
    const auto start = std::chrono::steady_clock::now();
    const Json json = RunWanliteJson({"flops", "--config", temp / name, "--height", "480",
                                      "--width", "832", "--frames", "81", "--text-length", "512"});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    WARN(name << ": " << seconds.count() << " s");
    CHECK(std::round(json["gflop"]["total"].get<double>() / 1e3) == 1678);
    CHECK(json["gflop"]["total"].get<double>() == Approx(Sum(json["gflop"])).epsilon(1e-12));
    CHECK(json["gmac"]["total"].get<double>() ==
          Approx(json["gflop"]["total"].get<double>() / 2).epsilon(1e-12));
    CHECK(json["bops"].get<double>() ==
          Approx(json["gmac"]["total"].get<double>() * 1e9 * 256).epsilon(1e-12));
    CHECK(json["parameters"] == 14288491584);
    CHECK(json["weight_bytes"].get<double>() == 2.0 * 14288491584);
    CHECK(json["giop"] == 0);
    CHECK(json["other"].get<double>() > 0);
    CHECK(json["effective"] == json["gflop"]["total"]);
    CHECK(json["realised"] == json["gflop"]["total"]);
    CHECK(json["components"].size() == 1);
    for (const char* key : {"gflop", "gmac", "giop", "bops", "other", "weight_bytes"}) {
      CHECK(json["convention"][key].is_string());
    }
    if (first.is_null()) first = json;
    CHECK(json == first);
  }
  const Json large = RunWanliteJson({"flops", "--config", temp / "original.json", "--height", "720",
                                     "--width", "1280", "--frames", "81"});
  CHECK(std::round(large["gflop"]["total"].get<double>() / 1e3) == 6523);
}

TEST_CASE("flops of a model folder lists every network and counts one expert") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  const Json json = RunWanliteJson({"flops", "--config", temp / "model"});
  CHECK(json["component"] == "transformer");
  CHECK(json["frames"] == 5);
  CHECK(json["text_length"] == 16);
  std::vector<std::string> names;
  for (const auto& item : json["components"].items()) names.push_back(item.key());
  CHECK(names == std::vector<std::string>{"text_encoder", "transformer", "transformer_2",
                                          "vae.decode", "vae.encode"});
  for (const char* key : {"gflop", "gmac", "giop", "bops", "other", "weight_bytes", "parameters"}) {
    INFO(key);
    CHECK(json[key] == json["components"]["transformer"][key]);
  }
  for (const auto& item : json["components"].items()) {
    INFO(item.key());
    CHECK(item.value()["gflop"]["total"].get<double>() > 0);
    CHECK(item.value()["gflop"]["total"].get<double>() ==
          Approx(Sum(item.value()["gflop"])).epsilon(1e-12));
  }
  // One component's folder gives the same.
  const Json alone = RunWanliteJson({"flops", "--config", temp / "model/transformer", "--frames",
                                     "5", "--height", "32", "--width", "32"});
  CHECK(alone["gflop"] == json["gflop"]);
  CHECK(alone["components"].size() == 1);

  const Outcome table = RunWanlite({"flops", "--config", temp / "model"});
  CHECK(table.code == 0);
  for (const char* word : {"one forward", "self-attention", "vae.decode", "vae.encode",
                           "text_encoder", "transformer_2", "per multiply-add"}) {
    INFO(word << "\n" << table.out);
    CHECK(absl::StrContains(table.out, word));
  }
}

TEST_CASE("flops of an INT8 checkpoint has its integer operations apart") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  Write(temp / "int8.textproto", "passes { quantize_int8 { } }\n");
  RunWanliteJson({"compress", "--model", temp / "model", "--recipe", temp / "int8.textproto",
                  "--out", temp / "small"});
  const Json before = RunWanliteJson({"flops", "--config", temp / "model"});
  const Json after = RunWanliteJson({"flops", "--config", temp / "small"});
  for (const char* key : {"linear", "self_attention", "cross_attention", "convolution", "total"}) {
    INFO(key);
    CHECK(after["gflop"][key] == before["gflop"][key]);
  }
  CHECK(before["giop"] == 0);
  CHECK(after["giop"].get<double>() > 0);
  CHECK(after["giop"].get<double>() <= after["gflop"]["linear"].get<double>());
  // fp32 multiplies 32 x 32 bits, INT8 8 x 8: the rest is the integer part's saving.
  CHECK(before["bops"].get<double>() - after["bops"].get<double>() ==
        Approx(after["giop"].get<double>() * 1e9 / 2 * (32 * 32 - 8 * 8)));
  CHECK(after["weight_bytes"].get<double>() < before["weight_bytes"].get<double>());
  CHECK(after["other"].get<double>() > before["other"].get<double>());
  CHECK(absl::StrContains(RunWanlite({"flops", "--config", temp / "small"}).out, "IOP"));
}

TEST_CASE("flops sees zero weights when told to read them") {
  const TempFolder temp;
  REQUIRE_OK(testing::WriteTinyWan(PosixEnv(), temp / "model"));
  Write(temp / "half.textproto", "passes { prune_magnitude { amount: 0.5 } }\n");
  RunWanliteJson({"compress", "--model", temp / "model", "--recipe", temp / "half.textproto",
                  "--out", temp / "small"});
  const Json blind = RunWanliteJson({"flops", "--config", temp / "small"});
  const Json seen = RunWanliteJson({"flops", "--config", temp / "small", "--read-weights"});
  CHECK(blind["effective"] == blind["gflop"]["total"]);
  CHECK(seen["effective"].get<double>() < 0.9 * seen["gflop"]["total"].get<double>());
  CHECK(seen["realised"] == seen["gflop"]["total"]);
  CHECK(seen["gflop"] == blind["gflop"]);

  const Outcome no_weights =
      RunWanlite({"flops", "--config", temp / "model/transformer/config.json", "--read-weights"});
  CHECK(no_weights.code == 3);
  CHECK(absl::StrContains(no_weights.err, "--read-weights"));
}

TEST_CASE("flops refuses what it cannot count, naming it") {
  const TempFolder temp;
  Write(temp / "config.json", wan::DitConfigJson(wan::DitConfig{}));
  const auto refused = [&](const std::vector<std::string>& more, int code,
                           const std::vector<std::string>& words) {
    std::vector<std::string> arguments{"flops", "--config", temp / "config.json"};
    if (!more.empty() && more.front() == "--config") arguments.resize(1);
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = RunWanlite(arguments);
    INFO(absl::StrCat(outcome.out, outcome.err));
    CHECK(outcome.code == code);
    CHECK(outcome.out.empty());
    for (const std::string& word : words) {
      INFO(word);
      CHECK(absl::StrContains(outcome.err, word));
    }
  };
  refused({"--frames", "0"}, 3, {"frames is 0"});
  refused({"--frames", "-3"}, 3, {"frames is -3"});
  refused({"--frames", "80"}, 3, {"frames is 80", "77"});
  refused({"--height", "488"}, 3, {"height is 488", "480 or 496"});
  refused({"--height", "484"}, 3, {"height is 484", "480 or 496"});
  refused({"--width", "100"}, 3, {"width is 100", "96"});
  refused({"--text-length", "0"}, 3, {"text length is 0"});
  refused({"--frames", "4611686018427387904"}, 3, {"frames"});
  refused({"--config", temp / "missing"}, 4, {"missing"});
  Write(temp / "torn.json", "{\"_class_name\": \"WanTrans");
  refused({"--config", temp / "torn.json"}, 3, {"torn.json", "JSON"});
  Write(temp / "foreign.json", "{\"_class_name\": \"UNet2DConditionModel\"}");
  refused({"--config", temp / "foreign.json"}, 3,
          {"foreign.json", "UNet2DConditionModel", "WanTransformer3DModel"});
  Write(temp / "wrong.json", R"({"_class_name": "WanTransformer3DModel", "num_layers": 0})");
  refused({"--config", temp / "wrong.json"}, 3, {"wrong.json", "num_layers is 0"});
  Write(temp / "image.json", R"({"_class_name": "WanModel", "model_type": "i2v", "dim": 5120})");
  refused({"--config", temp / "image.json"}, 7, {"image.json", "i2v"});
}

}  // namespace
}  // namespace wanlite
