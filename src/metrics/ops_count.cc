// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/metrics/other_ops.h"
#include "src/metrics/size_step.h"
#include "src/metrics/vae_ops.h"
#include "wanlite/metrics.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 20;  // frames, pixels a side, text tokens

// Products that no weight format touches; both operands have `bits`.
OpCount Plain(double ops, int bits) { return OpCount{ops, ops, ops, 0, ops / 2 * bits * bits}; }

int BitsOf(const at::Tensor& tensor) { return static_cast<int>(8 * tensor.element_size()); }

// Width of a component's activations: the widest floating dtype of its tensors, but for those that
// stay fp32 in a narrower network and the storage of quantized weights.
int ActivationBits(const ModelView& model, const Component& component) {
  std::set<std::string> storage;
  for (const LinearInfo& linear : model.weights()) {
    const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
    if (!weight.ok() || (*weight)->dense() != nullptr) continue;
    for (const WeightTensor& tensor : (*weight)->State()) {
      storage.insert(linear.path + "." + tensor.name);
    }
  }
  int bits = 0;
  for (const NamedTensor& tensor : model.Tensors()) {
    if (&model.ComponentOf(tensor.name) != &component || !tensor.tensor.is_floating_point())
      continue;
    if (model.KeepsFloat32(tensor.name) || storage.count(tensor.name) > 0) continue;
    bits = std::max(bits, BitsOf(tensor.tensor));
  }
  return bits == 0 ? 32 : bits;
}

// Bytes read of all tensors; of tables the rows that `text` tokens look up at most.
double WeightBytes(const ModelView& model, const Component& component,
                   const std::map<std::string, at::Tensor>& tensors, double text) {
  std::map<std::string, double> read;  // part of a table's rows, by its path in the component
  for (const LinearInfo& table : model.embeddings()) {
    if (&model.ComponentOf(table.path) != &component) continue;
    const absl::StatusOr<const LinearWeight*> weight = model.Weight(table.path);
    if (!weight.ok() || (*weight)->out_features() == 0) continue;
    const double rows = static_cast<double>((*weight)->out_features());
    const size_t prefix = component.name.empty() ? 0 : component.name.size() + 1;
    read[table.path.substr(prefix)] = std::min(rows, text) / rows;
  }
  double bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto part = read.find(name.substr(0, name.rfind('.')));
    bytes += static_cast<double>(tensor.numel()) * static_cast<double>(tensor.element_size()) *
             (part == read.end() ? 1 : part->second);
  }
  return bytes;
}

// A denoiser or a text encoder, without its convolutions.
absl::StatusOr<ForwardOps> CountSequenceModel(const ModelView& model, const Component& component,
                                              const std::map<std::string, at::Tensor>& tensors,
                                              const Sequences& sequences,
                                              const std::map<std::string, double>& nonzero) {
  const int activation_bits = ActivationBits(model, component);
  ForwardOps ops;
  for (const LinearInfo& linear : model.linears()) {
    if (&model.ComponentOf(linear.path) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    const double tokens = sequences.Of(linear.stream) * linear.token_share;
    const double macs = tokens * static_cast<double>(weight->in_features()) *
                        static_cast<double>(weight->out_features());
    const auto fraction = nonzero.find(linear.path);
    const LinearArithmetic arithmetic = weight->arithmetic();
    ops.linear +=
        OpCount{2 * macs, 2 * macs * (fraction == nonzero.end() ? 1.0 : fraction->second),
                2 * macs * arithmetic.realised_fraction, arithmetic.integer ? 2 * macs : 0.0,
                macs * arithmetic.weight_bits * arithmetic.activation_bits};
    ops.linear += Plain(2 * tokens * arithmetic.extra_macs_per_token, arithmetic.extra_bits);
  }
  // QK^T and PV are 2 * queries * keys * width each; the width is that of the query projection, so
  // pruned heads count as they are.
  for (const AttentionInfo& attention : model.attentions()) {
    if (&model.ComponentOf(attention.query) != &component) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* query, model.Weight(attention.query));
    const OpCount count =
        Plain(4.0 * sequences.Of(attention.queries) * sequences.Of(attention.keys) *
                  static_cast<double>(query->out_features()),
              activation_bits);
    (attention.queries == attention.keys ? ops.self_attention : ops.cross_attention) += count;
  }
  ops.weight_bytes = WeightBytes(model, component, tensors, sequences.text);
  WANLITE_ASSIGN_OR_RETURN(ops.other, CountOtherOps(model, component, tensors, sequences));
  return ops;
}

