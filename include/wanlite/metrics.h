// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Numbers about models and videos: operation counts from shapes, quality of one clip against
// another, memory and time.
//
// Operation counts follow one convention everywhere: 2 per multiply-add (GFLOP = 2 GMAC), matrix
// products and convolutions only, as torch.utils.flop_counter counts under math attention. A
// multiply-add counts the same in INT8, so quantization lowers no count: the integer part is listed
// apart, and bit operations tell widths apart:
//   BOPs = multiply-adds * bits of the weight * bits of the activation
// with the bits that are multiplied: 16 x 16 for dense bf16 or fp16, 32 x 32 for fp32, 8 x 8 for
// INT8 W8A8. Attention multiplies activations by activations: its component's width on both sides.
// Zeros in a weight lower the effective count, and the realised one only where a kernel skips them.
//
// Element-wise work is counted apart ("other") and is no part of a total. Operations per element,
// a transcendental function counting as one: LayerNorm with its affine or modulation 7, RMSNorm 4,
// softmax 6 per score (scale or bias, maximum, difference, exp, sum, quotient), tanh-GELU 9, SiLU
// 4, rotary embedding 3, gated residual 2, residual or product of a gate 1, bias 1, and what a
// weight format adds (LinearArithmetic). Copies, casts, padding and tables added to the time vector
// are free.
#ifndef WANLITE_METRICS_H_
#define WANLITE_METRICS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"

namespace wanlite {

// Operations, 2 per multiply-add.
struct OpCount {
  double dense = 0;      // of the shapes that run
  double effective = 0;  // `dense` without the products with zero weights
  double realised = 0;   // what the kernels of this build execute
  double int8 = 0;       // the part of `dense` that multiplies integers
  double bops = 0;       // bit operations of `dense`

  double macs() const { return dense / 2; }
  OpCount& operator+=(const OpCount& other);
  // Counts times a number of calls.
  OpCount operator*(double calls) const;
};

// One forward of one network at batch 1.
struct ForwardOps {
  OpCount linear;           // linear layers
  OpCount self_attention;   // QK^T and PV
  OpCount cross_attention;  // QK^T and PV against the text
  OpCount convolution;      // patch embedding; all of a VAE but its attention
  double other = 0;         // element-wise operations, not in total()
  // Of the tensors that are read, each once (a VAE that streams reads them again for every chunk);
  // of a table of tokens the rows of one prompt.
  double weight_bytes = 0;

  OpCount total() const;
  ForwardOps& operator+=(const ForwardOps& more);
  // Counts times a number of calls.
  ForwardOps operator*(double calls) const;
};

// What is generated. Pixels and frames of the video, not of the latent.
struct VideoShape {
  int64_t frames = 81;
  int64_t height = 480;
  int64_t width = 832;
  int64_t text_tokens = 512;  // padded length; padded tokens cost as much as others
};

struct ModelOps {
  // One forward (one guidance branch) of each denoiser by component name.
  std::map<std::string, ForwardOps> denoisers;
  ForwardOps text_encoder;  // one prompt
  ForwardOps vae_encode;    // the whole clip
  ForwardOps vae_decode;
  int64_t latent_frames = 0, latent_height = 0, latent_width = 0;
  int64_t video_tokens = 0;  // of a denoiser's sequence
};

// Counts from shapes and dtypes alone (hollow models too): linear layers by the sequence they
// declare, attention by the heads that are there, convolutions by their weights; element-wise work
// where the topology's kinds and the tensors' names tell what runs. The VAE's strides come from
// its layers, or are Wan 2.1's (4, 8, 8) when the view has no VAE. `nonzero`: fraction of non-zero
// weights by linear path (NonZeroFractions), 1 where absent. InvalidArgument when the size does not
// fit the strides.
absl::StatusOr<ModelOps> CountOps(const ModelView& model, const VideoShape& shape,
                                  const std::map<std::string, double>& nonzero = {});

// Everything one generation runs.
struct GenerationCount {
  std::map<std::string, ForwardOps> denoisers;  // by component, all its forwards
  ForwardOps text_encoder;
  ForwardOps vae_encode, vae_decode;

  ForwardOps total() const;
  // Mean of one step: all denoisers' forwards over `steps` >= 1, guidance branches and the choice
  // of experts as they ran.
  ForwardOps Step(int64_t steps) const;
};

// ops: of one forward each. calls: measured forwards by component, as GenerateResult::calls has
// them: names of denoisers, "text_encoder", "vae.encode", "vae.decode"; 0 where absent.
// InvalidArgument for a name without a count (a part that ran must not be lost) and for negative
// calls.
absl::StatusOr<GenerationCount> GenerationOps(const ModelOps& ops,
                                              const std::map<std::string, int64_t>& calls);

// Fraction of non-zero weights of every linear; reads all weights, one block at a time, and asks
// `cancel` before each.
absl::StatusOr<std::map<std::string, double>> NonZeroFractions(
    ModelView& model, const CancellationToken* cancel = nullptr);

// Numbers of a model that a stranger would count: weights, biases, tables; not quantization scales.
int64_t CountParameters(const ModelView& model, absl::string_view component = "");

// Peak signal-to-noise ratio in dB over all frames of a clip. a, b: uint8 or floating in [0, 1]
// (data range 1), same shape. Infinity for identical clips. InvalidArgument for different shapes or
// NaN.
absl::StatusOr<double> Psnr(const at::Tensor& a, const at::Tensor& b);

// PSNR of identical clips in reports, where infinity cannot be written.
inline constexpr double kPsnrCap = 100.0;

// Structural similarity (Wang et al. 2004): 11x11 Gaussian window with sigma 1.5, K1 0.01, K2 0.03,
// data range 1, population covariance, mean over channels, frames and the positions where the
// window fits. a, b: uint8 or floating in [0, 1], [F, H, W, C]. InvalidArgument for frames smaller
// than the window.
absl::StatusOr<double> Ssim(const at::Tensor& a, const at::Tensor& b);

// Mean squared difference of two latents of the same shape.
absl::StatusOr<double> LatentMse(const at::Tensor& a, const at::Tensor& b);

// Order statistics of repeated measurements, in the measurement's unit.
struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
  double quartile_low = 0;
  double quartile_high = 0;
  int64_t runs = 0;
};
// samples: not empty.
Spread SpreadOf(std::vector<double> samples);

// Highest resident memory of this process since it started, in bytes (VmHWM; unlike ru_maxrss it
// does not start at the size of the process that forked it). 0 where the system does not tell.
int64_t PeakRssBytes();

}  // namespace wanlite

#endif  // WANLITE_METRICS_H_
