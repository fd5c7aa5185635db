// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Samples to train on: clips under noise, as the denoisers would have them, with the velocity that
// is right. A sample set like that of a recorded generation, for passes that learn from data.
#ifndef WANLITE_SRC_FINETUNE_RECORD_CLIPS_H_
#define WANLITE_SRC_FINETUNE_RECORD_CLIPS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/finetune/captioned_clips.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"
#include "wanlite/record.h"
#include "wanlite/runner.h"

namespace wanlite::finetune {

struct RecordClipsRequest {
  // In all: each denoiser gets as many, the first one more where that does not come out even. Clips
  // take turns. 0: one of each clip for each denoiser.
  int64_t samples = 0;
  uint64_t seed = 0;
  ClipSize size;
  // Share of samples whose caption is replaced by the empty one: in [0, 1).
  double caption_dropout = 0;
  // Of the noise levels, and where the low-noise expert takes over.
  GenerateSettings settings;
};

// Writes to the folder `out` samples of every denoiser, at noise levels that it is in charge of:
// spread evenly over them (before the shift, as in fine-tuning), whichever clip has which. A
// function of the request, killed and run again or not. The i-th clip is the i-th prompt of the
// set. Errors as of SampleSetWriter::Create(), Runner and CaptionedClips::Video(); InvalidArgument
// for fewer samples than denoisers.
absl::StatusOr<RecordReport> RecordClips(Env& env, Runner& runner, CaptionedClips& clips,
                                         const RecordClipsRequest& request, absl::string_view out,
                                         ProgressSink& progress, const CancellationToken* cancel);

}  // namespace wanlite::finetune

#endif  // WANLITE_SRC_FINETUNE_RECORD_CLIPS_H_
