// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Losses of distillation against plain sums, against LibTorch's own, and by their gradients.
#include "src/distill/losses.h"

#include <cmath>
#include <functional>
#include <vector>

#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "tests/testing/catch.h"

namespace wanlite::distill {
namespace {

at::Tensor LossDraw(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble);
}

double Near(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / (1e-300 + b.abs().max().item<double>());
}

// Shapes [B, ...] of one to five axes.
std::vector<int64_t> RandomShape(Random& random) {
  std::vector<int64_t> shape;
  const int64_t dims = 1 + static_cast<int64_t>(random.Below(5));
  for (int64_t i = 0; i < dims; ++i) shape.push_back(1 + static_cast<int64_t>(random.Below(5)));
  return shape;
}

TEST_CASE("x0 and noise follow from the flow, and so do the weights of their errors") {
  Random random(1);
  for (uint64_t i = 0; i < 20; ++i) {
    const std::vector<int64_t> shape = RandomShape(random);
    const at::Tensor x0 = LossDraw(shape, 10 * i), noise = LossDraw(shape, 10 * i + 1);
    const at::Tensor sigma = LossDraw({shape[0]}, 10 * i + 2).sigmoid();
    std::vector<int64_t> wide(shape.size(), 1);
    wide[0] = shape[0];
    const at::Tensor s = sigma.reshape(wide);
    const at::Tensor x_t = (1 - s) * x0 + s * noise;
    CHECK(Near(CleanFrom(x_t, sigma, noise - x0), x0) < 1e-12);
    CHECK(Near(NoiseFrom(x_t, sigma, noise - x0), noise) < 1e-12);

    const at::Tensor found = LossDraw(shape, 10 * i + 3), wanted = LossDraw(shape, 10 * i + 4);
    const auto error = [&](Prediction prediction) {
      return SquaredError(found, wanted, PredictionWeights(sigma, prediction)).item<double>();
    };
    CHECK(error(Prediction::kVelocity) ==
          Approx(at::mse_loss(found, wanted).item<double>()).epsilon(1e-12));
    CHECK(error(Prediction::kClean) ==
          Approx(at::mse_loss(CleanFrom(x_t, sigma, found), CleanFrom(x_t, sigma, wanted))
                     .item<double>())
              .epsilon(1e-9));
    CHECK(error(Prediction::kNoise) ==
          Approx(at::mse_loss(NoiseFrom(x_t, sigma, found), NoiseFrom(x_t, sigma, wanted))
                     .item<double>())
              .epsilon(1e-9));
  }
  CHECK(SquaredError(at::ones({2, 3}), at::zeros({2, 3})).item<double>() == 1);
}

TEST_CASE("weights of noise levels are the published ones") {
  const at::Tensor sigma = at::tensor({0.1, 0.3, 0.5, 0.9}, at::kDouble);
  const auto check = [&](const LevelWeights& weights, const std::function<double(double)>& wanted) {
    const at::Tensor found = WeightsOf(sigma, weights);
    for (int64_t i = 0; i < sigma.size(0); ++i) {
      CHECK(found[i].item<double>() == Approx(wanted(sigma[i].item<double>())).epsilon(1e-10));
    }
  };
  check({}, [](double) { return 1.0; });
  check({LevelRule::kMinSnr, 5}, [](double s) {
    const double snr = (1 - s) * (1 - s) / (s * s);
    return std::min(snr, 5.0) / (snr + 1);
  });
  // SNR on x0, whose error is sigma^2 of the velocity's.
  check({LevelRule::kSnr}, [](double s) { return s * s * ((1 - s) * (1 - s) / (s * s)); });
  check({LevelRule::kInverseSquare, 20}, [](double s) { return std::min(1 / (s * s), 20.0); });
  check({LevelRule::kCosMap}, [](double s) { return 2 / (M_PI * (1 - 2 * s + 2 * s * s)); });
  check({LevelRule::kLogitNormal, 5, 0.3, 1.5}, [](double s) {
    const double z = (std::log(s / (1 - s)) - 0.3) / 1.5;
    return std::exp(-z * z / 2) / (1.5 * std::sqrt(2 * M_PI) * s * (1 - s));
  });
  // Densities: their mean over evenly spread levels is 1.
  const at::Tensor even = (at::arange(20000, at::kDouble) + 0.5) / 20000;
  for (const LevelRule kind : {LevelRule::kLogitNormal, LevelRule::kCosMap}) {
    LevelWeights weights;
    weights.kind = kind;
    CHECK(WeightsOf(even, weights).mean().item<double>() == Approx(1).epsilon(1e-3));
  }
  for (int kind = 0; kind <= static_cast<int>(LevelRule::kInverseSquare); ++kind) {
    LevelWeights weights;
    weights.kind = static_cast<LevelRule>(kind);
    const at::Tensor ends = WeightsOf(at::tensor({0.0, 1.0}, at::kDouble), weights);
    CHECK(ends.isfinite().all().item<bool>());
    CHECK((ends >= 0).all().item<bool>());
  }
}

TEST_CASE("KL with a temperature is PyTorch's kl_div of the rows, times its square") {
  Random random(2);
  for (uint64_t i = 0; i < 20; ++i) {
    const std::vector<int64_t> shape = RandomShape(random);
    const at::Tensor s = LossDraw(shape, 20 + 2 * i), t = LossDraw(shape, 21 + 2 * i);
    const double temperature = 0.25 + 4 * random.Uniform();
    const at::Tensor rows_s = s.reshape({-1, shape.back()}), rows_t = t.reshape(rows_s.sizes());
    const double batchmean = at::kl_div((rows_s / temperature).log_softmax(1),
                                        (rows_t / temperature).softmax(1), at::Reduction::Sum)
                                 .item<double>() /
                             static_cast<double>(rows_s.size(0));
    CHECK(SoftmaxKl(s, t, temperature).item<double>() ==
          Approx(batchmean * temperature * temperature).epsilon(1e-9).margin(1e-12));
    CHECK(std::abs(SoftmaxKl(t + 3, t, temperature).item<double>()) < 1e-12);
  }
  // T^2: the gradient does not shrink as the rows get flat.
  at::Tensor s = LossDraw({4, 6}, 3).set_requires_grad(true);
  const at::Tensor t = LossDraw({4, 6}, 4);
  const auto gradient = [&](double temperature) {
    return torch::autograd::grad({SoftmaxKl(s, t, temperature)}, {s})[0].norm().item<double>();
  };
  CHECK(gradient(50) == Approx(gradient(200)).epsilon(0.05));
}

TEST_CASE("a Gaussian KL is a weighted squared error") {
  Random random(5);
  for (uint64_t i = 0; i < 20; ++i) {
    const std::vector<int64_t> shape = RandomShape(random);
    const at::Tensor a = LossDraw(shape, 30 + 3 * i), b = LossDraw(shape, 31 + 3 * i);
    const at::Tensor variance = LossDraw({shape[0]}, 32 + 3 * i).exp();
    CHECK(GaussianKl(a, b, variance).item<double>() ==
          Approx(SquaredError(a, b, 1 / (2 * variance)).item<double>()).epsilon(1e-12));
    CHECK(GaussianKl(a, b, at::scalar_tensor(0.5, at::kDouble)).item<double>() ==
          Approx(at::mse_loss(a, b).item<double>()).epsilon(1e-12));
  }
}

TEST_CASE("relations compare what is alike to what, whatever the width") {
  const at::Tensor x = LossDraw({2, 5, 7}, 6);
  const at::Tensor rows = CosineRows(x);
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 5; ++j) {
      const at::Tensor a = x[1][i], b = x[1][j];
      CHECK(rows[1][i][j].item<double>() ==
            Approx((a.dot(b) / (a.norm() * b.norm())).item<double>()).margin(1e-12));
    }
  }
  // A rotation into a wider space keeps all cosines.
  const at::Tensor wide = x.matmul(std::get<0>(at::linalg_qr(LossDraw({11, 7}, 7))).t());
  CHECK(RelationalKl(wide, x, 0.1).item<double>() < 1e-12);
  CHECK(RelationalKl(LossDraw({2, 5, 3}, 8), x, 0.1).item<double>() > 1e-3);

  const at::Tensor frames = PerFrame(x.reshape({1, 10, 7}), 2);
  CHECK(Near(frames, x.mean(1).unsqueeze(0)) < 1e-12);
  CHECK_THROWS_AS(PerFrame(x, 2), c10::Error);
}

