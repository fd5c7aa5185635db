// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

int64_t BytesOf(const at::Tensor& tensor) {
  return tensor.numel() * static_cast<int64_t>(tensor.element_size());
}

// A linear's weight, whatever tensors it consists of, or a tensor that is no part of one.
struct Part {
  std::string kind;   // "dense fp32", "int8", "fp32"
  std::string shape;  // "[12, 8]"
  int64_t bytes = 0;
  int64_t parameters = 0;
};

struct Structure {
  std::vector<std::string>
      paths;  // linears and embeddings, then tensors, each in the model's order
  std::map<std::string, Part> parts;
  int64_t bytes = 0;
  int64_t parameters = 0;

  void Add(const std::string& path, Part part) {
    bytes += part.bytes;
    parameters += part.parameters;
    paths.push_back(path);
    parts.emplace(path, std::move(part));
  }
};

// What the blocks of a model are called, by what they were called in the first place.
std::map<std::string, std::string> NamesByOrigin(const ModelView& model) {
  std::map<std::string, std::string> names;
  for (const BlockInfo& block : model.blocks()) names[block.origin] = block.path;
  return names;
}

// names: of the model that this one was made of. Blocks have these, so that one that got another
// number is still the same one.
absl::StatusOr<Structure> StructureOf(const ModelView& model,
                                      const std::map<std::string, std::string>& names) {
  std::map<std::string, std::string> renamed;  // block -> its name before
  for (const BlockInfo& block : model.blocks()) {
    const auto name = names.find(block.origin);
    if (name == names.end() || name->second == block.path) continue;
    renamed[block.path] = name->second;
  }
  const auto name_of = [&](const std::string& path) {
    const auto found = renamed.find(model.BlockOf(path));
    if (found == renamed.end()) return path;
    return absl::StrCat(found->second, path.substr(found->first.size()));
  };
  Structure structure;
  std::set<std::string> of_weights;
  for (const LinearInfo& linear : model.weights()) {
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* weight, model.Weight(linear.path));
    Part part;
    const auto state = weight->State();
    for (const auto& named : state) {
      part.bytes += BytesOf(named.tensor);
      of_weights.insert(absl::StrCat(linear.path, ".", named.name));
    }
    part.kind = weight->dense() != nullptr
                    ? absl::StrCat("dense ", DtypeName(weight->dense()->scalar_type()))
                    : FormatText(*weight);
    part.shape = absl::StrCat("[", weight->out_features(), ", ", weight->in_features(), "]");
    part.parameters = weight->parameters();
    structure.Add(name_of(linear.path), std::move(part));
  }
  for (const NamedTensor& named : model.Tensors()) {
    if (of_weights.contains(named.name)) continue;
    structure.Add(name_of(named.name),
                  {DtypeName(named.tensor.scalar_type()),
                   absl::StrCat("[", absl::StrJoin(named.tensor.sizes(), ", "), "]"),
                   BytesOf(named.tensor), named.tensor.numel()});
  }
  return structure;
}

std::string Difference(const Part& before, const Part& after) {
  const std::string kind =
      before.kind == after.kind ? "" : absl::StrCat(before.kind, " -> ", after.kind);
  const std::string shape =
      before.shape == after.shape ? "" : absl::StrCat(before.shape, " -> ", after.shape);
  return absl::StrCat(kind, kind.empty() || shape.empty() ? "" : ", ", shape);
}

std::vector<PlannedChange> Compare(const Structure& before, const Structure& after,
                                   const PassNotes& notes) {
  std::map<std::string, std::string> words(notes.value_changes.begin(), notes.value_changes.end());
  std::vector<PlannedChange> changes;
  for (const std::string& path : before.paths) {
    const Part& old = before.parts.at(path);
    const auto now = after.parts.find(path);
    const Part left = now == after.parts.end() ? Part() : now->second;
    std::vector<std::string> what;
    if (now == after.parts.end()) {
      what.push_back("removed");
    } else if (const std::string text = Difference(old, left); !text.empty()) {
      what.push_back(text);
    }
    if (const auto own = words.find(path); own != words.end()) {
      what.push_back(own->second);
      words.erase(own);
    }
    if (what.empty()) continue;
    changes.push_back(
        {path, absl::StrJoin(what, "; "), old.bytes, left.bytes, old.parameters, left.parameters});
  }
  for (const std::string& path : after.paths) {
    if (before.parts.contains(path)) continue;
    const Part& made = after.parts.at(path);
    changes.push_back({path, absl::StrCat("new: ", made.kind, " ", made.shape), 0, made.bytes, 0,
                       made.parameters});
  }
  // Of groups, or whatever else the pass has words for.
  for (const auto& [path, text] : notes.value_changes) {
    if (words.erase(path) > 0) changes.push_back({path, text});
  }
  return changes;
}

