// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/doctor/layer_check.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "src/quant/weight_int8.h"
#include "tests/testing/catch.h"
#include "tests/testing/seeded.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using testing::SeededUniform;

// One layer of a model, its input and its int8 copy.
struct Bench {
  at::Tensor matrix = SeededUniform("matrix", {24, 16});
  SeenInput input;
  std::unique_ptr<LinearWeight> original = MakeDenseWeight(matrix);

  Bench() { See(SeededUniform("rows", {64, 16})); }
  void See(const at::Tensor& rows) { input = {rows, rows.abs().amax(0)}; }
  LayerCheck Check(const LinearWeight& weight) const {
    return CheckLayer({"m.up", &weight, original.get(), &input});
  }
  static std::unique_ptr<LinearWeight> Int8(const at::Tensor& dense, int64_t group = 0) {
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> weight, MakeInt8Weight(dense, group));
    return weight;
  }
};

at::Tensor StateOf(const LinearWeight& weight, const std::string& name) {
  for (const WeightTensor& state : weight.State()) {
    if (state.name == name) return state.tensor;
  }
  FAIL("no tensor " << name);
  return {};
}

bool Says(const LayerCheck& check, const std::string& words) {
  INFO(check.cause);
  CHECK(absl::StrContains(check.cause, words));
  return absl::StrContains(check.cause, words);
}

// INT8 with one scale for all tokens, as a program of one's own may have it.
class StaticInt8 : public LinearWeight {
 public:
  StaticInt8(const at::Tensor& dense, double range) : form_(range / 127) {
    ASSERT_OK_AND_ASSIGN(weight_, MakeInt8Weight(dense, 0));
  }
  absl::string_view format() const override { return "static_int8"; }
  int64_t in_features() const override { return weight_->in_features(); }
  int64_t out_features() const override { return weight_->out_features(); }
  const InputForm* input_form() const override { return &form_; }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    const at::Tensor codes = x.In(form_).values.to(at::kFloat) * form_.scale;
    return at::linear(codes, weight_->Dequantize(), bias);
  }
  LinearArithmetic arithmetic() const override { return weight_->arithmetic(); }
  std::vector<WeightTensor> State() const override { return weight_->State(); }
  at::Tensor Dequantize() const override { return weight_->Dequantize(); }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("not here");
  }

 private:
  struct Form : InputForm {
    explicit Form(double step) : scale(step) {}
    absl::string_view key() const override { return "static_int8"; }
    QuantizedInput Quantize(const at::Tensor& x) const override {
      return {(x / scale).round().clamp(-127, 127).to(at::kChar), {}};
    }
    const double scale;
  };
  Form form_;
  std::unique_ptr<LinearWeight> weight_;
};

TEST_CASE("a sound int8 layer is within its band, rotated or not, and the band is not idle") {
  const Bench bench;
  for (const int64_t group : {0, 4, 16}) {
    const LayerCheck check = bench.Check(*Bench::Int8(bench.matrix, group));
    CAPTURE(group, check.error, check.cause);
    CHECK(check.healthy());
    CHECK(check.compared);
    CHECK(check.error > 0.001);
    CHECK(check.error < 0.02);
    CHECK(check.band == 0.1);
    CHECK(check.gain == Approx(1).epsilon(0.01));
  }
  // A layer as it is has no error at all.
  const LayerCheck same = bench.Check(*bench.original);
  CHECK(same.healthy());
  CHECK(same.error == 0);
}

TEST_CASE("bands widen with coarser bits and with what was pruned") {
  const Bench bench;
  const auto int8 = Bench::Int8(bench.matrix);
  CHECK(ErrorBand(*int8, nullptr) == 0.1);
  CHECK(ErrorBand(*bench.original, bench.original.get()) == 0.1);
  const at::Tensor half = at::where(bench.matrix.abs() > 0.5, bench.matrix, 0.0);
  const auto pruned = MakeDenseWeight(half);
  CHECK(ErrorBand(*pruned, bench.original.get()) == 0.5);
  const LayerCheck check = bench.Check(*pruned);
  CAPTURE(check.error);
  CHECK(check.error > 0.1);
  CHECK(check.healthy());
}

TEST_CASE("a scale off by a factor is told with the factor") {
  const Bench bench;
  const auto weight = Bench::Int8(bench.matrix);
  StateOf(*weight, "weight_scale").mul_(100);
  const LayerCheck check = bench.Check(*weight);
  CHECK(check.error == Approx(99).epsilon(0.02));
  CHECK(check.gain == Approx(100).epsilon(0.02));
  Says(check, " times the original's");
  REQUIRE(check.scales.size() == 1);
  CHECK(check.scales[0].most > 0.5);
}

TEST_CASE("zero, NaN and damaged scales are counted") {
  const Bench bench;
  auto weight = Bench::Int8(bench.matrix);
  StateOf(*weight, "weight_scale").slice(0, 3, 9).zero_();
  LayerCheck check = bench.Check(*weight);
  CHECK(check.zero_rows == 6);
  Says(check, "6 of 24 output channels are zero that are not in the original: 6 scales are zero");

  weight = Bench::Int8(bench.matrix);
  StateOf(*weight, "weight_scale")[5].fill_(NAN);
  check = bench.Check(*weight);
  CHECK_FALSE(check.finite);
  Says(check, "1 of 24 values of its weight_scale are NaN or infinite");

  weight = Bench::Int8(bench.matrix);
  StateOf(*weight, "weight_scale").slice(0, 0, 2).mul_(30);
  check = bench.Check(*weight);
  CHECK(check.wrong_rows == 2);
  Says(check, "only 2 of 24 output channels are wrong");
}

