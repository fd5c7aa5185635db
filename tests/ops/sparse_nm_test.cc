// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "src/ops/ops.h"
#include "src/ops/sparse_math.h"
#include "tests/testing/catch.h"

namespace wanlite::ops {
namespace {

using Catch::Contains;

struct SparseCase {
  at::Tensor matrix;  // fp32 [out, in]
  at::Tensor values, places;
};

// Random places, ascending within each group, packed bit by bit.
SparseCase MakeSparseCase(int64_t out, int64_t in, int64_t n, int64_t m, at::ScalarType dtype,
                          uint64_t seed) {
  std::mt19937_64 random(seed);
  const int64_t kept = in / m * n, bits = PlaceBits(m);
  SparseCase c;
  c.values = at::randn({out, kept}, at::detail::createCPUGenerator(seed)).to(dtype);
  c.places = at::zeros({out, PlaceBytes(kept, m)}, at::kByte);
  c.matrix = at::zeros({out, in});
  for (int64_t row = 0; row < out; ++row) {
    int64_t i = 0;
    for (int64_t group = 0; group < in; group += m) {
      int64_t left = n;
      for (int64_t place = 0; place < m; ++place) {
        // Chosen with the chance that leaves all choices alike.
        if (static_cast<int64_t>(random() % static_cast<uint64_t>(m - place)) >= left) continue;
        --left;
        c.matrix[row][group + place] = c.values[row][i];
        for (int64_t b = 0; b < bits; ++b) {
          const int64_t bit = i * bits + b;
          if ((place >> b) & 1) c.places[row][bit / 8] += 1 << (bit % 8);
        }
        ++i;
      }
    }
  }
  return c;
}

double RelativeTo(const at::Tensor& found, const at::Tensor& wanted) {
  return ((found.to(at::kDouble) - wanted).norm() / wanted.norm()).item<double>();
}

}  // namespace

TEST_CASE("sparse products are those of the matrix, for any pattern, shape and dtype", "[codes]") {
  struct Shape {
    int64_t out, in, n, m;
  };
  uint64_t seed = 1;
  for (const Shape& s : {Shape{7, 4, 2, 4},
                         {9, 24, 2, 4},
                         {33, 136, 2, 4},
                         {5, 200, 2, 4},
                         {70, 1536, 2, 4},
                         {6, 12, 1, 2},
                         {11, 60, 1, 3},
                         {8, 40, 3, 5},
                         {13, 96, 4, 8},
                         {5, 80, 1, 16},
                         {4, 64, 31, 32},
                         {6, 90, 7, 10},
                         {3, 256, 1, 4},
                         {3, 256, 3, 4}}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const SparseCase c = MakeSparseCase(s.out, s.in, s.n, s.m, dtype, ++seed);
      INFO(s.out << " x " << s.in << " " << s.n << ":" << s.m << " " << dtype);
      CHECK(at::equal(SparseNmDequantize(c.values, c.places, s.n, s.m), c.matrix));
      for (const int64_t tokens : {1, 2, 4, 5, 16, 17, 33, 64, 65, 130}) {
        at::Generator generator = at::detail::createCPUGenerator(++seed);
        const at::Tensor x = at::randn({tokens, s.in}, generator);
        const at::Tensor bias = at::randn({s.out}, generator);
        const at::Tensor wanted =
            at::linear(x.to(at::kDouble), c.matrix.to(at::kDouble), bias.to(at::kDouble));
        INFO(tokens << " tokens");
        CHECK(RelativeTo(SparseNmLinear(x, c.values, c.places, s.n, s.m, bias), wanted) < 1e-6);
        const at::Tensor half = x.to(at::kBFloat16).reshape({1, tokens, s.in});
        const at::Tensor y = SparseNmLinear(half, c.values, c.places, s.n, s.m, std::nullopt);
        CHECK(y.scalar_type() == at::kBFloat16);
        CHECK(y.sizes() == at::IntArrayRef({1, tokens, s.out}));
        CHECK(RelativeTo(y[0], at::linear(half[0].to(at::kDouble), c.matrix.to(at::kDouble))) <
              4e-3);
      }
    }
  }
}

