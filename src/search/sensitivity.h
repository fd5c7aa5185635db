// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How sensitive the end of a model's networks is to each choice of each item: what the passes share
// that search under a budget. They tell items and what choices do to a block; scores go into a scan
// file, and allocations are measured whole.
#ifndef WANLITE_SRC_SEARCH_SENSITIVITY_H_
#define WANLITE_SRC_SEARCH_SENSITIVITY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/search/network_trials.h"
#include "src/search/search_report.h"
#include "src/search/sensitivity_scan.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite {

// What is scored: a layer, a group, a block.
struct SensitivityItem {
  struct Choice {
    std::string key;   // of its score in the scan
    std::string what;  // for errors: "t.blocks.0.ffn.0 as int8"
    Trial::Edit edit;  // of the item's block; null: the block is left out
    // ChoiceScore::local_error, which the edit may still have to find out. Null: 0.
    std::shared_ptr<const double> local_error = nullptr;
  };
  std::string name;       // in the scan
  std::string component;  // one that the scan was opened with
  std::string block;
  std::vector<Choice> choices = {};
};

// The part of its network that runs from a block to the end, in blocks: what a trial costs.
double PartToEnd(const ModelView& model, absl::string_view block);

// While it lives its scan file is this run's.
class Sensitivity {
 public:
  // Runs the components as they are, on `samples` recorded passes each, and reads the scan file
  // where there is one; an empty path: "scan.json" in the pass's scratch folder. What is given must
  // outlive it. FailedPrecondition without samples of a component, and for a scan of something
  // else.
  static absl::StatusOr<std::unique_ptr<Sensitivity>> Open(ModelView& model, PassContext& context,
                                                           std::string pass,
                                                           const std::set<std::string>& components,
                                                           int64_t samples, std::string path);

  // Scores what the scan does not know yet, in the order of the blocks; the file is written after
  // every item. Choices of one item run side by side.
  absl::Status Score(const std::vector<SensitivityItem>& items);

  // The whole model in states that all run side by side: `change` adds to the trial what the i-th
  // does to a component.
  absl::StatusOr<std::vector<WholeError>> Measure(
      const std::vector<std::string>& names,
      const std::function<void(size_t i, const std::string& component, Trial& trial)>& change);

  // Walks through a component's blocks as the original does: `visit` gets each leased block
  // and the values of the first pass before it.
  absl::Status Walk(
      const std::string& component,
      const std::function<absl::Status(const BlockLease& block, const Values& values)>& visit);

  SensitivityScan& scan() { return scan_; }
  const SensitivityScan& scan() const { return scan_; }
  absl::Status WriteScanFile() const;
  // Rows that come to a layer in a forward pass, mean over the scored ones, in so many sequences;
  // 0 for one that does not run.
  int64_t RowsOf(absl::string_view linear) const;
  int64_t SequencesOf(absl::string_view linear) const;
  // The part of all forward passes that the component makes.
  double ShareOf(const std::string& component) const { return shares_.at(component); }
  // Passes that score, of the component that has most.
  int64_t passes() const;

 private:
  Sensitivity(PassContext& context, std::string pass) : context_(context), pass_(std::move(pass)) {}
  absl::Status ScoreComponent(const std::vector<SensitivityItem>& items,
                              const std::string& component, int64_t& done);
  std::vector<const SensitivityItem::Choice*> Missing(const SensitivityItem& item) const;

  PassContext& context_;
  const std::string pass_;
  std::string path_;
  std::unique_ptr<ScanLock> lock_;
  std::map<std::string, NetworkTrials> networks_;  // by component
  std::map<std::string, double> shares_;
  std::map<std::string, int64_t, std::less<>> rows_, sequences_;
  SensitivityScan scan_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_SEARCH_SENSITIVITY_H_
