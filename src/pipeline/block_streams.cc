// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/block_streams.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/model/rest_block.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {

bool NeedSamples(const std::vector<const Pass*>& passes) {
  return std::any_of(passes.begin(), passes.end(),
                     [](const Pass* pass) { return pass->needs_samples(); });
}

absl::Status CheckSamplesFor(absl::string_view who, const ModelView& hollow,
                             const SampleSet* samples) {
  if (samples == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        who,
        ": needs recorded inputs of the model: make them with wanlite record and give their folder "
        "(wanlite compress --samples)"));
  }
  return Annotate(samples->CheckFits(hollow), who);
}

absl::Status CheckSamplesOf(const Pass& pass, const ModelView& hollow, const SampleSet* samples) {
  if (!pass.needs_samples()) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(CheckSamplesFor(pass.name(), hollow, samples));
  const absl::StatusOr<std::vector<std::string>> wanted = pass.sampled_components(hollow);
  if (!wanted.ok()) return Annotate(wanted.status(), pass.name());
  for (const std::string& component : *wanted) {
    if (samples->size(component) > 0) continue;
    return absl::FailedPreconditionError(absl::StrCat(pass.name(), ": needs recorded inputs of '",
                                                      component,
                                                      "', and the sample set has none of it"));
  }
  const auto* block_pass = dynamic_cast<const BlockPass*>(&pass);
  if (block_pass == nullptr || !block_pass->activations().has_value()) return absl::OkStatus();
  for (const BlockInfo& block : hollow.blocks()) {
    const std::string& component = hollow.ComponentOf(block.path).name;
    if (samples->size(component) > 0 || !block_pass->Touches(hollow, block.path)) continue;
    return absl::FailedPreconditionError(absl::StrCat(pass.name(), ": changes ", block.path,
                                                      ", and the sample set has none of '",
                                                      component, "'"));
  }
  return absl::OkStatus();
}

absl::Status CheckSamples(const std::vector<const Pass*>& passes, const ModelView& hollow,
                          const SampleSet* samples) {
  for (const Pass* pass : passes) {
    WANLITE_RETURN_IF_ERROR(CheckSamplesOf(*pass, hollow, samples));
  }
  return absl::OkStatus();
}

absl::StatusOr<BlockStreams> BlockStreams::Open(const BlockPass& pass, const ModelView& model,
                                                const PassContext& context,
                                                const std::vector<bool>& touched,
                                                const std::vector<bool>& done) {
  BlockStreams streams(model, context.cancel);
  const std::optional<StreamOptions> options = pass.activations();
  if (!options.has_value()) return streams;
  if (context.samples == nullptr) {
    return absl::FailedPreconditionError("needs recorded inputs of the model");
  }
  WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, pass.name()));
  const std::vector<BlockInfo>& blocks = model.blocks();
  for (const wanlite::Component& part : model.components()) {
    if (context.samples->size(part.name) == 0) continue;
    Component component;
    const std::string dir = JoinPath(scratch, absl::StrCat("activations-", RestBlock(part.name)));
    WANLITE_ASSIGN_OR_RETURN(
        component.stream,
        ActivationStream::Open(*context.env, dir, model, *context.samples, part.name, *options));
    // The first block that is left to do, and the last one that the pass changes.
    std::optional<size_t> undone, last;
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (model.ComponentOf(blocks[i].path).name != part.name ||
          !component.stream->Covers(blocks[i].path)) {
        continue;
      }
      component.blocks.push_back(i);
      if (!touched[i]) continue;
      last = i;
      if (!done[i] && !undone.has_value()) undone = i;
    }
    if (!undone.has_value()) {
      WANLITE_RETURN_IF_ERROR(component.stream->Remove());
      continue;
    }
    // From the nearest block before it whose inputs are there. Each block is published after its
    // successor's are, so that is as a rule the block itself; else those from there on run again,
    // as they did.
    std::optional<size_t> first;
    for (const size_t i : component.blocks) {
      if (i <= *undone && component.stream->CanEnter(blocks[i].path)) first = i;
    }
    if (!first.has_value()) {
      return absl::InternalError(
          absl::StrCat("the blocks of ", part.name, " are not in the order of its program"));
    }
    component.first = *first;
    component.last = *last;
    streams.components_.push_back(std::move(component));
  }
  return streams;
}

const BlockStreams::Component* BlockStreams::Find(size_t block) const {
  for (const Component& component : components_) {
    if (block < component.first || block > component.last) continue;
    if (std::binary_search(component.blocks.begin(), component.blocks.end(), block)) {
      return &component;
    }
  }
  return nullptr;
}

absl::StatusOr<ActivationStream*> BlockStreams::Enter(size_t block) {
  const Component* component = Find(block);
  if (component == nullptr) return nullptr;
  WANLITE_RETURN_IF_ERROR(component->stream->Enter(model_->blocks()[block].path));
  return component->stream.get();
}

absl::Status BlockStreams::BeforeEdit(size_t block, const BlockLease& lease) {
  const Component* component = Find(block);
  return component == nullptr ? absl::OkStatus()
                              : component->stream->AdvanceReference(lease, cancel_);
}

absl::Status BlockStreams::AfterEdit(size_t block, const BlockLease& lease) {
  const Component* component = Find(block);
  // Behind the last block that the pass changes nobody asks for activations.
  if (component == nullptr || block == component->last) return absl::OkStatus();
  return component->stream->Advance(lease, cancel_);
}

absl::Status BlockStreams::Published(size_t block) {
  const Component* component = Find(block);
  if (component == nullptr || block != component->last) return absl::OkStatus();
  return component->stream->Remove();
}

}  // namespace wanlite
