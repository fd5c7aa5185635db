// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/training_log.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

constexpr uint64_t kMaxLogBytes = uint64_t{1} << 30;

nlohmann::ordered_json LogNumber(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

std::string LogLine(const StepReport& step) {
  nlohmann::ordered_json json = {{"step", step.step}, {"loss", LogNumber(step.loss)}};
  nlohmann::ordered_json terms = nlohmann::ordered_json::object();
  for (const auto& [name, value] : step.terms) terms[name] = LogNumber(value);
  json["terms"] = std::move(terms);
  json["rate"] = step.rate;
  json["gradient_norm"] = LogNumber(step.gradient_norm);
  if (step.skipped) json["skipped"] = true;
  return json.dump() + "\n";
}

// The whole lines of steps before `first`.
std::string LinesBefore(absl::string_view text, int64_t first) {
  std::string kept;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const auto json = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
    const bool whole =
        json.is_object() && json.contains("step") && json["step"].is_number_integer();
    if (!whole || json["step"].get<int64_t>() >= first) break;
    absl::StrAppend(&kept, line, "\n");
  }
  return kept;
}

}  // namespace

void TrainingLog::Add(const StepReport& step) {
  if (!begun_) {
    begun_ = true;
    if (step.step > 0 && env_.FileExists(path_)) {
      const absl::StatusOr<std::string> text = env_.ReadFile(path_, kMaxLogBytes);
      read_ = text.status();
      if (text.ok()) text_ = LinesBefore(*text, step.step);
    }
  }
  text_ += LogLine(step);
  changed_ = true;
}

absl::Status TrainingLog::Flush() {
  WANLITE_RETURN_IF_ERROR(read_);
  if (!changed_) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(env_.CreateFolders(Dirname(path_)));
  WANLITE_RETURN_IF_ERROR(env_.WriteFileAtomically(path_, text_));
  changed_ = false;
  return absl::OkStatus();
}

absl::Status TrainingLog::Observe(const StepReport& step, const LoopOptions& options,
                                  const CancellationToken* cancel) {
  Add(step);
  const bool due = (options.state_every > 0 && (step.step + 1) % options.state_every == 0) ||
                   step.step + 1 == options.steps || (cancel != nullptr && cancel->cancelled());
  return due ? Flush() : absl::OkStatus();
}

}  // namespace wanlite::train