TEST_CASE("a rotation that the attributes do not tell is found, and which it was") {
  const Bench bench;
  const auto rebuilt = [&](int64_t made, int64_t told) {
    const auto weight = Bench::Int8(bench.matrix, made);
    const WeightState state = {{"weight", StateOf(*weight, "weight")},
                               {"weight_scale", StateOf(*weight, "weight_scale")}};
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<LinearWeight> wrong,
                         Int8WeightFromState(state, Int8Attributes(told), WeightFormatRegistry()));
    return bench.Check(*wrong);
  };
  Says(rebuilt(4, 0), "its weights were rotated in groups of 4 and are read as if they were not");
  Says(rebuilt(0, 16),
       "its weights were not rotated and are read as if they were rotated in groups "
       "of 16");
  Says(rebuilt(16, 4),
       "were rotated in groups of 16 and are read as if they were rotated in groups "
       "of 4");
}

TEST_CASE("weights of another layer are found by what they are") {
  const Bench bench;
  const auto other = MakeDenseWeight(SeededUniform("other", {24, 16}));
  const auto weight = Bench::Int8(*other->dense());
  const LayerCheck check =
      CheckLayer({"m.q", weight.get(), bench.original.get(), &bench.input, {{"m.k", other.get()}}});
  Says(check, "it holds the weights of m.k of the original");
}

TEST_CASE("static scales that are too small for the inputs are told by the share that is cut off") {
  const Bench bench;
  const LayerCheck sound = bench.Check(StaticInt8(bench.matrix, 1.0));
  CHECK(sound.healthy());
  CHECK(sound.static_input);
  CHECK(sound.saturated_inputs < 0.01);
  const LayerCheck small = bench.Check(StaticInt8(bench.matrix, 0.25));
  // Uniform in [-1, 1): three quarters are beyond a quarter.
  CHECK(small.saturated_inputs == Approx(0.75).margin(0.05));
  Says(small, "of its inputs are cut off");
}

TEST_CASE("outliers of inputs are told by their channels, where the weights are right") {
  Bench bench;
  bench.matrix.select(1, 7).mul_(1e-2);
  bench.original = MakeDenseWeight(bench.matrix);
  at::Tensor rows = SeededUniform("rows", {64, 16});
  rows.select(1, 7).mul_(70);
  bench.See(rows);
  const LayerCheck check = bench.Check(*Bench::Int8(bench.matrix));
  CHECK(check.outlier_channels == std::vector<int64_t>{7});
  CHECK(check.outlier_ratio > 30);
  Says(check, "its weights are right; the inputs have outliers");
  // A rotation spreads them, as the advice says.
  CHECK(bench.Check(*Bench::Int8(bench.matrix, 16)).error < 0.7 * check.error);
}

TEST_CASE("a product beyond fp16 is an overflow, not a damaged weight") {
  Bench bench;
  bench.matrix = at::full({24, 16}, 300.0f);
  bench.original = MakeDenseWeight(bench.matrix);
  bench.See(at::full({4, 16}, 300.0f));
  const auto half = MakeDenseWeight(bench.matrix.to(at::kHalf));
  const LayerCheck check = bench.Check(*half);
  CHECK_FALSE(check.finite);
  Says(check, "its weights are finite and its output is not");
}

TEST_CASE("layers of other sizes are looked at for what they hold") {
  const Bench bench;
  auto weight = Bench::Int8(SeededUniform("narrow", {20, 16}));
  CHECK(bench.Check(*weight).healthy());
  CHECK_FALSE(bench.Check(*weight).compared);
  StateOf(*weight, "weight_scale")[0].fill_(INFINITY);
  CHECK_FALSE(bench.Check(*weight).healthy());
}

TEST_CASE("tensors that are no matrix: equal, changed, broken") {
  const at::Tensor norm = SeededUniform("norm", {16}) + 2;
  CHECK(CheckTensor("norm", norm, norm).error == 0);
  CHECK(CheckTensor("norm", norm * 1.01, norm).cause.empty());
  CHECK_FALSE(CheckTensor("norm", norm * 2, norm).cause.empty());
  at::Tensor broken = norm.clone();
  broken[3].fill_(NAN);
  CHECK_FALSE(CheckTensor("norm", broken, norm).finite);
  CHECK(CheckTensor("norm", norm.slice(0, 0, 8), norm).cause.empty());
}

TEST_CASE("a keeper of inputs keeps rows from all over, and the largest of every channel") {
  InputKeeper keeper(4);
  const at::Tensor x = at::arange(24, at::kFloat).reshape({1, 12, 2});
  LinearInfo linear;
  linear.path = "m.up";
  keeper.OnInput(linear, x);
  const SeenInput& seen = keeper.seen.at("m.up");
  CHECK(at::equal(seen.rows.select(1, 0), at::tensor({0.0f, 6.0f, 12.0f, 18.0f})));
  CHECK(at::equal(seen.channel_max, at::tensor({22.0f, 23.0f})));
}

}  // namespace
}  // namespace wanlite
