// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Records what goes into a model's networks while it generates, as a sample set.
#ifndef WANLITE_RECORD_H_
#define WANLITE_RECORD_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"
#include "wanlite/progress.h"
#include "wanlite/runner.h"
#include "wanlite/sample_set.h"

namespace wanlite {

struct RecordRequest {
  // One generation each, the i-th from noise of generate.seed + i; empty: the folder's own.
  std::vector<std::string> prompts;
  // Steps, sizes, guidance and seed. Its prompt, embeddings, latents and callback are not used.
  GenerateRequest generate;
  // Forward passes of the denoisers to keep, of all generations together; 0: all. Each expert gets
  // its share of the passes that it really makes, one at least, spread evenly over its timesteps;
  // within a timestep prompts and branches of guidance take turns. Which ones is a function of the
  // seed.
  int64_t samples = 0;
  ProgressSink* progress = nullptr;  // SilentProgress() when null
};

struct RecordReport {
  GenerateSettings settings;
  std::map<std::string, int64_t> samples;  // by component, text_encoder among them
  std::string fingerprint;                 // of the set
  int64_t bytes = 0;
  bool resumed = false;               // some of it was there from an earlier, interrupted recording
  std::vector<std::string> warnings;  // prompts that were cut
};

// Runs the generations, as far as samples are taken from them, and writes the inputs of the
// denoisers and of the text encoder to the folder `out`. The same request on the same machine gives
// the same bytes, killed and run again or not. Errors as of SampleSetWriter::Create() and Runner.
absl::StatusOr<RecordReport> RecordSamples(Env& env, Runner& runner, const RecordRequest& request,
                                           absl::string_view out);

}  // namespace wanlite

#endif  // WANLITE_RECORD_H_
