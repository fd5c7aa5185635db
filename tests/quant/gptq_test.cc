// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/gptq.h"

#include <google/protobuf/text_format.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "src/core/libtorch.h"
#include "src/proto/quant.pb.h"
#include "tests/testing/catch.h"
#include "wanlite/linear_weight.h"

namespace wanlite {
namespace {

using Catch::Contains;

// Symmetric codes of so many bits, one scale for each group (0: for each row). Packs to a dense
// weight.
class PlainGrid : public WeightGrid {
 public:
  PlainGrid(int bits, int64_t group) : limit_((1 << (bits - 1)) - 1), group_(group) {}
  int64_t group() const override { return group_; }
  GroupScales Fit(const at::Tensor& columns, double clip) const override {
    return {columns.abs().amax(1, true) * (clip / limit_), {}};
  }
  GroupScales Nearest(const GroupScales& scales) const override { return scales; }
  at::Tensor Round(const at::Tensor& columns, const GroupScales& scales) const override {
    const at::Tensor by =
        at::where(scales.scale > 0, scales.scale, at::ones({}, scales.scale.options()));
    return (columns / by).round().clamp(-limit_, limit_) * scales.scale;
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Pack(const at::Tensor& rounded, const GroupScales&,
                                                     const InputStatistics*) const override {
    return MakeDenseWeight(rounded);
  }

 private:
  const double limit_;
  const int64_t group_;
};

// [n, features], varying in few directions, as activations do.
at::Tensor Inputs(int64_t n, int64_t features, uint64_t seed) {
  const at::Tensor directions =
      at::randn({features / 4, features}, at::detail::createCPUGenerator(99));
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn({n, features / 4}, generator).mm(directions) +
         0.3 * at::randn({n, features}, generator);
}

at::Tensor Matrix(int64_t out, int64_t in) {
  return at::randn({out, in}, at::detail::createCPUGenerator(7));
}

at::Tensor MomentOf(const at::Tensor& x) { return x.t().mm(x); }

GptqResult Rounded(const at::Tensor& weight, const at::Tensor& moment, const WeightGrid& grid,
                   const MomentSettings& settings = {}) {
  ASSERT_OK_AND_ASSIGN(const MomentFactor factor, MomentFactor::Make(moment.clone(), settings));
  ASSERT_OK_AND_ASSIGN(GptqResult result, GptqRound(weight, factor, grid));
  return result;
}

// To the nearest values, with the scales of the weights as they are.
at::Tensor Nearest(const at::Tensor& weight, const WeightGrid& grid) {
  const int64_t group = grid.group() > 0 ? grid.group() : weight.size(1);
  std::vector<at::Tensor> parts;
  for (const at::Tensor& part : weight.split(group, 1)) {
    parts.push_back(grid.Round(part, grid.Fit(part)));
  }
  return at::cat(parts, 1);
}

double OutputError(const at::Tensor& weight, const at::Tensor& rounded, const at::Tensor& x) {
  const at::Tensor error = x.mm((weight - rounded).t());
  return (error.norm() / x.mm(weight.t()).norm()).item<double>();
}

// The algorithm as the paper states it: Cholesky factor of the inverse, column after column, in
// double.
at::Tensor TextbookGptq(at::Tensor weight, at::Tensor moment, const PlainGrid& grid,
                        double damping) {
  weight = weight.to(at::kDouble).clone();
  moment = moment.to(at::kDouble).clone();
  const int64_t n = weight.size(1);
  const int64_t group = grid.group() > 0 ? grid.group() : n;
  moment.diagonal().add_(damping * moment.diagonal().mean());
  const at::Tensor upper =
      at::linalg_cholesky(at::cholesky_inverse(at::linalg_cholesky(moment)), /*upper=*/true);
  GroupScales scales;
  for (int64_t j = 0; j < n; ++j) {
    if (j % group == 0) scales = grid.Fit(weight.narrow(1, j, group), 1);
    const at::Tensor rounded = grid.Round(weight.narrow(1, j, 1), scales);
    const at::Tensor error = (weight.narrow(1, j, 1) - rounded) / upper[j][j];
    weight.narrow(1, j, 1).copy_(rounded);
    if (j + 1 < n) {
      weight.narrow(1, j + 1, n - j - 1)
          .sub_(error * upper[j].narrow(0, j + 1, n - j - 1).unsqueeze(0));
    }
  }
  return weight.to(at::kFloat);
}

}  // namespace

TEST_CASE("GPTQ in blocks and without an inverse gives what the textbook gives") {
  // Blocks of 128 columns: within one, through several, and groups that are no part of them.
  const auto [in, group] = GENERATE(table<int64_t, int64_t>(
      {{64, 0}, {320, 0}, {320, 64}, {320, 16}, {288, 96}, {512, 256}, {7, 0}}));
  CAPTURE(in, group);
  const PlainGrid grid(4, group);
  const at::Tensor weight = Matrix(48, in), moment = MomentOf(Inputs(600, in, 1));
  const GptqResult result = Rounded(weight, moment, grid);
  const at::Tensor wanted = TextbookGptq(weight, moment, grid, 0.01);
  // A value that lies between two codes may go to either by rounding.
  const double same =
      at::isclose(result.rounded, wanted, 1e-3, 1e-4).to(at::kDouble).mean().item<double>();
  CHECK(same > 0.97);
  const at::Tensor x = Inputs(400, in, 2);
  CHECK(OutputError(weight, result.rounded, x) ==
        Approx(OutputError(weight, wanted, x)).epsilon(0.03));
  CHECK(result.scales.scale.sizes() == at::IntArrayRef({48, group > 0 ? in / group : 1}));
}

TEST_CASE("GPTQ is nearer to the layer's output than rounding, on rows it has not seen") {
  const auto [bits, group] = GENERATE(table<int, int64_t>({{8, 0}, {4, 0}, {4, 64}, {3, 32}}));
  const bool activation_order = GENERATE(false, true);
  CAPTURE(bits, group, activation_order);
  const PlainGrid grid(bits, group);
  const at::Tensor weight = Matrix(64, 256);
  MomentSettings settings;
  settings.activation_order = activation_order;
  const GptqResult result = Rounded(weight, MomentOf(Inputs(2000, 256, 1)), grid, settings);
  const at::Tensor unseen = Inputs(500, 256, 2);
  const double by_gptq = OutputError(weight, result.rounded, unseen);
  const double by_rounding = OutputError(weight, Nearest(weight, grid), unseen);
  INFO("gptq " << by_gptq << ", rounded " << by_rounding);
  CHECK(by_gptq > 0);
  CHECK(by_gptq < 0.6 * by_rounding);
}

TEST_CASE("what GPTQ gives are values of the grid of the scales it tells") {
  const bool activation_order = GENERATE(false, true);
  MomentSettings settings;
  settings.activation_order = activation_order;
  const PlainGrid grid(4, 32);
  const at::Tensor weight = Matrix(20, 160);
  const GptqResult result = Rounded(weight, MomentOf(Inputs(500, 160, 1)), grid, settings);
  std::vector<at::Tensor> again;
  for (int64_t group = 0; group < 5; ++group) {
    again.push_back(grid.Round(result.rounded.narrow(1, 32 * group, 32),
                               {result.scales.scale.narrow(1, group, 1), {}}));
  }
  CHECK(at::allclose(at::cat(again, 1), result.rounded, 1e-6, 0));
  // Known before any column is rounded, scales are those of the weights.
  const at::Tensor first = grid.Fit(weight.narrow(1, 128, 32), 1).scale;
  CHECK(at::equal(result.scales.scale.narrow(1, 4, 1), first) == activation_order);
}

TEST_CASE("GPTQ's errors are those of its result, and its bits are the same again") {
  const at::Tensor weight = Matrix(1500, 96);  // two chunks of rows
  const at::Tensor x = Inputs(4000, 96, 1), moment = MomentOf(x);
  const PlainGrid grid(4, 32);
  const GptqResult result = Rounded(weight, moment, grid, {1e-6, false});
  CHECK(result.output_error.Relative() ==
        Approx(OutputError(weight, result.rounded, x)).epsilon(1e-3));
  CHECK(result.weight_error.Relative() ==
        Approx(((weight - result.rounded).norm() / weight.norm()).item<double>()).epsilon(1e-4));
  const GptqResult again = Rounded(weight, moment, grid, {1e-6, false});
  CHECK(at::equal(result.rounded, again.rounded));
  CHECK(at::equal(result.scales.scale, again.scales.scale));
}

TEST_CASE("GPTQ serves every format that has a grid") {
  const std::string text =
      GENERATE(as<std::string>(), "int8 { }", "int8 { rotation: CONVROT rotation_group: 64 }",
               "int4 { group: 32 }", "int4 { group: 64 zero_point: true }", "int4 { codes: NVFP4 }",
               "fp8 { }");
  CAPTURE(text);
  LinearFormat format;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &format));
  ASSERT_OK_AND_ASSIGN(const auto quantizer, MakeWeightQuantizer(format, "format"));
  const at::Tensor weight = Matrix(64, 256), seen = Inputs(2000, 256, 1);
  const auto grid = quantizer->Grid(256, weight.abs().max().item<double>());
  REQUIRE(grid != nullptr);
  const GptqResult result = Rounded(grid->ToBasis(weight), MomentOf(grid->ToBasis(seen)), *grid);
  ASSERT_OK_AND_ASSIGN(const auto packed,
                       grid->Pack(result.rounded, result.scales, /*statistics=*/nullptr));
  // What is stored is what was rounded.
  CHECK(at::allclose(grid->ToBasis(packed->Dequantize()), result.rounded, 1e-4, 1e-5));
  ASSERT_OK_AND_ASSIGN(const auto rounded, quantizer->Quantize(weight, /*statistics=*/nullptr));
  const at::Tensor unseen = Inputs(500, 256, 2);
  const double by_gptq = OutputError(weight, packed->Dequantize(), unseen);
  const double by_rounding = OutputError(weight, rounded->Dequantize(), unseen);
  INFO("gptq " << by_gptq << ", rounded " << by_rounding);
  CHECK(by_gptq < 0.7 * by_rounding);
}

