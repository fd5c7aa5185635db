// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pruning/drop_blocks_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/search/search_report.h"

namespace wanlite {
namespace {

std::string TimestepText(double timestep) { return absl::StrFormat("%.4g", timestep); }

const char* ScoreText(DropBlocksOptions::Score score) {
  switch (score) {
    case DropBlocksOptions::INFLUENCE:
      return "by influence, 1 - the cosine of a block's input and output";
    case DropBlocksOptions::OUTPUT_ERROR:
      return "by the error at the end of the network without each block, a part of its output";
    case DropBlocksOptions::OUTPUT_ERROR_GREEDY:
      return "by the error at the end of the network, a part of its output, one block after the "
             "other";
    case DropBlocksOptions::LEARNED:
      return "learned with low-rank updates in the loop";
    case DropBlocksOptions::RANDOM:
      return "at random";
    default:
      return "by the norm of their weights";
  }
}

TextTable ScoreRows(const DroppedBlocks& found) {
  const bool by_timestep = !found.passes.empty();
  const bool greedy = found.by == DropBlocksOptions::OUTPUT_ERROR_GREEDY;
  TextTable rows{{"block", "score"}};
  if (by_timestep) {
    rows[0].push_back("at the worst timestep");
    rows[0].push_back("which is");
  }
  rows[0].push_back("");
  for (size_t i = 0; i < found.scores.size(); ++i) {
    const std::string& block = found.blocks.removable[i];
    const BlockScore& score = found.scores[i];
    std::vector<std::string> row{block, ErrorText(score.mean)};
    if (by_timestep) {
      row.push_back(ErrorText(score.worst));
      row.push_back(TimestepText(score.worst_timestep));
    }
    std::string fate = found.dropped.contains(block) ? "dropped" : "kept";
    if (greedy && found.dropped.contains(block)) {
      const auto at = std::find(found.order.begin(), found.order.end(), block);
      absl::StrAppend(&fate, " as number ", at - found.order.begin() + 1);
    }
    row.push_back(std::move(fate));
    rows.push_back(std::move(row));
  }
  return rows;
}

TextTable LearnedRows(const DroppedBlocks& found) {
  TextTable rows{{"block", "group", "stays with probability", ""}};
  for (size_t g = 0; g < found.groups.size(); ++g) {
    const DepthGroup& group = found.groups[g];
    for (size_t i = 0; i < group.blocks.size(); ++i) {
      rows.push_back({group.blocks[i],
                      absl::StrCat(g, ", keeps ", group.keep, " of ", group.blocks.size()),
                      absl::StrFormat("%.3f", found.learned.stays[g][i]),
                      found.dropped.contains(group.blocks[i]) ? "dropped" : "kept"});
    }
  }
  return rows;
}

// The random choice of the least error; null without any.
const OutputError* BestRandom(const DroppedBlocks& found) {
  const OutputError* best = nullptr;
  for (size_t i = 0; i < found.choices.size(); ++i) {
    if (!absl::StartsWith(found.choices[i].name, "random")) continue;
    if (best == nullptr || found.errors[i].trajectory < best->trajectory) best = &found.errors[i];
  }
  return best;
}

std::string VerdictOn(const DroppedBlocks& found) {
  const OutputError* random = BestRandom(found);
  if (random == nullptr) return "there is no other choice of as many blocks to compare with";
  const double error = found.errors.front().trajectory;
  const std::string figures =
      absl::StrCat("found ", ErrorText(error), ", the best of the random choices ",
                   ErrorText(random->trajectory));
  if (error < random->trajectory) return figures;
  if (found.by == DropBlocksOptions::LEARNED) {
    return absl::StrCat(figures,
                        ": right after the cut chance does as well, which says little of what each "
                        "becomes once it has recovered");
  }
  return absl::StrCat("NOT BETTER THAN CHANCE: ", figures,
                      ". Blocks together do not err as each alone; try OUTPUT_ERROR_GREEDY, or "
                      "more samples");
}

}  // namespace

std::vector<std::string> ExplainDroppedBlocks(const DroppedBlocks& found) {
  std::vector<std::string> lines;
  std::string head =
      absl::StrCat(NetworkText(found.blocks.component), ": ", found.count, " of ",
                   found.blocks.all.size(), " blocks ", found.count == 1 ? "goes" : "go");
  if (found.count == 0) return {head};
  absl::StrAppend(&head, ", ", ScoreText(found.by));
  const bool learned = found.by == DropBlocksOptions::LEARNED;
  if (!found.passes.empty() && !learned) {
    absl::StrAppend(
        &head, "; ", found.passes.size(), " recorded forward passes, ",
        found.worst_counts ? "the worst timestep decides" : "their weighted mean decides");
  }
  lines.push_back(std::move(head));
  AddTable(learned ? LearnedRows(found) : ScoreRows(found), lines);
  if (learned) {
    lines.push_back(absl::StrCat(
        "with the updates that were trained along, which are thrown away, the error of the found "
        "choice is ",
        ErrorText(found.learned.recovered_error), "; probabilities of the choices made: ",
        absl::StrJoin(found.learned.sureness, ", ", [](std::string* out, double sure) {
          absl::StrAppend(out, absl::StrFormat("%.3f", sure));
        })));
  }
  if (found.errors.empty()) return lines;
  TextTable rows{{"right after the cut", "error", "worst pass", "at timestep", "without"}};
  for (size_t i = 0; i < found.choices.size(); ++i) {
    const OutputError& error = found.errors[i];
    std::vector<std::string> without;
    for (const std::string& block : found.blocks.removable) {
      if (found.choices[i].left_out.contains(block)) {
        without.push_back(PathBelow(found.blocks.component, block));
      }
    }
    rows.push_back({found.choices[i].name, ErrorText(error.trajectory), ErrorText(error.worst_pass),
                    TimestepText(error.worst_timestep), absl::StrJoin(without, " ")});
  }
  AddTable(rows, lines);
  lines.push_back(VerdictOn(found));
  return lines;
}

void SetDroppedBlocksMetrics(const DroppedBlocks& found, std::map<std::string, double>& metrics) {
  metrics["dropped_blocks"] += static_cast<double>(found.count);
  if (found.errors.empty()) return;
  metrics["error_found"] += found.errors.front().trajectory;
  const OutputError* random = BestRandom(found);
  if (random != nullptr && std::isfinite(random->trajectory)) {
    metrics["error_random_best"] += random->trajectory;
  }
}

}  // namespace wanlite
