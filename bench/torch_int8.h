// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// LibTorch's own INT8 linear, as what wanlite's is compared with.
#ifndef WANLITE_BENCH_TORCH_INT8_H_
#define WANLITE_BENCH_TORCH_INT8_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

#include "wanlite/linear_weight.h"

namespace wanlite::bench {

// What torch.ao.quantization.quantize_dynamic makes of a linear: the weight int8 per output
// channel, packed once for quantized::linear_dynamic, which quantizes its fp32 input at each call
// with one scale and zero point for all of it. (wanlite's takes one scale per token, which costs
// more and keeps more.) The bias is packed too; Apply() must get the same one. dense: fp32 [out,
// in]; bias: fp32 [out]. reduce_range: false, as on machines with VNNI; without VNNI LibTorch may
// then saturate.
std::unique_ptr<LinearWeight> MakeTorchDynamicInt8(const at::Tensor& dense,
                                                   const std::optional<at::Tensor>& bias);

}  // namespace wanlite::bench

#endif  // WANLITE_BENCH_TORCH_INT8_H_
