// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <torch/torch.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/metrics/vae_ops.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 20;  // frames, pixels a side, text tokens

OpCount Plain(double ops) { return OpCount{ops, ops, ops, 0}; }

// What a linear layer runs on in one forward.
struct Sequences {
  double video = 0;
  double text = 0;
  double Of(TokenStream stream) const {
    switch (stream) {
      case TokenStream::kVideo:
        return video;
      case TokenStream::kText:
        return text;
      case TokenStream::kOnce:
        break;
    }
    return 1;
  }
};

// Linears and attention of one component.
absl::StatusOr<ForwardOps> CountSequenceModel(const ModelView& model, const Component& component,
                                              const Sequences& sequences,
                                              const std::map<std::string, double>& nonzero) {
  ForwardOps ops;
  for (const LinearInfo& linear : model.linears()) {
    if (&model.ComponentOf(linear.path) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    const double tokens = sequences.Of(linear.stream);
    const double dense = 2.0 * tokens * static_cast<double>(weight->in_features()) *
                         static_cast<double>(weight->out_features());
    const auto fraction = nonzero.find(linear.path);
    // No kernel of this build skips zeros, so what is realised is what is dense.
    ops.linear += OpCount{dense, dense * (fraction == nonzero.end() ? 1.0 : fraction->second),
                          dense, weight->format() == "int8" ? dense : 0.0};
    // QK^T and PV are 2 * queries * keys * width each; the width is that of the query projection,
    // so pruned heads count as they are.
    if (absl::EndsWith(linear.kind, "attn.q")) {
      const bool cross = absl::StrContains(linear.kind, "cross");
      const double keys = cross ? sequences.text : tokens;
      const double attention = 4.0 * tokens * keys * static_cast<double>(weight->out_features());
      (cross ? ops.cross_attention : ops.self_attention) += Plain(attention);
    }
  }
  return ops;
}

// The tensors of a component by their names inside it.
std::map<std::string, at::Tensor> TensorsOf(const ModelView& model, const Component& component) {
  const std::string prefix = component.name.empty() ? "" : component.name + ".";
  std::map<std::string, at::Tensor> tensors;
  for (const NamedTensor& tensor : model.Tensors()) {
    if (&model.ComponentOf(tensor.name) != &component) continue;
    tensors.emplace(tensor.name.substr(prefix.size()), tensor.tensor);
  }
  return tensors;
}

absl::Status CheckSize(absl::string_view what, int64_t value, int64_t step, int64_t offset) {
  if (value < 1 || value > kMaxSize) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is ", value, ", it must lie in [1, ", kMaxSize, "]"));
  }
  if ((value - offset) % step != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, " is ", value, ", it must be a multiple of ", step, offset != 0 ? " plus 1" : "",
        " for this model; the nearest below is ", value - (value - offset) % step));
  }
  return absl::OkStatus();
}

}  // namespace

OpCount& OpCount::operator+=(const OpCount& other) {
  dense += other.dense;
  effective += other.effective;
  realised += other.realised;
  int8 += other.int8;
  return *this;
}

OpCount OpCount::operator*(double calls) const {
  return OpCount{dense * calls, effective * calls, realised * calls, int8 * calls};
}

OpCount ForwardOps::total() const {
  OpCount sum = linear;
  sum += self_attention;
  sum += cross_attention;
  sum += convolution;
  return sum;
}

