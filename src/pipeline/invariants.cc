// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/pipeline/invariants.h"

#include <atomic>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/parallel_for.h"
#include "src/model/tensor_text.h"
#include "wanlite/nn.h"
#include "wanlite/pipeline.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Index of the first value whose exponent bits are all set (NaN or infinity); -1 when there is
// none. In pieces of a fixed size, whose inner loop has no exit: without its sign a value that is
// not finite is an integer of at least `exponent`, and a maximum of integers compiles to vector
// code.
template <typename Bits>
int64_t FirstNonFiniteOf(const Bits* bits, int64_t count, Bits exponent) {
  constexpr Bits kMagnitude = std::numeric_limits<Bits>::max();
  constexpr int64_t kPiece = 4096;
  const auto check = [&](int64_t begin, int64_t end) -> int64_t {
    for (int64_t i = begin; i < end; ++i) {
      if ((bits[i] & kMagnitude) >= exponent) return i;
    }
    return -1;
  };
  int64_t begin = 0;
  for (; begin + kPiece <= count; begin += kPiece) {
    const Bits* piece = bits + begin;
    Bits largest = 0;
    for (int64_t i = 0; i < kPiece; ++i) {
      const Bits magnitude = piece[i] & kMagnitude;
      largest = magnitude > largest ? magnitude : largest;
    }
    if (largest >= exponent) return check(begin, begin + kPiece);
  }
  return check(begin, count);
}

// The same on all threads.
template <typename Bits>
int64_t FirstNonFinite(const void* data, int64_t count, Bits exponent) {
  constexpr int64_t kGrain = int64_t{1} << 18;
  std::atomic<int64_t> first{count};
  ParallelFor(0, count, kGrain, [&](int64_t begin, int64_t end) {
    const int64_t found =
        FirstNonFiniteOf(static_cast<const Bits*>(data) + begin, end - begin, exponent);
    if (found < 0) return;
    int64_t known = first.load();
    while (begin + found < known && !first.compare_exchange_weak(known, begin + found)) {
    }
  });
  return first == count ? -1 : first.load();
}

int64_t FirstNonFinite(const at::Tensor& given) {
  if (!given.is_floating_point() || given.numel() == 0) return -1;
  at::Tensor tensor = given.detach().contiguous();
  if (!tensor.is_cpu()) tensor = tensor.cpu();
  const void* data = tensor.const_data_ptr();
  switch (tensor.scalar_type()) {
    case at::kBFloat16:
      return FirstNonFinite<int16_t>(data, tensor.numel(), 0x7F80);
    case at::kHalf:
      return FirstNonFinite<int16_t>(data, tensor.numel(), 0x7C00);
    case at::kFloat:
      return FirstNonFinite<int32_t>(data, tensor.numel(), 0x7F800000);
    case at::kDouble:
      return FirstNonFinite<int64_t>(data, tensor.numel(), 0x7FF0000000000000);
    default:
      break;
  }
  // The 8-bit formats have their own codes for NaN. Widening a piece at a time keeps memory small.
  const at::Tensor flat = tensor.flatten();
  constexpr int64_t kPiece = int64_t{1} << 20;
  for (int64_t begin = 0; begin < flat.numel(); begin += kPiece) {
    const at::Tensor piece =
        flat.narrow(0, begin, std::min(kPiece, flat.numel() - begin)).to(at::kFloat);
    const int64_t found =
        FirstNonFinite<int32_t>(piece.const_data_ptr(), piece.numel(), 0x7F800000);
    if (found >= 0) return begin + found;
  }
  return -1;
}

}  // namespace

absl::Status CheckFinite(const std::vector<NamedTensor>& tensors) {
  return CatchTorch([&]() -> absl::Status {
    for (const NamedTensor& named : tensors) {
      const int64_t index = FirstNonFinite(named.tensor);
      if (index < 0) continue;
      const double value = named.tensor.flatten()[index].to(at::kDouble).item<double>();
      return absl::InvalidArgumentError(absl::StrCat(named.name, " (", TensorText(named.tensor),
                                                     ") holds ", value, " at flat index ", index,
                                                     "; every value must be finite"));
    }
    return absl::OkStatus();
  });
}

absl::Status CheckInvariants(const ModelView& model, const std::vector<NamedTensor>& tensors) {
  std::set<std::string> seen;
  for (const NamedTensor& named : tensors) {
    if (!seen.insert(named.name).second) {
      return absl::InternalError(absl::StrCat("two tensors are named ", named.name));
    }
    const absl::StatusOr<at::Tensor> known = model.FindTensor(named.name);
    if (!known.ok()) {
      return absl::InternalError(absl::StrCat("tensor ", named.name, " is not in the model"));
    }
    if (known->sizes() != named.tensor.sizes() ||
        known->scalar_type() != named.tensor.scalar_type()) {
      return absl::InternalError(absl::StrCat("tensor ", named.name, " is ",
                                              TensorText(named.tensor), ", the model has ",
                                              TensorText(*known)));
    }
    if (nn::IsHollow(named.tensor)) {
      return absl::InternalError(absl::StrCat("tensor ", named.name, " was left without values"));
    }
  }
  return CheckFinite(tensors);
}

absl::Status CheckPlanKept(const ModelView& model, const ModelView& planned,
                           const std::string& block, const std::vector<NamedTensor>& tensors) {
  std::map<std::string, at::Tensor> left;
  for (const NamedTensor& named : tensors) left.emplace(named.name, named.tensor);
  const std::vector<NamedTensor> wanted = planned.BlockTensors(block);
  for (const NamedTensor& named : wanted) {
    const auto it = left.find(named.name);
    if (it == left.end()) {
      return absl::InternalError(absl::StrCat("the plan has ", named.name, " ",
                                              TensorText(named.tensor), ", the pass left none"));
    }
    if (it->second.sizes() != named.tensor.sizes() ||
        it->second.scalar_type() != named.tensor.scalar_type()) {
      return absl::InternalError(absl::StrCat("the pass left ", named.name, " as ",
                                              TensorText(it->second), ", its plan says ",
                                              TensorText(named.tensor)));
    }
    left.erase(it);
  }
  if (!left.empty()) {
    return absl::InternalError(absl::StrCat("the pass left ", left.begin()->first, " ",
                                            TensorText(left.begin()->second),
                                            ", its plan has none"));
  }
  for (const LinearInfo& linear : model.weights()) {
    if (linear.block != block) continue;
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* found, model.Weight(linear.path));
    WANLITE_ASSIGN_OR_RETURN(const LinearWeight* plan, planned.Weight(linear.path));
    if (found->format() != plan->format() || found->attributes() != plan->attributes()) {
      return absl::InternalError(absl::StrCat(
          "the pass left ", linear.path, " as ", found->format(), " ", found->attributes(),
          ", its plan says ", plan->format(), " ", plan->attributes()));
    }
  }
  return absl::OkStatus();
}

}  // namespace wanlite
