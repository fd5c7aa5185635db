// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Element-wise operations: what is no matrix product and no convolution. wanlite/metrics.h states
// the costs.
#ifndef WANLITE_SRC_METRICS_OTHER_OPS_H_
#define WANLITE_SRC_METRICS_OTHER_OPS_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "wanlite/model_view.h"

namespace wanlite {

// Operations per element.
inline constexpr double kLayerNormOps = 7;  // mean, difference, square, sum, quotient; scale, shift
inline constexpr double kRmsNormOps = 4;    // square, sum, quotient, weight
inline constexpr double kSoftmaxOps = 6;    // per score
inline constexpr double kGeluOps = 9;
inline constexpr double kSiluOps = 4;
inline constexpr double kRotaryOps = 3;  // a complex product is 6 for two
inline constexpr double kGatedResidualOps = 2;
inline constexpr double kResidualOps = 1;
inline constexpr double kGateOps = 1;
inline constexpr double kBiasOps = 1;

// What a linear layer runs on in one forward.
struct Sequences {
  double video = 0;
  double text = 0;
  double Of(TokenStream stream) const;
};

// The tensors of a component by their names inside it.
std::map<std::string, at::Tensor> TensorsOf(const ModelView& model, const Component& component);

// Of what the topology declares of a denoiser or text encoder. tensors: TensorsOf() of the
// component.
absl::StatusOr<double> CountOtherOps(const ModelView& model, const Component& component,
                                     const std::map<std::string, at::Tensor>& tensors,
                                     const Sequences& sequences);

}  // namespace wanlite

#endif  // WANLITE_SRC_METRICS_OTHER_OPS_H_
