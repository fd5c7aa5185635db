// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_int8.h"

#include <cmath>

#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "src/quant/weight_int4.h"
#include "tests/testing/catch.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

using Catch::Contains;

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
}

std::unique_ptr<LinearWeight> Quantize(const at::Tensor& dense, int64_t group) {
  auto weight = MakeInt8Weight(dense, group);
  REQUIRE_OK(weight);
  return *std::move(weight);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> FromState(const WeightState& state,
                                                        absl::string_view attributes) {
  return Int8WeightFromState(state, attributes, WeightFormatRegistry());
}

std::map<std::string, at::Tensor> StateOf(const LinearWeight& weight) {
  std::map<std::string, at::Tensor> state;
  for (const WeightTensor& named : weight.State()) state[named.name] = named.tensor;
  return state;
}

std::string Message(const absl::StatusOr<std::unique_ptr<LinearWeight>>& result,
                    absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  CHECK(result.status().code() == code);
  return std::string(result.status().message());
}

}  // namespace

TEST_CASE("an int8 weight stores rounded rows and their scales") {
  const at::Tensor dense = Random({7, 20}, 1);
  const auto weight = Quantize(dense, 0);
  CHECK(std::string(weight->format()) == "int8");
  CHECK(weight->attributes() == "{}");
  CHECK(weight->in_features() == 20);
  CHECK(weight->out_features() == 7);
  for (const WeightTensor& state : weight->State()) CHECK_FALSE(state.trains);
  CHECK(weight->dense() == nullptr);
  CHECK(weight->State()[0].name == "weight");
  const auto state = StateOf(*weight);
  const at::Tensor scale = dense.abs().amax(1, true) / 127.0f;
  CHECK(at::equal(state.at("weight_scale"), scale));
  CHECK(at::equal(state.at("weight"), (dense / scale).round().clamp(-127, 127).to(at::kChar)));
  CHECK(weight->bits_per_weight() == Approx(8.0 + 32.0 / 20));
  CHECK(((weight->Dequantize() - dense).abs() <= scale * 0.5001f).all().item<bool>());
}

TEST_CASE("a packed int8 weight gives the same bits and stands for the same matrix") {
  for (const int64_t group : {0, 16}) {
    const auto weight = Quantize(Random({37, 320}, 6), group);
    const std::unique_ptr<LinearWeight> packed = weight->Packed();
    REQUIRE(packed != nullptr);
    CHECK(std::string(packed->format()) == "int8");
    CHECK(packed->attributes() == weight->attributes());
    CHECK(packed->in_features() == 320);
    CHECK(packed->out_features() == 37);
    CHECK(packed->input_form() == weight->input_form());
    const at::Tensor bias = Random({37}, 7);
    for (const int64_t tokens : {1, 26, 100}) {
      const at::Tensor x = Random({tokens, 320}, 8);
      CHECK(packed->Apply(x, bias).equal(weight->Apply(x, bias)));
    }
    CHECK(packed->Dequantize().equal(weight->Dequantize()));
    CHECK(packed->Packed() == nullptr);
    CHECK(packed->Select(0, at::arange(3)).status().code() == absl::StatusCode::kUnimplemented);
    CHECK(packed->Share().status().code() == absl::StatusCode::kUnimplemented);
    CHECK_THROWS_WITH(packed->Apply(Random({2, 320}, 9).requires_grad_(true), bias),
                      Contains("for running only"));
  }
  CHECK(MakeHollowInt8Weight(8, 16, 0)->Packed() == nullptr);
}

TEST_CASE("a packed int4 weight gives the same bits, where kernels take its groups") {
  for (const bool zero_point : {false, true}) {
    const Int4Options options{
        .group = 64, .zero_point = zero_point, .inputs = Int4Options::Inputs::kInt8};
    ASSERT_OK_AND_ASSIGN(const auto weight, MakeInt4Weight(Random({37, 320}, 6), options));
    const std::unique_ptr<LinearWeight> packed = weight->Packed();
    REQUIRE(packed != nullptr);
    CHECK(packed->attributes() == weight->attributes());
    CHECK(packed->input_form() == weight->input_form());
    for (const int64_t tokens : {1, 26, 100}) {
      const at::Tensor x = Random({tokens, 320}, 8), bias = Random({37}, 7);
      CHECK(packed->Apply(x, bias).equal(weight->Apply(x, bias)));
    }
    CHECK(packed->Dequantize().equal(weight->Dequantize()));
    CHECK(packed->Packed() == nullptr);
    CHECK(packed->Select(0, at::arange(3)).status().code() == absl::StatusCode::kUnimplemented);
  }
  const at::Tensor dense = Random({8, 64}, 6);
  for (const Int4Options& options :
       {Int4Options{.group = 16, .inputs = Int4Options::Inputs::kInt8},
        Int4Options{.group = 64, .inputs = Int4Options::Inputs::kFloat}}) {
    ASSERT_OK_AND_ASSIGN(const auto weight, MakeInt4Weight(dense, options));
    CHECK(weight->Packed() == nullptr);
  }
}

