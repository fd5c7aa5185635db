// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Whether the networks of a folder belong together: known from their configs, before any is loaded.
#ifndef WANLITE_SRC_RUNNER_COMPONENT_FIT_H_
#define WANLITE_SRC_RUNNER_COMPONENT_FIT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "wanlite/model_view.h"

namespace wanlite {

// InvalidArgument naming two numbers that should be one: the channels of a denoiser's input and
// output, of both denoisers and of the VAE's latents; the widths of the text encoder and of the
// text that denoisers take. What is not there is not compared. Unimplemented for a denoiser that
// wants an image.
absl::Status CheckComponentsFit(const ModelView& shapes);
// The tokenizer must not have more pieces than the text encoder has embeddings.
absl::Status CheckVocabularyFits(const ModelView& shapes, int64_t pieces);

}  // namespace wanlite

#endif  // WANLITE_SRC_RUNNER_COMPONENT_FIT_H_
