// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The weight format "lora": branches beside a weight of any format.

#include <google/protobuf/text_format.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/proto/quant.pb.h"
#include "src/quant/weight_quantizer.h"
#include "tests/testing/catch.h"
#include "wanlite/nn.h"
#include "wanlite/weight_formats.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {
namespace {

using Catch::Contains;
using Weight = std::unique_ptr<LinearWeight>;

constexpr int64_t kOut = 48, kIn = 64;

at::Tensor Draw(at::IntArrayRef shape, uint64_t seed, at::ScalarType dtype = at::kFloat) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat)).to(dtype);
}

template <typename T>
T Get(absl::StatusOr<T> value) {
  REQUIRE_OK(value);
  return *std::move(value);
}

LoraBranch Branch(const std::string& adapter, int64_t rank, uint64_t seed, double alpha,
                  double strength = 1, at::ScalarType dtype = at::kFloat) {
  return {adapter, Draw({rank, kIn}, seed, dtype) * 0.1, Draw({kOut, rank}, seed + 1, dtype), alpha,
          strength};
}

// A base of every kind: what it is called, and how it is made.
std::vector<std::pair<std::string, Weight>> Bases() {
  std::vector<std::pair<std::string, Weight>> bases;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    bases.emplace_back("dense", MakeDenseWeight(Draw({kOut, kIn}, 1, dtype)));
  }
  for (const std::string text :
       {"int8 { }", "int8 { rotation: CONVROT rotation_group: 16 }", "int8 { activations: FLOAT }",
        "fp8 { }", "int4 { group: 32 }", "int4 { group: 32 activations: INT8 }",
        "int4 { codes: NVFP4 }", "int4 { group: 32 low_rank { rank: 4 } }"}) {
    LinearFormat format;
    REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &format));
    const auto quantizer = Get(MakeWeightQuantizer(format, "format"));
    bases.emplace_back(text, Get(quantizer->Quantize(Draw({kOut, kIn}, 1), nullptr)));
  }
  return bases;
}

TEST_CASE("branches add to what the base of any format gives, exactly, and stack") {
  const at::NoGradGuard no_grad;
  const at::Tensor x = Draw({5, kIn}, 7), bias = Draw({kOut}, 8);
  for (auto& [name, base] : Bases()) {
    INFO(name);
    const at::Tensor alone = base->Apply(Activation(x), bias);
    const LoraBranch first = Branch("first", 3, 11, 6), second = Branch("second", 5, 21, 5, -0.5);
    const auto added = [&](const at::Tensor& y, const LoraBranch& branch, double scale) {
      return at::add(y, at::linear(at::linear(x, branch.a), branch.b), scale);
    };
    Weight one = Get(MakeLoraWeight(Get(base->Share()), {first}));
    CHECK(at::equal(one->Apply(Activation(x), bias), added(alone, first, 2)));
    Weight both = Get(MakeLoraWeight(std::move(one), {second}));
    CHECK(at::equal(both->Apply(Activation(x), bias), added(added(alone, first, 2), second, -0.5)));
    REQUIRE(LoraBranches(*both).size() == 2);
    CHECK(LoraBase(*both).format() == base->format());
    CHECK(LoraBranches(*both)[1].adapter == "second");
    const at::Tensor matrix =
        base->Dequantize() + 2 * first.b.matmul(first.a) - 0.5 * second.b.matmul(second.a);
    CHECK(at::allclose(both->Dequantize(), matrix, 1e-5, 1e-5));
    CHECK(at::allclose(both->Matrix().to(at::kFloat), matrix, 1e-2, 0.1));
    // A base that is packed for the machine gives what its own packed form gives.
    if (const Weight packed = both->Packed(); packed != nullptr) {
      const at::Tensor y = base->Packed()->Apply(Activation(x), bias);
      CHECK(at::equal(packed->Apply(Activation(x), bias), added(added(y, first, 2), second, -0.5)));
    }
  }
}

TEST_CASE("a weight with adapters comes back from its state, whatever its base") {
  const WeightFormatRegistry formats = BuiltinWeightFormats();
  const at::Tensor x = Draw({5, kIn}, 7);
  for (auto& [name, base] : Bases()) {
    INFO(name);
    const Weight weight = Get(MakeLoraWeight(
        Get(base->Share()), {Branch("a", 3, 11, 6, 0.7), Branch("b", 1, 21, 0.1, 1, at::kHalf)}));
    WeightState state;
    for (const WeightTensor& part : weight->State()) {
      state[part.name] = part.tensor;
      CHECK(part.trains == (part.name.rfind("lora_", 0) == 0));
    }
    const Weight again = Get(formats.Build("lora", state, weight->attributes()));
    CHECK(again->attributes() == weight->attributes());
    const at::NoGradGuard no_grad;
    CHECK(at::equal(again->Apply(Activation(x), std::nullopt),
                    weight->Apply(Activation(x), std::nullopt)));
    // A tensor that is missing is named.
    WeightState less = state;
    less.erase("lora_b_1");
    CHECK_THAT(std::string(formats.Build("lora", less, weight->attributes()).status().message()),
               Contains("lora_b_1"));
  }
  CHECK_THAT(std::string(formats
                             .Build("lora", {{"weight", at::ones({2, 2})}},
                                    R"({"base": {"format": "dense"}, "adapters": ["x"]})")
                             .status()
                             .message()),
             Contains("1 adapters, 0 alphas"));
}

