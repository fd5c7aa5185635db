// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/input_statistics.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/calibration/input_moments.h"
#include "src/core/libtorch.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
absl::Status ResolveCalibration(Calibration& calibration, absl::string_view field) {
  const auto name = [&](const char* leaf) { return absl::StrCat(field, ".", leaf); };
  if (!Calibration::Method_IsValid(calibration.method())) {
    return OptionError(name("method"), absl::StrCat(static_cast<int>(calibration.method()),
                                                    " is not MIN_MAX, PERCENTILE, MSE or ENTROPY"));
  }
  if (calibration.method() == Calibration::PERCENTILE) {
    if (!calibration.has_percentile()) calibration.set_percentile(99.99);
    if (!(calibration.percentile() > 0 && calibration.percentile() <= 100)) {
      return OptionError(name("percentile"),
                         absl::StrCat(calibration.percentile(), " is not in (0, 100]"));
    }
  } else if (calibration.has_percentile()) {
    return OptionError(name("percentile"), "is given but method is not PERCENTILE");
  }
  if (!calibration.has_timestep_bins()) calibration.set_timestep_bins(1);
  if (calibration.timestep_bins() < 1 || calibration.timestep_bins() > 1000) {
    return OptionError(name("timestep_bins"),
                       absl::StrCat(calibration.timestep_bins(), " is not in [1, 1000]"));
  }
  return absl::OkStatus();
}

const Calibration& CalibrationOf(const LinearFormat& format) { return format.int8().calibration(); }

InputTap::InputTap(std::set<std::string> paths, const Options& options)
    : paths_(std::move(paths)), options_(options) {}
InputTap::~InputTap() = default;

void InputTap::BeginSample(double weight, int64_t bin) {
  weight_ = weight;
  bin_ = bin;
}

void InputTap::OnInput(const LinearInfo& linear, const at::Tensor& x) {
  if (!paths_.contains(linear.path)) return;
  const at::NoGradGuard no_grad;
  const auto [found, fresh] = layers_.try_emplace(linear.path);
  Layer& layer = found->second;
  // The basis hangs on the width alone.
  if (fresh && options_.quantizer != nullptr) {
    layer.grid = options_.quantizer->Grid(x.size(-1), /*largest=*/1);
  }
  at::Tensor rows = InputRows(linear, x);
  if (layer.grid != nullptr) rows = layer.grid->ToBasis(rows).contiguous();
  layer.rows += weight_ * static_cast<double>(rows.size(0));
  if (options_.statistics != nullptr && rows.size(0) > 0) {
    const at::Tensor magnitude = rows.abs();
    const at::Tensor largest = magnitude.amax(0);
    const at::Tensor sum = magnitude.sum(0, /*keepdim=*/false, at::kDouble).mul_(weight_);
    const bool first = !layer.channel_max.defined();
    layer.channel_max = first ? largest : at::maximum(layer.channel_max, largest);
    layer.channel_sum = first ? sum : layer.channel_sum.add_(sum);
    if (options_.statistics->method() != Calibration::MIN_MAX) {
      layer.histograms[bin_].Add(rows, weight_);
    }
  }
  if (options_.moments) AddMoment(layer.moment, rows, weight_);
}

absl::StatusOr<const InputTap::Layer*> InputTap::Reached(const std::string& path) const {
  const auto found = layers_.find(path);
  if (found != layers_.end() && found->second.rows > 0) return &found->second;
  return UnreachedError(path);
}

absl::StatusOr<InputStatistics> InputTap::Statistics(const std::string& path) const {
  WANLITE_ASSIGN_OR_RETURN(const Layer* layer, Reached(path));
  InputStatistics statistics;
  statistics.channel_max = layer->channel_max;
  statistics.channel_mean = (layer->channel_sum / layer->rows).to(at::kFloat);
  if (options_.statistics->method() == Calibration::MIN_MAX) {
    statistics.range = layer->channel_max.max().item<double>();
  }
  for (const auto& [bin, histogram] : layer->histograms) {
    statistics.range = std::max(statistics.range, FindRange(histogram, *options_.statistics));
  }
  if (statistics.range > 0) return statistics;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ",
                                                 layer->channel_max.max().item<double>() > 0
                                                     ? "the range of its inputs is 0"
                                                     : "its inputs are all zero",
                                                 " in the samples"));
}

absl::StatusOr<at::Tensor> InputTap::TakeMoment(const std::string& path) {
  WANLITE_RETURN_IF_ERROR(Reached(path).status());
  return std::exchange(layers_.at(path).moment, at::Tensor());
}

absl::StatusOr<std::map<std::string, InputStatistics>> CollectInputStatistics(
    const ModelView& model, const BlockLease& block, const ActivationStream& stream,
    const std::vector<LinearInfo>& linears, const WeightQuantizer& quantizer,
    const Calibration& calibration, const CancellationToken* cancel) {
  WANLITE_ASSIGN_OR_RETURN(const auto groups, InputGroups(model, block, stream));
  // What several layers read is looked at once.
  std::map<std::string, std::string> observed;
  std::set<std::string> paths;
  for (const LinearInfo& linear : linears) {
    observed[linear.path] = linear.path;
    for (const std::vector<std::string>& group : groups) {
      if (std::find(group.begin(), group.end(), linear.path) != group.end()) {
        observed[linear.path] = group.front();
      }
    }
    paths.insert(observed[linear.path]);
  }
  InputTap tap(std::move(paths), {&quantizer, &calibration, /*moments=*/false});
  WANLITE_RETURN_IF_ERROR(
      RunTapped(model, block, stream, calibration.timestep_bins(), tap, cancel));
  std::map<std::string, InputStatistics> result;
  for (const LinearInfo& linear : linears) {
    WANLITE_ASSIGN_OR_RETURN(result[linear.path], tap.Statistics(observed[linear.path]));
  }
  return result;
}

}  // namespace wanlite
