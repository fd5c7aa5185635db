// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Looks at what goes into linear layers while a model runs: calibration collects ranges, second
// moments and importances so, without a line in any model.
#ifndef WANLITE_LINEAR_TAP_H_
#define WANLITE_LINEAR_TAP_H_

#include <ATen/core/Tensor.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"
#include "wanlite/topology.h"

namespace wanlite {

class LinearTap {
 public:
  virtual ~LinearTap() = default;
  // Called at the start of every forward of a tapped layer, by the thread that runs it. x: floating
  // [..., in_features], the layer's input itself: neither to be changed nor kept without a copy.
  // May throw c10::Error, which ends the forward.
  virtual void OnInput(const LinearInfo& linear, const at::Tensor& x) = 0;
};

// The layers are tapped while it lives; it keeps their modules alive.
class [[nodiscard]] TapGuard {
 public:
  TapGuard(TapGuard&&) noexcept;
  TapGuard& operator=(TapGuard&&) = delete;
  ~TapGuard();

 private:
  struct Rep;
  explicit TapGuard(std::unique_ptr<Rep> rep);
  friend absl::StatusOr<TapGuard> TapLinears(const ModelView&, absl::string_view, LinearTap&);
  std::unique_ptr<Rep> rep_;
};

// Taps every linear layer of a block, leased or not; `tap` must outlive the guard. NotFound for an
// unknown block; FailedPrecondition when one of its layers has a tap, which this would take away.
// Not while the layers run on another thread.
absl::StatusOr<TapGuard> TapLinears(const ModelView& model, absl::string_view block,
                                    LinearTap& tap);

}  // namespace wanlite

#endif  // WANLITE_LINEAR_TAP_H_