TEST_CASE("features: relative, and blind to massive activations where asked to be") {
  const at::Tensor wanted = LossDraw({3, 40, 5}, 9);
  const at::Tensor found = wanted + 0.1 * LossDraw({3, 40, 5}, 10);
  CHECK(
      FeatureError(found, wanted).item<double>() ==
      Approx((found - wanted).square().sum().item<double>() / wanted.square().sum().item<double>())
          .epsilon(1e-12));
  CHECK(FeatureError(2 * found, 2 * wanted).item<double>() ==
        Approx(FeatureError(found, wanted).item<double>()).epsilon(1e-12));
  at::Tensor massive = wanted.clone();
  massive[1][3][2] = 1e4;
  at::Tensor missing = found.clone();  // gets it wrong altogether
  CHECK(FeatureError(missing, massive).item<double>() > 0.99);
  CHECK(FeatureError(missing, massive, 6).item<double>() ==
        Approx(FeatureError(found, wanted).item<double>()).epsilon(0.02));
  // By plain sums.
  double error = 0, norm = 0;
  for (int64_t b = 0; b < 3; ++b) {
    const at::Tensor row = wanted[b].reshape({-1}), other = found[b].reshape({-1});
    const double mean = row.mean().item<double>(), std = row.std(false).item<double>();
    for (int64_t i = 0; i < row.size(0); ++i) {
      const double w = row[i].item<double>(), f = other[i].item<double>();
      if (std::abs(w - mean) > 1.5 * std) continue;
      error += (f - w) * (f - w);
      norm += w * w;
    }
  }
  CHECK(FeatureError(found, wanted, 1.5).item<double>() == Approx(error / norm).epsilon(1e-10));
}

