// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/metrics/vae_ops.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/metrics/other_ops.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

bool Has(const VaeTensors& vae, const std::string& name) { return vae.count(name) > 0; }

// Any tensor below `prefix` (which ends with a dot)?
bool HasLayer(const VaeTensors& vae, const std::string& prefix) {
  const auto it = vae.lower_bound(prefix);
  return it != vae.end() && absl::StartsWith(it->first, prefix);
}

// The runner's encoder takes this many frames at a time, or a temporal stride where that is more.
constexpr int64_t kEncodeChunk = 4;

// Walks a stack of layers, keeping the grid it stands on.
class Walker {
 public:
  Walker(const VaeTensors& vae, int64_t frames, int64_t height, int64_t width)
      : vae_(vae), frames_(frames), height_(height), width_(width) {}

  // A convolution with `frames` output frames at the current height and width.
  absl::Status Conv(const std::string& layer, int64_t frames) {
    const auto it = vae_.find(layer + ".weight");
    if (it == vae_.end()) {
      return absl::NotFoundError(absl::StrCat("VAE has no layer '", layer, "' to count"));
    }
    const double positions = static_cast<double>(frames) * Positions();
    const at::Tensor& weight = it->second;
    const double ops = 2.0 * positions * static_cast<double>(weight.numel());
    ops_.convolution += Plain(ops, weight);
    if (Has(vae_, layer + ".bias")) {
      ops_.other += kBiasOps * positions * static_cast<double>(weight.size(0));
    }
    return absl::OkStatus();
  }
  absl::Status Conv(const std::string& layer) { return Conv(layer, frames_); }

  // Norm and SiLU before a convolution, whose input has the current grid.
  absl::Status NormedConv(const std::string& layer) {
    const auto it = vae_.find(layer + ".weight");
    if (it != vae_.end()) AddOther((kRmsNormOps + kSiluOps) * Channels(it->second, 1));
    return Conv(layer);
  }

  absl::Status Residual(const std::string& layer) {
    WANLITE_RETURN_IF_ERROR(NormedConv(layer + ".residual.2"));
    WANLITE_RETURN_IF_ERROR(NormedConv(layer + ".residual.6"));
    AddOther(kResidualOps * Channels(vae_.at(layer + ".residual.6.weight"), 0));
    if (Has(vae_, layer + ".shortcut.weight")) return Conv(layer + ".shortcut");
    return absl::OkStatus();
  }

  // One head over the positions of each frame.
  absl::Status Attention(const std::string& layer) {
    WANLITE_RETURN_IF_ERROR(Conv(layer + ".to_qkv"));
    WANLITE_RETURN_IF_ERROR(Conv(layer + ".proj"));
    const at::Tensor& projection = vae_.at(layer + ".proj.weight");
    const double channels = Channels(projection, 1);
    const double positions = Positions();
    ops_.self_attention +=
        Plain(4.0 * static_cast<double>(frames_) * positions * positions * channels, projection);
    AddOther((kRmsNormOps + kResidualOps) * channels + kSoftmaxOps * positions);
    return absl::OkStatus();
  }

  absl::Status Middle(const std::string& layer) {
    WANLITE_RETURN_IF_ERROR(Residual(layer + ".0"));
    WANLITE_RETURN_IF_ERROR(Attention(layer + ".1"));
    return Residual(layer + ".2");
  }

  absl::Status Down(const std::string& layer) {
    height_ /= 2;
    width_ /= 2;
    WANLITE_RETURN_IF_ERROR(Conv(layer + ".resample.1"));
    if (!Has(vae_, layer + ".time_conv.weight")) return absl::OkStatus();
    const int64_t halved = (frames_ - 1) / 2;
    WANLITE_RETURN_IF_ERROR(Conv(layer + ".time_conv", halved));
    frames_ = 1 + halved;
    return absl::OkStatus();
  }

  absl::Status Up(const std::string& layer) {
    if (Has(vae_, layer + ".time_conv.weight")) {
      WANLITE_RETURN_IF_ERROR(Conv(layer + ".time_conv", frames_ - 1));
      frames_ = 1 + 2 * (frames_ - 1);
    }
    height_ *= 2;
    width_ *= 2;
    return Conv(layer + ".resample.1");
  }

