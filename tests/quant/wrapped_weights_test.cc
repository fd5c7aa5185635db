// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/wrapped_weights.h"

#include <google/protobuf/text_format.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "src/proto/quant.pb.h"
#include "src/quant/weight_int8.h"
#include "src/quant/weight_quantizer.h"
#include "tests/testing/catch.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

using Catch::Contains;
using Weight = std::unique_ptr<LinearWeight>;

at::Tensor Draw(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
}

template <typename T>
T Get(absl::StatusOr<T> value) {
  REQUIRE_OK(value);
  return *std::move(value);
}

constexpr int64_t kOut = 24, kIn = 64;

Weight Dense(uint64_t seed = 1) { return MakeDenseWeight(Draw({kOut, kIn}, seed)); }
Weight Int8(int64_t group = 0) { return Get(MakeInt8Weight(Draw({kOut, kIn}, 1), group)); }
Weight LowRank(Weight base, bool zero_b = false) {
  const at::Tensor b = zero_b ? at::zeros({kOut, 3}) : Draw({kOut, 3}, 12) * 0.1;
  return Get(MakeLowRankWeight(std::move(base), Draw({3, kIn}, 11) * 0.125, b, 6));
}
at::Tensor Mask() { return Draw({kOut, kIn}, 13) > 0; }
Weight Masked(Weight base) { return Get(MakeMaskedWeight(std::move(base), Mask())); }
std::string Int8Text(int64_t group) {
  if (group == 0) return "int8 { }";
  return absl::StrCat("int8 { rotation: CONVROT rotation_group: ", group, " }");
}
Weight Fake(Weight base, int64_t group, bool learned) {
  return Get(MakeFakeQuantWeight(std::move(base), Int8Text(group), learned));
}

WeightFormatRegistry Formats() {
  WeightFormatRegistry formats;
  REQUIRE_OK(formats.Register("int8", Int8WeightFromState));
  REQUIRE_OK(formats.Register("low_rank", LowRankWeightFromState));
  REQUIRE_OK(formats.Register("masked", MaskedWeightFromState));
  REQUIRE_OK(formats.Register("fake_quant", FakeQuantWeightFromState));
  return formats;
}

struct Kind {
  const char* name;
  std::function<Weight()> make;
  bool dense_product;  // Apply() is the product with Dequantize() up to fp32 rounding
};
std::vector<Kind> Kinds() {
  return {{"low_rank on dense", [] { return LowRank(Dense()); }, true},
          {"low_rank on int8", [] { return LowRank(Int8()); }, false},
          {"low_rank on rotated int8", [] { return LowRank(Int8(16)); }, false},
          {"masked dense", [] { return Masked(Dense()); }, true},
          {"masked int8", [] { return Masked(Int8()); }, true},
          {"masked low_rank", [] { return Masked(LowRank(Dense())); }, true},
          {"fake", [] { return Fake(Dense(), 0, false); }, false},
          {"fake, rotated", [] { return Fake(Dense(), 16, false); }, false},
          {"fake, learned", [] { return Fake(Dense(), 0, true); }, false},
          {"fake, learned, rotated", [] { return Fake(Dense(), 16, true); }, false},
          {"fake masked", [] { return Fake(Masked(Dense()), 0, false); }, false},
          {"fake low_rank", [] { return Fake(LowRank(Dense()), 0, true); }, false}};
}

WeightState TensorsByName(const LinearWeight& weight) {
  WeightState state;
  for (const WeightTensor& tensor : weight.State()) state[tensor.name] = tensor.tensor;
  return state;
}

}  // namespace