TEST_CASE("tokens that are padding do not count") {
  const at::Tensor wanted = LossDraw({2, 4, 3}, 15), found = LossDraw({2, 4, 3}, 16);
  const at::Tensor mask = at::tensor({1, 1, 0, 0, 1, 0, 0, 0}, at::kDouble).reshape({2, 4});
  double error = 0;
  for (const auto& [b, t] : std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {0, 1}, {1, 0}}) {
    const at::Tensor f = found[b][t], w = wanted[b][t];
    error +=
        ((f - w).square().mean() + 0.1 * (1 - f.dot(w) / (f.norm() * w.norm()))).item<double>();
  }
  CHECK(MaskedTokenError(found, wanted, mask, 0.1).item<double>() == Approx(error / 3));
}

TEST_CASE("alignment: cosines, and the batch's other captions as what is wrong") {
  const auto unit = [](const at::Tensor& x) { return x / x.norm(2, {1}, true); };
  const at::Tensor video = unit(LossDraw({4, 6}, 11)), text = unit(LossDraw({4, 6}, 12));
  CHECK(CosineAlignment(video, text).item<double>() ==
        Approx(1 - (video * text).sum().item<double>() / 4));
  const at::Tensor logits = 10 * video.matmul(text.t());
  const at::Tensor own = at::arange(4, at::kLong);
  CHECK(ContrastiveAlignment(video, text, 10).item<double>() ==
        Approx(0.5 * (at::cross_entropy_loss(logits, own) + at::cross_entropy_loss(logits.t(), own))
                         .item<double>()));
  // A caption that two clips have is no wrong answer for either.
  at::Tensor shared = text.clone();
  shared[1] = shared[0];
  const at::Tensor same = at::stack({shared[0], shared[1], shared[2], shared[3]});
  const double right = ContrastiveAlignment(same, shared, 100).item<double>();
  CHECK(right == Approx(0).margin(0.02));
}

TEST_CASE("uncertainty: at the optimum each variance is its loss, and the weight its inverse") {
  const at::Tensor losses = at::tensor({0.04, 9.0}, at::kDouble);
  at::Tensor s = at::zeros({2}, at::kDouble).set_requires_grad(true);
  for (int i = 0; i < 2000; ++i) {
    const at::Tensor gradient = torch::autograd::grad({UncertaintyWeighted(losses, s)}, {s})[0];
    const at::NoGradGuard no_grad;
    s.sub_(0.2 * gradient);
  }
  CHECK(Near(s.detach().exp(), losses) < 1e-6);
}

TEST_CASE("gradients reach the student, and shapes that do not fit are named") {
  const at::Tensor t = LossDraw({3, 4, 5}, 13);
  const at::Tensor sigma = at::tensor({0.2, 0.5, 0.8}, at::kDouble);
  const std::vector<std::function<at::Tensor(const at::Tensor&)>> losses = {
      [&](const at::Tensor& s) { return SquaredError(s, t); },
      [&](const at::Tensor& s) { return SquaredError(s, t, sigma); },
      [&](const at::Tensor& s) { return GaussianKl(s, t, sigma); },
      [&](const at::Tensor& s) { return SoftmaxKl(s, t, 2); },
      [&](const at::Tensor& s) { return RelationalKl(s, t, 0.2); },
      [&](const at::Tensor& s) { return FeatureError(s, t); },
      [&](const at::Tensor& s) { return FeatureError(s, t, 2); }};
  for (const auto& loss : losses) {
    at::Tensor s = LossDraw({3, 4, 5}, 14).set_requires_grad(true);
    const double before = loss(s).item<double>();
    const at::Tensor gradient = torch::autograd::grad({loss(s)}, {s})[0];
    CHECK(gradient.isfinite().all().item<bool>());
    CHECK(loss(s.detach() - 1e-3 * gradient / gradient.norm()).item<double>() < before);
    CHECK(std::abs(loss(t).item<double>()) < 1e-12);
    CHECK_THROWS_AS(loss(at::zeros({3, 5}, at::kDouble)), c10::Error);
  }
}

}  // namespace
}  // namespace wanlite::distill
