// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/calibration/sample_tap.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Notes who reads which tensor. A handle of the last input is kept, not for its values, but so that
// no other tensor can take its place in memory: the same handle is then the same input.
class GroupingTap : public LinearTap {
 public:
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override {
    const int64_t version = x.is_inference() ? 0 : static_cast<int64_t>(x._version());
    if (!last_.is_same(x) || version != version_) groups.emplace_back();
    last_ = x;
    version_ = version;
    // A layer that runs again reads what it read at first, or has no input of its own.
    if (seen_.insert(linear.path).second) groups.back().push_back(linear.path);
  }
  std::vector<std::vector<std::string>> groups;

 private:
  at::Tensor last_;
  int64_t version_ = 0;
  std::set<std::string> seen_;
};

}  // namespace

std::vector<int64_t> TimestepBins(const std::vector<double>& timesteps, int64_t bins) {
  const std::set<double> distinct(timesteps.begin(), timesteps.end());
  const int64_t count = static_cast<int64_t>(distinct.size());
  const int64_t parts = std::min(bins, count);
  std::vector<int64_t> result;
  for (const double timestep : timesteps) {
    const int64_t rank = std::distance(distinct.begin(), distinct.find(timestep));
    result.push_back(rank * parts / count);
  }
  return result;
}

at::Tensor InputRows(const LinearInfo& linear, const at::Tensor& x) {
  at::Tensor rows = x.detach().to(at::kFloat).reshape({-1, x.size(-1)}).contiguous();
  TORCH_CHECK_VALUE(rows.isfinite().all().item<bool>(), linear.path,
                    ": a NaN or an infinity is among its inputs");
  return rows;
}

absl::StatusOr<std::vector<std::vector<std::string>>> InputGroups(const ModelView& model,
                                                                  const BlockLease& block,
                                                                  const ActivationStream& stream) {
  const at::NoGradGuard no_grad;
  GroupingTap tap;
  WANLITE_ASSIGN_OR_RETURN(const TapGuard guard, TapLinears(model, block.block(), tap));
  WANLITE_RETURN_IF_ERROR(stream.Run(block, 0).status());
  return std::move(tap.groups);
}

absl::Status RunTapped(const ModelView& model, const BlockLease& block,
                       const ActivationStream& stream, int64_t timestep_bins, SampleTap& tap,
                       const CancellationToken* cancel) {
  const at::NoGradGuard no_grad;
  std::vector<double> timesteps;
  for (int64_t i = 0; i < stream.size(); ++i) timesteps.push_back(stream.sample(i).timestep);
  const std::vector<int64_t> bins = TimestepBins(timesteps, timestep_bins);
  WANLITE_ASSIGN_OR_RETURN(const TapGuard guard, TapLinears(model, block.block(), tap));
  for (int64_t i = 0; i < stream.size(); ++i) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
    tap.BeginSample(stream.sample(i).weight, bins[static_cast<size_t>(i)]);
    const absl::Status run = stream.Run(block, i).status();
    if (!run.ok()) return Annotate(run, absl::StrCat("sample ", i));
  }
  return absl::OkStatus();
}

absl::Status UnreachedError(const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": no sample reaches it; its inputs are not known"));
}

absl::Status ForEachInput(
    const ModelView& model, const BlockLease& block, const std::vector<LinearInfo>& linears,
    const ActivationStream* stream,
    const std::function<absl::Status(const std::vector<std::string>& readers)>& work) {
  std::set<std::string> left;
  for (const LinearInfo& linear : linears) left.insert(linear.path);
  std::vector<std::vector<std::string>> groups;
  if (stream != nullptr && !left.empty()) {
    WANLITE_ASSIGN_OR_RETURN(groups, InputGroups(model, block, *stream));
  }
  for (const std::vector<std::string>& group : groups) {
    std::vector<std::string> readers;
    for (const std::string& path : group) {
      if (left.erase(path) > 0) readers.push_back(path);
    }
    if (!readers.empty()) WANLITE_RETURN_IF_ERROR(work(readers));
  }
  return left.empty() ? absl::OkStatus() : UnreachedError(*left.begin());
}

}  // namespace wanlite