TEST_CASE("a wrapped weight comes back from its state and attributes, hollow too") {
  const WeightFormatRegistry formats = Formats();
  const at::Tensor x = Draw({5, kIn}, 2), bias = Draw({kOut}, 3);
  for (const Kind& kind : Kinds()) {
    INFO(kind.name);
    const Weight weight = kind.make();
    for (const WeightTensor& tensor : weight->State()) {
      CHECK(tensor.name.find('.') == std::string::npos);
    }
    const Weight again =
        Get(formats.Build(weight->format(), TensorsByName(*weight), weight->attributes()));
    CHECK(again->attributes() == weight->attributes());
    CHECK(at::equal(again->Dequantize(), weight->Dequantize()));
    CHECK(at::equal(again->Apply(x, bias), weight->Apply(x, bias)));
    CHECK(at::equal(Get(weight->Share())->Apply(x, bias), weight->Apply(x, bias)));

    WeightState hollow;
    for (const auto& [name, tensor] : TensorsByName(*weight)) hollow[name] = nn::HollowLike(tensor);
    const Weight shell = Get(formats.Build(weight->format(), hollow, weight->attributes()));
    CHECK(shell->attributes() == weight->attributes());
    CHECK(shell->bytes() == weight->bytes());
    CHECK(shell->arithmetic().weight_bits == weight->arithmetic().weight_bits);
    const Weight merged = Get(shell->Merge());
    const Weight wanted = Get(weight->Merge());
    CHECK(merged->format() == wanted->format());
    CHECK(merged->attributes() == wanted->attributes());
    CHECK(merged->bytes() == wanted->bytes());
    CHECK(nn::IsHollow(merged->State()[0].tensor));
    for (const WeightTensor& tensor : Get(shell->Select(0, at::arange(7)))->State()) {
      CHECK(nn::IsHollow(tensor.tensor));
    }
  }
}

TEST_CASE("a wrapped weight multiplies by the matrix that it says it stands for") {
  const at::Tensor x = Draw({5, kIn}, 2), bias = Draw({kOut}, 3);
  for (const Kind& kind : Kinds()) {
    INFO(kind.name);
    const Weight weight = kind.make();
    const at::Tensor y = weight->Apply(x, bias);
    const at::Tensor wanted = at::linear(x, weight->Dequantize(), bias);
    CHECK((y - wanted).norm().item<double>() <
          (kind.dense_product ? 1e-5 : 0.02) * wanted.norm().item<double>());
    CHECK((weight->Matrix() - weight->Dequantize()).abs().max().item<double>() < 1e-5);
    CHECK(weight->Apply(x.to(at::kBFloat16), std::nullopt).scalar_type() == at::kBFloat16);
  }
}

TEST_CASE("rows and columns of a wrapped weight keep their values") {
  const at::Tensor rows = at::tensor({4, 0, 5}, at::kLong);
  const at::Tensor columns = at::arange(16, 48);  // whole groups
  for (const Kind& kind : Kinds()) {
    INFO(kind.name);
    const Weight weight = kind.make();
    const at::Tensor matrix = weight->Dequantize();
    CHECK(at::allclose(Get(weight->Select(0, rows))->Dequantize(), matrix.index_select(0, rows), 0,
                       1e-6));
    const Weight cut = Get(weight->Select(1, columns));
    CHECK(cut->in_features() == 32);
    CHECK(cut->format() == weight->format());
    // The scale that is computed of fewer columns may be another.
    const bool computed = weight->format() == "fake_quant" &&
                          weight->attributes().find("learned") == std::string::npos;
    CHECK(at::allclose(cut->Dequantize(), matrix.index_select(1, columns), 0,
                       computed ? 0.05 : 1e-5));
    CHECK_FALSE(weight->Select(2, rows).ok());
    CHECK_FALSE(weight->Select(0, at::tensor({99}, at::kLong)).ok());
  }
  CHECK(absl::IsUnimplemented(Fake(Dense(), 16, false)->Select(1, at::arange(8, 24)).status()));
}

TEST_CASE("a low-rank branch of zeros changes nothing, to the bit, and shares its base's input") {
  const at::Tensor x = Draw({5, kIn}, 2);
  for (const int64_t group : {0, 16}) {
    const Weight base = Int8(group);
    const Weight weight = LowRank(Int8(group), /*zero_b=*/true);
    CHECK(at::equal(weight->Apply(x, {}), base->Apply(x, {})));
    CHECK(weight->input_form() == base->input_form());
    CHECK(weight->reads_dense_input());
  }
  const Weight weight = LowRank(Int8());
  const LinearArithmetic base = Int8()->arithmetic();
  CHECK(weight->arithmetic().extra_macs_per_token == 3 * (kIn + kOut));
  CHECK(weight->arithmetic().extra_bits == 32);
  CHECK(weight->arithmetic().integer);
  CHECK(weight->arithmetic().output_ops == base.output_ops + 2);
}

