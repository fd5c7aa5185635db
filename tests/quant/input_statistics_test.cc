// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/input_statistics.h"

#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/wan_samples.h"

namespace wanlite {
namespace {

using Catch::Contains;
using testing::DiskWithWan;
using testing::TransformerInputs;
using testing::WanView;
using testing::WriteTransformerSamples;

std::unique_ptr<WeightQuantizer> Int8Basis(bool rotates) {
  LinearFormat format;
  if (rotates) {
    format.mutable_int8()->set_rotation(QuantizeInt8Options::CONVROT);
    format.mutable_int8()->set_rotation_group(4);
  } else {
    format.mutable_int8();
  }
  auto quantizer = MakeWeightQuantizer(format, "format");
  REQUIRE_OK(quantizer);
  return *std::move(quantizer);
}

Calibration By(Calibration::Method method, int64_t bins) {
  Calibration calibration;
  calibration.set_method(method);
  calibration.set_timestep_bins(bins);
  REQUIRE_OK(ResolveCalibration(calibration, "calibration"));
  return calibration;
}

bool InABlock(const LinearInfo& linear) {
  return linear.path.find(".blocks.") != std::string::npos;
}

// From the whole model in memory, each layer observed by itself.
std::map<std::string, InputStatistics> Unstreamed(Env& env, const std::vector<Values>& inputs,
                                                  const SampleSet& samples,
                                                  const WeightQuantizer& quantizer,
                                                  const Calibration& calibration) {
  const at::NoGradGuard no_grad;
  const ModelView model = WanView(env, "/model");
  std::set<std::string> paths;
  for (const LinearInfo& linear : model.linears()) paths.insert(linear.path);
  InputTap tap(paths, {&quantizer, &calibration});
  std::vector<TapGuard> guards;
  for (const BlockInfo& block : model.blocks()) {
    ASSERT_OK_AND_ASSIGN(TapGuard guard, TapLinears(model, block.path, tap));
    guards.push_back(std::move(guard));
  }
  std::vector<double> timesteps;
  for (size_t i = 0; i < inputs.size(); ++i) {
    timesteps.push_back(samples.sample("transformer", static_cast<int64_t>(i)).timestep);
  }
  const std::vector<int64_t> bins = TimestepBins(timesteps, calibration.timestep_bins());
  for (size_t i = 0; i < inputs.size(); ++i) {
    tap.BeginSample(samples.sample("transformer", static_cast<int64_t>(i)).weight, bins[i]);
    ProgramOf(*model.FindComponent("transformer"))->Run(inputs[i]);
  }
  std::map<std::string, InputStatistics> result;
  for (const LinearInfo& linear : model.linears()) {
    if (!InABlock(linear)) continue;
    ASSERT_OK_AND_ASSIGN(result[linear.path], tap.Statistics(linear.path));
  }
  return result;
}

// Block by block from the folder; the stream is opened anew before each block when `reopen`.
std::map<std::string, InputStatistics> Streamed(Env& env, const SampleSet& samples,
                                                const WeightQuantizer& quantizer,
                                                const Calibration& calibration, bool reopen) {
  ModelView model = WanView(env, "/model", /*load=*/false);
  REQUIRE(model.streaming());
  std::map<std::string, InputStatistics> result;
  std::unique_ptr<ActivationStream> stream;
  for (const BlockInfo& block : std::vector<BlockInfo>(model.blocks())) {
    if (stream == nullptr || reopen) {
      stream = nullptr;
      ASSERT_OK_AND_ASSIGN(stream,
                           ActivationStream::Open(env, "/stream", model, samples, "transformer"));
    }
    REQUIRE_OK(stream->Enter(block.path));
    ASSERT_OK_AND_ASSIGN(const BlockLease lease, model.Lease(block.path));
    std::vector<LinearInfo> linears;
    for (const LinearInfo& linear : model.linears()) {
      if (linear.block == block.path && InABlock(linear)) linears.push_back(linear);
    }
    if (!linears.empty()) {
      ASSERT_OK_AND_ASSIGN(const auto found,
                           CollectInputStatistics(model, lease, *stream, linears, quantizer,
                                                  calibration, /*cancel=*/nullptr));
      result.insert(found.begin(), found.end());
    }
    REQUIRE_OK(stream->Advance(lease));
  }
  REQUIRE_OK(stream->Remove());
  return result;
}

// What one layer's tap says of rows.
absl::StatusOr<InputStatistics> Seen(const std::vector<at::Tensor>& rows) {
  const Calibration calibration = By(Calibration::MIN_MAX, 1);
  InputTap tap({"layer"}, {nullptr, &calibration});
  LinearInfo layer;
  layer.path = "layer";
  for (size_t i = 0; i < rows.size(); ++i) {
    tap.BeginSample(static_cast<double>(i + 1), 0);
    tap.OnInput(layer, rows[i]);
  }
  return tap.Statistics("layer");
}

}  // namespace

TEST_CASE("streamed statistics are those of the whole model in memory, bit for bit") {
  const auto [method, rotates] =
      GENERATE(table<Calibration::Method, bool>({{Calibration::MIN_MAX, false},
                                                 {Calibration::PERCENTILE, true},
                                                 {Calibration::MSE, true},
                                                 {Calibration::ENTROPY, false}}));
  const auto env = DiskWithWan();
  const std::vector<Values> inputs = TransformerInputs(5, 3);
  const SampleSet samples = WriteTransformerSamples(*env, "/samples", inputs);
  const auto quantizer = Int8Basis(rotates);
  const Calibration calibration = By(method, 2);
  const auto wanted = Unstreamed(*env, inputs, samples, *quantizer, calibration);
  REQUIRE(wanted.size() == 3 * 10);
  for (const bool reopen : {false, true}) {
    const auto found = Streamed(*env, samples, *quantizer, calibration, reopen);
    REQUIRE(found.size() == wanted.size());
    for (const auto& [path, statistics] : wanted) {
      INFO(path);
      const InputStatistics& other = found.at(path);
      CHECK(statistics.range == other.range);
      CHECK(at::equal(statistics.channel_max, other.channel_max));
      CHECK(at::equal(statistics.channel_mean, other.channel_mean));
      // Layers see inputs of their own.
      CHECK(statistics.range > 0);
    }
  }
  CHECK(wanted.at("transformer.blocks.0.self_attn.q").range !=
        wanted.at("transformer.blocks.1.self_attn.q").range);
}

TEST_CASE(
    "statistics weigh samples, and the range is that of the part of the timesteps that needs "
    "most") {
  const at::Tensor small = at::tensor({1.0f, -2.0f, 0.5f, 0.0f}).reshape({2, 2});
  const at::Tensor large = at::tensor({-3.0f, 1.0f, 0.0f, 4.0f, 6.0f, 1.0f}).reshape({3, 2});
  ASSERT_OK_AND_ASSIGN(const InputStatistics seen, Seen({small, large}));
  CHECK(seen.range == 6);
  CHECK(at::equal(seen.channel_max, at::tensor({6.0f, 4.0f})));
  // (1 + 0.5 + 2 (3 + 0 + 6)) / 8 and (2 + 0 + 2 (1 + 4 + 1)) / 8
  CHECK(at::allclose(seen.channel_mean, at::tensor({19.5f / 8, 14.0f / 8})));

  Calibration calibration = By(Calibration::PERCENTILE, 2);
  calibration.set_percentile(50);
  InputTap tap({"layer"}, {nullptr, &calibration});
  LinearInfo layer;
  layer.path = "layer";
  for (const auto& [bin, value] :
       {std::pair{0, 1.0f}, {1, 5.0f}, {0, 2.0f}, {0, 3.0f}, {0, 3.0f}}) {
    tap.BeginSample(1, bin);
    tap.OnInput(layer, at::full({4, 2}, value));
  }
  ASSERT_OK_AND_ASSIGN(const InputStatistics parts, tap.Statistics("layer"));
  CHECK(parts.range == 5);  // of all values together it would be 3
}

TEST_CASE("timesteps are shared out evenly, equal ones together") {
  CHECK(TimestepBins({900, 100, 500, 300}, 2) == std::vector<int64_t>{1, 0, 1, 0});
  CHECK(TimestepBins({900, 900, 100, 500}, 3) == std::vector<int64_t>{2, 2, 0, 1});
  CHECK(TimestepBins({900, 900, 100}, 10) == std::vector<int64_t>{1, 1, 0});
  CHECK(TimestepBins({0, 0, 0}, 4) == std::vector<int64_t>{0, 0, 0});
  CHECK(TimestepBins({}, 4).empty());
}

TEST_CASE(
    "static int8 takes its ranges from what the compressed blocks before make of the samples") {
  const auto env = DiskWithWan();
  const std::vector<Values> inputs = TransformerInputs(6, 3);
  const SampleSet samples = WriteTransformerSamples(*env, "/samples", inputs);
  const std::string options = "quantize_int8 { activations: STATIC calibration { ";
  REQUIRE_OK(testing::CompressWan(*env, {options + "method: MSE } }"}, "/samples", "/static"));
  REQUIRE_OK(testing::CompressWan(*env, {"gptq { format { int8 { activations: STATIC } } }"},
                                  "/samples", "/gptq"));
  const ModelView original = WanView(*env, "/model"), made = WanView(*env, "/static"),
                  rounded = WanView(*env, "/gptq");
  for (const Values& values : TransformerInputs(3, 77)) {
    const at::Tensor want = testing::OutputOf(original, "transformer", values);
    for (const ModelView* model : {&made, &rounded}) {
      const double error =
          (testing::OutputOf(*model, "transformer", values) - want).norm().item<double>() /
          want.norm().item<double>();
      CHECK(error > 1e-4);
      CHECK(error < 0.05);
    }
  }
  // The first block sees what the original makes of the samples.
  const std::string path = "transformer.blocks.0.self_attn.q";
  const Calibration calibration = By(Calibration::MSE, 1);
  const auto quantizer = Int8Basis(false);
  const auto wanted = Unstreamed(*env, inputs, samples, *quantizer, calibration);
  ASSERT_OK_AND_ASSIGN(const at::Tensor step, made.FindTensor(path + ".input_scale"));
  CHECK(step.item<double>() == Approx(wanted.at(path).range / 127).epsilon(1e-6));
  // Without samples there are none.
  const absl::Status refused =
      testing::CompressWan(*env, {options + "} }"}, "", "/refused").status();
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()), Contains("needs recorded inputs"));
}

