// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs one pass over one model: the same code for folders and for models in memory, which differ in
// the Stage.
#ifndef WANLITE_SRC_PIPELINE_PASS_RUNNER_H_
#define WANLITE_SRC_PIPELINE_PASS_RUNNER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/pass.h"
#include "wanlite/recipe.h"

namespace wanlite {

using Metrics = std::map<std::string, double>;

struct Decision {
  std::unique_ptr<google::protobuf::Message> message;  // null: nothing to decide
  Metrics metrics;
};

// What a pass works on, where what it leaves goes, and what an earlier run has left.
class Stage {
 public:
  virtual ~Stage() = default;

  // A new hollow model with the shapes of the input.
  virtual absl::StatusOr<ModelView> Hollow() = 0;
  // The input, whose blocks are leased. The same at every call, as edited so far.
  virtual absl::StatusOr<ModelView*> Model() = 0;
  // These components of it in memory, or all when there are none. Called once.
  virtual absl::StatusOr<ModelView*> Load(const std::vector<std::string>& components) = 0;

  // What was decided earlier; no value when nothing was.
  virtual absl::StatusOr<std::optional<Decision>> ReadDecision() = 0;
  // Durable when it returns.
  virtual absl::Status WriteDecision(const Decision& decision) = 0;

  // The numbers of a block that was published in an earlier run.
  virtual absl::StatusOr<std::optional<Metrics>> Published(size_t number,
                                                           const std::string& block) = 0;
  // Takes a block over as the input has it. False when the stage cannot and the block is to be
  // published.
  virtual absl::StatusOr<bool> Adopt(const std::string& component, const std::string& block) = 0;
  // Without `metrics` the block is not Published() in a later run. May go on in the background,
  // with the values as they are now; an error, which names the block, then comes from a later call.
  virtual absl::Status Publish(size_t number, const std::string& component,
                               const std::string& block, const std::vector<NamedTensor>& tensors,
                               const Metrics* metrics) = 0;
  // Whether the other processes of a group assist (AssistFolder()).
  virtual bool assisted() const = 0;
  // Waits until all that was handed to Publish() is published.
  virtual absl::Status Flush() = 0;
};

struct PassOutcome {
  ModelView planned;         // hollow: what the pass left
  bool resumed = false;      // something came from an earlier run
  int64_t bytes_before = 0;  // stored values of the whole model
  int64_t bytes_after = 0;
  Metrics metrics;                      // finished
  std::vector<std::string> notes = {};  // of Pass::Explain()
};

// `context`: all but its metrics. Errors begin with the pass's name, and then the block's.
absl::StatusOr<PassOutcome> RunPass(const RecipeStage& recipe_stage, const PassContext& context,
                                    Stage& stage);

}  // namespace wanlite

#endif  // WANLITE_SRC_PIPELINE_PASS_RUNNER_H_
