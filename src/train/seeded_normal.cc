// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/seeded_normal.h"

#include <ATen/CPUGeneratorImpl.h>

#include "src/core/libtorch.h"

namespace wanlite::train {

at::Tensor SeededNormal(at::IntArrayRef shape, uint64_t seed, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  if (device.is_cpu()) {
    return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), options);
  }
  at::globalContext().lazyInitDevice(device.type());
  at::Generator generator = at::globalContext()
                                .getAcceleratorHooksInterface(device.type())
                                .getNewGenerator(device.index());
  generator.set_current_seed(seed);
  return at::randn(shape, generator, options);
}

}  // namespace wanlite::train
