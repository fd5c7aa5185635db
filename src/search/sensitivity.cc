// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {

double PartToEnd(const ModelView& model, absl::string_view block) {
  const Component* component = &model.ComponentOf(block);
  double before = 0, all = 0;
  for (const BlockInfo& info : model.blocks()) {
    if (&model.ComponentOf(info.path) != component) continue;
    if (info.path == block) before = all;
    all += 1;
  }
  return 1 - before / all;
}

absl::StatusOr<std::unique_ptr<Sensitivity>> Sensitivity::Open(
    ModelView& model, PassContext& context, std::string pass,
    const std::set<std::string>& components, int64_t samples, std::string path) {
  if (context.samples == nullptr) {
    return absl::FailedPreconditionError("needs recorded inputs of the model");
  }
  std::unique_ptr<Sensitivity> opened(new Sensitivity(context, std::move(pass)));
  SensitivityScan wanted;
  wanted.pass = opened->pass_;
  wanted.samples = context.samples->fingerprint();
  for (const std::string& name : components) {
    if (context.samples->size(name) == 0) {
      return absl::FailedPreconditionError(absl::StrCat("there are no samples of ", name));
    }
    ScannedComponent& component = wanted.components[name];
    component.passes = PickPasses(*context.samples, name, samples);
    WANLITE_ASSIGN_OR_RETURN(
        NetworkTrials network,
        NetworkTrials::Create(model, *context.samples, name, component.passes, context.cancel));
    WANLITE_ASSIGN_OR_RETURN(OriginalRun original, network.RunOriginal());
    component.weights_sha256 = std::move(original.weights_sha256);
    opened->rows_.insert(original.rows.begin(), original.rows.end());
    opened->sequences_.insert(original.sequences.begin(), original.sequences.end());
    opened->networks_.emplace(name, std::move(network));
  }
  opened->shares_ = SharesOfPasses(*context.samples, components);
  if (path.empty()) {
    WANLITE_ASSIGN_OR_RETURN(const std::string scratch, ScratchOf(context, opened->pass_));
    path = JoinPath(scratch, "scan.json");
  }
  opened->path_ = std::move(path);
  WANLITE_ASSIGN_OR_RETURN(opened->lock_, ScanLock::Take(*context.env, opened->path_));
  opened->scan_ = wanted;
  absl::StatusOr<SensitivityScan> known = ReadScan(*context.env, opened->path_);
  if (known.ok()) {
    WANLITE_RETURN_IF_ERROR(known->CheckSame(wanted, opened->path_));
    opened->scan_ = *std::move(known);
    opened->scan_.components.insert(wanted.components.begin(), wanted.components.end());
  } else if (!absl::IsNotFound(known.status())) {
    return known.status();
  }
  return opened;
}

absl::Status Sensitivity::WriteScanFile() const { return WriteScan(*context_.env, path_, scan_); }

int64_t Sensitivity::RowsOf(absl::string_view linear) const {
  const auto found = rows_.find(linear);
  return found == rows_.end() ? 0 : found->second;
}

int64_t Sensitivity::SequencesOf(absl::string_view linear) const {
  const auto found = sequences_.find(linear);
  return found == sequences_.end() ? 0 : found->second;
}

int64_t Sensitivity::passes() const {
  size_t most = 0;
  for (const auto& [name, network] : networks_) {
    most = std::max(most, scan_.components.at(name).passes.size());
  }
  return static_cast<int64_t>(most);
}

std::vector<const SensitivityItem::Choice*> Sensitivity::Missing(
    const SensitivityItem& item) const {
  std::vector<const SensitivityItem::Choice*> missing;
  const auto known = scan_.items.find(item.name);
  for (const SensitivityItem::Choice& choice : item.choices) {
    if (known == scan_.items.end() || !known->second.scores.contains(choice.key)) {
      missing.push_back(&choice);
    }
  }
  return missing;
}

absl::Status Sensitivity::Score(const std::vector<SensitivityItem>& items) {
  for (const SensitivityItem& item : items) {
    scan_.items[item.name].rows = RowsOf(item.name);
  }
  context_.progress->Begin(absl::StrCat(pass_, ": scores"), static_cast<int64_t>(items.size()));
  int64_t done = 0;
  for (const auto& [component, network] : networks_) {
    WANLITE_RETURN_IF_ERROR(ScoreComponent(items, component, done));
  }
  context_.progress->End();
  return absl::OkStatus();
}