absl::StatusOr<ModelOps> CountOps(const ModelView& model, const VideoShape& shape,
                                  const std::map<std::string, double>& nonzero) {
  VaeStrides strides;
  TensorShapes vae;
  for (const Component& component : model.components()) {
    if (component.role != ComponentRole::kAutoencoder) continue;
    for (const auto& [name, tensor] : TensorsOf(model, component)) {
      vae[name] = tensor.sizes().vec();
    }
    strides = StridesOf(vae);
  }

  ModelOps ops;
  WANLITE_RETURN_IF_ERROR(CheckSize("frames", shape.frames, strides.temporal, 1));
  WANLITE_RETURN_IF_ERROR(CheckSize("height", shape.height, strides.spatial, 0));
  WANLITE_RETURN_IF_ERROR(CheckSize("width", shape.width, strides.spatial, 0));
  WANLITE_RETURN_IF_ERROR(CheckSize("text length", shape.text_tokens, 1, 0));
  ops.latent_frames = 1 + (shape.frames - 1) / strides.temporal;
  ops.latent_height = shape.height / strides.spatial;
  ops.latent_width = shape.width / strides.spatial;

  for (const Component& component : model.components()) {
    switch (component.role) {
      case ComponentRole::kDenoiser: {
        // The patch embedding is the convolution that makes tokens: [D, C, pt, ph, pw].
        int64_t patch[3] = {1, 1, 1};
        double patch_weights = 0;
        for (const auto& [name, tensor] : TensorsOf(model, component)) {
          if (tensor.dim() != 5) continue;
          for (int i = 0; i < 3; ++i) patch[i] = tensor.size(2 + i);
          patch_weights += static_cast<double>(tensor.numel());
        }
        WANLITE_RETURN_IF_ERROR(CheckSize("height", shape.height, strides.spatial * patch[1], 0));
        WANLITE_RETURN_IF_ERROR(CheckSize("width", shape.width, strides.spatial * patch[2], 0));
        if (ops.latent_frames % patch[0] != 0) {
          return absl::InvalidArgumentError(absl::StrCat(
              ops.latent_frames, " latent frames are no multiple of the patch's ", patch[0]));
        }
        ops.video_tokens = (ops.latent_frames / patch[0]) * (ops.latent_height / patch[1]) *
                           (ops.latent_width / patch[2]);
        const Sequences sequences{static_cast<double>(ops.video_tokens),
                                  static_cast<double>(shape.text_tokens)};
        WANLITE_ASSIGN_OR_RETURN(ForwardOps forward,
                                 CountSequenceModel(model, component, sequences, nonzero));
        forward.convolution += Plain(2.0 * sequences.video * patch_weights);
        ops.denoisers[component.name] = forward;
        break;
      }
      case ComponentRole::kTextEncoder: {
        const double text = static_cast<double>(shape.text_tokens);
        WANLITE_ASSIGN_OR_RETURN(
            ops.text_encoder, CountSequenceModel(model, component, Sequences{text, text}, nonzero));
        break;
      }
      case ComponentRole::kAutoencoder: {
        WANLITE_ASSIGN_OR_RETURN(ops.vae_encode,
                                 CountVaeEncode(vae, shape.frames, shape.height, shape.width));
        WANLITE_ASSIGN_OR_RETURN(
            ops.vae_decode,
            CountVaeDecode(vae, ops.latent_frames, ops.latent_height, ops.latent_width));
        break;
      }
      case ComponentRole::kOther:
        break;
    }
  }
  return ops;
}

absl::StatusOr<std::map<std::string, double>> NonZeroFractions(ModelView& model) {
  std::map<std::string, double> fractions;
  for (const BlockInfo& block : model.blocks()) {
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
    for (const LinearInfo& linear : model.linears()) {
      if (linear.block != block.path) continue;
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      // The main tensor of a format: its zeros are the zeros of the matrix.
      const at::Tensor values = weight->State().front().tensor;
      if (values.numel() == 0) continue;
      fractions[linear.path] = static_cast<double>(at::count_nonzero(values).item<int64_t>()) /
                               static_cast<double>(values.numel());
    }
  }
  return fractions;
}

int64_t CountParameters(const ModelView& model, absl::string_view component) {
  // Tensors of quantized weights stand for their matrix; scales are storage, not parameters.
  std::set<std::string> storage;
  int64_t parameters = 0;
  const auto wanted = [&](const std::string& path) {
    return component.empty() || model.ComponentOf(path).name == std::string(component);
  };
  for (const LinearInfo& linear : model.linears()) {
    const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
    if (!weight.ok() || (*weight)->format() == "dense") continue;
    for (const NamedTensor& tensor : (*weight)->State()) {
      storage.insert(linear.path + "." + tensor.name);
    }
    if (wanted(linear.path)) parameters += (*weight)->in_features() * (*weight)->out_features();
  }
  for (const NamedTensor& tensor : model.Tensors()) {
    if (wanted(tensor.name) && storage.count(tensor.name) == 0) parameters += tensor.tensor.numel();
  }
  return parameters;
}

}  // namespace wanlite
