// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Operation counts of the Wan 2.1 VAE from its tensors' shapes.
#ifndef WANLITE_SRC_METRICS_VAE_OPS_H_
#define WANLITE_SRC_METRICS_VAE_OPS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "wanlite/metrics.h"

namespace wanlite {

// Shapes of a VAE's tensors by their names inside the component.
using TensorShapes = std::map<std::string, std::vector<int64_t>>;

struct VaeStrides {
  int64_t temporal = 4;
  int64_t spatial = 8;
};
// From the resampling layers of the encoder, or of the decoder when there is no encoder.
VaeStrides StridesOf(const TensorShapes& vae);

// Frame counts are those of the streaming pass: temporal resamplers skip the first chunk.
// frames, height, width: of the video. NotFound names a layer that should be there.
absl::StatusOr<ForwardOps> CountVaeEncode(const TensorShapes& vae, int64_t frames, int64_t height,
                                          int64_t width);
// Latent sizes.
absl::StatusOr<ForwardOps> CountVaeDecode(const TensorShapes& vae, int64_t frames, int64_t height,
                                          int64_t width);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_VAE_OPS_H_
