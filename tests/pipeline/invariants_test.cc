// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/invariants.h"

#include <limits>
#include <string>

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "tests/testing/toy_model.h"
#include "wanlite/pipeline.h"

namespace wanlite {
namespace {

using absl::StatusCode;

TEST_CASE("a value that is not finite is found in every dtype, wherever it is") {
  const double kBad[] = {std::numeric_limits<double>::quiet_NaN(),
                         std::numeric_limits<double>::infinity(),
                         -std::numeric_limits<double>::infinity()};
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    at::Tensor tensor = at::linspace(-1000, 1000, 10007).to(dtype);
    INFO(c10::toString(dtype));
    CHECK(CheckFinite({{"t", tensor}}).ok());
    for (const int64_t index : {0, 4095, 4096, 10006}) {
      for (const double bad : kBad) {
        at::Tensor damaged = tensor.clone();
        damaged[index] = bad;
        const absl::Status status = CheckFinite({{"fine", tensor}, {"t", damaged}});
        CHECK(status.code() == StatusCode::kInvalidArgument);
        CHECK(std::string(status.message()).find(absl::StrCat("at flat index ", index, ";")) !=
              std::string::npos);
      }
    }
  }
  at::Tensor fp8 = at::ones({2000000}).to(at::kFloat8_e4m3fn);
  CHECK(CheckFinite({{"t", fp8}}).ok());
  fp8.view(at::kByte)[1500000] = 0x7F;  // NaN
  CHECK(CheckFinite({{"t", fp8}}).code() == StatusCode::kInvalidArgument);
  CHECK(CheckFinite({{"t", at::ones({3}, at::kChar)}, {"u", at::empty({0})}}).ok());
}

TEST_CASE("a transposed tensor is read in its own order") {
  at::Tensor tensor = at::zeros({2, 3});
  tensor[0][1] = std::numeric_limits<float>::infinity();
  const absl::Status status = CheckFinite({{"t", tensor.t()}});
  CHECK(status.message() ==
        "t (fp32 [3, 2]) holds inf at flat index 2; every value must be finite");
}

TEST_CASE("tensors must be the model's own, each once") {
  std::vector<Component> components;
  components.push_back(testing::ToyComponent(testing::MakeToyModel()));
  ASSERT_OK_AND_ASSIGN(const ModelView model, ModelView::Create(std::move(components)));
  const std::vector<NamedTensor> good = model.Tensors();
  CHECK(CheckInvariants(model, good).ok());

  std::vector<NamedTensor> twice = good;
  twice.push_back(good[2]);
  CHECK(CheckInvariants(model, twice).message() == "two tensors are named " + good[2].name);
  CHECK(CheckInvariants(model, {{"toy.nothing", at::ones({1})}}).message() ==
        "tensor toy.nothing is not in the model");
  CHECK(CheckInvariants(model, {{"toy.head.bias", at::ones({4})}}).message() ==
        "tensor toy.head.bias is fp32 [4], the model has fp32 [3]");
  CHECK(CheckInvariants(model, {{"toy.head.bias", nn::HollowLike(at::ones({3}))}}).message() ==
        "tensor toy.head.bias was left without values");
}

}  // namespace
}  // namespace wanlite
