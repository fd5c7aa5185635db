// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/assist.h"

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/train/tensor_exchange.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

bool HasOthers(const ProcessGroup* group) { return group != nullptr && group->size() > 1; }

absl::Status TellNumber(ProcessGroup& group, int64_t number) {
  return group.Broadcast(at::full({1}, number, at::kLong), 0);
}

absl::StatusOr<int64_t> HearNumber(ProcessGroup& group) {
  const at::Tensor number = at::zeros({1}, at::kLong);
  WANLITE_RETURN_IF_ERROR(group.Broadcast(number, 0));
  return number.item<int64_t>();
}

absl::Status TellText(ProcessGroup& group, std::string text) {
  return train::BroadcastText(group, 0, text);
}

absl::StatusOr<std::string> HearText(ProcessGroup& group) {
  std::string text;
  WANLITE_RETURN_IF_ERROR(train::BroadcastText(group, 0, text));
  return text;
}

}  // namespace

absl::Status TellStage(ProcessGroup* group, const AssistedStage& stage) {
  if (!HasOthers(group)) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(TellNumber(*group, stage.number));
  if (stage.number < 0) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(TellText(*group, stage.input));
  return TellText(*group, stage.scratch);
}

absl::StatusOr<AssistedStage> HearStage(ProcessGroup& group) {
  AssistedStage stage;
  WANLITE_ASSIGN_OR_RETURN(const int64_t number, HearNumber(group));
  stage.number = static_cast<int>(number);
  if (stage.number < 0) return stage;
  WANLITE_ASSIGN_OR_RETURN(stage.input, HearText(group));
  WANLITE_ASSIGN_OR_RETURN(stage.scratch, HearText(group));
  return stage;
}

absl::Status TellDecision(ProcessGroup* group, const google::protobuf::Message* decision) {
  if (!HasOthers(group)) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(TellText(
      *group, decision == nullptr ? "" : std::string(decision->GetDescriptor()->full_name())));
  return TellText(*group, decision == nullptr ? "" : decision->SerializeAsString());
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> HearDecision(ProcessGroup& group) {
  WANLITE_ASSIGN_OR_RETURN(const std::string type, HearText(group));
  WANLITE_ASSIGN_OR_RETURN(const std::string value, HearText(group));
  if (type.empty()) return std::unique_ptr<google::protobuf::Message>();
  return ParseDecision(type, value);
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> ParseDecision(const std::string& type,
                                                                         const std::string& value) {
  const google::protobuf::Descriptor* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (descriptor == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("the run holds a decision of the type ", type,
                                                      ", which this program does not know"));
  }
  std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  if (message->ParseFromString(value)) return message;
  return absl::DataLossError(absl::StrCat("the stored decision is no ", type));
}

}  // namespace wanlite