TEST_CASE("layers that read one input are found, in the order in which they run") {
  const auto env = DiskWithWan();
  const SampleSet samples = WriteTransformerSamples(*env, "/samples", TransformerInputs(1, 3));
  ModelView model = WanView(*env, "/model");
  ASSERT_OK_AND_ASSIGN(const auto stream,
                       ActivationStream::Open(*env, "/stream", model, samples, "transformer"));
  REQUIRE_OK(stream->Enter("transformer"));
  {
    ASSERT_OK_AND_ASSIGN(const BlockLease rest, model.Lease("transformer"));
    REQUIRE_OK(stream->Advance(rest));
  }
  ASSERT_OK_AND_ASSIGN(const BlockLease lease, model.Lease("transformer.blocks.0"));
  ASSERT_OK_AND_ASSIGN(const auto groups, InputGroups(model, lease, *stream));
  const auto path = [](const char* leaf) { return std::string("transformer.blocks.0.") + leaf; };
  CHECK(groups == std::vector<std::vector<std::string>>{
                      {path("self_attn.q"), path("self_attn.k"), path("self_attn.v")},
                      {path("self_attn.o")},
                      {path("cross_attn.q")},
                      {path("cross_attn.k"), path("cross_attn.v")},
                      {path("cross_attn.o")},
                      {path("ffn.0")},
                      {path("ffn.2")}});
}