TEST_CASE("a low-rank branch trains over a frozen base of any format") {
  for (const bool int8 : {false, true}) {
    INFO((int8 ? "int8" : "dense"));
    nn::Linear linear(kIn, kOut, /*bias=*/true);
    {
      const at::NoGradGuard no_grad;
      for (at::Tensor& parameter : linear.parameters()) parameter.zero_();
    }
    Weight base = int8 ? Int8(16) : Dense();
    WeightState before;
    for (const auto& [name, tensor] : TensorsByName(*base)) before[name] = tensor.clone();
    linear.SetWeight(LowRank(std::move(base), /*zero_b=*/true));
    std::vector<at::Tensor> trained;
    for (const auto& item : linear.named_parameters()) {
      const bool trains = item.key() != "weight" && item.key() != "weight_scale";
      CHECK(item.value().requires_grad() == trains);
      if (trains) trained.push_back(item.value());
    }
    REQUIRE(trained.size() == 3);  // A, B, bias
    // A matrix that is three dimensions away from the base's.
    const at::Tensor wanted =
        linear.weight().Dequantize() + Draw({kOut, 3}, 21).matmul(Draw({3, kIn}, 22)) * 0.3;
    const at::Tensor x = Draw({64, kIn}, 23);
    const at::Tensor target = at::linear(x, wanted, Draw({kOut}, 24));
    const auto loss = [&] { return at::mse_loss(linear.forward(x), target); };
    const double first = loss().item<double>();
    for (int step = 0; step < 600; ++step) {
      const auto gradients = torch::autograd::grad({loss()}, trained);
      const at::NoGradGuard no_grad;
      for (size_t i = 0; i < trained.size(); ++i) trained[i].sub_(gradients[i], 0.1);
    }
    CHECK(loss().item<double>() < 0.05 * first);
    for (const auto& [name, tensor] : before) {
      CHECK(at::equal(linear.named_parameters()[name], tensor));
    }
  }
}

TEST_CASE("gradients of a wrapped weight are those of its matrix") {
  const at::Tensor dy = Draw({5, kOut}, 31);
  for (const Kind& kind : Kinds()) {
    INFO(kind.name);
    const Weight weight = kind.make();
    for (const WeightTensor& tensor : weight->State()) {
      tensor.tensor.set_requires_grad(tensor.trains);
    }
    at::Tensor x = Draw({5, kIn}, 2).requires_grad_(true);
    at::Tensor bias = Draw({kOut}, 3).requires_grad_(true);
    std::vector<at::Tensor> inputs = {x, bias};
    for (const WeightTensor& tensor : weight->State()) {
      if (tensor.trains) inputs.push_back(tensor.tensor);
    }
    const at::Tensor y = weight->Apply(x, bias);
    {
      const at::NoGradGuard no_grad;
      CHECK(at::equal(y, weight->Apply(x, bias)));
    }
    const auto found = torch::autograd::grad({y}, inputs, {dy});
    const auto wanted =
        torch::autograd::grad({at::linear(x, weight->Matrix(), bias)}, inputs, {dy});
    for (size_t i = 0; i < inputs.size(); ++i) {
      INFO("input " << i);
      CHECK(found[i].sizes() == inputs[i].sizes());
      // Where the input is rounded, the weight's gradient sees it rounded.
      CHECK((found[i] - wanted[i]).norm().item<double>() < 0.02 * wanted[i].norm().item<double>());
    }
  }
}

