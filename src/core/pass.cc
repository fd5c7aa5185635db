// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/pass.h"

#include "absl/strings/str_cat.h"

namespace wanlite {
namespace {

absl::Status NotThatScope(const Pass& pass, absl::string_view function, absl::string_view scope) {
  return absl::UnimplementedError(absl::StrCat(pass.name(), ": the pass declares ", scope,
                                               " scope but has no ", function, "()"));
}

}  // namespace

absl::Status Pass::ApplyPlan(ModelView& hollow) const { return absl::OkStatus(); }

void Pass::FinishMetrics(std::map<std::string, double>& metrics) const {}

absl::StatusOr<std::unique_ptr<Pass::State>> Pass::Prepare(ModelView& model,
                                                           PassContext& context) const {
  return std::unique_ptr<State>();
}

absl::Status Pass::RunBlock(ModelView& model, const BlockLease& block, State* state,
                            PassContext& context) const {
  return NotThatScope(*this, "RunBlock", "block");
}

absl::Status Pass::RunModel(ModelView& model, PassContext& context) const {
  return NotThatScope(*this, "RunModel", "model");
}

}  // namespace wanlite
