// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/training_cost.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/train/tensor_exchange.h"

namespace wanlite {

absl::Status CheckProcesses(const TrainingNote& note, int processes) {
  if (processes >= 1 && note.pieces % processes == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(note.component, ": ", processes, " processes cannot share the ", note.pieces,
                   " pieces of a batch: loop.accumulate must be a multiple of their number"));
}

TrainingCost CostOf(const TrainingNote& note, const TrainingPlace& place) {
  constexpr int64_t kFloat = 4, kBf16 = 2;
  const int64_t ranks = std::max(1, place.processes);
  TrainingCost cost;
  // With autocast, the weights of linears once more.
  cost.weights = note.values * (kFloat + (note.bf16 ? kBf16 : 0));
  cost.gradients = note.trained * kFloat;
  if (note.pieces > ranks) cost.gradients *= 2;  // the sum, and those of one more piece
  cost.optimizer = (note.optimizer + ranks - 1) / ranks * kFloat;
  if (!note.teacher.empty()) {
    cost.teacher = kFloat * (note.teacher_values > 0 ? note.teacher_values : place.teacher_values);
  }
  const double samples = static_cast<double>(note.batch) / static_cast<double>(note.pieces);
  const auto bytes = [&](const TokenBytes& tokens) {
    return tokens.Of(place.video_tokens, place.text_tokens);
  };
  const double kept = note.recompute ? bytes(note.between_blocks) : bytes(note.all_blocks);
  cost.activations = static_cast<int64_t>(samples * (kept + bytes(note.largest_block)));

  const auto trained = static_cast<double>(note.trained * kFloat);
  const auto others = static_cast<double>(ranks - 1);
  cost.sent_per_step = static_cast<int64_t>(2 * trained * others / static_cast<double>(ranks));
  // Bytes of the group's buckets: what is packed, and at the owner what comes from each.
  if (ranks > 1) cost.gradients += (ranks + 1) * train::kBucketBytes;

  const double passes = note.recompute ? 4 : 3;
  cost.step_ops = static_cast<double>(note.batch) *
                  (passes * place.forward_ops + (note.teacher.empty() ? 0 : place.teacher_ops));
  if (place.tflops > 0) {
    cost.seconds = static_cast<double>(note.steps) * cost.step_ops /
                   (static_cast<double>(ranks) * place.tflops * 1e12);
  }
  return cost;
}

}  // namespace wanlite
