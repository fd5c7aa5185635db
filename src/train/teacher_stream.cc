// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/teacher_stream.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/block_steps.h"
#include "src/model/float32_block.h"
#include "src/model/rest_block.h"
#include "src/train/component_training.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

// Paths of a component's blocks in the order in which its program runs them.
absl::StatusOr<std::vector<std::string>> RunBlocks(const ModelView& model,
                                                   absl::string_view component) {
  const Component* found = model.FindComponent(component);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("the teacher has no component '", component, "'"));
  }
  if (ProgramOf(*found) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("'", component, "' of architecture ",
                                                      found->architecture,
                                                      " has no program to run it block by block"));
  }
  std::vector<std::string> blocks;
  for (const BlockSteps& steps : BlockStepsOf(*found)) blocks.push_back(steps.block);
  return blocks;
}

std::string OriginOf(const ModelView& model, const std::string& block) {
  for (const BlockInfo& info : model.blocks()) {
    if (info.path == block) return info.origin.empty() ? info.path : info.origin;
  }
  return block;
}

}  // namespace

absl::StatusOr<std::vector<BlockPair>> PairBlocks(const ModelView& student,
                                                  const ModelView& teacher,
                                                  absl::string_view component) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> own, RunBlocks(student, component));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> others, RunBlocks(teacher, component));
  const std::string rest = RestBlock(component);
  std::vector<std::string> taught;  // the teacher's, without its rest
  std::map<std::string, size_t> by_origin;
  for (const std::string& block : others) {
    if (block == rest) continue;
    by_origin[OriginOf(teacher, block)] = taught.size();
    taught.push_back(block);
  }
  std::vector<BlockPair> pairs;
  std::vector<size_t> places;  // of each pair's `same` among the teacher's
  for (const std::string& block : own) {
    if (block == rest) continue;
    const std::string origin = OriginOf(student, block);
    const auto found = by_origin.find(origin);
    if (found == by_origin.end()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the teacher has no block ", origin, ", which ", block, " of the model has been"));
    }
    if (!places.empty() && found->second <= places.back()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the teacher has ", taught[found->second], " before ", taught[places.back()],
                       ", the model has them the other way round"));
    }
    places.push_back(found->second);
    pairs.push_back({block, taught[found->second], taught.front(), taught.back()});
  }
  for (size_t i = 0; i + 1 < pairs.size(); ++i) {
    pairs[i].last = taught[places[i + 1] - 1];
    pairs[i + 1].first = taught[places[i + 1]];
  }
  return pairs;
}

absl::StatusOr<BlockPair> PairOf(const std::vector<BlockPair>& pairs, absl::string_view block) {
  for (const BlockPair& pair : pairs) {
    if (pair.student == block) return pair;
  }
  return absl::NotFoundError(
      absl::StrCat(block, ": the program of its component runs no step of it"));
}

absl::StatusOr<std::unique_ptr<TeacherStream>> TeacherStream::Open(const PassContext& context,
                                                                   absl::string_view pass,
                                                                   absl::string_view ref,
                                                                   const std::string& component,
                                                                   absl::string_view folder) {
  if (context.samples == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(pass, ": needs recorded inputs of the model"));
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, pass));
  WANLITE_ASSIGN_OR_RETURN(ModelView opened, OpenTeacher(context, pass, ref, component));
  auto model = std::make_unique<ModelView>(std::move(opened));
  WANLITE_ASSIGN_OR_RETURN(std::vector<std::string> blocks, RunBlocks(*model, component));
  // What comes behind the last block belongs to the rest, too; nobody asks for what it makes.
  if (blocks.size() > 1 && blocks.back() == RestBlock(component)) blocks.pop_back();
  const std::string dir = JoinPath(scratch, absl::StrCat(folder, "-", RestBlock(component)));
  WANLITE_ASSIGN_OR_RETURN(
      std::unique_ptr<ActivationStream> stream,
      ActivationStream::Open(*context.env, dir, *model, *context.samples, component));
  return std::unique_ptr<TeacherStream>(
      new TeacherStream(std::move(model), std::move(stream), std::move(blocks)));
}

absl::StatusOr<size_t> TeacherStream::IndexOf(absl::string_view block) const {
  const auto found = std::find(blocks_.begin(), blocks_.end(), block);
  if (found != blocks_.end()) return static_cast<size_t>(found - blocks_.begin());
  return absl::NotFoundError(absl::StrCat("the teacher's program runs no block ", block));
}

absl::Status TeacherStream::MoveTo(absl::string_view block, const CancellationToken* cancel) {
  WANLITE_ASSIGN_OR_RETURN(const size_t index, IndexOf(block));
  WANLITE_RETURN_IF_ERROR(MoveToIndex(index, cancel));
  return stream_->Enter(block);
}

absl::Status TeacherStream::MoveBehind(absl::string_view block, const CancellationToken* cancel) {
  WANLITE_ASSIGN_OR_RETURN(const size_t index, IndexOf(block));
  return MoveToIndex(index + 1, cancel);
}

absl::Status TeacherStream::MoveToIndex(size_t index, const CancellationToken* cancel) {
  // From the nearest block whose inputs are there.
  size_t at = std::min(index, blocks_.size() - 1);
  while (at > 0 && !stream_->CanEnter(blocks_[at])) --at;
  WANLITE_RETURN_IF_ERROR(stream_->Enter(blocks_[at]));
  for (; at < index; ++at) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
    // The last block's inputs stay until the next one is entered: a run that is killed behind it
    // goes on from them.
    if (stream_->block() != blocks_[at]) {
      return absl::InternalError(absl::StrCat("the teacher stands before ", stream_->block(),
                                              " in place of ", blocks_[at]));
    }
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model_->Lease(blocks_[at]));
    const absl::Status advanced = CatchTorch([&] {
      const Float32Block float32(*model_, blocks_[at]);
      return stream_->Advance(lease, cancel);
    });
    WANLITE_RETURN_IF_ERROR(Annotate(advanced, "the teacher"));
  }
  return absl::OkStatus();
}

}  // namespace wanlite::train
