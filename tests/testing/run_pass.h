// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Runs one pass as the pipeline would, without folders: for tests of passes.
#ifndef WANLITE_TESTS_TESTING_RUN_PASS_H_
#define WANLITE_TESTS_TESTING_RUN_PASS_H_

#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/core/libtorch.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/status.h"
#include "wanlite/tensor_source.h"

namespace wanlite::testing {

// Tensors in memory as a file would hold them. Counts what is read and not yet released.
class MapSource : public TensorSource {
 public:
  explicit MapSource(const std::vector<NamedTensor>& tensors) {
    for (const NamedTensor& named : tensors) {
      values_[named.name] = named.tensor.detach().clone();
      infos_.push_back({named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()});
    }
    std::sort(infos_.begin(), infos_.end(),
              [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  absl::StatusOr<at::Tensor> Read(absl::string_view name) const override {
    const auto it = values_.find(std::string(name));
    if (it == values_.end()) return absl::NotFoundError(std::string(name));
    ++reads;
    return it->second.clone();
  }
  void Release(absl::string_view name) const override {}

  mutable int64_t reads = 0;

 private:
  std::map<std::string, at::Tensor> values_;
  std::vector<TensorInfo> infos_;
};

struct PassResult {
  std::map<std::string, at::Tensor> tensors;  // as they were when each block's lease ended
  std::map<std::string, double> metrics;      // finished
};

// Plan, Decide, every block that is touched under its lease, FinishMetrics.
inline absl::StatusOr<PassResult> RunBlockPass(const Pass& given, ModelView& model,
                                               const CancellationToken* cancel = nullptr) {
  const auto& pass = dynamic_cast<const BlockPass&>(given);
  WANLITE_RETURN_IF_ERROR(pass.Plan(model).status());
  PassResult result;
  const auto add = [&](const PassContext& context) {
    for (const auto& [name, value] : context.metrics) result.metrics[name] += value;
  };
  PassContext deciding;
  deciding.cancel = cancel;
  WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<google::protobuf::Message> decision,
                           pass.Decide(model, deciding));
  add(deciding);
  for (const BlockInfo& block : std::vector<BlockInfo>(model.blocks())) {
    PassContext context;
    context.cancel = cancel;
    const bool touched = pass.Touches(model, block.path);
    WANLITE_ASSIGN_OR_RETURN(const BlockLease lease, model.Lease(block.path));
    if (touched) WANLITE_RETURN_IF_ERROR(pass.RunBlock(model, lease, decision.get(), context));
    add(context);
    for (const NamedTensor& named : lease.State()) {
      result.tensors[named.name] = named.tensor.detach().clone();
    }
  }
  pass.FinishMetrics(result.metrics);
  return result;
}

}  // namespace wanlite::testing

#endif  // WANLITE_TESTS_TESTING_RUN_PASS_H_
