// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Blocks of a student trained one after the other, each to give what its teacher's blocks give: one
// block of each is in memory, what flows between blocks lies in files. For BlockPasses, whose
// methods these functions are.
#ifndef WANLITE_SRC_TRAIN_BLOCK_TRAINING_H_
#define WANLITE_SRC_TRAIN_BLOCK_TRAINING_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/train.h"

namespace wanlite::train {

struct BlockTraining {
  std::string pass;     // for messages
  std::string teacher;  // as ModelLibrary::Open() takes it
  LoopOptions loop;     // of each block
  bool muon = false;
  std::vector<std::string> train;       // globs over full paths; empty: all of the blocks
  std::vector<std::string> components;  // as TrainedComponents() takes them
  // What a block starts from: what the teacher's blocks before it make in place of what the
  // student's make, so that no block waits for another.
  bool teacher_inputs = false;
  // Values of the teacher that are so many standard deviations from their mean have no part in the
  // loss; 0: all have.
  double outlier_sigma = 0;
  // Where the teacher's values are of another width, the student's go through a linear layer before
  // they are compared: fitted by least squares to what the blocks start from, then trained with the
  // block at `projection_rate` times its rate, and not kept. Not with teacher_inputs.
  bool projection = false;
  double projection_rate = 0;
  bool keep_zeros = true;  // HeldZeros
};

// Errors of fields "components" and "train".
absl::StatusOr<PassNotes> PlanBlockTraining(const ModelView& model, const BlockTraining& training);
// Whether the block is trained.
bool TrainsBlock(const ModelView& model, absl::string_view block, const BlockTraining& training);
// For Pass::sampled_components(): those with a block that is trained.
absl::StatusOr<std::vector<std::string>> BlockTrainedComponents(const ModelView& model,
                                                                const BlockTraining& training);
// Trains the leased block to the teacher's, durably in context.scratch, by the mean over samples of
// |found - wanted|^2 / |wanted|^2. Needs context.activations unless teacher_inputs. Errors of
// PairBlocks(), of the teacher, of Train(); InvalidArgument, naming the value, for another width
// without projection. May throw c10::Error.
absl::Status TrainBlock(ModelView& model, const BlockLease& block, const BlockTraining& training,
                        PassContext& context);
// For Pass::FinishMetrics().
void FinishBlockMetrics(std::map<std::string, double>& metrics);

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_BLOCK_TRAINING_H_
