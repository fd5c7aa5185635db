// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <map>
#include <set>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/model_view.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

at::Tensor MakeHollow(at::IntArrayRef shape, at::ScalarType dtype) {
  const nn::HollowGuard hollow;
  return nn::NewTensor(shape, dtype);
}

TEST_CASE("a tensor made hollow is hollow whatever its size and dtype") {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kChar, at::kBool, at::kLong}) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{}, {1}, {1, 1}, {3}, {1 << 20, 1 << 20}}) {
      const at::Tensor tensor = MakeHollow(shape, dtype);
      CHECK(nn::IsHollow(tensor));
      CHECK(tensor.sizes() == at::IntArrayRef(shape));
      CHECK(tensor.scalar_type() == dtype);
      CHECK(nn::IsHollow(tensor.detach()));
      CHECK(nn::IsHollow(nn::HollowLike(tensor)));
    }
  }
  CHECK_FALSE(nn::IsHollow(MakeHollow({0, 3}, at::kFloat)));
}

TEST_CASE("a tensor with values is not hollow, expanded from one of them or not") {
  CHECK_FALSE(nn::IsHollow(at::Tensor()));
  CHECK_FALSE(nn::IsHollow(at::zeros({1})));
  CHECK_FALSE(nn::IsHollow(at::zeros({1}).expand({5})));
  CHECK_FALSE(nn::IsHollow(at::zeros({}).expand({2, 3})));
  CHECK_FALSE(nn::IsHollow(nn::NewTensor({1})));
  // A copy of a hollow tensor has storage of its own.
  CHECK_FALSE(nn::IsHollow(MakeHollow({1}, at::kFloat).clone()));
}

TEST_CASE("a parameter becomes hollow and real again by set_data") {
  at::Tensor parameter = at::ones({1}).set_requires_grad(true);
  const at::NoGradGuard no_grad;
  parameter.set_data(MakeHollow({1}, at::kFloat));
  CHECK(nn::IsHollow(parameter));
  CHECK(parameter.isnan().all().item<bool>());
  parameter.set_data(at::ones({1}));
  CHECK_FALSE(nn::IsHollow(parameter));
}

// A weight with a tensor of every role.
class EveryRole : public LinearWeight {
 public:
  using Role = WeightTensor::Role;
  EveryRole()
      : weight_(at::ones({3, 2})),
        frozen_(at::ones({3})),
        scale_(at::ones({3, 1})),
        step_(at::ones({3, 1})),
        codes_(at::ones({3, 2}, at::kChar)),
        mask_(at::ones({3, 2}, at::kBool)) {}
  absl::string_view format() const override { return "every_role"; }
  int64_t in_features() const override { return 2; }
  int64_t out_features() const override { return 3; }
  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    return at::linear(x.dense(), weight_, bias);
  }
  LinearArithmetic arithmetic() const override { return {}; }
  std::vector<WeightTensor> State() const override {
    return {{"weight", weight_},
            {"frozen", frozen_, Role::kParameter, /*trains=*/false},
            {"scale", scale_, Role::kScale},
            {"step", step_, Role::kScale, /*trains=*/true},
            {"codes", codes_, Role::kCode},
            {"mask", mask_, Role::kMask}};
  }
  at::Tensor Dequantize() const override {
    return weight_.detach().masked_fill(at::arange(3).lt(1).unsqueeze(1), 0);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t, const at::Tensor&) const override {
    return absl::UnimplementedError("cannot be cut");
  }

 private:
  at::Tensor weight_, frozen_, scale_, step_, codes_, mask_;
};

