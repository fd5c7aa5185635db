// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Gradients of a loss at the end of a network in gates on what its linear layers read, with the
// graph of one block and one recorded pass in memory at a time: the network runs forward without a
// graph, and what each block starts from is kept; then each block, from the last to the first, runs
// again with a graph, and hands the gradient of its inputs to those before it.
#ifndef WANLITE_SRC_SEARCH_NETWORK_GRADIENTS_H_
#define WANLITE_SRC_SEARCH_NETWORK_GRADIENTS_H_

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
#include "src/search/gated_weight.h"
#include "wanlite/block_program.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite {

// Layer l computes W_l (g_l * x) + b_l with a gate g_l [in] of its own for each pass, though layers
// share their input x. Blocks compute in fp32. Layers in formats that give no gradients run as they
// are on the way forward, and on the way back as the dense matrices that they stand for.
class NetworkGradients {
 public:
  // Of a layer, by its path, in a pass: floating [in].
  using Gates = std::function<at::Tensor(size_t pass, const std::string& linear)>;
  // gradient: fp64 [in], of the layer's gate in the pass. Layers of which the loss does not depend
  // are not visited.
  using Visit = std::function<absl::Status(size_t pass, const std::string& linear,
                                           const at::Tensor& gradient)>;

  // passes: numbers of the component's samples in context.samples. linears: that have gates. In
  // context.scratch lies, for each pass, what each block starts from. FailedPrecondition for a
  // component without a program, and without scratch.
  static absl::StatusOr<std::unique_ptr<NetworkGradients>> Create(ModelView& model,
                                                                  const PassContext& context,
                                                                  absl::string_view component,
                                                                  std::vector<int64_t> passes,
                                                                  std::set<std::string> linears);
  size_t passes() const { return passes_.size(); }
  // The pass's sample as recorded: inputs of the network, and what else it holds ("target").
  absl::StatusOr<Values> Sample(size_t pass) const;
  // Outputs of all passes. gates: null: ones everywhere. Cancelled; errors of leases and the disk.
  absl::StatusOr<std::vector<at::Tensor>> Forward(const Gates& gates);
  // After Forward() with the same gates. gradients: of the loss in each pass's output.
  absl::Status Backward(const Gates& gates, const std::vector<at::Tensor>& gradients,
                        const Visit& visit);
  // Removes what is kept. (What a killed process left is removed by Create().)
  absl::Status Remove();

 private:
  using MakeValues = std::function<absl::StatusOr<Values>(size_t pass)>;
  NetworkGradients(ModelView& model, const PassContext& context, std::string component);
  const BlockProgram& program() const { return *ProgramOf(*model_.FindComponent(component_)); }
  std::set<std::string> GatedIn(size_t part) const;
  std::set<std::string> MadeBefore(size_t part) const;
  std::string FolderOf(const char* what, size_t part) const;
  // All that the part starts from, as the last Forward() has left it.
  absl::StatusOr<Values> Before(size_t part, size_t pass) const;
  // Writes what `make` gives for each pass into a new folder, with the part's block leased, in fp32
  // and gated. matrices: weights that give no gradients are exchanged.
  absl::Status RunPart(size_t part, const Gates& gates, bool matrices, const std::string& folder,
                       const MakeValues& make);
  absl::StatusOr<Values> BackwardPass(size_t part, size_t pass, const Values& gradients,
                                      const Visit& visit);

  ModelView& model_;
  const PassContext& context_;
  const std::string component_;
  Env* env_ = nullptr;
  std::string dir_;
  std::vector<int64_t> passes_;
  std::set<std::string> linears_;
  std::vector<BlockSteps> parts_;
  std::map<std::string, LayerGates> gates_;  // of the leased block, while it runs
};

}  // namespace wanlite

#endif  // WANLITE_SRC_SEARCH_NETWORK_GRADIENTS_H_
