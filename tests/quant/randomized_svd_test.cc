// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/randomized_svd.h"

#include "src/core/libtorch.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

at::Tensor Gaussian(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::dtype(at::kFloat));
}

// With singular values 1, r, r^2, ...
at::Tensor Decaying(int64_t rows, int64_t columns, double ratio) {
  const int64_t n = std::min(rows, columns);
  const at::Tensor u = std::get<0>(at::linalg_qr(Gaussian({rows, n}, 1)));
  const at::Tensor v = std::get<0>(at::linalg_qr(Gaussian({columns, n}, 2)));
  const at::Tensor s = at::pow(ratio, at::arange(n)).to(at::kFloat);
  return (u * s).matmul(v.t());
}

at::Tensor Product(const LowRankFactors& svd) {
  return (svd.left * svd.singular_values).matmul(svd.right);
}

TEST_CASE("a randomized SVD finds what a full one finds") {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{200, 120}, {96, 300}}) {
    for (const double ratio : {0.8, 0.97}) {
      INFO(rows << " x " << columns << ", ratio " << ratio);
      const at::Tensor matrix = Decaying(rows, columns, ratio);
      const LowRankFactors found = RandomizedSvd(matrix, 16);
      const auto [u, s, v] = at::linalg_svd(matrix, false);
      CHECK(found.singular_values.sizes() == at::IntArrayRef({16}));
      CHECK(found.left.sizes() == at::IntArrayRef({rows, 16}));
      CHECK(found.right.sizes() == at::IntArrayRef({16, columns}));
      // Against the falling values, the smallest of those kept least exactly.
      const at::Tensor off = (found.singular_values / s.slice(0, 0, 16) - 1).abs();
      CHECK(off.slice(0, 0, 4).max().item<double>() < 5e-3);
      CHECK(off.max().item<double>() < 0.03);
      const at::Tensor eye = at::eye(16);
      CHECK((found.left.t().matmul(found.left) - eye).abs().max().item<double>() < 1e-4);
      CHECK((found.right.matmul(found.right.t()) - eye).abs().max().item<double>() < 1e-4);
      // No rank-16 matrix is nearer than the one of the full SVD (Eckart-Young); this one nearly.
      const double best = s.slice(0, 16).square().sum().sqrt().item<double>();
      const double left = (matrix - Product(found)).norm().item<double>();
      CHECK(left >= best * 0.999);
      CHECK(left < best * 1.02);
    }
  }
}

TEST_CASE("power iterations bring a flat spectrum nearer to the best") {
  const at::Tensor matrix = Gaussian({256, 192}, 3);
  const at::Tensor s = at::linalg_svdvals(matrix);
  const double best = s.slice(0, 8).square().sum().sqrt().item<double>();
  double previous = matrix.norm().item<double>();
  for (const int iterations : {0, 1, 2, 6}) {
    const double left =
        (matrix - Product(RandomizedSvd(matrix, 8, iterations))).norm().item<double>();
    INFO(iterations << ": " << left << ", best " << best);
    CHECK(left < previous);
    CHECK(left >= best * 0.999);
    previous = left;
  }
  CHECK(previous < best * 1.003);
}

TEST_CASE("a randomized SVD of what has less than its rank, and of nothing") {
  const at::Tensor thin = Gaussian({40, 3}, 4).matmul(Gaussian({3, 30}, 5));
  CHECK((thin - Product(RandomizedSvd(thin, 10))).norm().item<double>() <
        1e-4 * thin.norm().item<double>());
  const LowRankFactors none = RandomizedSvd(at::zeros({12, 9}), 4);
  CHECK(none.singular_values.abs().max().item<double>() == 0);
  CHECK(none.left.isfinite().all().item<bool>());
  CHECK((thin.t() - Product(RandomizedSvd(thin.t(), 30))).norm().item<double>() <
        1e-4 * thin.norm().item<double>());
  CHECK_THROWS(RandomizedSvd(thin, 31));
  CHECK_THROWS(RandomizedSvd(thin, 0));
}

TEST_CASE("a randomized SVD is the same each time") {
  const at::Tensor matrix = Gaussian({64, 80}, 6);
  const LowRankFactors a = RandomizedSvd(matrix, 8), b = RandomizedSvd(matrix.clone(), 8);
  CHECK(at::equal(a.left, b.left));
  CHECK(at::equal(a.singular_values, b.singular_values));
  CHECK(at::equal(a.right, b.right));
}

}  // namespace
}  // namespace wanlite