// Stored bytes of the blocks, by their names in the first place.
std::map<std::string, int64_t> BlockBytes(const ModelView& model) {
  std::map<std::string, int64_t> bytes;
  for (const BlockInfo& block : model.blocks()) {
    for (const NamedTensor& named : model.BlockTensors(block.path)) {
      bytes[block.origin] += BytesOf(named.tensor);
    }
  }
  return bytes;
}

// A block is in memory as it was read, and then as the pass leaves it, while the one before it is
// being written (unless activations stream, which wait for that).
int64_t PeakOfBlocks(const std::map<std::string, int64_t>& before, const ModelView& after,
                     int64_t scratch, bool writes_behind) {
  const std::map<std::string, int64_t> left = BlockBytes(after);
  int64_t peak = 0, in_writing = 0;
  for (const BlockInfo& block : after.blocks()) {
    const auto found = before.find(block.origin);
    const int64_t read = found == before.end() ? 0 : found->second;
    const int64_t written = left.at(block.origin);
    peak = std::max(peak, in_writing + std::max(read, written) + scratch);
    in_writing = writes_behind ? written : 0;
  }
  return peak;
}

}  // namespace

absl::StatusOr<PassPlan> PlanOnto(const Pass& pass, const google::protobuf::Message* decision,
                                  ModelView& hollow) {
  const auto plan_onto = [&]() -> absl::StatusOr<PassPlan> {
    WANLITE_ASSIGN_OR_RETURN(PassNotes notes, pass.Plan(hollow));
    const std::map<std::string, std::string> names = NamesByOrigin(hollow);
    WANLITE_ASSIGN_OR_RETURN(const Structure before, StructureOf(hollow, names));
    const std::map<std::string, int64_t> block_bytes = BlockBytes(hollow);
    WANLITE_RETURN_IF_ERROR(pass.Restructure(hollow, decision));
    WANLITE_RETURN_IF_ERROR(pass.ApplyPlan(hollow, decision));
    WANLITE_ASSIGN_OR_RETURN(const Structure after, StructureOf(hollow, names));
    PassPlan plan;
    plan.pass = std::string(pass.name());
    plan.estimated = !notes.exact && decision == nullptr;
    plan.changes = Compare(before, after, notes);
    plan.bytes_before = before.bytes;
    plan.bytes_after = after.bytes;
    plan.parameters_before = before.parameters;
    plan.parameters_after = after.parameters;
    plan.peak_memory_bytes = notes.peak_memory_bytes;
    if (const auto* blocks = dynamic_cast<const BlockPass*>(&pass)) {
      plan.peak_memory_bytes =
          std::max(plan.peak_memory_bytes,
                   PeakOfBlocks(block_bytes, hollow, notes.block_scratch_bytes,
                                /*writes_behind=*/!blocks->activations().has_value()));
    }
    plan.trainings = std::move(notes.trainings);
    plan.notes = std::move(notes.notes);
    return plan;
  };
  absl::StatusOr<PassPlan> plan = CatchTorch(plan_onto);
  if (!plan.ok()) return Annotate(plan.status(), pass.name());
  return plan;
}

std::vector<std::string> OrderWatch::Next(const RecipeStage& stage) {
  switch (stage.pass->effect()) {
    case PassEffect::kNeutral:
      return {};
    case PassEffect::kPrunes:
      unrecovered_ = stage.label;
      return {};
    case PassEffect::kRecovers:
      unrecovered_.clear();
      return {};
    case PassEffect::kDistilsSteps:
      break;
  }
  if (unrecovered_.empty()) return {};
  return {absl::StrCat(
      "distils steps of what ", unrecovered_,
      " has left, with no recovery between them: a student that starts where pruning has put it, ",
      "away from the data, is known to collapse; put a short recover, or training on data, before "
      "it")};
}

}  // namespace wanlite
