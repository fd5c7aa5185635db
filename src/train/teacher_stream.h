// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A teacher that runs beside a student, block by block, on the same recorded inputs.
#ifndef WANLITE_SRC_TRAIN_TEACHER_STREAM_H_
#define WANLITE_SRC_TRAIN_TEACHER_STREAM_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/activation_stream.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite::train {

// A block of a student, and the blocks of its teacher that it stands for.
struct BlockPair {
  std::string student;  // full path
  std::string same;     // the teacher's block of the same origin
  // The teacher's blocks that it stands for begin behind those of the student's block before it.
  std::string first;
  // The teacher's last block before the next one that the student has: `same` where the student
  // lost none there.
  std::string last;
};

// The blocks of a component that its program runs, in forward order; the rest is not among them.
// FailedPrecondition, naming it, for a block that the teacher does not have or has in another
// order, and for a component without a program or with another one in the teacher.
absl::StatusOr<std::vector<BlockPair>> PairBlocks(const ModelView& student,
                                                  const ModelView& teacher,
                                                  absl::string_view component);
// That of one block. NotFound when it is not among them.
absl::StatusOr<BlockPair> PairOf(const std::vector<BlockPair>& pairs, absl::string_view block);

// What a teacher makes of the recorded inputs, one of its blocks in memory at a time, in fp32; what
// flows between blocks lies in a folder of the pass's scratch, so that a pass which is killed goes
// on from there. It moves forward alone.
class TeacherStream {
 public:
  // pass: for messages. ref: of ModelLibrary::Open(). folder: of the scratch folder, for each
  // stream of a component another one. FailedPrecondition in a run without other models or samples;
  // else errors of both.
  static absl::StatusOr<std::unique_ptr<TeacherStream>> Open(const PassContext& context,
                                                             absl::string_view pass,
                                                             absl::string_view ref,
                                                             const std::string& component,
                                                             absl::string_view folder = "teacher");

  ModelView& model() { return *model_; }
  const ActivationStream& activations() const { return *stream_; }

  // Runs the teacher until Input() of activations() is what a block starts from (what came before
  // is then gone), or what is left behind a block.
  absl::Status MoveTo(absl::string_view block, const CancellationToken* cancel);
  absl::Status MoveBehind(absl::string_view block, const CancellationToken* cancel);

 private:
  TeacherStream(std::unique_ptr<ModelView> model, std::unique_ptr<ActivationStream> stream,
                std::vector<std::string> blocks)
      : model_(std::move(model)), stream_(std::move(stream)), blocks_(std::move(blocks)) {}
  absl::StatusOr<size_t> IndexOf(absl::string_view block) const;
  // Until it stands before blocks_[index], or behind the last one.
  absl::Status MoveToIndex(size_t index, const CancellationToken* cancel);

  std::unique_ptr<ModelView> model_;
  std::unique_ptr<ActivationStream> stream_;
  // In the order in which they run, the component's rest first where it has steps before them.
  const std::vector<std::string> blocks_;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_TEACHER_STREAM_H_
