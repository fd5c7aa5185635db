// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Recorded inputs of a model's networks, for calibration and distillation: a folder with
// samples.json and safetensors files. `wanlite record` and RecordSamples() (record.h) make one from
// prompts; a model of one's own writes one with SampleSetWriter.
#ifndef WANLITE_SAMPLE_SET_H_
#define WANLITE_SAMPLE_SET_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/block_program.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"
#include "wanlite/tensor_source.h"

namespace wanlite {

// One forward pass of one component.
struct SampleInfo {
  std::string component;  // "transformer"
  // How many forward passes of the recorded run it stands for: sums over samples are weighted by
  // it.
  double weight = 1;
  int64_t prompt = -1;  // number of the prompt; -1: of none
  std::string branch;   // of guidance: "conditional" or "negative"; may be empty
  int64_t step = -1;    // of the sampler, from 0; -1: the component takes no steps
  double timestep = 0;
  // Name of each input (BlockProgram::Inputs()) -> name of its tensor in the files. Samples may
  // share tensors.
  std::map<std::string, std::string> values;
};

// Where samples come from.
struct SampleSetInfo {
  std::string model_fingerprint;  // ModelFolder::fingerprint()
  uint64_t seed = 0;
  std::string settings_json = "{}";  // a JSON object, for people: steps, sizes, guidance
  std::vector<std::string> prompts;
};

struct SampleSetOptions {
  // Read every byte and compare with the SHA-256 in samples.json.
  bool verify = false;
  const CancellationToken* cancel = nullptr;  // never when null
};

// An opened sample set. Immutable, thread-safe, cheap to copy.
class SampleSet {
 public:
  // NotFound without samples.json, FailedPrecondition for a set that is not finished,
  // InvalidArgument naming file and field for one that is wrong, DataLoss for one that changed.
  static absl::StatusOr<SampleSet> Open(Env& env, absl::string_view dir,
                                        const SampleSetOptions& options = {});

  const SampleSetInfo& info() const;
  std::vector<std::string> components() const;      // that have samples, sorted
  int64_t size(absl::string_view component) const;  // number of samples; 0 when it has none
  const SampleInfo& sample(absl::string_view component, int64_t i) const;  // 0 <= i < size
  // Inputs of the i-th forward pass, on the CPU, in the dtypes of the recorded run. OutOfRange.
  absl::StatusOr<Values> Read(absl::string_view component, int64_t i) const;
  // SHA-256 over all that is in the set, values included: goes into lineages and run states.
  const std::string& fingerprint() const;
  int64_t bytes() const;  // of the files with values

  // OK when at least one component of the model has samples, and every such component has a
  // BlockProgram all of whose inputs the samples give; else FailedPrecondition with the reason. The
  // model may be another than the recorded one: a pruned copy, say.
  absl::Status CheckFits(const ModelView& model) const;

 private:
  struct Rep;
  explicit SampleSet(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}
  std::shared_ptr<const Rep> rep_;
};

// Writes a sample set file by file. Each file is published atomically and is a resume point;
// Finish() publishes samples.json last. Not thread-safe.
class SampleSetWriter {
 public:
  // Begins a set in a new or empty folder, or continues an unfinished one of the same `info`.
  // AlreadyExists when a finished set or anything else is there, FailedPrecondition for an
  // unfinished set of another `info`, Unavailable when another process writes there.
  static absl::StatusOr<std::unique_ptr<SampleSetWriter>> Create(Env& env, absl::string_view dir,
                                                                 const SampleSetInfo& info);
  ~SampleSetWriter();

  // Killed between its publication and the end: nothing is left to do.
  bool complete() const { return complete_; }
  // Whether the file was published, and is what was written.
  bool HasFile(absl::string_view name) const;
  // name: "text", becomes "text.safetensors". Names of tensors are unique in the set.
  absl::Status WriteFile(absl::string_view name, const std::vector<NamedTensor>& tensors);
  // Tensors of a file that was written.
  absl::StatusOr<std::shared_ptr<const TensorSource>> OpenFile(absl::string_view name) const;
  // InvalidArgument when a sample names a tensor that no file has.
  absl::Status Finish(const std::vector<SampleInfo>& samples);

 private:
  struct File {
    int64_t bytes = 0;
    std::string sha256;
  };
  SampleSetWriter(Env& env, std::string dir, SampleSetInfo info);
  std::string PathOf(absl::string_view name) const;
  absl::Status Begin();
  absl::Status WriteJournal() const;
  absl::Status RemoveTraces();

  Env& env_;
  const std::string dir_;
  const SampleSetInfo info_;
  std::string identity_;
  std::unique_ptr<FileLock> lock_;
  std::map<std::string, File> files_;  // by file name
  bool complete_ = false;
};

}  // namespace wanlite

#endif  // WANLITE_SAMPLE_SET_H_