TEST_CASE("moments of nothing but zeros, of infinities and of no positive matrix are refused") {
  const auto refused = [](const at::Tensor& moment, const char* said) {
    const absl::Status status = MomentFactor::Make(moment.clone(), {}).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Contains(said));
  };
  refused(at::zeros({8, 8}), "all zero");
  refused(at::full({8, 8}, std::numeric_limits<float>::infinity()), "overflow");
  at::Tensor indefinite = at::eye(8);
  indefinite[0][1] = indefinite[1][0] = 5;
  refused(indefinite, "not positive definite");
  // Inputs of which a feature is always zero are none of these.
  at::Tensor x = Inputs(100, 8, 1);
  x.select(1, 3).zero_();
  const at::Tensor weight = Matrix(4, 8);
  const PlainGrid grid(4, 0);
  const GptqResult result = Rounded(weight, MomentOf(x), grid);
  CHECK(at::equal(result.rounded.select(1, 3), Nearest(weight, grid).select(1, 3)));
  ASSERT_OK_AND_ASSIGN(const MomentFactor factor, MomentFactor::Make(MomentOf(x), {}));
  at::Tensor bad = weight.clone();
  bad[1][2] = std::numeric_limits<float>::quiet_NaN();
  CHECK(GptqRound(bad, factor, grid).status().code() == absl::StatusCode::kInvalidArgument);
}

