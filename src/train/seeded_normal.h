// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_TRAIN_SEEDED_NORMAL_H_
#define WANLITE_SRC_TRAIN_SEEDED_NORMAL_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace wanlite::train {

// Standard normal noise, fp32, drawn on `device` itself: a function of the arguments, but another
// one on each kind of device. Throws c10::Error for a device that draws none.
at::Tensor SeededNormal(at::IntArrayRef shape, uint64_t seed, at::Device device);

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_SEEDED_NORMAL_H_
