// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A pass changes a model: prunes, quantizes, distills it. Passes are immutable values made from their
// options; they say what they would do from shapes alone (Plan) and do it.
#ifndef WANLITE_PASS_H_
#define WANLITE_PASS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"

namespace google::protobuf {
class Message;
}
namespace wanlite {

// One change a pass would make.
struct PlannedChange {
  std::string path;         // tensor, linear or group
  std::string description;  // "dense bf16 -> int8", "30 % of 8.9 M weights to zero"
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
};

struct PassPlan {
  std::string pass;
  std::vector<PlannedChange> changes;
  int64_t bytes_before = 0;  // of the whole model
  int64_t bytes_after = 0;
  int64_t peak_memory_bytes = 0;  // what Run needs beside the program itself, estimated
  std::vector<std::string> notes;  // "zeros save no time without a sparse kernel"
};

struct PassContext {
  Env* env = nullptr;
  ProgressSink* progress = nullptr;
  const CancellationToken* cancel = nullptr;
  uint64_t seed = 0;
  // Numbers for the lineage record: "zero_fraction" -> 0.3.
  std::map<std::string, double> metrics;
};

enum class PassScope {
  kBlock,  // RunBlock on each block alone: streams, resumes after every block
  kModel,  // RunModel on the whole model in memory
};

class Pass {
 public:
  virtual ~Pass() = default;
  // Kebab-case name, "quantize-int8".
  virtual absl::string_view name() const = 0;
  // Resolved options: defaults filled in. This is what the lineage records.
  virtual const google::protobuf::Message& options() const = 0;
  virtual PassScope scope() const = 0;
  // From shapes alone; works on hollow models and reads no weights.
  virtual absl::StatusOr<PassPlan> Plan(const ModelView& model) const = 0;

  // Block scope. Prepare() sees the whole (possibly streaming) model once before the first block and
  // must be deterministic, since a resumed run calls it again; what it finds is kept in `state`, which
  // is handed to RunBlock(). May throw c10::Error; the pipeline turns it into a Status.
  struct State {
    virtual ~State() = default;
  };
  virtual absl::StatusOr<std::unique_ptr<State>> Prepare(ModelView& model, PassContext& context) const;
  // The block is leased. Edits it through `model`.
  virtual absl::Status RunBlock(ModelView& model, const BlockLease& block, State* state,
                                PassContext& context) const;
  // Model scope.
  virtual absl::Status RunModel(ModelView& model, PassContext& context) const;
};

}  // namespace wanlite

#endif  // WANLITE_PASS_H_
