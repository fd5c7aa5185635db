// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
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

}  // namespace
}  // namespace wanlite
