// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The inputs of a component's blocks, one block after the other: as the blocks before it leave them
// now that they are compressed, and as the original ones did. One block's tensors and one sample's
// values are in memory at a time; what flows between blocks lies in files, so that a run continues
// at the block at which it was killed.
#ifndef WANLITE_ACTIVATION_STREAM_H_
#define WANLITE_ACTIVATION_STREAM_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/block_program.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"
#include "wanlite/sample_set.h"

namespace wanlite {

struct StreamOptions {
  // Values of several samples are written together, as many as fit; one sample may take more.
  int64_t memory_bytes = int64_t{256} << 20;
  // What floating values that go from block to block are rounded to in files; unset: not at all, so
  // that streaming gives the bits of running the whole model. They keep their dtype in memory.
  std::optional<at::ScalarType> dtype;
  // Carries along what the original blocks would make: twice the disk, and each block runs twice.
  bool keep_reference = false;
};

// Stands before one block at a time, in the order of the component's BlockProgram, at first before
// the first. The steps of the component's rest before the blocks count as a block, and those behind
// the last one as another. A pipeline calls, for every block in turn: Enter, AdvanceReference, (the
// pass), Advance, (publish).
// Not thread-safe; the view and the sample set outlive it.
class ActivationStream {
 public:
  // In the folder `dir`, which is made when needed and belongs to the stream alone. Continues what
  // an earlier stream of the same samples, options and blocks left there. NotFound for a component
  // without samples; FailedPrecondition when it has no BlockProgram.
  static absl::StatusOr<std::unique_ptr<ActivationStream>> Open(Env& env, std::string dir,
                                                                const ModelView& view,
                                                                const SampleSet& samples,
                                                                absl::string_view component,
                                                                const StreamOptions& options = {});
  ~ActivationStream();

  const std::string& component() const;
  int64_t size() const;  // number of samples
  const SampleInfo& sample(int64_t i) const;

  // Whether the block has a step. Of a component's rest those before the blocks count, since that
  // is when a pipeline has it.
  bool Covers(absl::string_view block) const;
  // Whether the values are there that the block starts from.
  bool CanEnter(absl::string_view block) const;
  // Stands before the block from here on. What only blocks before it needed is removed, and so is
  // what a killed run left of it and of later ones. NotFound unless CanEnter().
  absl::Status Enter(absl::string_view block);
  // The block that it stands before; empty after the last one.
  std::string block() const;

  // All values that the block starts from, as the blocks before it leave them now.
  absl::StatusOr<Values> Input(int64_t sample) const;
  // As the original blocks left them. FailedPrecondition unless keep_reference.
  absl::StatusOr<Values> Reference(int64_t sample) const;
  // What the original block makes of Reference(). FailedPrecondition before AdvanceReference().
  absl::StatusOr<Values> ReferenceOutput(int64_t sample) const;
  // Runs the leased block as it is now, taps included, on Input(sample), or on values that the
  // caller changed. Takes gradients where they are enabled.
  absl::StatusOr<Values> Run(const BlockLease& lease, int64_t sample) const;
  absl::StatusOr<Values> Run(const BlockLease& lease, Values values) const;

  // Writes what the block makes of every sample: before it is changed of Reference(), and then of
  // Input(). Durable when they return. Advance() goes on to the next block. Cancelled when `cancel`
  // says so. AdvanceReference() does nothing unless keep_reference. begin_sample: called before
  // each sample runs, for taps.
  absl::Status AdvanceReference(const BlockLease& lease, const CancellationToken* cancel = nullptr);
  absl::Status Advance(const BlockLease& lease, const CancellationToken* cancel = nullptr,
                       const std::function<void(const SampleInfo&)>& begin_sample = nullptr);

  // Removes its folder.
  absl::Status Remove();

 private:
  struct Rep;
  explicit ActivationStream(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace wanlite

#endif  // WANLITE_ACTIVATION_STREAM_H_