TEST_CASE("a sparse product gives a token the same bits whatever tokens stand beside it",
          "[codes]") {
  const SparseCase c = MakeSparseCase(40, 384, 2, 4, at::kFloat, 3);
  const at::Tensor x = at::randn({300, 384}, at::detail::createCPUGenerator(4));
  const at::Tensor all = SparseNmLinear(x, c.values, c.places, 2, 4, std::nullopt);
  if (SparseNmSkips()) {
    const at::Tensor some = SparseNmLinear(x.slice(0, 100, 200), c.values, c.places, 2, 4, {});
    CHECK(at::equal(some, all.slice(0, 100, 200)));
  }
  CHECK(at::equal(SparseNmLinear(x, c.values, c.places, 2, 4, std::nullopt), all));
}

TEST_CASE("zeros are not multiplied where kernels skip them", "[codes]") {
  // An infinity where a row has no weight gives a NaN in a dense product, and nothing here.
  const SparseCase c = MakeSparseCase(8, 64, 2, 4, at::kFloat, 5);
  at::Tensor unread = c.matrix[3].eq(0);
  for (const int64_t tokens : {1, 40}) {
    at::Tensor x = at::ones({tokens, 64});
    x.masked_fill_(unread, HUGE_VALF);
    const at::Tensor y = SparseNmLinear(x, c.values, c.places, 2, 4, std::nullopt);
    CHECK(y.select(1, 3).isfinite().all().item<bool>() == SparseNmSkips());
  }
}

TEST_CASE("places that no file should hold read nothing beyond their row", "[codes]") {
  for (const auto& [n, m] : {std::pair<int64_t, int64_t>{2, 4}, {2, 3}, {3, 5}, {1, 17}}) {
    const int64_t in = 2 * m, kept = 2 * n;
    const at::Tensor values = at::ones({3, kept});
    const at::Tensor places = at::full({3, PlaceBytes(kept, m)}, 255, at::kByte);
    at::Tensor wanted = at::zeros({3, in});
    for (const int64_t group : {int64_t{0}, m}) wanted.select(1, group + m - 1).fill_(n);
    CHECK(at::equal(SparseNmDequantize(values, places, n, m), wanted));
    for (const int64_t tokens : {1, 20}) {
      const at::Tensor x = at::randn({tokens, in}, at::detail::createCPUGenerator(6));
      CHECK(at::allclose(SparseNmLinear(x, values, places, n, m, std::nullopt),
                         at::linear(x, wanted), 1e-5, 1e-6));
    }
  }
}

TEST_CASE("sparse products without tokens give no rows, and what does not fit is refused",
          "[codes]") {
  const SparseCase c = MakeSparseCase(6, 32, 2, 4, at::kFloat, 7);
  const at::Tensor bias = at::ones({6}), x = at::ones({2, 32});
  CHECK(SparseNmLinear(at::zeros({0, 32}), c.values, c.places, 2, 4, bias).sizes() ==
        at::IntArrayRef({0, 6}));
  const auto refused = [](const auto& call, const char* said) {
    try {
      call();
    } catch (const c10::Error& error) {
      CHECK_THAT(std::string(error.what_without_backtrace()), Contains(said));
      return;
    }
    FAIL("not refused: " << said);
  };
  const auto linear = [&](const at::Tensor& input, const at::Tensor& values,
                          const at::Tensor& places, int64_t n, int64_t m, const at::Tensor& b) {
    return [=] { SparseNmLinear(input, values, places, n, m, b); };
  };
  refused(linear(at::ones({2, 30}), c.values, c.places, 2, 4, bias), "the weight takes 32");
  refused(linear(x, c.values, c.places, 4, 4, bias), "4:4 is no pattern");
  refused(linear(x, c.values, c.places, 0, 4, bias), "0:4 is no pattern");
  refused(linear(x, c.values, c.places, 2, 33, bias), "2:33 is no pattern");
  refused(linear(x, c.values, c.places, 3, 4, bias), "values must be");
  refused(linear(x, c.values.to(at::kDouble), c.places, 2, 4, bias), "values must be");
  refused(linear(x, c.values.slice(1, 0, 0), c.places, 2, 4, bias), "values must be");
  refused(linear(x, c.values, c.places.slice(1, 1), 2, 4, bias), "places must be");
  refused(linear(x, c.values, c.places.to(at::kInt), 2, 4, bias), "places must be");
  refused(linear(x, c.values, c.places, 2, 4, at::ones({5})), "bias must be");
  refused(linear(at::ones({2, 32}).requires_grad_(true), c.values, c.places, 2, 4, bias),
          "has no gradient");
}

}  // namespace wanlite::ops