TEST_CASE("a mask keeps its zeros whatever trains below it") {
  const Weight weight = Masked(Dense());
  const at::Tensor mask = Mask();
  CHECK(weight->NonZero() == Approx(mask.to(at::kFloat).mean().item<double>()));
  at::Tensor matrix = weight->State()[0].tensor.requires_grad_(true);
  const at::Tensor x = Draw({5, kIn}, 2);
  const at::Tensor gradient =
      torch::autograd::grad({weight->Apply(x, {}).square().sum()}, {matrix})[0];
  CHECK(gradient.masked_select(mask.logical_not()).count_nonzero().item<int64_t>() == 0);
  CHECK(gradient.masked_select(mask).count_nonzero().item<int64_t>() > 0);
  {
    // An optimizer that decays or rotates may write anything there.
    const at::NoGradGuard no_grad;
    matrix.add_(1);
  }
  const Weight merged = Get(weight->Merge());
  REQUIRE(merged->dense() != nullptr);
  CHECK(merged->dense()->masked_select(mask.logical_not()).count_nonzero().item<int64_t>() == 0);
  CHECK(at::equal(*merged->dense(), weight->Dequantize()));
  // A NaN that is masked away is away.
  const at::NoGradGuard no_grad;
  matrix.masked_fill_(mask.logical_not(), std::nan(""));
  CHECK(weight->Apply(x, {}).isfinite().all().item<bool>());
}

TEST_CASE("fake quantization gives what the int8 weight gives that it turns into, to the bit") {
  const at::Tensor x = Draw({5, kIn}, 2), bias = Draw({kOut}, 3);
  for (const bool learned : {false, true}) {
    for (const int64_t group : {0, 16}) {
      INFO((learned ? "learned" : "computed") << " group " << group);
      const Weight weight = Fake(Dense(), group, learned);
      // It starts as plain quantization of the base.
      const Weight plain = Get(MakeInt8Weight(Draw({kOut, kIn}, 1), group));
      CHECK(at::equal(weight->Apply(x, bias), plain->Apply(x, bias)));
      CHECK(weight->arithmetic().integer);
      // Training moves matrix and scale.
      for (const WeightTensor& tensor : weight->State()) {
        const at::NoGradGuard no_grad;
        tensor.tensor.add_(Draw(tensor.tensor.sizes(), 41), 0.01);
        tensor.tensor.set_requires_grad(tensor.trains);
      }
      if (learned) weight->State()[1].tensor.detach()[0].mul_(-1);  // its magnitude counts
      const Weight merged = Get(weight->Merge());
      CHECK(merged->format() == "int8");
      CHECK(at::equal(merged->Dequantize(), weight->Dequantize()));
      CHECK(merged->NonZero() == weight->NonZero());
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
        const at::Tensor y = weight->Apply(x.to(dtype), bias);
        CHECK(y.requires_grad());
        const at::NoGradGuard no_grad;
        CHECK(at::equal(y, merged->Apply(x.to(dtype), bias)));
        CHECK(at::equal(y, weight->Apply(x.to(dtype), bias)));
      }
      if (!learned) {
        const Weight direct = Get(MakeInt8Weight(weight->State()[0].tensor.detach(), group));
        CHECK(at::equal(direct->Dequantize(), merged->Dequantize()));
      }
    }
  }
}

