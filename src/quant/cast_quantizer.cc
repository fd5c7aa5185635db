// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/cast_quantizer.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/model/dump.h"
#include "src/proto/quant.pb.h"
#include "src/quant/make_weight.h"
#include "wanlite/nn.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Weights that are looked at at a time.
constexpr int64_t kCastChunk = int64_t{1} << 18;

class CastQuantizer : public WeightQuantizer {
 public:
  explicit CastQuantizer(at::ScalarType dtype) : dtype_(dtype) {}
  std::string name() const override { return DtypeName(dtype_); }
  absl::Status CheckShape(int64_t, int64_t) const override { return absl::OkStatus(); }
  std::unique_ptr<LinearWeight> Hollow(int64_t out_features, int64_t in_features) const override {
    const nn::HollowGuard hollow;
    return MakeDenseWeight(nn::NewTensor({out_features, in_features}, dtype_));
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Quantize(const at::Tensor& dense,
                                                         const InputStatistics*,
                                                         QuantizationError* error) const override {
    WANLITE_RETURN_IF_ERROR(CheckDense(absl::StrCat("a weight in ", name()), dense));
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      const at::NoGradGuard no_grad;
      const int64_t rows = dense.size(0);
      // A tensor of its own, of an equal dtype too.
      const at::Tensor cast = at::empty(dense.sizes(), at::dtype(dtype_));
      const at::Tensor finite = at::empty({rows}, at::dtype(at::kBool));
      const int64_t chunk = std::max<int64_t>(1, kCastChunk / std::max<int64_t>(1, dense.size(1)));
      ParallelFor(0, (rows + chunk - 1) / chunk, 1, [&](int64_t first, int64_t last) {
        const at::NoGradGuard here;  // of this thread
        for (int64_t begin = first * chunk; begin < std::min(rows, last * chunk); begin += chunk) {
          const int64_t end = std::min(rows, begin + chunk);
          at::Tensor part = cast.slice(0, begin, end);
          part.copy_(dense.detach().slice(0, begin, end));
          finite.slice(0, begin, end).copy_(part.isfinite().all(1));
        }
      });
      WANLITE_RETURN_IF_ERROR(CheckRows(name(), dense, finite));
      if (error != nullptr) {
        *error = MeasureError(dense, [&](int64_t begin, int64_t end) {
          return cast.slice(0, begin, end).to(at::kFloat);
        });
      }
      return MakeDenseWeight(cast);
    });
  }

 private:
  const at::ScalarType dtype_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeCastQuantizer(CastOptions& options) {
  switch (options.dtype()) {
    case CastOptions::BF16:
      return std::make_unique<CastQuantizer>(at::kBFloat16);
    case CastOptions::FP16:
      return std::make_unique<CastQuantizer>(at::kHalf);
    case CastOptions::FP32:
      return std::make_unique<CastQuantizer>(at::kFloat);
    default:
      return OptionError("dtype", "must be given: BF16, FP16 or FP32");
  }
}

}  // namespace wanlite
