// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/output_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/rest_block.h"
#include "wanlite/model_library.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite::distill {

absl::StatusOr<std::unique_ptr<OutputReader>> OutputReader::Open(const PassContext& context,
                                                                 const ProjectedTerm& term) {
  if (context.models == nullptr) {
    return absl::FailedPreconditionError("a projected term runs over folders alone");
  }
  std::string name = term.component();
  if (name.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const ModelView all, context.models->Open("input", {}));
    for (const Component& component : all.components()) {
      if (name.empty() && component.role == ComponentRole::kDenoiser) name = component.name;
    }
    if (name.empty()) return absl::FailedPreconditionError("the model has no denoiser");
  }
  WANLITE_ASSIGN_OR_RETURN(ModelView model, context.models->Open("input", {name}));
  if (context.samples->size(name) == 0) {
    return absl::FailedPreconditionError(absl::StrCat("the samples hold no inputs of component '",
                                                      name, "', by which the output is projected"));
  }
  std::unique_ptr<OutputReader> reader(new OutputReader(std::move(model), term));
  reader->program_ = ProgramOf(*reader->model_.FindComponent(name));
  if (reader->program_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("component '", name, "' declares no block program"));
  }
  const BlockProgram::Step first = reader->program_->Steps().front();
  const std::vector<std::string> inputs = reader->program_->Inputs();
  if (!first.block.empty() ||
      std::find(first.changes.begin(), first.changes.end(), term.value()) == first.changes.end() ||
      std::find(inputs.begin(), inputs.end(), term.input()) == inputs.end()) {
    return absl::FailedPreconditionError(absl::StrCat("the first step of '", name,
                                                      "' does not make a value '", term.value(),
                                                      "' of an input '", term.input(), "'"));
  }
  WANLITE_ASSIGN_OR_RETURN(reader->others_, context.samples->Read(name, 0));
  const std::string rest = RestBlock(name);
  WANLITE_ASSIGN_OR_RETURN(BlockLease lease, reader->model_.Lease(rest));
  reader->lease_.emplace(std::move(lease));
  WANLITE_RETURN_IF_ERROR(CatchTorch([&] {
    reader->float32_.emplace(reader->model_, rest);
    for (const NamedTensor& named : reader->model_.BlockTensors(rest)) {
      if (named.tensor.is_floating_point()) named.tensor.set_requires_grad(false);
      if (named.tensor.device() != context.device) {
        named.tensor.set_data(named.tensor.detach().to(context.device));
      }
    }
  }));
  return reader;
}

at::Tensor OutputReader::Read(const at::Tensor& output) const {
  Values values;
  for (const auto& [name, value] : others_) {
    if (!value.defined()) continue;
    std::vector<int64_t> sizes = value.sizes().vec();
    TORCH_CHECK_VALUE(!sizes.empty() && sizes[0] == 1, "'", name, "' of a sample is ",
                      value.sizes());
    sizes[0] = output.size(0);
    values[name] = value.to(output.device()).expand(sizes);
  }
  values[term_.input()] = output;
  program_->RunStep(0, values);
  return ValueOf(values, term_.value().c_str()).to(at::kFloat);
}

}  // namespace wanlite::distill
