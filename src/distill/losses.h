// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Distances between what a student gives and what it should give: tensors in, one number out, with
// its graph. Functions of floating tensors alone; which one is for what stands in
// docs/distillation.md. All throw c10::Error for shapes that do not fit.
//
// Flow matching (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003):
//   x_t = (1 - sigma) x0 + sigma noise,   velocity v = noise - x0,
// hence x0 = x_t - sigma v and noise = x_t + (1 - sigma) v.
#ifndef WANLITE_SRC_DISTILL_LOSSES_H_
#define WANLITE_SRC_DISTILL_LOSSES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace wanlite::distill {

// x_t, velocity: [B, ...]; sigma: [B] in [0, 1].
at::Tensor CleanFrom(const at::Tensor& x_t, const at::Tensor& sigma, const at::Tensor& velocity);
at::Tensor NoiseFrom(const at::Tensor& x_t, const at::Tensor& sigma, const at::Tensor& velocity);

// What of a prediction is compared. Two velocities at the same x_t differ by d: their x0 by sigma
// d, their noises by (1 - sigma) d. So each is a weight on the squared error of velocities.
enum class Prediction { kVelocity, kClean, kNoise };
// 1, sigma^2 or (1 - sigma)^2. sigma: [B] -> [B].
at::Tensor PredictionWeights(const at::Tensor& sigma, Prediction prediction);

// How much a noise level counts. With SNR = ((1 - sigma) / sigma)^2.
enum class LevelRule {
  kUniform,  // 1
  // min(SNR, cap) / (SNR + 1): Min-SNR (Hang et al. 2023, arXiv 2303.09556, section 3.4), whose
  // weight for x0 is min(SNR, cap), divided by SNR + 1 for a velocity.
  kMinSnr,
  // SNR on x0, which is (1 - sigma)^2 on the velocity: the plain loss on the noise, as DDPM's.
  kSnr,
  // Density of sigma when logit(sigma) is normal with `mean` and `std` (Esser et al. 2024, arXiv
  // 2403.03206, equation 19): samples whose levels are spread evenly count as if they were drawn
  // so.
  kLogitNormal,
  // 2 / (pi (1 - 2 sigma + 2 sigma^2)): CosMap, of the same paper, equation 21.
  kCosMap,
  // min(sigma^-2, cap): what trainers of SD3 call sigma_sqrt.
  kInverseSquare,
};
struct LevelWeights {
  LevelRule kind = LevelRule::kUniform;
  double cap = 5;            // of kMinSnr and kInverseSquare
  double mean = 0, std = 1;  // of kLogitNormal
};
// sigma: [B], floating -> [B]. Levels are kept 1e-4 away from 0 and 1, where some have no value.
at::Tensor WeightsOf(const at::Tensor& sigma, const LevelWeights& weights);

// mean_b(weights_b mean((found_b - wanted_b)^2)). weights: [B], or undefined for 1.
at::Tensor SquaredError(const at::Tensor& found, const at::Tensor& wanted,
                        const at::Tensor& weights = {});

// KL(N(wanted, variance) || N(found, variance)) = |found - wanted|^2 / (2 variance), the mean over
// all entries: a temperature of a real vector is a variance, and so a weight on the squared error.
// variance: [B] or [].
at::Tensor GaussianKl(const at::Tensor& found, const at::Tensor& wanted,
                      const at::Tensor& variance);

// temperature^2 KL(softmax(teacher / temperature) || softmax(student / temperature)) over the last
// axis, the mean over rows (Hinton et al. 2015, arXiv 1503.02531): PyTorch's kl_div(log_softmax(s /
// T), softmax(t / T), "batchmean") * T^2 of the rows as a matrix. For logits of categorical rows:
// attention, routers, similarities. A velocity is none: adding a constant along the axis changes
// nothing, and so amplitudes and means are not learned.
at::Tensor SoftmaxKl(const at::Tensor& student, const at::Tensor& teacher, double temperature);

// Cosines between rows: [..., n, d] -> [..., n, n].
at::Tensor CosineRows(const at::Tensor& x);
// Tokens, frame-major, to one mean per frame: [B, tokens, d] -> [B, frames, d].
at::Tensor PerFrame(const at::Tensor& tokens, int64_t frames);
// SoftmaxKl of the rows of CosineRows: what is alike to what (Q-VDiT, arXiv 2505.22167, between
// frames; Park et al. 2019, arXiv 1904.05068, between samples). Widths may differ. [..., n, d].
at::Tensor RelationalKl(const at::Tensor& student, const at::Tensor& teacher, double temperature);

// |found - wanted|^2 / |wanted|^2 over the entries that count: those of each sample within
// `outlier_sigmas` standard deviations of their mean in `wanted`, all when it is 0. Massive
// activations would drown the rest (TinyFusion, arXiv 2412.01199). [B, ...].
at::Tensor FeatureError(const at::Tensor& found, const at::Tensor& wanted,
                        double outlier_sigmas = 0);

// The squared error of tokens, and `cosine` times 1 - their cosine, the mean over those that `mask`
// has a 1 for. found, wanted: [B, tokens, d]; mask: [B, tokens].
at::Tensor MaskedTokenError(const at::Tensor& found, const at::Tensor& wanted,
                            const at::Tensor& mask, double cosine);

// 1 - cosine, the mean over rows. Unit vectors [B, d].
at::Tensor CosineAlignment(const at::Tensor& video, const at::Tensor& text);
// InfoNCE both ways over the batch (Radford et al. 2021, arXiv 2103.00020), scale: factor of the
// cosines. Rows of `text` that are equal are one caption: each is right for all its clips, and what
// they leave at best, the logarithm of their number, is taken off.
at::Tensor ContrastiveAlignment(const at::Tensor& video, const at::Tensor& text, double scale);

// sum_i(exp(-s_i) loss_i + s_i) / 2 with trained log-variances s: Kendall et al. 2018, arXiv
// 1705.07115, for distances that are squared errors. At the optimum exp(s_i) = loss_i.
// losses, log_variances: [n].
at::Tensor UncertaintyWeighted(const at::Tensor& losses, const at::Tensor& log_variances);

}  // namespace wanlite::distill

#endif  // WANLITE_SRC_DISTILL_LOSSES_H_