TEST_CASE("gradients reach the branches and the input through any base, and never the base") {
  for (auto& [name, base] : Bases()) {
    INFO(name);
    nn::Linear linear(kIn, kOut, /*bias=*/true);
    linear.SetBias(Draw({kOut}, 3));
    linear.SetWeight(Get(MakeLoraWeight(Get(base->Share()), {Branch("a", 3, 11, 6)})));
    const at::Tensor x = Draw({5, kIn}, 7).requires_grad_(true);
    const at::Tensor target = Draw({5, kOut}, 9);
    at::Tensor loss = (linear.forward(x) - target).pow(2).sum();
    loss.backward();
    REQUIRE(x.grad().defined());
    const at::Tensor error = 2 * (linear.forward(x) - target).detach();  // [5, out]
    const LoraBranch branch = LoraBranches(linear.weight()).front();
    const at::Tensor a = branch.a.detach(), b = branch.b.detach(), input = x.detach();
    CHECK(at::allclose(branch.a.grad(), 2 * b.t().matmul(error.t()).matmul(input), 1e-3, 1e-2));
    CHECK(at::allclose(branch.b.grad(), 2 * error.t().matmul(input.matmul(a.t())), 1e-3, 1e-2));
    for (const auto& item : linear.named_parameters()) {
      const bool of_base = item.key() != "bias" && item.key().rfind("lora_", 0) != 0;
      if (of_base) CHECK_FALSE(item.value().requires_grad());
    }
  }
}

TEST_CASE("a fresh adapter with a zero B changes no bit") {
  const at::NoGradGuard no_grad;
  const at::Tensor x = Draw({5, kIn}, 7);
  for (auto& [name, base] : Bases()) {
    INFO(name);
    LoraBranch fresh = Branch("fresh", 4, 11, 4);
    fresh.b.zero_();
    const Weight weight = Get(MakeLoraWeight(Get(base->Share()), {fresh}));
    CHECK(at::equal(weight->Apply(Activation(x), std::nullopt),
                    base->Apply(Activation(x), std::nullopt)));
  }
}

TEST_CASE("adapters merge into dense weights, rounded once, and into no others") {
  const at::NoGradGuard no_grad;
  for (auto& [name, base] : Bases()) {
    INFO(name);
    const LoraBranch branch = Branch("a", 3, 11, 6, 0.5);
    const Weight weight = Get(MakeLoraWeight(Get(base->Share()), {branch}));
    const absl::StatusOr<Weight> merged = weight->Merge();
    if (base->dense() == nullptr) {
      CHECK(absl::IsFailedPrecondition(merged.status()));
      CHECK_THAT(std::string(merged.status().message()),
                 Contains(absl::StrCat("format ", std::string(base->format()))));
      continue;
    }
    REQUIRE_OK(merged);
    REQUIRE((*merged)->dense() != nullptr);
    CHECK(at::equal(*(*merged)->dense(),
                    at::add(base->dense()->to(at::kFloat), branch.b.matmul(branch.a), 1.0)
                        .to(base->dense()->scalar_type())));
    // Unmerged and merged are one layer up to rounding.
    if (base->dense()->scalar_type() != at::kFloat) continue;
    const at::Tensor x = Draw({5, kIn}, 7);
    CHECK(at::allclose((*merged)->Apply(Activation(x), std::nullopt),
                       weight->Apply(Activation(x), std::nullopt), 1e-4, 1e-4));
  }
}

TEST_CASE("cutting rows or columns cuts the branches with the base") {
  const at::NoGradGuard no_grad;
  const Weight weight =
      Get(MakeLoraWeight(MakeDenseWeight(Draw({kOut, kIn}, 1)), {Branch("a", 3, 11, 6)}));
  for (const int64_t dim : {0, 1}) {
    const at::Tensor index = at::tensor({1, 5, 6, 30}, at::kLong);
    const Weight cut = Get(weight->Select(dim, index));
    CHECK(
        at::allclose(cut->Dequantize(), weight->Dequantize().index_select(dim, index), 1e-5, 1e-5));
  }
}

TEST_CASE("branches that do not fit are refused, naming both sides") {
  const auto error = [](LoraBranch branch) {
    return std::string(MakeLoraWeight(MakeDenseWeight(Draw({kOut, kIn}, 1)), {std::move(branch)})
                           .status()
                           .message());
  };
  LoraBranch wide = Branch("wide", 3, 11, 6);
  wide.a = at::ones({3, kIn + 1});
  CHECK_THAT(error(wide), Contains("adapter wide") && Contains("[48, 64]") && Contains("[3, 65]"));
  LoraBranch ranks = Branch("ranks", 3, 11, 6);
  ranks.b = at::ones({kOut, 4});
  CHECK_THAT(error(ranks), Contains("[48, 4]"));
  LoraBranch mixed = Branch("mixed", 3, 11, 6);
  mixed.b = mixed.b.to(at::kHalf);
  CHECK_THAT(error(mixed), Contains("one floating dtype"));
  CHECK_THAT(error(Branch("", 3, 11, 6)), Contains("no name"));
  CHECK_THAT(error(Branch("x", 3, 11, std::nan(""))), Contains("finite"));
  CHECK_FALSE(MakeLoraWeight(MakeDenseWeight(Draw({kOut, kIn}, 1)), {}).ok());
  CHECK_FALSE(MakeLoraWeight(nullptr, {Branch("x", 3, 11, 6)}).ok());
}

}  // namespace
}  // namespace wanlite
