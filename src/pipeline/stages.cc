// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/stages.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/checkpoint/block_files.h"
#include "src/checkpoint/model_folder_rep.h"
#include "src/pipeline/assist.h"
#include "wanlite/status.h"

namespace wanlite {

absl::StatusOr<ModelView*> FolderStage::Model() {
  if (!model_.has_value()) {
    WANLITE_ASSIGN_OR_RETURN(ModelView view, input_.BuildView());
    model_.emplace(std::move(view));
  }
  return &*model_;
}

absl::StatusOr<ModelView*> FolderStage::Load(const std::vector<std::string>& components) {
  WANLITE_ASSIGN_OR_RETURN(ModelView view, input_.BuildView(components));
  WANLITE_RETURN_IF_ERROR(view.LoadAll());
  loaded_.emplace(std::move(view));
  return &*loaded_;
}

// Networks may be cut into other blocks than when the checkpoint was written, and a file of that
// time may hold more than the block.
absl::StatusOr<bool> FolderStage::HoldsBlock(const std::string& component,
                                             const std::string& block) {
  WANLITE_ASSIGN_OR_RETURN(const ModelView* const model, Model());
  WANLITE_ASSIGN_OR_RETURN(const std::string file, BlockFile(component, block));
  Env& env = *input_.rep().env;
  const std::string path = JoinPath(JoinPath(input_.dir(), component), file);
  if (!env.FileExists(path)) return false;
  WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(env, path));
  const std::vector<NamedTensor> tensors = model->BlockTensors(block);
  for (const NamedTensor& named : tensors) {
    const std::string inside = PathInside(component, named.name).value_or(named.name);
    if (source->Find(inside) == nullptr) return false;
  }
  return source->tensors().size() == tensors.size();
}

absl::StatusOr<std::optional<Decision>> FolderStage::ReadDecision() {
  WANLITE_ASSIGN_OR_RETURN(const std::optional<DecisionRecord> record, run_.ReadDecision(number_));
  if (!record.has_value()) return std::optional<Decision>();
  Decision decision;
  decision.metrics = Metrics(record->metrics().begin(), record->metrics().end());
  if (!record->type().empty()) {
    WANLITE_ASSIGN_OR_RETURN(decision.message, ParseDecision(record->type(), record->value()));
  }
  return std::optional<Decision>(std::move(decision));
}

absl::Status FolderStage::WriteDecision(const Decision& decision) {
  DecisionRecord record;
  record.mutable_metrics()->insert(decision.metrics.begin(), decision.metrics.end());
  if (decision.message != nullptr) {
    const google::protobuf::Descriptor* type = decision.message->GetDescriptor();
    // Another process must find the type by its name.
    if (google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
            type->full_name()) != type) {
      return absl::InternalError(
          absl::StrCat("Decide() made a ", type->full_name(), ", which is no generated message"));
    }
    record.set_type(type->full_name());
    if (!decision.message->SerializeToString(record.mutable_value())) {
      return absl::InternalError(
          absl::StrCat("the decision, a ", type->full_name(), ", cannot be written"));
    }
  }
  return run_.WriteDecision(number_, std::move(record));
}

absl::StatusOr<std::optional<Metrics>> FolderStage::Published(size_t number,
                                                              const std::string& block) {
  WANLITE_RETURN_IF_ERROR(writing_.Wait());
  // A block is there when its file is; its numbers were published before it.
  if (!writer_.HasBlock(block)) return std::optional<Metrics>();
  return run_.ReadRecord(number_, number, block);
}

absl::StatusOr<bool> FolderStage::Adopt(const std::string& component, const std::string& block) {
  WANLITE_RETURN_IF_ERROR(writing_.Wait());
  WANLITE_ASSIGN_OR_RETURN(const bool fits, HoldsBlock(component, block));
  if (!fits) return false;
  return writer_.AdoptBlock(component, block, input_);
}

absl::Status FolderStage::Publish(size_t number, const std::string& component,
                                  const std::string& block, const std::vector<NamedTensor>& tensors,
                                  const Metrics* metrics) {
  // Handles of their own, since the end of the lease empties those of the model.
  std::vector<NamedTensor> values;
  for (const NamedTensor& named : tensors) values.push_back({named.name, named.tensor.detach()});
  std::optional<Metrics> numbers;
  if (metrics != nullptr) numbers = *metrics;
  return writing_.Start([this, number, component, block, values = std::move(values),
                         numbers = std::move(numbers)]() -> absl::Status {
    if (numbers.has_value()) {
      WANLITE_RETURN_IF_ERROR(Annotate(run_.WriteRecord(number_, number, block, *numbers), block));
    }
    return Annotate(writer_.WriteBlock(component, block, values), block);
  });
}

}  // namespace wanlite
