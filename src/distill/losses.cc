// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/losses.h"

#include <cmath>
#include <numbers>

#include "src/core/libtorch.h"

namespace wanlite::distill {
namespace {

constexpr double kLevelMargin = 1e-4;
constexpr double kTinyNorm = 1e-12;

// [B] to the shape that broadcasts over [B, ...].
at::Tensor OverSamples(const at::Tensor& values, const at::Tensor& like) {
  TORCH_CHECK_VALUE(values.dim() == 1 && like.dim() >= 1 && values.size(0) == like.size(0),
                    "one number for each sample, ", values.sizes(), ", of ", like.sizes());
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = values.size(0);
  return values.reshape(shape);
}

void CheckSameShape(const at::Tensor& found, const at::Tensor& wanted) {
  TORCH_CHECK_VALUE(found.sizes() == wanted.sizes(), "the student gives ", found.sizes(),
                    ", compared with ", wanted.sizes());
}

// Means over all axes but the first: [B, ...] -> [B].
at::Tensor PerSample(const at::Tensor& x) { return x.reshape({x.size(0), -1}).mean(1); }

}  // namespace

at::Tensor CleanFrom(const at::Tensor& x_t, const at::Tensor& sigma, const at::Tensor& velocity) {
  CheckSameShape(velocity, x_t);
  return x_t - OverSamples(sigma, x_t) * velocity;
}

at::Tensor NoiseFrom(const at::Tensor& x_t, const at::Tensor& sigma, const at::Tensor& velocity) {
  CheckSameShape(velocity, x_t);
  return x_t + (1 - OverSamples(sigma, x_t)) * velocity;
}

at::Tensor PredictionWeights(const at::Tensor& sigma, Prediction prediction) {
  switch (prediction) {
    case Prediction::kClean:
      return sigma.square();
    case Prediction::kNoise:
      return (1 - sigma).square();
    default:
      return at::ones_like(sigma);
  }
}

at::Tensor WeightsOf(const at::Tensor& sigma, const LevelWeights& weights) {
  const at::Tensor s = sigma.clamp(kLevelMargin, 1 - kLevelMargin);
  switch (weights.kind) {
    case LevelRule::kMinSnr: {
      const at::Tensor snr = ((1 - s) / s).square();
      return snr.clamp_max(weights.cap) / (snr + 1);
    }
    case LevelRule::kSnr:
      return (1 - s).square();
    case LevelRule::kLogitNormal: {
      const at::Tensor z = (at::logit(s) - weights.mean) / weights.std;
      return (-0.5 * z.square()).exp() /
             (weights.std * std::sqrt(2 * std::numbers::pi) * s * (1 - s));
    }
    case LevelRule::kCosMap:
      return 2 / (std::numbers::pi * (1 - 2 * s + 2 * s.square()));
    case LevelRule::kInverseSquare:
      return s.square().reciprocal().clamp_max(weights.cap);
    default:
      return at::ones_like(s);
  }
}

at::Tensor SquaredError(const at::Tensor& found, const at::Tensor& wanted,
                        const at::Tensor& weights) {
  CheckSameShape(found, wanted);
  if (!weights.defined()) return at::mse_loss(found, wanted);
  const at::Tensor errors = PerSample((found - wanted).square());
  return (OverSamples(weights, errors) * errors).mean();
}

at::Tensor GaussianKl(const at::Tensor& found, const at::Tensor& wanted,
                      const at::Tensor& variance) {
  const at::Tensor errors = (found - wanted).square();
  CheckSameShape(found, wanted);
  const at::Tensor shaped = variance.dim() == 0 ? variance : OverSamples(variance, errors);
  return (errors / (2 * shaped)).mean();
}

at::Tensor SoftmaxKl(const at::Tensor& student, const at::Tensor& teacher, double temperature) {
  CheckSameShape(student, teacher);
  const at::Tensor wanted = (teacher / temperature).log_softmax(-1);
  const at::Tensor found = (student / temperature).log_softmax(-1);
  return temperature * temperature * (wanted.exp() * (wanted - found)).sum(-1).mean();
}

at::Tensor CosineRows(const at::Tensor& x) {
  TORCH_CHECK_VALUE(x.dim() >= 2, "rows of ", x.sizes());
  const at::Tensor unit = x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min(kTinyNorm);
  return unit.matmul(unit.transpose(-1, -2));
}

at::Tensor PerFrame(const at::Tensor& tokens, int64_t frames) {
  TORCH_CHECK_VALUE(tokens.dim() == 3 && frames > 0 && tokens.size(1) % frames == 0, "tokens of ",
                    frames, " frames are ", tokens.sizes(),
                    ", wanted [batch, a multiple of frames, features]");
  return tokens.reshape({tokens.size(0), frames, -1, tokens.size(2)}).mean(2);
}

at::Tensor RelationalKl(const at::Tensor& student, const at::Tensor& teacher, double temperature) {
  return SoftmaxKl(CosineRows(student), CosineRows(teacher), temperature);
}

at::Tensor FeatureError(const at::Tensor& found, const at::Tensor& wanted, double outlier_sigmas) {
  CheckSameShape(found, wanted);
  if (outlier_sigmas <= 0) {
    return (found - wanted).square().mean() / wanted.square().mean().clamp_min(kTinyNorm);
  }
  const at::Tensor rows = wanted.reshape({wanted.size(0), -1});
  const at::Tensor distance = (rows - rows.mean(1, /*keepdim=*/true)).abs();
  const at::Tensor kept =
      (distance <= outlier_sigmas * rows.std(1, /*unbiased=*/false, /*keepdim=*/true))
          .to(rows.scalar_type());
  const at::Tensor error = (found.reshape(rows.sizes()) - rows).square();
  return (kept * error).sum() / (kept * rows.square()).sum().clamp_min(kTinyNorm);
}

at::Tensor MaskedTokenError(const at::Tensor& found, const at::Tensor& wanted,
                            const at::Tensor& mask, double cosine) {
  CheckSameShape(found, wanted);
  at::Tensor error = (found - wanted).square().mean(-1);
  if (cosine > 0) {
    const at::Tensor norms = found.norm(2, {-1}) * wanted.norm(2, {-1});
    error = error + cosine * (1 - (found * wanted).sum(-1) / norms.clamp_min(kTinyNorm));
  }
  return (mask * error).sum() / mask.sum().clamp_min(1);
}

at::Tensor CosineAlignment(const at::Tensor& video, const at::Tensor& text) {
  CheckSameShape(video, text);
  return (1 - (video * text).sum(-1)).mean();
}

at::Tensor ContrastiveAlignment(const at::Tensor& video, const at::Tensor& text, double scale) {
  CheckSameShape(video, text);
  // [clips, clips]: whether they have one caption.
  const at::Tensor same = (text.unsqueeze(0) == text.unsqueeze(1)).all(-1).to(video.scalar_type());
  const at::Tensor count = same.sum(1, /*keepdim=*/true);
  const at::Tensor wanted = same / count;
  const at::Tensor logits = scale * video.matmul(text.t());
  // Equal captions are one column: their logits are equal, so each gets its share of it.
  const at::Tensor by_clip = -(wanted * logits.log_softmax(1)).sum(1).mean();
  const at::Tensor by_caption = -(wanted * logits.t().log_softmax(1)).sum(1).mean();
  // What equal captions leave at best: 0 where all differ.
  return 0.5 * (by_clip + by_caption) - count.log().mean();
}

at::Tensor UncertaintyWeighted(const at::Tensor& losses, const at::Tensor& log_variances) {
  CheckSameShape(losses, log_variances);
  return 0.5 * ((-log_variances).exp() * losses + log_variances).sum();
}

}  // namespace wanlite::distill
