// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A pass changes a model: prunes, quantizes, distills it. Passes are immutable values made from
// their options. A pass is a BlockPass or a ModelPass; what runs it (wanlite/pipeline.h) calls, in
// this order:
//
//   Plan       on a hollow model: what the pass says of itself before anything is read
//   Decide     once, with values at hand: thresholds, an allocation, widths; kept durably
//   ApplyPlan  on a hollow model, with the decision: the shapes and formats that the pass will
//   leave RunBlock   on each block that it touches, or RunModel once
//
// and compares what the pass leaves with what ApplyPlan said.
#ifndef WANLITE_PASS_H_
#define WANLITE_PASS_H_

#include <c10/core/Device.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/activation_stream.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"
#include "wanlite/training_cost.h"

namespace google::protobuf {
class Message;
}
namespace wanlite {

class ModelLibrary;
class ProcessGroup;
class VideoTextEncoder;

// What a pass says of itself before it runs. Bytes, parameters and new shapes are not among it:
// they are found by comparing the hollow model before and after ApplyPlan().
struct PassNotes {
  // What running the pass needs beside the program itself, estimated. A BlockPass says the next
  // field instead.
  int64_t peak_memory_bytes = 0;
  // What RunBlock() takes at once beside the tensors of its block, as it finds and as it leaves
  // them: the pipeline knows those.
  int64_t block_scratch_bytes = 0;
  std::vector<std::string> notes;  // "zeros save no time without a sparse kernel"
  // What only changes values, which no comparison of shapes shows: "29 of 96 weights to zero" by
  // path of the tensor, linear or group, in forward order.
  std::vector<std::pair<std::string, std::string>> value_changes;
  // Components that it trains, one after the other.
  std::vector<TrainingNote> trainings;
  // False when shapes or formats hang on what Decide() finds. ApplyPlan() without a decision is
  // then an estimate, and plans say so; else it must give what it gives with one.
  bool exact = true;
};

// What a pass does to a model, as far as the order of passes in a recipe is concerned.
enum class PassEffect {
  kNeutral,
  kPrunes,        // takes weights, units or blocks away
  kRecovers,      // gets back what was lost, by fitting or training to a teacher or to data
  kDistilsSteps,  // trains the model to make do with fewer steps of the sampler
};

struct PassContext {
  Env* env = nullptr;
  ProgressSink* progress = nullptr;
  const CancellationToken* cancel = nullptr;
  // The recipe's seed, and another one for each round of a repeat. A pass that draws random numbers
  // derives a stream from it and the block's path or the step, so that a resumed run draws the same
  // ones.
  uint64_t seed = 0;
  // A folder of this run of the pass alone, on `env`: there from Decide() to the last block, over
  // kills too, and removed when the pass is complete. For what a decision is too large for, and for
  // states of long work. Empty in a run in memory that was given none.
  std::string scratch;
  // Where to compute. Models are leased and loaded on the CPU.
  at::Device device = at::Device(at::kCPU);
  const SampleSet* samples = nullptr;  // recorded inputs of the model, for passes that need them
  // In RunBlock() of a pass that wants activations, and stands before the block. Null for what no
  // step before the last block runs: a component's rest that does nothing before its blocks, or one
  // without samples (whose blocks the pass then does not touch).
  ActivationStream* activations = nullptr;
  // Other models: teachers, the run's input, the model before this pass. Null in a run in memory
  // that was given none.
  ModelLibrary* models = nullptr;
  ProcessGroup* group = nullptr;  // the processes of this run; null when it is one
  // Embeds videos and captions, for losses of alignment. Null in a run that was given none.
  const VideoTextEncoder* alignment = nullptr;
  // A folder, made by whoever writes there, for what people read of long work: curves of trainings.
  // Outlives the run. Empty: nobody wants it.
  std::string logs;
  // Numbers for the lineage record. Counts and sums, never ratios: Decide() and every RunBlock()
  // start with an empty map, the pipeline keeps each block's numbers beside the block, adds them up
  // in block order and hands the sums to Pass::FinishMetrics(). RunModel() writes sums too.
  std::map<std::string, double> metrics;
};

// context.scratch; FailedPrecondition, naming the pass, when this run has none.
absl::StatusOr<std::string> ScratchOf(const PassContext& context, absl::string_view pass);

// Functions that take a `decision` get what Decide() returned, in this process or in one that was
// killed: the same message, of the type that Decide() made.
class Pass {
 public:
  virtual ~Pass();
  // Kebab-case name, "quantize-int8".
  virtual absl::string_view name() const = 0;
  // Resolved options: defaults filled in. This is what the lineage records.
  virtual const google::protobuf::Message& options() const = 0;
  // From shapes alone; works on hollow models and reads no weights. Refuses what the pass cannot do
  // to this model.
  virtual absl::StatusOr<PassNotes> Plan(const ModelView& model) const = 0;
  // Whatever must be known of the whole model's values before the first block changes. `model` may
  // be streaming: blocks are leased one at a time, and left as they are. The result is written down
  // before it is used and never made twice. Up to 64 MiB; what is larger goes into context.scratch,
  // durably, and is named by the message. Null, the default: nothing to decide.
  virtual absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Decide(
      ModelView& model, PassContext& context) const;
  // Edits of the structure that reach beyond a block: ModelView::DropBlocks(), Rebuild(), and
  // KeepUnits() of groups that are in several blocks. Done to the hollow model before ApplyPlan(),
  // and to the model itself, which may be streaming, before RunBlock() or RunModel(): blocks are
  // then those that are left, with values as edited. Reads no values. `decision` as of ApplyPlan().
  // A ModelPass edits its components() alone. The default edits nothing.
  virtual absl::Status Restructure(ModelView& model,
                                   const google::protobuf::Message* decision) const;
  // Gives a hollow model the shapes, dtypes and weight formats (attributes included) that running
  // the pass would leave: SetLinearWeight() with weights made under a nn::HollowGuard, KeepUnits().
  // `decision`: of Decide(), or null where a plan is made before anything is decided (or there is
  // nothing to decide). Later passes are planned on the result, and every block is compared with
  // it: a pass whose effect differs from its plan is an Internal error. The default is for passes
  // that only change values.
  virtual absl::Status ApplyPlan(ModelView& hollow,
                                 const google::protobuf::Message* decision) const;
  // For warnings of plans about orders that are known not to work. Neutral by default.
  virtual PassEffect effect() const;
  // Whether the pass needs context.samples. A run without them is then refused before anything is
  // written, and their fingerprint belongs to the run and to the lineage.
  virtual bool needs_samples() const;
  // Names of the components whose recorded inputs it needs, as far as shapes and options tell: a
  // run, or a plan, with samples that have none of one is refused at its start. `model`: before the
  // pass. Empty by default: whatever the samples have.
  virtual absl::StatusOr<std::vector<std::string>> sampled_components(const ModelView& model) const;
  // Turns the sums of context.metrics into what the lineage records ("zero_weights" and "weights"
  // into "zero_fraction", say). The default keeps them as they are.
  virtual void FinishMetrics(std::map<std::string, double>& metrics) const;
  // What people should know of the decision, in lines: what was weighed and why it came out so.
  // Goes into the lineage and the report of the run. The default has nothing to say.
  virtual std::vector<std::string> Explain(const google::protobuf::Message* decision) const;
  // The pass for one round of a repeat, which takes the model from the part `from` of the way to
  // the pass's target to the part `to`, 0 <= from < to <= 1. Null, the default: the pass itself,
  // the same in every round.
  virtual absl::StatusOr<std::unique_ptr<Pass>> AtRound(double from, double to) const;
};

// Works on each block alone: streams, and resumes after every block.
class BlockPass : public Pass {
 public:
  ~BlockPass() override;
  // Whether RunBlock() may change the block. A block that is not touched is neither read nor
  // written: its file is taken over as it is.
  virtual bool Touches(const ModelView& model, absl::string_view block) const;
  // What of activations RunBlock() wants in context.activations; no value, the default: nothing.
  virtual std::optional<StreamOptions> activations() const;
  bool needs_samples() const override { return activations().has_value(); }
  // Whether RunBlock() changes values alone (no shapes, no formats), and needs nothing that it has
  // done to another block, so that the processes of a group may share the blocks. Not of a pass
  // that wants activations. False by default.
  virtual bool blocks_are_independent() const;
  // The block is leased. Edits it through `model`. May throw c10::Error; the pipeline turns it into
  // a Status.
  virtual absl::Status RunBlock(ModelView& model, const BlockLease& block,
                                const google::protobuf::Message* decision,
                                PassContext& context) const = 0;
};

// Works on the whole model, or some of its components, in memory.
class ModelPass : public Pass {
 public:
  ~ModelPass() override;
  // Names of the components that RunModel() reads or changes; others are not loaded, and their
  // files are taken over as they are. Empty, the default: all.
  virtual absl::StatusOr<std::vector<std::string>> components(const ModelView& model) const;
  // `model` is in memory; a run over a folder shows these components alone. Killed, it is called
  // again, on the same model and with the same scratch: from what it has left there it goes on.
  // Deterministic, resumed or not. May throw c10::Error.
  virtual absl::Status RunModel(ModelView& model, const google::protobuf::Message* decision,
                                PassContext& context) const = 0;
};

}  // namespace wanlite

#endif  // WANLITE_PASS_H_
