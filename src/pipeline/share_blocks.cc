// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/share_blocks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/proto_text.h"
#include "src/model/check_scales.h"
#include "src/pipeline/invariants.h"
#include "src/proto/run_state.pb.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kSharedFolder[] = "shared";

std::string SharedFile(const std::string& scratch, size_t number, absl::string_view kind) {
  return JoinPath(JoinPath(scratch, kSharedFolder), absl::StrCat(number, ".", kind));
}

// A block counts when its tensors are there; its numbers are written before them.
bool IsMade(Env& env, const std::string& scratch, size_t number) {
  return env.FileExists(SharedFile(scratch, number, "safetensors"));
}

absl::Status WriteMade(Env& env, const std::string& scratch, size_t number,
                       const std::string& block, const std::vector<NamedTensor>& tensors,
                       const Metrics& metrics) {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(JoinPath(scratch, kSharedFolder)));
  BlockRecord record;
  record.set_block(block);
  record.mutable_metrics()->insert(metrics.begin(), metrics.end());
  WANLITE_RETURN_IF_ERROR(
      env.WriteFileAtomically(SharedFile(scratch, number, "textproto"), ResolvedText(record)));
  std::vector<NamedTensor> detached;
  for (const NamedTensor& named : tensors) detached.push_back({named.name, named.tensor.detach()});
  return WriteSafetensors(env, SharedFile(scratch, number, "safetensors"), detached).status();
}

absl::Status MakeBlock(const BlockPass& pass, const google::protobuf::Message* decision,
                       ModelView& model, size_t number, const std::string& scratch,
                       PassContext context) {
  const std::string block = model.blocks()[number].path;
  WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block));
  WANLITE_RETURN_IF_ERROR(Annotate(CheckFinite(lease.State()), "input"));
  WANLITE_RETURN_IF_ERROR(Annotate(CheckScales(model, block), "input"));
  WANLITE_RETURN_IF_ERROR(
      CatchTorch([&] { return pass.RunBlock(model, lease, decision, context); }));
  return WriteMade(*context.env, scratch, number, block, lease.State(), context.metrics);
}

}  // namespace

bool SharesBlocks(const Pass& pass, const ProcessGroup* group) {
  const auto* blocks = dynamic_cast<const BlockPass*>(&pass);
  return blocks != nullptr && blocks->blocks_are_independent() && group != nullptr &&
         group->size() > 1;
}

absl::StatusOr<SharedBlocks> SharedBlocks::Begin(Env& env, ProcessGroup& group,
                                                 const std::string& scratch,
                                                 std::vector<size_t> numbers) {
  const at::Tensor count = at::full({1}, static_cast<int64_t>(numbers.size()), at::kLong);
  WANLITE_RETURN_IF_ERROR(group.Broadcast(count, 0));
  if (!numbers.empty()) {
    const at::Tensor told = at::empty({count.item<int64_t>()}, at::kLong);
    std::copy(numbers.begin(), numbers.end(), told.mutable_data_ptr<int64_t>());
    WANLITE_RETURN_IF_ERROR(group.Broadcast(told, 0));
  }
  return SharedBlocks(env, group, scratch, std::move(numbers));
}

bool SharedBlocks::IsOthers(size_t number) const {
  const auto found = std::lower_bound(numbers_.begin(), numbers_.end(), number);
  if (found == numbers_.end() || *found != number) return false;
  return (found - numbers_.begin()) % group_->size() != 0;
}

absl::Status SharedBlocks::Meet() {
  return Annotate(group_->Barrier(), "waiting for the blocks of the other processes");
}

absl::StatusOr<SharedBlocks::Made> SharedBlocks::Take(const ModelView& model, size_t number) const {
  const std::string& block = model.blocks()[number].path;
  const std::string path = SharedFile(scratch_, number, "safetensors");
  if (!IsMade(*env_, scratch_, number)) {
    return absl::NotFoundError(
        absl::StrCat(path, " is not there: do all processes work on one disk?"));
  }
  Made made;
  BlockRecord record;
  const std::string numbers = SharedFile(scratch_, number, "textproto");
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env_->ReadFile(numbers));
  WANLITE_RETURN_IF_ERROR(ParseTextProto(text, numbers, record));
  if (record.block() != block) {
    return absl::InternalError(absl::StrCat(path, " is ", record.block(), ", wanted ", block));
  }
  made.metrics = Metrics(record.metrics().begin(), record.metrics().end());
  WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(*env_, path));
  for (const NamedTensor& named : model.BlockTensors(block)) {
    WANLITE_ASSIGN_OR_RETURN(at::Tensor value, source->Read(named.name));
    made.tensors.push_back({named.name, std::move(value)});
  }
  return made;
}

absl::Status SharedBlocks::Remove(size_t number) const {
  for (const char* kind : {"safetensors", "textproto"}) {
    const std::string path = SharedFile(scratch_, number, kind);
    if (env_->FileExists(path)) WANLITE_RETURN_IF_ERROR(env_->RemoveFile(path));
  }
  return absl::OkStatus();
}

absl::Status AssistWithBlocks(const BlockPass& pass, const google::protobuf::Message* decision,
                              ModelView& model, const PassContext& context) {
  ProcessGroup& group = *context.group;
  const at::Tensor count = at::zeros({1}, at::kLong);
  WANLITE_RETURN_IF_ERROR(group.Broadcast(count, 0));
  const int64_t blocks = count.item<int64_t>();
  if (blocks == 0) return absl::OkStatus();
  const at::Tensor told = at::empty({blocks}, at::kLong);
  WANLITE_RETURN_IF_ERROR(group.Broadcast(told, 0));
  PassContext own = context;
  own.scratch = JoinPath(context.scratch, absl::StrCat("rank-", group.rank()));
  WANLITE_RETURN_IF_ERROR(own.env->CreateFolders(own.scratch));
  for (int64_t first = 0; first < blocks; first += group.size()) {
    const int64_t mine = first + group.rank();
    if (mine < blocks) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      const auto number = static_cast<size_t>(told.const_data_ptr<int64_t>()[mine]);
      if (number >= model.blocks().size()) {
        return absl::InternalError(absl::StrCat("the model has no block number ", number));
      }
      if (!IsMade(*own.env, context.scratch, number)) {
        const std::string block = model.blocks()[number].path;
        WANLITE_RETURN_IF_ERROR(
            Annotate(MakeBlock(pass, decision, model, number, context.scratch, own), block));
      }
    }
    WANLITE_RETURN_IF_ERROR(group.Barrier());
  }
  return absl::OkStatus();
}

}  // namespace wanlite
