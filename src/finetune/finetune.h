// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Fine-tunes a model folder on a folder of clips: a recipe of one pass, so that the run folder, the
// resume after a kill, the lineage and the publication are those of every other pass.
#ifndef WANLITE_SRC_FINETUNE_FINETUNE_H_
#define WANLITE_SRC_FINETUNE_FINETUNE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/finetune/finetune.pb.h"
#include "wanlite/architecture.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"
#include "wanlite/train.h"

namespace wanlite::finetune {

struct FinetuneRun {
  Env* env = nullptr;
  const ArchitectureRegistry* architectures = nullptr;
  std::string model;    // folder with VAE, text encoder, tokenizer and denoisers
  std::string config;   // config.json for a folder that carries none
  std::string clips;    // see CaptionedClips
  std::string out_dir;  // a wanlite checkpoint, which appears when it is complete
  std::string run_dir;  // out_dir + ".run" when empty
  bool restart = false;
  uint64_t seed = 0;
  // Without data_fingerprint. Sizes and shift of 0 are the clips' and the model's own.
  FinetuneOptions options;
  // Adapters of this rank beside the linear layers inside the denoisers' blocks, trained in place
  // of the model and left unmerged; 0: none, the model itself is trained. With it, options.include
  // is the adapters unless it says something else.
  int64_t lora_rank = 0;
  double lora_alpha = 0;                      // the rank when 0
  ProgressSink* progress = nullptr;           // SilentProgress() when null
  const CancellationToken* cancel = nullptr;  // never when null
  // Processes that train together, each of which calls Finetune() with the same options; alone when
  // null. Those above rank 0 report nothing.
  ProcessGroup* group = nullptr;
};

// What one component's training came to. Nothing for what an earlier run had finished.
struct FinetuneReport {
  std::string component;
  int64_t first_step = 0, steps = 0;
  double first_loss = 0, last_loss = 0;  // means over the first and the last steps of this run
  double seconds = 0;
};

// Whatever can be said before hours of work is said before: options, sizes, captions, places.
// FailedPrecondition when the run folder holds a run of another model, other clips or other
// options.
absl::StatusOr<std::vector<FinetuneReport>> Finetune(const FinetuneRun& run);

}  // namespace wanlite::finetune

#endif  // WANLITE_SRC_FINETUNE_FINETUNE_H_
