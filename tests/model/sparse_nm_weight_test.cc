// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/sparse_nm_weight.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "tests/testing/catch.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

using Catch::Contains;

struct SparseShape {
  int64_t out, in, n, m;
};
const std::vector<SparseShape> kSparseShapes = {{6, 24, 2, 4}, {5, 40, 2, 4},   {7, 12, 1, 3},
                                                {4, 30, 3, 5}, {3, 64, 31, 32}, {9, 16, 1, 2}};

// Random, with at most n values in each group, in some fewer.
at::Tensor SparseMatrix(const SparseShape& s, at::ScalarType dtype, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor rank = at::rand({s.out, s.in / s.m, s.m}, generator)
                              .argsort(-1, false)
                              .argsort(-1, false)
                              .reshape({s.out, s.in});
  const at::Tensor some = at::rand({s.out, s.in}, generator).lt(0.9);
  return at::randn({s.out, s.in}, generator)
      .masked_fill(rank.lt(s.n).logical_and(some).logical_not(), 0)
      .to(dtype);
}

std::unique_ptr<LinearWeight> MakeSparseOf(const at::Tensor& matrix, const SparseShape& s) {
  ASSERT_OK_AND_ASSIGN(auto weight, MakeSparseNmWeight(matrix, {s.n, s.m}));
  return weight;
}

WeightState StateOf(const LinearWeight& weight) {
  WeightState state;
  for (const WeightTensor& tensor : weight.State()) state[tensor.name] = tensor.tensor;
  return state;
}

}  // namespace

TEST_CASE("a sparse weight is the matrix that it was made of, and comes back from its state") {
  uint64_t seed = 0;
  for (const SparseShape& s : kSparseShapes) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      INFO(s.out << " x " << s.in << " " << s.n << ":" << s.m << " " << dtype);
      const at::Tensor matrix = SparseMatrix(s, dtype, ++seed);
      const auto weight = MakeSparseOf(matrix, s);
      CHECK(at::equal(weight->Dequantize(), matrix.to(at::kFloat)));
      CHECK(weight->in_features() == s.in);
      CHECK(weight->out_features() == s.out);
      CHECK(weight->NonZero() ==
            Approx(static_cast<double>(at::count_nonzero(matrix).item<int64_t>()) /
                   static_cast<double>(matrix.numel())));
      ASSERT_OK_AND_ASSIGN(const auto dense, ExpandSparseNm(*weight));
      CHECK(at::equal(*dense->dense(), matrix));
      CHECK(dense->dense()->scalar_type() == dtype);
      ASSERT_OK_AND_ASSIGN(const auto again,
                           SparseNmWeightFromState(StateOf(*weight), weight->attributes(), {}));
      CHECK(at::equal(again->Dequantize(), matrix.to(at::kFloat)));
      CHECK(again->attributes() == weight->attributes());

      // Hollow, it has the same shapes, and is read before it has values.
      const auto hollow = MakeHollowSparseNmWeight(s.out, s.in, dtype, {s.n, s.m});
      CHECK(hollow->bytes() == weight->bytes());
      REQUIRE_OK(SparseNmWeightFromState(StateOf(*hollow), hollow->attributes(), {}));
      ASSERT_OK_AND_ASSIGN(const auto hollow_dense, ExpandSparseNm(*hollow));
      CHECK(nn::IsHollow(*hollow_dense->dense()));
      CHECK(hollow_dense->dense()->sizes() == matrix.sizes());

      const at::Tensor x = at::randn({5, s.in}, at::detail::createCPUGenerator(++seed));
      const at::Tensor bias = at::randn({s.out});
      CHECK(at::allclose(weight->Apply(x, bias), at::linear(x, matrix.to(at::kFloat), bias), 1e-4,
                         1e-5));
    }
  }
}

TEST_CASE("2:4 takes 53 % of the bytes of fp32 and 56 % of bf16") {
  for (const auto& [dtype, percent] : {std::pair{at::kFloat, 53.125}, {at::kBFloat16, 56.25}}) {
    const auto weight = MakeHollowSparseNmWeight(640, 1536, dtype, {2, 4});
    const double dense = 640.0 * 1536 * static_cast<double>(at::elementSize(dtype));
    CHECK(100 * static_cast<double>(weight->bytes()) / dense == percent);
  }
  CHECK_THAT(SparseNmNote({2, 4}), Contains("2:4 packed takes 53 %") && Contains("56 % of a bf16"));
  // Only where zeros are skipped is less computed.
  const auto weight = MakeHollowSparseNmWeight(8, 16, at::kFloat, {1, 4});
  CHECK(weight->arithmetic().realised_fraction == (ops::SparseNmSkips() ? 0.25 : 1.0));
  CHECK_THAT(SparseNmNote({1, 4}),
             Contains(ops::SparseNmSkips() ? "skip the zeros" : "saves no time"));
}

