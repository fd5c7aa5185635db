// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The settings that the published Wan models are run with by the code of their own project.
#ifndef WANLITE_SRC_MODEL_WAN_PUBLISHED_MODELS_H_
#define WANLITE_SRC_MODEL_WAN_PUBLISHED_MODELS_H_

#include "wanlite/architecture.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {

// Those of the published model with this many experts and the transformer's width and channels,
// which dropped blocks and narrower layers leave as they are. Where none has them, what diffusers'
// WanPipeline assumes, and a switch of two experts at 0.875.
PipelineDefaults PublishedDefaults(const DitConfig& config, int experts);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_PUBLISHED_MODELS_H_