  // Layers `stack`.0, .1, … until one is missing.
  absl::Status Stack(const std::string& stack) {
    for (int64_t i = 0;; ++i) {
      const std::string layer = absl::StrCat(stack, ".", i);
      if (!HasLayer(vae_, layer + ".")) return absl::OkStatus();
      if (Has(vae_, layer + ".to_qkv.weight")) {
        WANLITE_RETURN_IF_ERROR(Attention(layer));
      } else if (!Has(vae_, layer + ".resample.1.weight")) {
        WANLITE_RETURN_IF_ERROR(Residual(layer));
      } else if (absl::StartsWith(stack, "encoder")) {
        WANLITE_RETURN_IF_ERROR(Down(layer));
      } else {
        WANLITE_RETURN_IF_ERROR(Up(layer));
      }
    }
  }

  const ForwardOps& ops() const { return ops_; }

  void AddWeights(std::initializer_list<absl::string_view> prefixes) {
    for (const auto& [name, tensor] : vae_) {
      for (const absl::string_view prefix : prefixes) {
        if (!absl::StartsWith(name, prefix)) continue;
        ops_.weight_bytes +=
            static_cast<double>(tensor.numel()) * static_cast<double>(tensor.element_size());
      }
    }
  }

 private:
  // Products of activations and of weights in the dtype of `like`.
  static OpCount Plain(double ops, const at::Tensor& like) {
    const double bits = 8.0 * static_cast<double>(like.element_size());
    return OpCount{ops, ops, ops, 0, ops / 2 * bits * bits};
  }
  static double Channels(const at::Tensor& weight, int64_t dim) {
    return static_cast<double>(weight.size(dim));
  }
  double Positions() const { return static_cast<double>(height_) * static_cast<double>(width_); }
  // per_position: element-wise operations at every position of every frame.
  void AddOther(double per_position) {
    ops_.other += per_position * static_cast<double>(frames_) * Positions();
  }

  const VaeTensors& vae_;
  int64_t frames_, height_, width_;
  ForwardOps ops_;
};

}  // namespace

VaeStrides StridesOf(const VaeTensors& vae) {
  const std::string side = HasLayer(vae, "encoder.") ? "encoder." : "decoder.";
  VaeStrides strides{1, 1};
  for (const auto& [name, tensor] : vae) {
    if (!absl::StartsWith(name, side)) continue;
    if (absl::EndsWith(name, ".resample.1.weight")) strides.spatial *= 2;
    if (absl::EndsWith(name, ".time_conv.weight")) strides.temporal *= 2;
  }
  return strides;
}

absl::StatusOr<ForwardOps> CountVaeEncode(const VaeTensors& vae, int64_t frames, int64_t height,
                                          int64_t width) {
  const int64_t chunk = std::max(kEncodeChunk, StridesOf(vae).temporal);
  Walker walk(vae, 1 + (frames - 1) / chunk * chunk, height, width);
  walk.AddWeights({"encoder.", "conv1."});
  WANLITE_RETURN_IF_ERROR(walk.Conv("encoder.conv1"));
  WANLITE_RETURN_IF_ERROR(walk.Stack("encoder.downsamples"));
  WANLITE_RETURN_IF_ERROR(walk.Middle("encoder.middle"));
  WANLITE_RETURN_IF_ERROR(walk.NormedConv("encoder.head.2"));
  WANLITE_RETURN_IF_ERROR(walk.Conv("conv1"));
  return walk.ops();
}

absl::StatusOr<ForwardOps> CountVaeDecode(const VaeTensors& vae, int64_t frames, int64_t height,
                                          int64_t width) {
  Walker walk(vae, frames, height, width);
  walk.AddWeights({"decoder.", "conv2."});
  WANLITE_RETURN_IF_ERROR(walk.Conv("conv2"));
  WANLITE_RETURN_IF_ERROR(walk.Conv("decoder.conv1"));
  WANLITE_RETURN_IF_ERROR(walk.Middle("decoder.middle"));
  WANLITE_RETURN_IF_ERROR(walk.Stack("decoder.upsamples"));
  WANLITE_RETURN_IF_ERROR(walk.NormedConv("decoder.head.2"));
  return walk.ops();
}

}  // namespace wanlite
