// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/sparse_gpt.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "src/core/libtorch.h"
#include "src/pruning/magnitude.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

using Catch::Contains;

constexpr double kDamping = 0.01;

// [rows, features], varying in few directions, as activations do.
at::Tensor CorrelatedRows(int64_t rows, int64_t features, uint64_t seed) {
  const at::Tensor directions =
      at::randn({std::max<int64_t>(1, features / 4), features}, at::detail::createCPUGenerator(99));
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn({rows, directions.size(0)}, generator).mm(directions) +
         0.3 * at::randn({rows, features}, generator);
}

at::Tensor RandomMatrix(int64_t out, int64_t in, uint64_t seed, double zeros = 0) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor weight = at::randn({out, in}, generator);
  return weight.masked_fill(at::rand({out, in}, generator).lt(zeros), 0);
}

// Algorithm 1 of the paper as it is written there, in fp64, with the inverse Hessian: H^-1 = U^T U,
// and U's rows tell what later columns make up. Zeros that are there already go first, and stay.
at::Tensor PaperPruned(const at::Tensor& weight, const at::Tensor& moment,
                       const SparseGptSettings& settings) {
  const int64_t out = weight.size(0), in = weight.size(1);
  at::Tensor w = weight.to(at::kDouble).clone();
  const at::Tensor zero = w.eq(0);
  at::Tensor h = moment.to(at::kDouble).clone();
  h.diagonal().add_(kDamping * h.diagonal().mean().item<double>());
  const at::Tensor u = at::linalg_cholesky(at::linalg_inv(h), /*upper=*/true);
  const int64_t block = settings.m == 0 ? settings.columns : in;
  at::Tensor keep = at::ones({out, in}, at::kBool);
  const auto cost = [&](int64_t begin, int64_t end) {
    const at::Tensor c =
        w.slice(1, begin, end).square() / u.diagonal().slice(0, begin, end).square();
    return c.masked_fill(zero.slice(1, begin, end), -1);
  };
  for (int64_t begin = 0; begin < in; begin += block) {
    const int64_t end = std::min(in, begin + block);
    if (settings.m == 0) {
      // The cheapest of the block, so many that of all columns so far the right number is gone.
      const int64_t count =
          CountToPrune(settings.amount, end * out) - CountToPrune(settings.amount, begin * out);
      const at::Tensor order = cost(begin, end).flatten().argsort();
      at::Tensor own = at::ones({out * (end - begin)}, at::kBool);
      own.index_fill_(0, order.slice(0, 0, count), false);
      keep.slice(1, begin, end).copy_(own.reshape({out, end - begin}));
    }
    for (int64_t j = begin; j < end; ++j) {
      if (settings.m != 0 && j % settings.m == 0) {
        const at::Tensor order = cost(j, j + settings.m).argsort(1, false);
        at::Tensor own = at::ones({out, settings.m}, at::kBool);
        own.scatter_(1, order.slice(1, 0, settings.m - settings.n), false);
        keep.slice(1, j, j + settings.m).copy_(own);
      }
      const at::Tensor column = w.select(1, j).clone();
      const at::Tensor stays = keep.select(1, j).logical_and(zero.select(1, j).logical_not());
      const at::Tensor pruned = column.masked_fill(stays.logical_not(), 0);
      const at::Tensor error = (column - pruned) / u[j][j];
      w.slice(1, j, in).sub_(error.unsqueeze(1).mul(u[j].slice(0, j, in)));
      w.select(1, j).copy_(pruned);
    }
  }
  return w;
}

SparseGptResult Run(const at::Tensor& weight, const at::Tensor& moment,
                    const SparseGptSettings& settings) {
  ASSERT_OK_AND_ASSIGN(const MomentFactor factor,
                       MomentFactor::Make(moment.clone(), {kDamping, false}));
  ASSERT_OK_AND_ASSIGN(SparseGptResult result, SparseGptPrune(weight, factor, settings));
  return result;
}

int64_t ZerosOf(const at::Tensor& t) { return t.numel() - at::count_nonzero(t).item<int64_t>(); }

}  // namespace

