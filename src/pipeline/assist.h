// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What rank 0 of a process group tells the others, so that they run the same model passes on the
// same input: see AssistFolder().
#ifndef WANLITE_SRC_PIPELINE_ASSIST_H_
#define WANLITE_SRC_PIPELINE_ASSIST_H_

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/process_group.h"

namespace wanlite {

struct AssistedStage {
  int number = -1;    // of the recipe's stages; -1: the run is over
  std::string input;  // folder of the model that the stage works on
  std::string scratch;
};

// Rank 0's side; nothing where there are no others.
absl::Status TellStage(ProcessGroup* group, const AssistedStage& stage);
absl::Status TellDecision(ProcessGroup* group, const google::protobuf::Message* decision);

// The others'. The decision is null where there is none.
absl::StatusOr<AssistedStage> HearStage(ProcessGroup& group);
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> HearDecision(ProcessGroup& group);

// A message of a type by its full name, as a decision is stored.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> ParseDecision(const std::string& type,
                                                                         const std::string& value);

}  // namespace wanlite

#endif  // WANLITE_SRC_PIPELINE_ASSIST_H_