TEST_CASE("fake quantization of every format is that format, and learns of what it multiplies") {
  const at::Tensor x = Draw({5, kIn}, 2), bias = Draw({kOut}, 3), dy = Draw({5, kOut}, 4);
  for (const char* text :
       {"int8 { }", "int8 { rotation: CONVROT rotation_group: 16 }", "fp8 { }",
        "fp8 { activations: FLOAT }", "int4 { group: 16 }", "int4 { group: 16 zero_point: true }",
        "int4 { group: 16 activations: INT8 }", "int4 { group: 16 activations: SAME }",
        "int4 { group: 16 zero_point: true activations: SAME }", "int4 { codes: NVFP4 }",
        "int4 { codes: NVFP4 activations: SAME }"}) {
    const bool nvfp4 = std::string(text).find("NVFP4") != std::string::npos;
    for (const bool learned : {false, true}) {
      INFO(text << (learned ? ", learned" : ""));
      absl::StatusOr<Weight> made = MakeFakeQuantWeight(Dense(), text, learned);
      if (nvfp4 && learned) {
        CHECK_THAT(std::string(made.status().message()), Contains("cannot be learned"));
        continue;
      }
      const Weight weight = Get(std::move(made));
      for (const WeightTensor& tensor : weight->State()) {
        const at::NoGradGuard no_grad;
        if (tensor.trains) tensor.tensor.mul_(1 + 0.05 * Draw(tensor.tensor.sizes(), 41));
        tensor.tensor.set_requires_grad(tensor.trains);
      }
      const Weight real = Get(weight->Merge());
      const at::Tensor y = weight->Apply(x, bias);
      const at::Tensor matrix = weight->State()[0].tensor;
      const at::Tensor gradient = torch::autograd::grad({y}, {matrix}, {dy})[0];
      const at::NoGradGuard no_grad;
      CHECK(at::equal(y, real->Apply(x, bias)));
      CHECK(at::equal(y, weight->Apply(x, bias)));
      CHECK(at::equal(weight->Dequantize(), real->Dequantize()));
      // What the grid says the kernel reads is what it reads.
      LinearFormat format;
      REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &format));
      const auto quantizer = Get(MakeWeightQuantizer(format, "format"));
      const auto grid = quantizer->Grid(kIn, 1);
      const at::Tensor read = grid->RoundInput(x);
      const at::Tensor product = at::linear(read, grid->ToBasis(real->Dequantize()), bias);
      CHECK((y - product).norm().item<double>() < 1e-5 * product.norm().item<double>());
      CHECK((grid->FromBasis(grid->ToBasis(x)) - x).abs().max().item<double>() < 1e-5);
      if (learned) continue;  // clipped weights learn nothing
      const at::Tensor wanted = grid->FromBasis(dy.t().matmul(read));
      CHECK((gradient - wanted).norm().item<double>() < 1e-5 * wanted.norm().item<double>());
    }
  }
}

TEST_CASE("a learned scale has LSQ's gradient") {
  // Two weights inside, one clipped, of one row: d/ds of round(w / s) s.
  const at::Tensor matrix = at::tensor({0.30f, -1.26f, 500.f, 0.f}).reshape({1, 4});
  const Weight weight = Fake(MakeDenseWeight(matrix.clone()), 0, /*learned=*/true);
  for (const WeightTensor& tensor : weight->State()) {
    tensor.tensor.set_requires_grad(true);
  }
  at::Tensor scale = weight->State()[1].tensor;
  CHECK(scale.item<float>() == 500.f / 127);
  {
    const at::NoGradGuard no_grad;
    scale.fill_(0.5);
  }
  const at::Tensor upstream = at::tensor({1.f, 10.f, 100.f, 1000.f}).reshape({1, 4});
  const auto gradients =
      torch::autograd::grad({weight->Matrix()}, {weight->State()[0].tensor, scale}, {upstream});
  // Straight through, but for the clipped one.
  CHECK(at::equal(gradients[0], at::tensor({1.f, 10.f, 0.f, 1000.f}).reshape({1, 4})));
  const double wanted = (1 * (1 - 0.6) + 10 * (-3 + 2.52) + 100 * 127) / std::sqrt(4 * 127.0);
  CHECK(gradients[1].item<double>() == Approx(wanted));
}

TEST_CASE("fake quantization lets a layer learn to be rounded") {
  // Rounded after training against rounded while training, on inputs with a few large features.
  const at::Tensor wanted = Draw({4, kIn}, 51) * 0.2;
  at::Tensor outlier = wanted.clone();
  outlier.select(1, 0).mul_(200);
  for (const bool learned : {false, true}) {
    nn::Linear linear(kIn, 4, /*bias=*/false);
    linear.SetWeight(Fake(MakeDenseWeight(outlier.clone()), 0, learned));
    // Inputs of few directions leave a choice between roundings; the large weights do not matter.
    at::Tensor x = Draw({256, 16}, 52).matmul(Draw({16, kIn}, 53)) * 0.25;
    x.select(1, 0).zero_();
    const at::Tensor target = at::linear(x, wanted);
    const auto loss = [&] { return at::mse_loss(linear.forward(x), target); };
    const double first = loss().item<double>();
    const auto parameters = linear.parameters();
    for (int step = 0; step < 300; ++step) {
      const auto gradients = torch::autograd::grad({loss()}, parameters);
      const at::NoGradGuard no_grad;
      parameters[0].sub_(gradients[0], 0.01);
      if (learned) parameters[1].sub_(gradients[1], 0.1);
    }
    INFO((learned ? "learned" : "computed"));
    CHECK(loss().item<double>() < 0.5 * first);
    const Weight merged = Get(linear.weight().Merge());
    const at::NoGradGuard no_grad;
    CHECK(at::mse_loss(merged->Apply(x, {}), target).item<double>() == loss().item<double>());
  }
}

