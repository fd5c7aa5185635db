// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "wanlite/activation.h"

#include "src/core/libtorch.h"
#include "src/model/norm_for.h"
#include "tests/testing/catch.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

// Doubles its input, and counts how often.
class CountingForm : public InputForm {
 public:
  CountingForm(std::string key, bool norms) : key_(std::move(key)), norms_(norms) {}
  absl::string_view key() const override { return key_; }
  QuantizedInput Quantize(const at::Tensor& x) const override {
    ++made;
    return {x * 2, at::ones({1})};
  }
  std::optional<QuantizedInput> QuantizeLayerNorm(const LayerNormInput& norm) const override {
    if (!norms_) return std::nullopt;
    ++normed;
    return QuantizedInput{LayerNorm(norm) * 2, at::ones({1})};
  }
  mutable int made = 0, normed = 0;

 private:
  std::string key_;
  bool norms_;
};

// y = sum of the doubled input, for a layer of one feature; reads its input in a form.
class FormedWeight : public LinearWeight {
 public:
  explicit FormedWeight(const InputForm* form) : form_(form), weight_(at::ones({1, 4})) {}
  absl::string_view format() const override { return "formed"; }
  int64_t in_features() const override { return 4; }
  int64_t out_features() const override { return 1; }
  const InputForm* input_form() const override { return form_; }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>&) const override {
    return form_ == nullptr ? x.dense().sum(-1, true) * 2 : x.In(*form_).values.sum(-1, true);
  }
  LinearArithmetic arithmetic() const override { return {}; }
  std::vector<WeightTensor> State() const override { return {{"weight", weight_}}; }
  at::Tensor Dequantize() const override { return weight_ * 2; }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("cannot be cut");
  }

 private:
  const InputForm* form_;
  at::Tensor weight_;
};

nn::Linear Reader(const InputForm* form) {
  nn::Linear linear(4, 1, /*bias=*/false);
  linear.SetWeight(std::make_unique<FormedWeight>(form));
  return linear;
}

TEST_CASE("an activation makes each form once, whoever asks for it") {
  const CountingForm a("a", false), a_again("a", false), b("b", false);
  const Activation x = at::arange(4, at::kFloat);
  const at::Tensor first = x.In(a).values;
  CHECK(first.is_same(x.In(a).values));
  CHECK(first.is_same(x.In(a_again).values));
  CHECK(x.In(b).values.equal(first));
  CHECK(first.is_same(x.In(a).values));
  CHECK(a.made == 1);
  CHECK(a_again.made == 0);
  CHECK(b.made == 1);
  CHECK(x.dtype() == at::kFloat);
  CHECK_THROWS_WITH(Activation(at::Tensor()), Catch::Contains("undefined"));
}

TEST_CASE("an activation that was made in a form makes its floating tensor when asked, once") {
  const CountingForm a("a", false), b("b", false);
  int dense = 0;
  const Activation x(a, {at::full({4}, 6.f), {}}, at::kFloat, [&] {
    ++dense;
    return at::full({4}, 3.f);
  });
  CHECK(x.In(a).values.equal(at::full({4}, 6.f)));
  CHECK(dense == 0);
  CHECK_FALSE(x.requires_grad());
  CHECK(x.In(b).values.equal(at::full({4}, 6.f)));
  CHECK(x.dense().equal(at::full({4}, 3.f)));
  CHECK(dense == 1);
  CHECK(a.made == 0);
}

TEST_CASE("a norm is handed over in a form only when all its readers want that one") {
  const CountingForm a("a", true), a_again("a", true), b("b", true), c("c", false);
  const nn::Linear wants_a = Reader(&a), too = Reader(&a_again), wants_b = Reader(&b),
                   wants_c = Reader(&c), wants_float = Reader(nullptr);
  const at::Tensor x = at::arange(8, at::kFloat).reshape({2, 4});
  at::Tensor weight = at::full({4}, 3.f);
  const LayerNormInput norm{x, weight, at::ones({4}), 1e-6, at::kFloat};
  const at::Tensor expected = LayerNorm(norm);
  int floating = 0;
  const auto run = [&](std::initializer_list<const nn::Linear*> readers) {
    const Activation y = LayerNormFor(readers, norm, [&] {
      ++floating;
      return expected;
    });
    for (const nn::Linear* reader : readers) {
      CHECK(reader->forward(y).equal(expected.mul(2).sum(-1, true)));
    }
    CHECK(y.dense().equal(expected));
  };
  run({&wants_a, &too});
  CHECK(floating == 0);
  CHECK(a.normed + a_again.normed == 1);
  CHECK(a.made + a_again.made == 0);
  run({&wants_a, &wants_b});
  CHECK(floating == 1);
  CHECK(a.made + b.made == 2);
  run({&wants_c});
  run({&wants_float});
  run({&wants_a, &wants_float});
  CHECK(floating == 4);
  CHECK(a.normed + a_again.normed + b.normed == 1);
  // Gradients need the floating path.
  weight.requires_grad_(true);
  run({&wants_a});
  CHECK(floating == 5);
  const at::NoGradGuard no_grad;
  run({&wants_a});
  CHECK(floating == 5);
}

}  // namespace
}  // namespace wanlite