TEST_CASE("rows and whole groups of a sparse weight can be cut, parts of groups cannot") {
  uint64_t seed = 50;
  for (const SparseShape& s : kSparseShapes) {
    const at::Tensor matrix = SparseMatrix(s, at::kBFloat16, ++seed);
    const auto weight = MakeSparseOf(matrix, s);
    const at::Tensor rows = at::tensor(at::ArrayRef<int64_t>({2, 0}));
    ASSERT_OK_AND_ASSIGN(const auto cut, weight->Select(0, rows));
    CHECK(at::equal(cut->Dequantize(), matrix.index_select(0, rows).to(at::kFloat)));
    const at::Tensor groups = at::arange(s.m, s.in);
    ASSERT_OK_AND_ASSIGN(const auto behind, weight->Select(1, groups));
    CHECK(at::equal(behind->Dequantize(), matrix.index_select(1, groups).to(at::kFloat)));
    CHECK(behind->attributes() == weight->attributes());
    const absl::Status parted = weight->Select(1, at::arange(1, s.in)).status();
    CHECK(parted.code() == absl::StatusCode::kUnimplemented);
    CHECK_THAT(std::string(parted.message()), Contains("whole groups"));
    CHECK(weight->Select(2, rows).status().code() == absl::StatusCode::kInvalidArgument);

    const auto hollow = MakeHollowSparseNmWeight(s.out, s.in, at::kBFloat16, {s.n, s.m});
    ASSERT_OK_AND_ASSIGN(const auto hollow_cut, hollow->Select(1, groups));
    CHECK(hollow_cut->bytes() == behind->bytes());
  }
}

TEST_CASE("gradients pass a sparse weight, which does not train itself") {
  const SparseShape s{6, 24, 2, 4};
  const at::Tensor matrix = SparseMatrix(s, at::kFloat, 80);
  const auto weight = MakeSparseOf(matrix, s);
  for (const WeightTensor& tensor : weight->State()) CHECK_FALSE(tensor.trains);
  const at::Tensor x = at::randn({3, 24}).requires_grad_(true);
  const at::Tensor bias = at::randn({6}).requires_grad_(true);
  const at::Tensor direction = at::randn({3, 6});
  (weight->Apply(x, bias) * direction).sum().backward();
  CHECK(at::allclose(x.grad(), direction.mm(matrix), 1e-4, 1e-5));
  CHECK(at::allclose(bias.grad(), direction.sum(0)));
}

TEST_CASE("sparse weights that do not fit are refused by name") {
  const SparseShape s{3, 12, 2, 4};
  const at::Tensor matrix = SparseMatrix(s, at::kFloat, 90);
  const auto made = [&](const at::Tensor& from, const SparsePattern& pattern, const char* said) {
    const absl::Status status = MakeSparseNmWeight(from, pattern).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Contains(said));
  };
  at::Tensor crowded = at::zeros({3, 12});
  crowded[1].slice(0, 4, 7).fill_(1);
  made(crowded, {2, 4}, "row 1 has 3 values in the input features from 4 on, more than 2 of 4");
  made(matrix, {2, 5}, "groups of 5 do not divide the 12 input features");
  made(matrix, {4, 4}, "4:4");
  made(matrix, {0, 4}, "0:4");
  made(matrix, {1, 33}, "1:33");
  made(matrix.to(at::kDouble), {2, 4}, "fp32, bf16 or fp16");
  made(at::Tensor(), {2, 4}, "not from nothing");

  const WeightState good = StateOf(*MakeSparseOf(matrix, s));
  const auto refused = [&](const WeightState& state, const std::string& attributes,
                           const char* said) {
    const absl::Status status = SparseNmWeightFromState(state, attributes, {}).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Contains(said));
  };
  const std::string attributes = "{\"n\":2,\"m\":4}";
  REQUIRE_OK(SparseNmWeightFromState(good, attributes, {}));
  refused(good, "{}", "0:0");
  refused(good, "{\"n\":4,\"m\":4}", "4:4");
  refused(good, "{\"n\":2,\"m\":64}", "2:64");
  refused(good, "{\"n\":2,\"m\":4,\"k\":1}", "k");
  refused(good, "{\"n\":\"2\",\"m\":4}", "n");
  refused(good, "{\"n\":2,\"m\":16}", "weight_places must be uint8 [3, 3]");
  const auto with = [&](const char* name, const at::Tensor& tensor) {
    WeightState state = good;
    if (tensor.defined()) {
      state[name] = tensor;
    } else {
      state.erase(name);
    }
    return state;
  };
  refused(with("weight_places", {}), attributes, "weight_places");
  refused(with("weight", {}), attributes, "weight");
  refused(with("weight_scale", at::ones({3})), attributes, "weight_scale");
  refused(with("weight", at::ones({3, 5})), attributes, "weight must be");
  refused(with("weight", at::ones({3, 6}, at::kInt)), attributes, "weight must be");
  refused(with("weight", at::ones({3, 0})), attributes, "weight must be");
  refused(with("weight_places", at::ones({3, 3}, at::kByte)), attributes, "uint8 [3, 2]");
  refused(with("weight_places", at::ones({3, 2})), attributes, "uint8 [3, 2]");
  // Places 0 0, 1 0 and, of 1:3, the fourth of three.
  refused(with("weight_places", at::zeros({3, 2}, at::kByte)), attributes, "behind 0");
  refused(with("weight_places", at::full({3, 2}, 0x11, at::kByte)), attributes, "behind 1");
  WeightState beyond = with("weight_places", at::full({3, 1}, 0xff, at::kByte));
  beyond["weight"] = at::ones({3, 4});
  refused(beyond, "{\"n\":1,\"m\":3}", "at place 3 of its group, which has 3");
}

TEST_CASE("a layer computes with a sparse weight in any dtype of its input") {
  const SparseShape s{6, 24, 2, 4};
  nn::Linear layer(24, 6);
  const at::Tensor matrix = SparseMatrix(s, at::kFloat, 91);
  layer.SetWeight(MakeSparseOf(matrix, s));
  const at::Tensor x = at::randn({2, 3, 24});
  const at::NoGradGuard no_grad;
  layer.SetBias(at::zeros({6}));
  CHECK(at::allclose(layer.forward(x), at::linear(x, matrix), 1e-4, 1e-5));
  CHECK(layer.forward(x.to(at::kBFloat16)).scalar_type() == at::kBFloat16);
}

}  // namespace wanlite
