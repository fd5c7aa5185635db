// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A pass changes a model: prunes, quantizes, distills it. Passes are immutable values made from
// their options; they say what they would do from shapes alone (Plan) and do it.
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
  int64_t peak_memory_bytes = 0;   // what Run needs beside the program itself, estimated
  std::vector<std::string> notes;  // "zeros save no time without a sparse kernel"
};

struct PassContext {
  Env* env = nullptr;
  ProgressSink* progress = nullptr;
  const CancellationToken* cancel = nullptr;
  // The recipe's seed. A pass that draws random numbers derives a stream from it and the block's
  // path, so that a resumed run draws the same ones.
  uint64_t seed = 0;
  // Numbers for the lineage record. Counts and sums, never ratios: Prepare() and every RunBlock()
  // start with an empty map, the pipeline keeps each block's numbers beside the block, adds them up
  // in block order and hands the sums to Pass::FinishMetrics(). RunModel() writes sums too.
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
  // Gives a hollow model the shapes, dtypes and weight formats (attributes included) that running
  // the pass would leave, without reading a value: SetLinearWeight() with weights made under a
  // nn::HollowGuard, KeepUnits(). Later passes are planned on the result, and the pipeline compares
  // every block with it: a pass whose effect differs from its plan is an Internal error. The
  // default is for passes that only change values.
  virtual absl::Status ApplyPlan(ModelView& hollow) const;
  // Turns the sums of context.metrics into what the lineage records ("zero_weights" and "weights"
  // into "zero_fraction", say). The default keeps them as they are.
  virtual void FinishMetrics(std::map<std::string, double>& metrics) const;

  // Block scope. Prepare() sees the whole (possibly streaming) model once before the first block
  // and must be deterministic, since a resumed run calls it again; what it finds is kept in
  // `state`, which is handed to RunBlock(). May throw c10::Error; the pipeline turns it into a
  // Status.
  struct State {
    virtual ~State() = default;
  };
  virtual absl::StatusOr<std::unique_ptr<State>> Prepare(ModelView& model,
                                                         PassContext& context) const;
  // The block is leased. Edits it through `model`.
  virtual absl::Status RunBlock(ModelView& model, const BlockLease& block, State* state,
                                PassContext& context) const;
  // Model scope.
  virtual absl::Status RunModel(ModelView& model, PassContext& context) const;
};

}  // namespace wanlite

#endif  // WANLITE_PASS_H_