absl::Status Sensitivity::ScoreComponent(const std::vector<SensitivityItem>& items,
                                         const std::string& component, int64_t& done) {
  NetworkTrials& network = networks_.at(component);
  std::map<size_t, std::vector<const SensitivityItem*>> missing;  // by the part they begin in
  for (const SensitivityItem& item : items) {
    if (item.component != component) continue;
    if (Missing(item).empty()) {
      ++done;
      continue;
    }
    const size_t part = network.PartOf(item.block);
    if (part == network.parts()) {
      return absl::FailedPreconditionError(
          absl::StrCat(item.name, ": its block is no step of the network's program"));
    }
    missing[part].push_back(&item);
  }
  Trial original{"the original", {}, {}, network.Inputs()};
  for (size_t part = 0; !missing.empty() && part <= missing.rbegin()->first; ++part) {
    for (const SensitivityItem* item : missing[part]) {
      const std::vector<const SensitivityItem::Choice*> choices = Missing(*item);
      std::vector<Trial> trials;
      std::vector<Trial*> running;
      for (const SensitivityItem::Choice* choice : choices) {
        Trial trial{choice->what, {}, {}, original.values};
        if (choice->edit) {
          trial.edits[item->block] = choice->edit;
        } else {
          trial.left_out.insert(item->block);
        }
        trials.push_back(std::move(trial));
      }
      for (Trial& trial : trials) running.push_back(&trial);
      WANLITE_RETURN_IF_ERROR(network.RunToEnd(part, running));
      for (size_t i = 0; i < trials.size(); ++i) {
        WANLITE_ASSIGN_OR_RETURN(const OutputError error, network.Score(trials[i]));
        const auto& local = choices[i]->local_error;
        scan_.items[item->name].scores[choices[i]->key] = {error.trajectory, error.pass,
                                                           local == nullptr ? 0 : *local};
      }
      WANLITE_RETURN_IF_ERROR(WriteScanFile());
      context_.progress->Update(++done, item->name);
    }
    WANLITE_RETURN_IF_ERROR(network.Run(part, {&original}));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WholeError>> Sensitivity::Measure(
    const std::vector<std::string>& names,
    const std::function<void(size_t i, const std::string& component, Trial& trial)>& change) {
  int64_t parts = 0, done = 0;
  for (const auto& [component, network] : networks_) {
    parts += static_cast<int64_t>(network.parts());
  }
  context_.progress->Begin(absl::StrCat(pass_, ": allocations"), parts);
  std::vector<WholeError> errors(names.size());
  for (auto& [component, network] : networks_) {
    std::vector<Trial> trials;
    std::vector<Trial*> running;
    for (size_t i = 0; i < names.size(); ++i) {
      Trial trial{absl::StrCat("the allocation '", names[i], "'"), {}, {}, network.Inputs()};
      change(i, component, trial);
      trials.push_back(std::move(trial));
    }
    for (Trial& trial : trials) running.push_back(&trial);
    for (size_t part = 0; part < network.parts(); ++part) {
      WANLITE_RETURN_IF_ERROR(network.Run(part, running));
      context_.progress->Update(++done, network.block(part));
    }
    for (size_t i = 0; i < names.size(); ++i) {
      const absl::StatusOr<OutputError> score = network.Score(trials[i]);
      const double infinite = std::numeric_limits<double>::infinity();
      const double error = score.ok() ? shares_.at(component) * score->trajectory : infinite;
      errors[i].trajectory += error * error;
      if (const double worst = score.ok() ? score->worst_pass : infinite;
          worst > errors[i].worst_pass) {
        errors[i].worst_pass = worst;
        errors[i].worst_timestep = score.ok() ? score->worst_timestep : 0;
      }
    }
  }
  context_.progress->End();
  for (WholeError& error : errors) error.trajectory = std::sqrt(error.trajectory);
  return errors;
}

absl::Status Sensitivity::Walk(
    const std::string& component,
    const std::function<absl::Status(const BlockLease& block, const Values& values)>& visit) {
  NetworkTrials& network = networks_.at(component);
  Trial first{"the original", {}, {}, {network.Inputs().front()}};
  for (size_t part = 0; part < network.parts(); ++part) {
    WANLITE_RETURN_IF_ERROR(network.Run(
        part, {&first}, [&](const BlockLease& lease) { return visit(lease, first.values[0]); }));
  }
  return absl::OkStatus();
}

}  // namespace wanlite
