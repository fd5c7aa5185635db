// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What goes into linear layers, seen by taps: statistics for static quantizers, second moments for
// rounding.
#ifndef WANLITE_SRC_QUANT_INPUT_STATISTICS_H_
#define WANLITE_SRC_QUANT_INPUT_STATISTICS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/calibration/sample_tap.h"
#include "src/proto/quant.pb.h"
#include "src/quant/observers.h"
#include "src/quant/weight_quantizer.h"
#include "wanlite/activation_stream.h"
#include "wanlite/model_view.h"

namespace wanlite {

// Fills in the defaults; OptionError() of fields below `field`.
absl::Status ResolveCalibration(Calibration& calibration, absl::string_view field);
// How a format finds the ranges of its inputs; the default of formats that have none.
const Calibration& CalibrationOf(const LinearFormat& format);

// Observes the inputs of some layers, in the basis of a format. Statistics are sums in the order of
// the samples: the same samples give the same bits, streamed or not.
class InputTap : public SampleTap {
 public:
  struct Options {
    const WeightQuantizer* quantizer = nullptr;  // whose basis; null: inputs as they are
    const Calibration* statistics = nullptr;     // null: none are made
    bool moments = false;
  };
  // paths: of the layers that are observed.
  InputTap(std::set<std::string> paths, const Options& options);
  ~InputTap() override;

  void BeginSample(double weight, int64_t bin) override;
  // Throws c10::ValueError for a NaN or an infinity.
  void OnInput(const LinearInfo& linear, const at::Tensor& x) override;

  // FailedPrecondition for a layer that no sample reached, InvalidArgument for one whose inputs are
  // all zero.
  absl::StatusOr<InputStatistics> Statistics(const std::string& path) const;
  // Sum of weighted x^T x over all rows x, fp32 [in, in]; the tap has it no more.
  absl::StatusOr<at::Tensor> TakeMoment(const std::string& path);

 private:
  struct Layer {
    std::unique_ptr<WeightGrid> grid;                  // null: no basis of its own
    double rows = 0;                                   // weighted
    at::Tensor channel_max;                            // fp32 [in]
    at::Tensor channel_sum;                            // fp64 [in], of weighted magnitudes
    std::map<int64_t, MagnitudeHistogram> histograms;  // by bin
    at::Tensor moment;
  };
  absl::StatusOr<const Layer*> Reached(const std::string& path) const;

  const std::set<std::string> paths_;
  const Options options_;
  double weight_ = 1;
  int64_t bin_ = 0;
  std::map<std::string, Layer> layers_;
};

// Statistics of `linears`, all of the leased block, as the stream's samples reach them now, by
// path. calibration: resolved. Errors name the layer.
absl::StatusOr<std::map<std::string, InputStatistics>> CollectInputStatistics(
    const ModelView& model, const BlockLease& block, const ActivationStream& stream,
    const std::vector<LinearInfo>& linears, const WeightQuantizer& quantizer,
    const Calibration& calibration, const CancellationToken* cancel);

}  // namespace wanlite

#endif  // WANLITE_SRC_QUANT_INPUT_STATISTICS_H_
