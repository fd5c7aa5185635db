// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/value_pairs.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/model/block_steps.h"
#include "src/model/rest_block.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite::distill {
namespace {

// A block of a component, by its path and by the one it had at first, both inside the component.
struct PlacedBlock {
  std::string path, origin;
  size_t last_step = 0;
  std::set<std::string> changes;
};

std::string Inside(absl::string_view path, absl::string_view component) {
  if (!component.empty() && absl::ConsumePrefix(&path, component)) absl::ConsumePrefix(&path, ".");
  return std::string(path);
}

// Of the component's program, without its rest, in the order in which they run.
absl::StatusOr<std::vector<PlacedBlock>> PlacedBlocks(const ModelView& model,
                                                      const std::string& component,
                                                      absl::string_view whose) {
  const Component* found = model.FindComponent(component);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("the ", whose, " has no component '", component, "'"));
  }
  if (ProgramOf(*found) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("the ", whose, "'s component '", component,
                                                      "' of architecture ", found->architecture,
                                                      " declares no block program"));
  }
  std::map<std::string, std::string> origins;
  for (const BlockInfo& block : model.blocks()) {
    origins[block.path] = block.origin.empty() ? block.path : block.origin;
  }
  std::vector<PlacedBlock> blocks;
  for (const BlockSteps& steps : BlockStepsOf(*found)) {
    if (steps.block == RestBlock(component)) continue;
    blocks.push_back({Inside(steps.block, component), Inside(origins[steps.block], component),
                      steps.end - 1, steps.changes});
  }
  return blocks;
}

const PlacedBlock* FindBlock(const std::vector<PlacedBlock>& blocks, const std::string& path) {
  const auto found = std::find_if(blocks.begin(), blocks.end(),
                                  [&](const PlacedBlock& block) { return block.path == path; });
  return found == blocks.end() ? nullptr : &*found;
}

// For each block of the student the teacher's last one before the next that the student has.
absl::StatusOr<std::vector<size_t>> MatchBlocks(const std::vector<PlacedBlock>& own,
                                                const std::vector<PlacedBlock>& taught,
                                                const std::string& teacher) {
  std::vector<size_t> places;
  for (const PlacedBlock& block : own) {
    const auto same = std::find_if(taught.begin(), taught.end(), [&](const PlacedBlock& other) {
      return other.origin == block.origin;
    });
    if (same == taught.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the teacher has no block ", teacher.empty() ? "" : teacher + ".",
                       block.origin, ", which ", block.path, " of the model has been"));
    }
    const auto place = static_cast<size_t>(same - taught.begin());
    if (!places.empty() && place <= places.back()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the teacher has ", same->path, " before ", taught[places.back()].path,
                       ", the model has them the other way round"));
    }
    places.push_back(place);
  }
  std::vector<size_t> last;
  for (size_t i = 0; i < places.size(); ++i) {
    last.push_back(i + 1 < places.size() ? places[i + 1] - 1 : taught.size() - 1);
  }
  return last;
}

}  // namespace

absl::Status CheckPairs(const ModelView& student, const std::string& component,
                        const ValuePairs& pairs, const std::string& field) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<PlacedBlock> blocks,
                           PlacedBlocks(student, component, "student"));
  std::set<std::string> made;
  for (const BlockProgram::Step& step : ProgramOf(*student.FindComponent(component))->Steps()) {
    made.insert(step.changes.begin(), step.changes.end());
  }
  for (int i = 0; i < pairs.size(); ++i) {
    if (FindBlock(blocks, pairs[i].block()) == nullptr) {
      return OptionError(absl::StrCat(field, "[", i, "].block"),
                         absl::StrCat("'", pairs[i].block(), "' is no block of ", component));
    }
    if (!pairs[i].value().empty() && !made.contains(pairs[i].value())) {
      return OptionError(
          absl::StrCat(field, "[", i, "].value"),
          absl::StrCat("'", pairs[i].value(), "' is no value that ", component, " makes"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ComparedValue>> MatchValues(const ModelView& student,
                                                       const std::string& component,
                                                       const ModelView& teacher,
                                                       const std::vector<std::string>& teachers,
                                                       const ValuePairs& pairs) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<PlacedBlock> own,
                           PlacedBlocks(student, component, "student"));
  std::vector<std::vector<PlacedBlock>> taught;
  std::vector<std::optional<std::vector<size_t>>> matched(teachers.size());
  for (const std::string& name : teachers) {
    WANLITE_ASSIGN_OR_RETURN(taught.emplace_back(), PlacedBlocks(teacher, name, "teacher"));
  }
  ValuePairs wanted = pairs;
  if (wanted.empty()) {
    for (const PlacedBlock& block : own) wanted.Add()->set_block(block.path);
  }
  std::vector<ComparedValue> compared;
  for (const ValuePair& pair : wanted) {
    const PlacedBlock* block = FindBlock(own, pair.block());
    if (block == nullptr) {
      return absl::NotFoundError(absl::StrCat("'", pair.block(), "' is no block of ", component));
    }
    std::vector<size_t> steps;
    std::vector<std::string> names;
    for (size_t i = 0; i < teachers.size(); ++i) {
      if (!pair.teacher_block().empty()) {
        const PlacedBlock* other = FindBlock(taught[i], pair.teacher_block());
        if (other == nullptr) {
          return absl::FailedPreconditionError(absl::StrCat(
              "'", pair.teacher_block(), "' is no block of the teacher's ", teachers[i]));
        }
        steps.push_back(other->last_step);
        names.push_back(other->path);
        continue;
      }
      if (!matched[i].has_value()) {
        WANLITE_ASSIGN_OR_RETURN(matched[i], MatchBlocks(own, taught[i], teachers[i]));
      }
      const PlacedBlock& other = taught[i][(*matched[i])[static_cast<size_t>(block - own.data())]];
      steps.push_back(other.last_step);
      names.push_back(other.path);
    }
    std::vector<std::string> values = {pair.value()};
    if (pair.value().empty()) values.assign(block->changes.begin(), block->changes.end());
    for (const std::string& value : values) {
      compared.push_back({value, block->last_step, steps, names});
    }
  }
  return compared;
}

}  // namespace wanlite::distill