TEST_CASE("SparseGPT prunes as the published algorithm does, with an inverse and in fp64") {
  struct Shape {
    int64_t out, in;
    double zeros;
    SparseGptSettings settings;
  };
  uint64_t seed = 0;
  for (const Shape& s : {Shape{16, 24, 0, {.amount = 0.5, .columns = 8}},
                         {9, 40, 0, {.amount = 0.3, .columns = 128}},
                         {33, 50, 0, {.amount = 0.77, .columns = 7}},
                         {12, 30, 0.2, {.amount = 0.5, .columns = 16}},
                         {5, 13, 0, {.amount = 0.6, .columns = 1}},
                         {1100, 20, 0, {.amount = 0.4, .columns = 9}},
                         {16, 24, 0, {.n = 2, .m = 4}},
                         {10, 30, 0, {.n = 1, .m = 3}},
                         {14, 260, 0, {.n = 2, .m = 4}},
                         {8, 48, 0.3, {.n = 4, .m = 8}},
                         {1030, 12, 0, {.n = 5, .m = 6}}}) {
    ++seed;
    INFO(s.out << " x " << s.in << ", " << s.settings.amount << " by " << s.settings.columns << ", "
               << s.settings.n << ":" << s.settings.m);
    const at::Tensor x = CorrelatedRows(3 * s.in, s.in, seed);
    const at::Tensor moment = x.t().mm(x);
    const at::Tensor weight = RandomMatrix(s.out, s.in, seed, s.zeros);
    const at::Tensor before = weight.clone();
    const SparseGptResult found = Run(weight, moment, s.settings);
    const at::Tensor wanted = PaperPruned(weight, moment, s.settings);
    CHECK(at::equal(weight, before));
    CHECK(at::equal(found.pruned.eq(0), wanted.eq(0)));
    CHECK((found.pruned - wanted).abs().max().item<double>() < 1e-4);
    // It says what it has done to the layer's outputs.
    at::Tensor h = moment.to(at::kDouble);
    h.diagonal().add_(kDamping * h.diagonal().mean().item<double>());
    const at::Tensor error = (weight - found.pruned).to(at::kDouble);
    CHECK(found.squared_error == Approx((error.mm(h) * error).sum().item<double>()).epsilon(1e-3));
    const at::Tensor w = weight.to(at::kDouble);
    CHECK(found.squared_output == Approx((w.mm(h) * w).sum().item<double>()).epsilon(1e-4));
  }
}

TEST_CASE("SparseGPT removes exactly the amount, in every dtype, and keeps what was zero") {
  const at::Tensor x = CorrelatedRows(200, 96, 5);
  const at::Tensor moment = x.t().mm(x);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const double amount : {0.0, 0.013, 0.5, 0.97, 1.0}) {
      const at::Tensor weight = RandomMatrix(37, 96, 6).to(dtype);
      const SparseGptResult result = Run(weight, moment, {.amount = amount, .columns = 20});
      INFO(dtype << " " << amount);
      CHECK(result.pruned.scalar_type() == dtype);
      CHECK(ZerosOf(result.pruned) == CountToPrune(amount, weight.numel()));
      if (amount == 0) CHECK(at::equal(result.pruned, weight));
    }
    // More zeros than were asked for stay zeros.
    const at::Tensor sparse = RandomMatrix(37, 96, 7, /*zeros=*/0.6).to(dtype);
    const SparseGptResult again = Run(sparse, moment, {.amount = 0.4});
    CHECK(at::equal(again.pruned.eq(0), sparse.eq(0)));
    const SparseGptResult more = Run(sparse, moment, {.amount = 0.8});
    CHECK(more.pruned.eq(0).logical_or(sparse.ne(0)).all().item<bool>());
    CHECK(ZerosOf(more.pruned) == CountToPrune(0.8, sparse.numel()));
  }
}

TEST_CASE("SparseGPT leaves outputs nearer than the same mask without making up for it") {
  const at::Tensor x = CorrelatedRows(400, 64, 8), unseen = CorrelatedRows(200, 64, 77);
  const at::Tensor weight = RandomMatrix(48, 64, 9);
  for (const SparseGptSettings& settings :
       {SparseGptSettings{.amount = 0.5}, SparseGptSettings{.n = 2, .m = 4}}) {
    const at::Tensor pruned = Run(weight, x.t().mm(x), settings).pruned;
    const at::Tensor wanted = unseen.mm(weight.t());
    const double made_up = (unseen.mm(pruned.t()) - wanted).norm().item<double>();
    const double masked =
        (unseen.mm(weight.masked_fill(pruned.eq(0), 0).t()) - wanted).norm().item<double>();
    CHECK(made_up < 0.8 * masked);
  }
}

TEST_CASE("a feature that is never read is pruned first and does no harm") {
  at::Tensor x = CorrelatedRows(100, 16, 10);
  x.select(1, 5).zero_();
  const at::Tensor weight = RandomMatrix(8, 16, 11);
  const SparseGptResult result = Run(weight, x.t().mm(x), {.amount = 1.0 / 16});
  CHECK(ZerosOf(result.pruned.select(1, 5)) == 8);
  CHECK(result.pruned.isfinite().all().item<bool>());
}

}  // namespace wanlite