// How long it takes: build/dev/tests/quant/wanlite_quant_test "[.speed]".
TEST_CASE("GPTQ against a loop over columns", "[.speed]") {
  for (const int64_t n : {512, 1536}) {
    const at::Tensor weight = Matrix(n, n), moment = MomentOf(Inputs(2 * n, n, 1));
    const PlainGrid grid(4, 64);
    const auto seconds = [](const auto& run) {
      const auto begin = std::chrono::steady_clock::now();
      run();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    const double blocked = seconds([&] { Rounded(weight, moment, grid); });
    const double loop = seconds([&] {
      const at::Tensor upper = at::linalg_cholesky(
          at::cholesky_inverse(
              at::linalg_cholesky(moment + at::eye(n) * (0.01 * moment.diagonal().mean()))),
          /*upper=*/true);
      at::Tensor w = weight.clone();
      GroupScales scales;
      for (int64_t j = 0; j < n; ++j) {
        if (j % 64 == 0) scales = grid.Fit(w.narrow(1, j, 64), 1);
        const at::Tensor rounded = grid.Round(w.narrow(1, j, 1), scales);
        const at::Tensor error = (w.narrow(1, j, 1) - rounded) / upper[j][j];
        w.narrow(1, j, 1).copy_(rounded);
        if (j + 1 == n) break;
        w.narrow(1, j + 1, n - j - 1)
            .sub_(error * upper[j].narrow(0, j + 1, n - j - 1).unsqueeze(0));
      }
    });
    WARN(n << " x " << n << ": " << blocked << " s in blocks, " << loop << " s column by column");
    CHECK(blocked < loop);
  }
}

// What the widest layers of a 14B model take.
TEST_CASE("GPTQ at the sizes of a large model", "[.large]") {
  for (const auto& [out, in] : {std::pair<int64_t, int64_t>{5120, 5120}, {5120, 13824}}) {
    // Rows of two samples, so that the moments are no diagonal.
    at::Tensor moment = at::zeros({in, in});
    for (const uint64_t seed : {1, 2}) {
      const at::Tensor x = at::randn({512, in}, at::detail::createCPUGenerator(seed));
      moment.addmm_(x.t(), x);
    }
    const at::Tensor weight = Matrix(out, in);
    const PlainGrid grid(4, 64);
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_OK_AND_ASSIGN(const MomentFactor factor, MomentFactor::Make(std::move(moment), {}));
    const auto factored = std::chrono::steady_clock::now();
    ASSERT_OK_AND_ASSIGN(const GptqResult result, GptqRound(weight, factor, grid));
    const auto end = std::chrono::steady_clock::now();
    const auto seconds = [](auto from, auto to) {
      return std::chrono::duration<double>(to - from).count();
    };
    std::string peak;
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("VmHWM", 0) == 0) peak = line;
    }
    WARN("[" << out << ", " << in << "]: factor " << seconds(begin, factored) << " s, rounding "
             << seconds(factored, end) << " s, " << peak << ", of a plan of "
             << GptqScratchBytes(out, in) / 1024 << " kB");
    CHECK(result.output_error.Relative() > 0);
  }
}

}  // namespace wanlite
