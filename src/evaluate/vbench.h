// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Clips laid out as VBench's standard evaluation reads them.
#ifndef WANLITE_SRC_EVALUATE_VBENCH_H_
#define WANLITE_SRC_EVALUATE_VBENCH_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite {

// "<prompt>-<index>.mp4", VBench's name (Vchitect/VBench, prompts/README.md): the prompt as it
// stands in VBench's list without white space around it, index 0 to 4 for the five samples it asks
// for. Slashes, NUL and other control characters become "_"; VBench's own prompts hold none.
// InvalidArgument for an empty prompt, a negative index, and a name longer than file systems take
// (255 bytes): VBench finds clips by the short prompt, also where a longer one was generated from.
absl::StatusOr<std::string> VBenchFileName(absl::string_view prompt, int64_t index);

// Writes one clip into `dir`, which is made when absent, and returns its path. Unimplemented,
// before anything is written, where this build cannot write MP4: VBench's reader takes no format of
// ours beside it. frames: uint8 [F, H, W, 3], even height and width; fps in (0, 240].
absl::StatusOr<std::string> ExportVBench(Env& env, absl::string_view dir, absl::string_view prompt,
                                         int64_t index, const at::Tensor& frames, double fps);

}  // namespace wanlite

#endif  // WANLITE_SRC_EVALUATE_VBENCH_H_