TEST_CASE("bad calibration data is refused, and the message names the layer") {
  CHECK_THAT(std::string(Seen({at::zeros({3, 2})}).status().message()),
             Contains("layer: its inputs are all zero"));
  CHECK_THAT(std::string(Seen({at::zeros({0, 2})}).status().message()),
             Contains("layer: no sample reaches it"));
  CHECK_THAT(std::string(Seen({}).status().message()), Contains("layer: no sample reaches it"));

  const auto env = DiskWithWan();
  std::vector<Values> inputs = TransformerInputs(2, 3);
  const float bad =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
  inputs[1]["hidden_states"] = inputs[1]["hidden_states"].clone();
  inputs[1]["hidden_states"].view(-1)[5] = bad;
  const SampleSet samples = WriteTransformerSamples(*env, "/samples", inputs);
  const absl::Status status =
      testing::CompressWan(*env, {"gptq { format { int8 { } } }"}, "/samples", "/out").status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(
      std::string(status.message()),
      Contains("transformer.blocks.0.self_attn.q: a NaN or an infinity") && Contains("sample 1"));
}

TEST_CASE("options of a calibration that cannot be meant are refused") {
  const auto refused = [](const Calibration& given, const char* said) {
    Calibration calibration = given;
    const absl::Status status = ResolveCalibration(calibration, "calibration");
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Contains(said));
  };
  Calibration calibration;
  calibration.set_percentile(99);
  refused(calibration, "calibration.percentile: is given but method is not PERCENTILE");
  calibration.set_method(Calibration::PERCENTILE);
  calibration.set_percentile(100.5);
  refused(calibration, "100.5 is not in (0, 100]");
  calibration.clear_percentile();
  calibration.set_timestep_bins(0);
  refused(calibration, "calibration.timestep_bins: 0 is not in [1, 1000]");
  calibration.clear_timestep_bins();
  REQUIRE_OK(ResolveCalibration(calibration, "calibration"));
  CHECK(calibration.percentile() == 99.99);
  CHECK(calibration.timestep_bins() == 1);
}

}  // namespace wanlite
