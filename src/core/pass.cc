// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/pass.h"

#include <google/protobuf/message.h>

#include "absl/strings/str_cat.h"

namespace wanlite {

absl::StatusOr<std::string> ScratchOf(const PassContext& context, absl::string_view pass) {
  if (!context.scratch.empty()) return context.scratch;
  return absl::FailedPreconditionError(
      absl::StrCat(pass,
                   ": keeps files while it works, and this run in memory has no folder for "
                   "them; set InMemoryOptions::scratch_dir"));
}

// Out of line, so that a pass of another library finds the same type information.
Pass::~Pass() = default;
BlockPass::~BlockPass() = default;
ModelPass::~ModelPass() = default;

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> Pass::Decide(
    ModelView& model, PassContext& context) const {
  return std::unique_ptr<google::protobuf::Message>();
}

absl::Status Pass::Restructure(ModelView& model, const google::protobuf::Message* decision) const {
  return absl::OkStatus();
}

absl::Status Pass::ApplyPlan(ModelView& hollow, const google::protobuf::Message* decision) const {
  return absl::OkStatus();
}

PassEffect Pass::effect() const { return PassEffect::kNeutral; }

bool Pass::needs_samples() const { return false; }

absl::StatusOr<std::vector<std::string>> Pass::sampled_components(const ModelView& model) const {
  return std::vector<std::string>();
}

void Pass::FinishMetrics(std::map<std::string, double>& metrics) const {}

std::vector<std::string> Pass::Explain(const google::protobuf::Message* decision) const {
  return {};
}

absl::StatusOr<std::unique_ptr<Pass>> Pass::AtRound(double from, double to) const {
  return std::unique_ptr<Pass>();
}

bool BlockPass::Touches(const ModelView& model, absl::string_view block) const { return true; }

bool BlockPass::blocks_are_independent() const { return false; }

std::optional<StreamOptions> BlockPass::activations() const { return std::nullopt; }

absl::StatusOr<std::vector<std::string>> ModelPass::components(const ModelView& model) const {
  return std::vector<std::string>();
}

}  // namespace wanlite
