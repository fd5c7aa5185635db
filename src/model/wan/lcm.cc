// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/lcm.h"

#include <utility>

#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/model/wan/sampler.h"

namespace wanlite::wan {
namespace {

enum LcmStream : uint64_t { kRenoise = 0x6c636d };

}  // namespace

LcmScheduler::LcmScheduler(std::vector<float> sigmas, at::Tensor timesteps, uint64_t seed)
    : FlowScheduler(std::move(sigmas), std::move(timesteps)), seed_(seed) {}

at::Tensor LcmScheduler::StepFloat32(const at::Tensor& velocity, const at::Tensor& sample) {
  const float sigma = sigmas()[step_index()], next = sigmas()[step_index() + 1];
  const at::Tensor clip = sample - velocity * sigma;
  if (next == 0) return clip;
  const uint64_t seed = MixSeed(seed_, {kRenoise, static_cast<uint64_t>(step_index())});
  return clip * (1 - next) + InitialLatents(sample.sizes(), seed).to(sample.device()) * next;
}

}  // namespace wanlite::wan