TEST_CASE("quantizing in pieces gives what quantizing at once gives") {
  // A piece is a million weights.
  const at::Tensor dense = Random({70, 65536}, 2);
  QuantizationError error;
  auto weight = MakeInt8Weight(dense, 256, &error);
  REQUIRE_OK(weight);
  const auto [q, scale] = ops::QuantizePerToken(ops::HadamardRotate(dense, 256));
  CHECK(at::equal(StateOf(**weight).at("weight"), q));
  CHECK(at::equal(StateOf(**weight).at("weight_scale"), scale));
  const double relative =
      ((*weight)->Dequantize() - dense).norm().item<double>() / dense.norm().item<double>();
  CHECK(error.Relative() == Approx(relative).epsilon(1e-3));
}

TEST_CASE("an int8 weight applies its dequantized matrix up to the rounding of activations") {
  for (int64_t group : {0, 4, 16, 64}) {
    const at::Tensor dense = Random({33, 64}, 3 + group);
    const auto weight = Quantize(dense, group);
    const at::Tensor x = Random({2, 5, 64}, 4);
    const at::Tensor bias = Random({33}, 5);
    const at::Tensor y = weight->Apply(x, bias);
    const at::Tensor exact = at::linear(x, weight->Dequantize(), bias);
    INFO("group " << group);
    CHECK((y - exact).norm().item<double>() < 0.01 * exact.norm().item<double>());
    // Rounding weights to 8 bit costs about half a percent.
    const double error =
        (weight->Dequantize() - dense).norm().item<double>() / dense.norm().item<double>();
    CHECK(error < 0.012);
    CHECK(error > 0.002);
    CHECK_FALSE(weight->Apply(x, std::nullopt).equal(y));
  }
}

TEST_CASE("a rotation spreads an outlier and lowers the error") {
  at::Tensor dense = Random({16, 256}, 6);
  dense.select(1, 17).mul_(60);
  const auto error = [&](int64_t group) {
    return (Quantize(dense, group)->Dequantize() - dense).norm().item<double>();
  };
  CHECK(error(256) < 0.5 * error(0));
}

TEST_CASE("half-precision weights are quantized from their exact values") {
  const at::Tensor dense = Random({9, 32}, 7);
  for (at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    const auto weight = Quantize(dense.to(dtype), 16);
    const auto expected = Quantize(dense.to(dtype).to(at::kFloat), 16);
    CHECK(at::equal(StateOf(*weight).at("weight"), StateOf(*expected).at("weight")));
  }
}

TEST_CASE("rows of zeros stay zeros, NaN and infinity are refused by row") {
  at::Tensor dense = Random({5, 8}, 8);
  dense[2].zero_();
  CHECK(Quantize(dense, 4)->Dequantize()[2].count_nonzero().item<int64_t>() == 0);
  dense[3][1] = std::nan("");
  CHECK_THAT(Message(MakeInt8Weight(dense, 0)), Contains("NaN or an infinity in row 3"));
  dense[3][1] = -HUGE_VALF;
  CHECK_THAT(Message(MakeInt8Weight(dense, 4)), Contains("row 3"));
}

