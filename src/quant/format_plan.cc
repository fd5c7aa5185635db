// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/format_plan.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// The weight that a layer will have, hollow.
absl::StatusOr<std::unique_ptr<LinearWeight>> Planned(const ModelView& model,
                                                      const LinearInfo& linear,
                                                      const WeightQuantizer& of_linears,
                                                      const WeightQuantizer* of_embeddings) {
  const bool table = of_embeddings != nullptr && model.FindLinear(linear.path) == nullptr;
  const WeightQuantizer& quantizer = table ? *of_embeddings : of_linears;
  WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, DenseWeightOf(model, linear.path));
  const absl::Status shape = quantizer.CheckShape(weight->out_features(), weight->in_features());
  if (!shape.ok()) return Annotate(shape, absl::StrCat(linear.path, ".weight"));
  return quantizer.Hollow(weight->out_features(), weight->in_features());
}

}  // namespace

absl::StatusOr<PassNotes> PlanFormat(const ModelView& model, const LinearFilter& filter,
                                     const WeightQuantizer& quantizer,
                                     const std::function<int64_t(int64_t, int64_t)>& scratch,
                                     const WeightQuantizer* embeddings) {
  WANLITE_ASSIGN_OR_RETURN(LinearSelection selection, SelectLinears(model, filter));
  PassNotes plan;
  plan.notes = std::move(selection.notes);
  std::map<std::string, int64_t> growth;  // of blocks, by the layers so far
  std::vector<std::pair<int64_t, int64_t>> shapes;
  for (const LinearInfo& linear : selection.linears) {
    WANLITE_ASSIGN_OR_RETURN(const std::unique_ptr<LinearWeight> planned,
                             Planned(model, linear, quantizer, embeddings));
    const int64_t out = planned->out_features(), in = planned->in_features();
    // One layer after the other: the dense weight goes when the layer has the new one.
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    int64_t& changed = growth[linear.block];
    plan.block_scratch_bytes =
        std::max(plan.block_scratch_bytes, changed + planned->bytes() + scratch(out, in));
    changed += planned->bytes() - weight->bytes();
    if (model.FindLinear(linear.path) != nullptr) shapes.emplace_back(out, in);
  }
  for (std::string& note : quantizer.Notes(shapes)) plan.notes.push_back(std::move(note));
  if (std::string note = quantizer.simulation(); !note.empty()) plan.notes.push_back(note);
  return plan;
}

absl::Status ApplyFormat(ModelView& hollow, const LinearFilter& filter,
                         const WeightQuantizer& quantizer, const WeightQuantizer* embeddings) {
  WANLITE_ASSIGN_OR_RETURN(const LinearSelection selection, SelectLinears(hollow, filter));
  for (const LinearInfo& linear : selection.linears) {
    WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<LinearWeight> planned,
                             Planned(hollow, linear, quantizer, embeddings));
    WANLITE_RETURN_IF_ERROR(hollow.SetLinearWeight(linear.path, std::move(planned)));
  }
  return absl::OkStatus();
}

}  // namespace wanlite