TEST_CASE("wrapped weights that do not fit are refused by name") {
  const auto error = [](const absl::StatusOr<Weight>& weight) {
    CHECK(weight.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(weight.status().message());
  };
  CHECK_THAT(error(MakeLowRankWeight(nullptr, at::ones({1, 1}), at::ones({1, 1}), 1)),
             Contains("low_rank needs a base"));
  CHECK_THAT(error(MakeLowRankWeight(Dense(), at::ones({3, 9}), at::ones({kOut, 3}), 1)),
             Contains("low_rank_a [rank, 64]") && Contains("found fp32 [3, 9]"));
  CHECK_THAT(error(MakeLowRankWeight(Dense(), at::ones({0, kIn}), at::ones({kOut, 0}), 1)),
             Contains("found fp32 [0, 64]"));
  CHECK_THAT(
      error(MakeLowRankWeight(Dense(), at::ones({3, kIn}), at::ones({kOut, 3}), std::nan(""))),
      Contains("alpha"));
  CHECK_THAT(error(MakeLowRankWeight(LowRank(Dense()), at::ones({3, kIn}), at::ones({kOut, 3}), 1)),
             Contains("adds the tensor low_rank_a, which its base of format low_rank has"));
  CHECK_THAT(error(MakeMaskedWeight(Dense(), at::ones({kOut, kIn}))),
             Contains("weight_mask must be bool [24, 64], found fp32 [24, 64]"));
  CHECK_THAT(error(MakeFakeQuantWeight(Dense(), Int8Text(8), false)),
             Contains("format.int8.rotation_group"));
  CHECK_THAT(error(MakeFakeQuantWeight(nullptr, "int8 { }", true)), Contains("needs a base"));
  CHECK_THAT(error(MakeFakeQuantWeight(Dense(), "int9 { }", true)), Contains("int9"));
  CHECK_THAT(error(MakeFakeQuantWeight(Dense(), "", true)), Contains("names no format"));

  const WeightFormatRegistry formats = Formats();
  for (const Kind& kind : Kinds()) {
    INFO(kind.name);
    const Weight weight = kind.make();
    const WeightState state = TensorsByName(*weight);
    for (const auto& [name, tensor] : state) {
      WeightState less = state;
      less.erase(name);
      const auto missing = formats.Build(weight->format(), less, weight->attributes());
      INFO(name << ": " << missing.status().ToString());
      CHECK(missing.status().code() == absl::StatusCode::kInvalidArgument);
    }
    WeightState more = state;
    more["extra"] = at::ones({1});
    CHECK_FALSE(formats.Build(weight->format(), more, weight->attributes()).ok());
    for (const char* attributes :
         {"", "[]", "{}", "{\"base\": 3}", "{\"base\": {\"format\": \"fp9\"}}",
          "{\"base\": {\"format\": \"dense\", \"x\": 1}}",
          "{\"base\": {\"format\": \"dense\"}, \"x\": 1}",
          "{\"base\": {\"format\": \"int8\", \"attributes\": {\"x\": 1}}, \"alpha\": 1}"}) {
      INFO(attributes);
      CHECK_FALSE(formats.Build(weight->format(), state, attributes).ok());
    }
  }
  // Nothing is merged that is not finite.
  const Weight fake = Fake(Dense(), 0, false);
  fake->State()[0].tensor[3][1] = std::nan("");
  CHECK_THAT(error(fake->Merge()), Contains("NaN"));
}

}  // namespace wanlite