// The patch embedding is the convolution that makes tokens: [D, C, pt, ph, pw].
std::array<int64_t, 3> PatchOf(const std::map<std::string, at::Tensor>& tensors) {
  std::array<int64_t, 3> patch{1, 1, 1};
  for (const auto& [name, tensor] : tensors) {
    if (tensor.dim() != 5) continue;
    for (int i = 0; i < 3; ++i) patch[i] = tensor.size(2 + i);
  }
  return patch;
}

}  // namespace

absl::StatusOr<ModelOps> CountOps(const ModelView& model, const VideoShape& shape,
                                  const std::map<std::string, double>& nonzero) {
  VaeStrides strides;
  VaeTensors vae;
  SizeSteps steps;
  for (const Component& component : model.components()) {
    if (component.role == ComponentRole::kAutoencoder) {
      vae = TensorsOf(model, component);
      strides = StridesOf(vae);
    } else if (component.role == ComponentRole::kDenoiser) {
      const std::array<int64_t, 3> patch = PatchOf(TensorsOf(model, component));
      for (int i = 0; i < 3; ++i) steps.patch[i] = std::lcm(steps.patch[i], patch[i]);
    }
  }
  steps.temporal = strides.temporal;
  steps.spatial = strides.spatial;
  steps.max_frames = steps.max_side = kMaxSize;
  WANLITE_RETURN_IF_ERROR(CheckVideoSize(shape.frames, shape.height, shape.width, steps));
  WANLITE_RETURN_IF_ERROR(CheckSizeStep("text length", shape.text_tokens, 1, 0, kMaxSize));

  ModelOps ops;
  ops.latent_frames = 1 + (shape.frames - 1) / strides.temporal;
  ops.latent_height = shape.height / strides.spatial;
  ops.latent_width = shape.width / strides.spatial;

  for (const Component& component : model.components()) {
    switch (component.role) {
      case ComponentRole::kDenoiser: {
        const std::map<std::string, at::Tensor> tensors = TensorsOf(model, component);
        const std::array<int64_t, 3> patch = PatchOf(tensors);
        OpCount embedding;  // of one token
        double embedded = 0;
        for (const auto& [name, tensor] : tensors) {
          if (tensor.dim() != 5) continue;
          embedding += Plain(2.0 * static_cast<double>(tensor.numel()), BitsOf(tensor));
          embedded += static_cast<double>(tensor.size(0));
        }
        ops.video_tokens = (ops.latent_frames / patch[0]) * (ops.latent_height / patch[1]) *
                           (ops.latent_width / patch[2]);
        const Sequences sequences{static_cast<double>(ops.video_tokens),
                                  static_cast<double>(shape.text_tokens)};
        WANLITE_ASSIGN_OR_RETURN(ForwardOps forward,
                                 CountSequenceModel(model, component, tensors, sequences, nonzero));
        forward.convolution += embedding * sequences.video;
        forward.other += kBiasOps * sequences.video * embedded;
        ops.denoisers[component.name] = forward;
        break;
      }
      case ComponentRole::kTextEncoder: {
        const double text = static_cast<double>(shape.text_tokens);
        WANLITE_ASSIGN_OR_RETURN(ops.text_encoder,
                                 CountSequenceModel(model, component, TensorsOf(model, component),
                                                    Sequences{text, text}, nonzero));
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

absl::StatusOr<std::map<std::string, double>> NonZeroFractions(ModelView& model,
                                                               const CancellationToken* cancel) {
  std::map<std::string, double> fractions;
  for (const BlockInfo& block : model.blocks()) {
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
    for (const LinearInfo& linear : model.linears()) {
      if (linear.block != block.path) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
      WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
      WANLITE_ASSIGN_OR_RETURN(fractions[linear.path],
                               CatchTorch([&] { return weight->NonZero(); }));
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
  for (const LinearInfo& linear : model.weights()) {
    const absl::StatusOr<const LinearWeight*> weight = model.Weight(linear.path);
    if (!weight.ok() || (*weight)->dense() != nullptr) continue;
    for (const WeightTensor& tensor : (*weight)->State()) {
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
