// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs a network on recorded passes with some of its blocks changed or left out, and says how far
// its output goes astray. One block is leased at a time and is left as it was.
#ifndef WANLITE_SRC_SEARCH_NETWORK_TRIALS_H_
#define WANLITE_SRC_SEARCH_NETWORK_TRIALS_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/model/block_steps.h"
#include "wanlite/block_program.h"
#include "wanlite/linear_weight.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"
#include "wanlite/sample_set.h"

namespace wanlite {

// A changed network on its way through its blocks.
struct Trial {
  // Puts back what an edit has changed.
  using Undo = std::function<absl::Status()>;
  // Changes a leased block, whose weights are fp32, shapes as they were.
  using Edit = std::function<absl::StatusOr<Undo>(ModelView& model, const BlockLease& block)>;

  std::string what;                        // for errors: "t.blocks.0.ffn.0 in other formats"
  std::map<std::string, Edit> edits = {};  // by path of the block
  // Blocks that do not run: all their steps are residual (BlockProgram::Step).
  std::set<std::string> left_out = {};
  std::vector<Values> values = {};  // of each pass, before the next part
};

// The same weight once more, for one that takes its place for a while. InvalidArgument, naming the
// layer `path`, for a format that cannot be wrapped (LinearWeight::Share()).
absl::StatusOr<std::unique_ptr<LinearWeight>> SharedWeight(const LinearWeight& weight,
                                                           absl::string_view path);

// An edit's work: layers of a leased block get other weights. On an error none has.
absl::StatusOr<Trial::Undo> ExchangeWeights(
    ModelView& model, std::map<std::string, std::unique_ptr<LinearWeight>> weights);

// How far the output of a trial is from the original's, as parts of its norms.
struct OutputError {
  // Of the path that the recorded passes make of the latents: velocities of one prompt and branch
  // are added up with their weights, as a sampler adds them, before they are compared.
  double trajectory = 0;
  double pass = 0;            // of the velocities, pass by pass
  double worst_pass = 0;      // of the pass where it is largest
  double worst_timestep = 0;  // that pass's
  // Squared errors of the passes at each timestep, as parts of their squared norms.
  std::map<double, double> squared_at = {};
};

// What trials are compared with.
struct OriginalRun {
  std::string weights_sha256;  // of all the component's tensors
  // That came to each layer in a pass, mean: rows, and the sequences ([..., rows, features]) that
  // these were of.
  std::map<std::string, int64_t> rows, sequences;
};

// `count` of a component's samples: those of the prompt and branch that has most, spread evenly
// over its steps, then those of the next one; all when there are no more. Of samples that hold less
// than half as many of any prompt and branch, those that are spread evenly over all steps.
std::vector<int64_t> PickPasses(const SampleSet& samples, absl::string_view component,
                                int64_t count);

// The part of all forward passes that each of these components makes, by the samples' weights: an
// error of an expert that runs half of the steps moves the video half as far.
std::map<std::string, double> SharesOfPasses(const SampleSet& samples,
                                             const std::set<std::string>& components);

class NetworkTrials {
 public:
  // What is given must outlive it. passes: numbers of the samples that are run. FailedPrecondition
  // for a component without a program.
  static absl::StatusOr<NetworkTrials> Create(ModelView& model, const SampleSet& samples,
                                              absl::string_view component,
                                              std::vector<int64_t> passes,
                                              const CancellationToken* cancel);

  // Runs the network as it is. Once, before all others. InvalidArgument when its output is not
  // finite.
  absl::StatusOr<OriginalRun> RunOriginal();

  // The parts in which the network runs, in order: steps that follow each other in one block.
  size_t parts() const { return parts_.size(); }
  const std::string& block(size_t part) const { return parts_[part].block; }
  // The first part that needs the block; parts() when none does.
  size_t PartOf(absl::string_view block) const;

  std::vector<Values> Inputs() const { return inputs_; }
  // Runs one part of every trial. `visit` is called with the block leased, before.
  absl::Status Run(size_t part, const std::vector<Trial*>& trials,
                   const std::function<absl::Status(const BlockLease&)>& visit = nullptr);
  // Runs the parts from `part` to the end.
  absl::Status RunToEnd(size_t part, const std::vector<Trial*>& trials);
  // Of a trial that all parts were run of. InvalidArgument, naming it, when its output is not
  // finite.
  absl::StatusOr<OutputError> Score(const Trial& trial) const;

 private:
  struct Pass {
    double weight = 1;
    double timestep = 0;
    size_t path = 0;    // number of its prompt and branch
    at::Tensor output;  // fp64 [values], the original's
  };
  NetworkTrials(ModelView& model, std::string component, const CancellationToken* cancel)
      : model_(&model), component_(std::move(component)), cancel_(cancel) {}
  const BlockProgram& program() const { return *ProgramOf(*model_->FindComponent(component_)); }
  absl::Status RunOne(const BlockSteps& part, const BlockLease& lease, Trial& trial);

  ModelView* model_;
  std::string component_;
  const CancellationToken* cancel_;
  std::vector<BlockSteps> parts_;
  std::vector<Pass> passes_;
  std::vector<Values> inputs_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_SEARCH_NETWORK_TRIALS_H_
