// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/checked_cast.h"

#include <cmath>

#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

std::string CastError(const at::Tensor& value, at::ScalarType dtype) {
  const auto cast = CheckedCast(value, dtype, "a.weight");
  if (cast.ok()) return "OK";
  CHECK(cast.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(cast.status().message());
}

TEST_CASE("values within the range of the dtype are cast as LibTorch casts them") {
  const at::Tensor value = at::tensor({0.1, -3.0, 65504.0, 1e-30}, at::kDouble).reshape({2, 2});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    ASSERT_OK_AND_ASSIGN(const at::Tensor cast, CheckedCast(value, dtype, "a"));
    CHECK(cast.scalar_type() == dtype);
    CHECK(at::equal(cast, value.to(dtype)));
  }
}

TEST_CASE("a finite value that would become an infinity is refused with its tensor and place") {
  at::Tensor value = at::zeros({3, 1 << 20});
  value[2][5] = 7e4;
  CHECK(CastError(value, at::kHalf) ==
        "a.weight holds 70000 at flat index 2097157, which is beyond fp16 (at most 65504); keep "
        "fp32");
  CHECK(CastError(value, at::kBFloat16) == "OK");
  CHECK(CastError(at::full({1}, 3.4e38), at::kBFloat16) != "OK");  // rounds up
  CHECK(CastError(at::full({1}, -1.7e38, at::kBFloat16), at::kHalf) != "OK");
  CHECK(CastError(at::full({1}, 1.7e38, at::kBFloat16), at::kFloat) == "OK");
  CHECK(CastError(at::full({1}, 1e300, at::kDouble), at::kFloat) != "OK");
  CHECK(CastError(value.t(), at::kHalf) != "OK");
}

TEST_CASE("infinities and NaN that are there already stay") {
  const at::Tensor value = at::tensor({HUGE_VALF, -HUGE_VALF, std::nanf("")});
  ASSERT_OK_AND_ASSIGN(const at::Tensor cast, CheckedCast(value, at::kHalf, "a"));
  CHECK(cast.isinf().sum().item<int64_t>() == 2);
  CHECK(cast.isnan().sum().item<int64_t>() == 1);
}

TEST_CASE("a hollow tensor is cast without being filled") {
  const nn::HollowGuard hollow;
  const at::Tensor value = nn::NewTensor({1 << 20, 1 << 20});
  ASSERT_OK_AND_ASSIGN(const at::Tensor cast, CheckedCast(value, at::kHalf, "a"));
  CHECK(nn::IsHollow(cast));
  CHECK(cast.scalar_type() == at::kHalf);
}

}  // namespace
}  // namespace wanlite
