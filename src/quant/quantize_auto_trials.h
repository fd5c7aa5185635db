// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs a network on recorded passes with some of its layers in other formats, and says how far its
// velocities go astray. One block is leased at a time and is left as it was.
#ifndef WANLITE_SRC_QUANT_QUANTIZE_AUTO_TRIALS_H_
#define WANLITE_SRC_QUANT_QUANTIZE_AUTO_TRIALS_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/model/block_steps.h"
#include "src/quant/quantize_auto_scan.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/block_program.h"
#include "wanlite/model_view.h"
#include "wanlite/progress.h"
#include "wanlite/sample_set.h"

namespace wanlite {

// The network with these layers in these formats.
struct Trial {
  std::map<std::string, const WeightQuantizer*> formats;  // by path of the layer
  std::vector<Values> values = {};                        // of each pass, before the next step
  // |W - Q| / |W| of the layers that were quantized so far.
  std::map<std::string, double> weight_errors = {};
};

// `count` of a component's samples: those of the prompt and branch that has most, spread evenly
// over its steps, then those of the next one; all when there are no more.
std::vector<int64_t> PickPasses(const SampleSet& samples, absl::string_view component,
                                int64_t count);

class NetworkTrials {
 public:
  // What is given must outlive it. FailedPrecondition for a component without a program.
  static absl::StatusOr<NetworkTrials> Create(ModelView& model, const SampleSet& samples,
                                              absl::string_view component,
                                              std::vector<int64_t> passes,
                                              const CancellationToken* cancel);

  // Runs the network as it is: what trials are compared with, and in `found` what it consists of.
  // `rows`: that came to each layer in a pass, mean. Once, before all others.
  absl::Status RunOriginal(ScannedComponent& found, std::map<std::string, int64_t>& rows);

  // The parts in which the network runs, in order: steps that follow each other in one block.
  size_t parts() const { return parts_.size(); }
  const std::string& block(size_t part) const { return parts_[part].block; }
  // The first part that needs the block.
  size_t PartOf(absl::string_view block) const;

  std::vector<Values> Inputs() const { return inputs_; }
  // Runs one part of every trial. `visit` is called with the block leased, before.
  absl::Status Run(size_t part, const std::vector<Trial*>& trials,
                   const std::function<absl::Status(const BlockLease&)>& visit = nullptr);
  // Of a trial that all parts were run of; its weight error is 0.
  absl::StatusOr<FormatScore> Score(const Trial& trial) const;

 private:
  struct Pass {
    double weight = 1;
    size_t path = 0;    // number of its prompt and branch
    at::Tensor output;  // fp64 [values], the original's
  };
  NetworkTrials(ModelView& model, std::string component, const CancellationToken* cancel)
      : model_(&model), component_(std::move(component)), cancel_(cancel) {}
  const BlockProgram& program() const { return *ProgramOf(*model_->FindComponent(component_)); }
  absl::Status RunOne(const BlockSteps& part, Trial& trial);

  ModelView* model_;
  std::string component_;
  const CancellationToken* cancel_;
  std::vector<BlockSteps> parts_;
  std::vector<Pass> passes_;
  std::vector<Values> inputs_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_QUANTIZE_AUTO_TRIALS_H_