TEST_CASE("roles say which tensors of a weight train and which are cast") {
  auto linear = std::make_shared<nn::Linear>(2, 3);
  linear->SetWeight(std::make_unique<EveryRole>());
  const auto parameters = linear->named_parameters();
  for (const auto& [name, trains] : std::map<std::string, bool>{{"weight", true},
                                                                {"frozen", false},
                                                                {"scale", false},
                                                                {"step", true},
                                                                {"codes", false},
                                                                {"mask", false}}) {
    INFO(name);
    REQUIRE(parameters.contains(name));
    CHECK(parameters[name].requires_grad() == trains);
  }
  ASSERT_OK_AND_ASSIGN(ModelView one,
                       ModelView::Create({{"m", ComponentRole::kOther, "Linear", "{}", linear}}));
  REQUIRE_OK(one.Cast(at::kBFloat16));
  for (const auto& item : linear->named_parameters()) {
    INFO(item.key());
    const std::set<std::string> cast = {"weight", "frozen", "bias"};
    const std::set<std::string> scales = {"scale", "step"};
    if (cast.contains(item.key())) CHECK(item.value().scalar_type() == at::kBFloat16);
    if (scales.contains(item.key())) CHECK(item.value().scalar_type() == at::kFloat);
  }
  CHECK(parameters["step"].requires_grad());
}

TEST_CASE("only a weight that is a matrix and nothing else is dense") {
  const EveryRole every;
  CHECK(every.dense() == nullptr);
  CHECK(every.NonZero() == Approx(2.0 / 3));  // by default of the matrix that it stands for
  CHECK(every.bytes() == 24 + 12 + 12 + 12 + 6 + 6);
  CHECK(every.bits_per_weight() == Approx(8.0 * 72 / 6));
  CHECK(absl::IsFailedPrecondition(every.Merge().status()));
  const at::Tensor matrix = at::tensor({1.f, 0.f, 2.f, 0.f}).reshape({2, 2});
  const auto dense = MakeDenseWeight(matrix);
  REQUIRE(dense->dense() != nullptr);
  CHECK(dense->dense()->is_same(matrix));
  CHECK(dense->NonZero() == 0.5);
  CHECK(MakeDenseWeight(at::zeros({0, 4}))->NonZero() == 1);
}

TEST_CASE("a dense weight laid out for the machine gives what it gave, up to rounding") {
  at::Generator random = at::detail::createCPUGenerator(5);
  for (const auto& [out, in] : {std::pair<int64_t, int64_t>{520, 512}, {515, 700}}) {
    const auto dense = MakeDenseWeight(at::randn({out, in}, random));
    const std::unique_ptr<LinearWeight> packed = dense->Packed();
    if (!at::hasMKLDNN()) {
      CHECK(packed == nullptr);
      continue;
    }
    REQUIRE(packed != nullptr);
    CHECK(packed->format() == "dense");
    CHECK(packed->out_features() == out);
    CHECK(packed->in_features() == in);
    CHECK(at::equal(packed->Dequantize(), dense->Dequantize()));
    CHECK(packed->Packed() == nullptr);
    CHECK_FALSE(packed->Select(0, at::arange(2)).ok());
    const at::Tensor bias = at::randn({out}, random);
    for (const std::vector<int64_t>& tokens :
         {std::vector<int64_t>{}, {1}, {26}, {2, 77}, {1024}, {0}}) {
      std::vector<int64_t> shape = tokens;
      shape.push_back(in);
      const at::Tensor x = at::randn(shape, random);
      for (const std::optional<at::Tensor>& b :
           {std::optional<at::Tensor>(bias), std::optional<at::Tensor>()}) {
        const at::Tensor wanted = dense->Apply(x, b), found = packed->Apply(x, b);
        REQUIRE(found.sizes() == wanted.sizes());
        CHECK(at::allclose(found, wanted, 1e-4, 1e-4));
      }
      CHECK(packed->Apply(x.to(at::kBFloat16), bias).scalar_type() == at::kBFloat16);
    }
    // Rows of a wider tensor, which do not lie one after the other.
    const at::Tensor wide = at::randn({9, 2 * in}, random).narrow(1, 3, in);
    CHECK(at::allclose(packed->Apply(wide, bias), dense->Apply(wide, bias), 1e-4, 1e-4));
    CHECK_THROWS_AS(packed->Apply(at::randn({3, in + 1}), bias), c10::Error);
    CHECK_THROWS_AS(packed->Apply(at::randn({3, in}).requires_grad_(), bias), c10::Error);
  }
  CHECK(MakeDenseWeight(at::randn({16, 16}))->Packed() == nullptr);
  CHECK(MakeDenseWeight(at::randn({512, 512}).to(at::kBFloat16))->Packed() == nullptr);
}

}  // namespace
}  // namespace wanlite
