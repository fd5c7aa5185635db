// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Operation counts of the Wan 2.1 VAE from its tensors' shapes and dtypes.
#ifndef WANLITE_SRC_METRICS_VAE_OPS_H_
#define WANLITE_SRC_METRICS_VAE_OPS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "wanlite/metrics.h"

namespace wanlite {

// A VAE's tensors by their names inside the component; hollow ones do, values are not read.
using VaeTensors = std::map<std::string, at::Tensor>;

struct VaeStrides {
  int64_t temporal = 4;
  int64_t spatial = 8;
};
// From the resampling layers of the encoder, or of the decoder when there is no encoder.
VaeStrides StridesOf(const VaeTensors& vae);

// Frame counts are those of the streaming pass: temporal resamplers skip the first chunk, and the
// encoder drops frames that fill no chunk of 4 after the first (they exist for temporal strides of
// 1 and 2 alone). frames, height, width: of the video. NotFound names a layer that should be there.
absl::StatusOr<ForwardOps> CountVaeEncode(const VaeTensors& vae, int64_t frames, int64_t height,
                                          int64_t width);
// Latent sizes.
absl::StatusOr<ForwardOps> CountVaeDecode(const VaeTensors& vae, int64_t frames, int64_t height,
                                          int64_t width);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_VAE_OPS_H_
