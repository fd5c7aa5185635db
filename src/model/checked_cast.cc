// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/checked_cast.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/dump.h"
#include "wanlite/nn.h"

namespace wanlite {
namespace {

double LargestFinite(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return std::numeric_limits<double>::max();
    case at::kFloat:
      return static_cast<double>(std::numeric_limits<float>::max());
    case at::kBFloat16:
      return static_cast<double>(std::numeric_limits<c10::BFloat16>::max());
    case at::kHalf:
      return static_cast<double>(std::numeric_limits<c10::Half>::max());
    case at::kFloat8_e5m2:
      return static_cast<double>(std::numeric_limits<c10::Float8_e5m2>::max());
    case at::kFloat8_e4m3fn:
      return static_cast<double>(std::numeric_limits<c10::Float8_e4m3fn>::max());
    default:
      return std::numeric_limits<double>::infinity();
  }
}

at::Tensor Finite(const at::Tensor& piece) {
  // The 8-bit formats lack most operations.
  return (piece.element_size() == 1 ? piece.to(at::kFloat) : piece).isfinite();
}

// Flat index of the first finite value that is not so in `cast`; -1 when there is none. A piece at
// a time, so that memory stays small.
int64_t FirstOverflow(const at::Tensor& value, const at::Tensor& cast) {
  const at::Tensor before = value.reshape({-1}), after = cast.reshape({-1});
  constexpr int64_t kPiece = int64_t{1} << 20;
  for (int64_t begin = 0; begin < after.numel(); begin += kPiece) {
    const int64_t size = std::min(kPiece, after.numel() - begin);
    const at::Tensor finite = Finite(after.narrow(0, begin, size));
    if (finite.all().item<bool>()) continue;
    const at::Tensor lost = Finite(before.narrow(0, begin, size)).logical_and(finite.logical_not());
    if (lost.any().item<bool>()) return begin + lost.to(at::kByte).argmax().item<int64_t>();
  }
  return -1;
}

}  // namespace

absl::StatusOr<at::Tensor> CheckedCast(const at::Tensor& value, at::ScalarType dtype,
                                       absl::string_view name) {
  return CatchTorch([&]() -> absl::StatusOr<at::Tensor> {
    const at::NoGradGuard no_grad;
    if (value.scalar_type() == dtype) return value.detach();
    if (nn::IsHollow(value)) {
      const nn::HollowGuard hollow;
      return nn::NewTensor(value.sizes(), dtype);
    }
    at::Tensor cast = value.detach().to(dtype);
    if (LargestFinite(dtype) >= LargestFinite(value.scalar_type())) return cast;
    const int64_t index = FirstOverflow(value.detach(), cast);
    if (index < 0) return cast;
    const double found = value.detach().reshape({-1})[index].to(at::kDouble).item<double>();
    return absl::InvalidArgumentError(absl::StrCat(
        name, " holds ", found, " at flat index ", index, ", which is beyond ", DtypeName(dtype),
        " (at most ", LargestFinite(dtype), "); keep ", DtypeName(value.scalar_type())));
  });
}

}  // namespace wanlite