TEST_CASE("weights whose int8 form would not come back finite are refused by row and value") {
  for (const int64_t group : {0, 16, 64}) {
    // As large as bf16 goes; rotating sums them up.
    at::Tensor dense = at::full({3, 64}, 3.3e38f);
    const auto weight = MakeInt8Weight(dense, group);
    if (group == 0) {
      REQUIRE_OK(weight);
      CHECK((*weight)->Dequantize().isfinite().all().item<bool>());
      continue;
    }
    CHECK_THAT(Message(weight), Contains("3.3e+38, too large for int8") && Contains("in row 0"));
    // Wherever it is taken, it comes back.
    for (double size = 1e34; size < 3e38; size *= 1.3) {
      dense.fill_(size);
      const auto smaller = MakeInt8Weight(dense, group);
      if (smaller.ok()) CHECK((*smaller)->Dequantize().isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("an int8 weight comes back from its state and attributes") {
  for (int64_t group : {0, 16}) {
    const auto weight = Quantize(Random({6, 32}, 9), group);
    auto again = FromState(StateOf(*weight), weight->attributes());
    REQUIRE_OK(again);
    CHECK((*again)->attributes() == weight->attributes());
    CHECK(at::equal((*again)->Dequantize(), weight->Dequantize()));
  }
}

TEST_CASE("a bad state or bad attributes of an int8 weight are refused by name") {
  const auto good = StateOf(*Quantize(Random({6, 32}, 10), 0));
  auto state = good;
  state.erase("weight_scale");
  CHECK_THAT(Message(FromState(state, "{}")), Contains("weight_scale"));
  state = good;
  state["zero_point"] = at::zeros({1});
  CHECK_THAT(Message(FromState(state, "{}")), Contains("zero_point"));
  state = good;
  state["weight_scale"] = at::ones({6});
  CHECK_THAT(Message(FromState(state, "{}")),
             Contains("fp32 [6, 1]") && Contains("found fp32 [6]"));
  state = good;
  state["weight"] = at::zeros({6, 32});
  CHECK_THAT(Message(FromState(state, "{}")), Contains("found fp32 [6, 32]"));
  for (const char* attributes :
       {"", "[]", "{\"rotation\":1}", "{\"rotation\":\"dct\",\"rotation_group\":4}",
        "{\"rotation\":\"convrot\"}", "{\"rotation_group\":4}", "{\"group\":4}",
        "{\"rotation\":\"convrot\",\"rotation_group\":0}",
        "{\"rotation\":\"convrot\",\"rotation_group\":8}",
        "{\"rotation\":\"convrot\",\"rotation_group\":64}",
        "{\"rotation\":\"convrot\",\"rotation_group\":4.5}"}) {
    INFO(attributes);
    CHECK_FALSE(Message(FromState(good, attributes)).empty());
  }
  CHECK_THAT(Message(MakeInt8Weight(Random({2, 24}, 1), 16)), Contains("does not divide"));
}

TEST_CASE("selecting rows and columns of an int8 weight keeps their values") {
  const at::Tensor dense = Random({6, 32}, 11);
  const at::Tensor rows = at::tensor({4, 0, 5}, at::kLong);
  for (int64_t group : {0, 16}) {
    const auto weight = Quantize(dense, group);
    auto selected = weight->Select(0, rows);
    REQUIRE_OK(selected);
    CHECK(at::equal((*selected)->Dequantize(), weight->Dequantize().index_select(0, rows)));
    CHECK((*selected)->attributes() == weight->attributes());
  }
  const at::Tensor columns = at::tensor({1, 3, 30}, at::kLong);
  const auto plain = Quantize(dense, 0);
  auto cut = plain->Select(1, columns);
  REQUIRE_OK(cut);
  CHECK(at::equal((*cut)->Dequantize(), plain->Dequantize().index_select(1, columns)));

  const auto rotated = Quantize(dense, 16);
  CHECK_THAT(Message(rotated->Select(1, columns), absl::StatusCode::kUnimplemented),
             Contains("whole groups"));
  CHECK_THAT(Message(rotated->Select(1, at::arange(8, 24)), absl::StatusCode::kUnimplemented),
             Contains("groups of 16"));
  CHECK_FALSE(rotated->Select(1, at::arange(0, 20)).ok());
  auto whole = rotated->Select(1, at::arange(16, 32));
  REQUIRE_OK(whole);
  CHECK((*whole)->in_features() == 16);
  CHECK((*whole)->attributes() == rotated->attributes());
  const at::Tensor kept = rotated->Dequantize().slice(1, 16, 32);
  CHECK(((*whole)->Dequantize() - kept).abs().max().item<float>() < 1e-6f);
  CHECK_FALSE(rotated->Select(2, rows).ok());
  CHECK_FALSE(rotated->Select(0, at::tensor({9}, at::kLong)).ok());
}

TEST_CASE("a hollow int8 weight has shapes and no memory, and can be cut") {
  const auto hollow = MakeHollowInt8Weight(13824, 5120, 256);
  CHECK(nn::IsHollow(hollow->State()[0].tensor));
  CHECK(hollow->in_features() == 5120);
  auto cut = hollow->Select(1, at::arange(0, 512));
  REQUIRE_OK(cut);
  CHECK((*cut)->in_features() == 512);
  CHECK(nn::IsHollow((*cut)->State()[0].tensor));
  CHECK((*cut)->attributes() == "{\"rotation\":\"convrot\",\"rotation_group\":256}");
}

TEST_CASE("an int8 weight sees what loading puts into its tensors") {
  const auto source = Quantize(Random({6, 32}, 12), 0);
  const auto target = MakeHollowInt8Weight(6, 32, 0);
  const auto values = StateOf(*source);
  for (const WeightTensor& named : target->State()) named.tensor.set_data(values.at(named.name));
  CHECK(at::equal(target->Dequantize(), source->Dequantize()));
}

TEST_CASE("an int8 weight passes gradients to its input, and what it gives does not depend on it") {
  for (const int64_t group : {0, 16}) {
    const auto weight = Quantize(Random({6, 32}, 13), group);
    at::Tensor x = Random({2, 32}, 14).requires_grad_(true);
    const at::Tensor y = weight->Apply(x, std::nullopt);
    CHECK(at::equal(y, weight->Apply(x.detach(), std::nullopt)));
    const at::Tensor dy = Random({2, 6}, 15);
    const at::Tensor dx = torch::autograd::grad({y}, {x}, {dy})[0];
    CHECK((dx - dy.matmul(weight->Dequantize())).abs().max().item<float>() < 1e-5f);
  }
}

}  // namespace wanlite
