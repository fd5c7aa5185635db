// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Why the output of a compressed model is noise: one forward pass of each network, original and
// compressed side by side, block by block, and the first layer that does something else than its
// format explains.
#ifndef WANLITE_SRC_DOCTOR_DOCTOR_H_
#define WANLITE_SRC_DOCTOR_DOCTOR_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/doctor/layer_check.h"
#include "wanlite/checkpoint.h"
#include "wanlite/progress.h"
#include "wanlite/sample_set.h"

namespace wanlite {

// What goes into a network. Inputs that are missing are the output of `text_from`, a component that
// comes before it.
struct DoctorCase {
  std::string component;
  Values inputs;
  std::string description;  // "timestep 961.5, noise of seed 0"
  // Name of the input that is the original output of the text encoder, zero where its
  // attention_mask is; empty: all inputs are there.
  std::string text_input = {};
};

struct DoctorOptions {
  std::vector<DoctorCase> cases;     // in order; a text encoder before who reads its output
  ProgressSink* progress = nullptr;  // SilentProgress() when null
  const CancellationToken* cancel = nullptr;  // never when null
};

// Errors are |compressed - original| / |original| in the Euclidean norm.
struct BlockCheck {
  std::string path;                  // in the compressed model
  std::string original;              // in the original
  std::vector<std::string> dropped;  // blocks of the original that were left out just before it
  // Of what the compressed block adds to the original's input, as a part of what the original adds.
  double own_error = 0;
  // Of what flows on after it, all blocks before it compressed too.
  double error = 0, cosine = 1;
  double max_original = 0, max_compressed = 0;  // largest magnitudes of what flows on
  bool finite = true;
  bool compared = true;                // false: widths differ
  size_t first_layer = 0, layers = 0;  // of ComponentCheck::layers, those that ran here
};

struct ComponentCheck {
  std::string name, description;
  std::vector<BlockCheck> blocks;
  std::vector<LayerCheck> layers;    // of the compressed model, in forward order
  std::vector<TensorCheck> tensors;  // that are no linear's matrix and differ, or are not finite
  double output_error = 0, output_cosine = 1;
  bool output_compared = true;
  // Inputs that are smoothed: the original was smoothed the same way before it was compared.
  int64_t smoothed = 0;
};

// Something out of its band.
struct Finding {
  std::string path;     // layer, tensor, block or component
  std::string what;     // the numbers
  std::string because;  // what they mean
};

struct DoctorReport {
  std::string original, compressed;
  std::vector<ComponentCheck> components;
  std::vector<Finding> findings;  // in forward order: the first is where to look
  std::vector<std::string> notes;
  bool healthy() const { return findings.empty(); }
};

// Runs the cases. At most one block of each model is in memory at a time. FailedPrecondition when
// the models are no pair: other networks, or blocks that the original does not have.
absl::StatusOr<DoctorReport> Diagnose(const ModelFolder& original, const ModelFolder& compressed,
                                      const DoctorOptions& options);

// One recorded pass of each component that has samples, the middle one.
absl::StatusOr<std::vector<DoctorCase>> CasesOfSamples(const SampleSet& samples,
                                                       const std::vector<std::string>& components);

std::string DoctorText(const DoctorReport& report);
std::string DoctorJson(const DoctorReport& report);

}  // namespace wanlite

#endif  // WANLITE_SRC_DOCTOR_DOCTOR_H_
