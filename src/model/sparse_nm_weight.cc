// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/sparse_nm_weight.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/json_fields.h"
#include "src/core/libtorch.h"
#include "src/model/frozen_product.h"
#include "src/model/select_groups.h"
#include "src/model/tensor_text.h"
#include "src/model/weight_state.h"
#include "src/ops/ops.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kPlacesSuffix[] = "weight_places";

bool HoldsMatrix(at::ScalarType dtype) {
  return dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf;
}

class SparseNmWeight : public LinearWeight {
 public:
  SparseNmWeight(at::Tensor values, at::Tensor places, const SparsePattern& pattern)
      : values_(std::move(values)), places_(std::move(places)), pattern_(pattern) {}

  const SparsePattern& pattern() const { return pattern_; }
  at::ScalarType dtype() const { return values_.scalar_type(); }

  absl::string_view format() const override { return "sparse_nm"; }
  std::string attributes() const override {
    return absl::StrCat("{\"m\":", pattern_.m, ",\"n\":", pattern_.n, "}");
  }
  int64_t in_features() const override { return values_.size(1) / pattern_.n * pattern_.m; }
  int64_t out_features() const override { return values_.size(0); }

  at::Tensor Apply(const Activation& x, const std::optional<at::Tensor>& bias) const override {
    CheckDevice();
    return FrozenProduct(
        x, bias,
        [&] {
          return ops::SparseNmLinear(x.dense(), values_.detach(), places_, pattern_.n, pattern_.m,
                                     bias);
        },
        [&] {
          return [values = values_.detach(), places = places_, pattern = pattern_] {
            return ops::SparseNmDequantize(values, places, pattern.n, pattern.m);
          };
        });
  }

  // Values are widened before the product.
  LinearArithmetic arithmetic() const override {
    LinearArithmetic arithmetic;
    if (ops::SparseNmSkips()) {
      arithmetic.realised_fraction =
          static_cast<double>(pattern_.n) / static_cast<double>(pattern_.m);
    }
    return arithmetic;
  }

  std::vector<WeightTensor> State() const override {
    return {{"weight", values_, WeightTensor::Role::kParameter, false},
            {kPlacesSuffix, places_, WeightTensor::Role::kCode, false}};
  }

  at::Tensor Dequantize() const override {
    CheckDevice();
    const at::NoGradGuard no_grad;
    return ops::SparseNmDequantize(values_.detach(), places_, pattern_.n, pattern_.m);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Select(int64_t dim,
                                                       const at::Tensor& index) const override {
    if (dim != 0 && dim != 1) {
      return absl::InvalidArgumentError(absl::StrCat("a sparse weight has no dimension ", dim));
    }
    if (dim == 1) {
      // What stays of a group could be more than its share.
      WANLITE_RETURN_IF_ERROR(
          WholeGroups(absl::StrCat("a weight stored ", pattern_.n, ":", pattern_.m, " sparse"),
                      index, pattern_.m)
              .status());
    }
    if (nn::IsHollow(values_)) {
      return MakeHollowSparseNmWeight(dim == 0 ? index.numel() : out_features(),
                                      dim == 1 ? index.numel() : in_features(), dtype(), pattern_);
    }
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      const at::NoGradGuard no_grad;
      if (dim == 0) {
        return std::make_unique<SparseNmWeight>(values_.detach().index_select(0, index),
                                                places_.index_select(0, index), pattern_);
      }
      // Groups need not begin with a byte.
      return MakeSparseNmWeight(Dequantize().index_select(1, index).to(dtype()), pattern_);
    });
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Share() const override {
    return std::make_unique<SparseNmWeight>(values_, places_, pattern_);
  }

 private:
  void CheckDevice() const {
    TORCH_CHECK_NOT_IMPLEMENTED(values_.is_cpu(), "N:M sparse weights run on the CPU; there is no ",
                                "kernel for ", values_.device());
  }

  at::Tensor values_;  // floating [out, in / m * n]
  at::Tensor places_;  // uint8 [out, bytes]
  SparsePattern pattern_;
};

absl::Status CheckPatternOf(const SparsePattern& pattern) {
  if (0 < pattern.n && pattern.n < pattern.m && pattern.m <= kMaxSparseGroup) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("a sparse weight of ", pattern.n, ":", pattern.m,
                                                 "; wanted 0 < n < m <= ", kMaxSparseGroup));
}

// InvalidArgument naming the first place that is beyond its group or not above the one before.
absl::Status CheckPlaces(const at::Tensor& places, int64_t kept, const SparsePattern& pattern) {
  const at::Tensor packed = places.contiguous();
  const uint8_t* data = packed.const_data_ptr<uint8_t>();
  const int64_t bits = ops::PlaceBits(pattern.m), bytes = packed.size(1);
  for (int64_t row = 0; row < packed.size(0); ++row) {
    int64_t previous = -1;
    for (int64_t i = 0; i < kept; ++i) {
      if (i % pattern.n == 0) previous = -1;
      const int64_t place = ops::PlaceAt(data + row * bytes, bytes, i, bits);
      if (place <= previous || place >= pattern.m) {
        return absl::InvalidArgumentError(absl::StrCat(
            kPlacesSuffix, " of row ", row, ": value ", i, " is at place ", place, " of its group",
            place >= pattern.m ? absl::StrCat(", which has ", pattern.m)
                               : absl::StrCat(", behind ", previous)));
      }
      previous = place;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinearWeight>> MakeSparseNmWeight(const at::Tensor& matrix,
                                                                 const SparsePattern& pattern) {
  WANLITE_RETURN_IF_ERROR(CheckPatternOf(pattern));
  if (!matrix.defined() || matrix.dim() != 2 || !HoldsMatrix(matrix.scalar_type()) ||
      !matrix.is_cpu()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a sparse weight is made from a fp32, bf16 or fp16 CPU matrix [out, in], not from ",
        matrix.defined() ? TensorText(matrix) : "nothing"));
  }
  const int64_t out = matrix.size(0), in = matrix.size(1), n = pattern.n, m = pattern.m;
  if (in == 0 || in % m != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("groups of ", m, " do not divide the ", in, " input features"));
  }
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
    const at::NoGradGuard no_grad;
    const at::Tensor dense = matrix.detach().contiguous();
    const at::Tensor present = dense.ne(0);
    const int64_t kept = in / m * n, bits = ops::PlaceBits(m), bytes = ops::PlaceBytes(kept, m);
    at::Tensor columns = at::empty({out, kept}, at::kLong);
    at::Tensor places = at::zeros({out, bytes}, at::kByte);
    const bool* is_present = present.const_data_ptr<bool>();
    int64_t* column = columns.mutable_data_ptr<int64_t>();
    uint8_t* place_data = places.mutable_data_ptr<uint8_t>();
    for (int64_t row = 0; row < out; ++row) {
      uint8_t* packed = place_data + row * bytes;
      int64_t i = 0;
      for (int64_t group = 0; group < in; group += m) {
        const bool* own = is_present + row * in + group;
        const int64_t found = std::count(own, own + m, true);
        if (found > n) {
          return absl::InvalidArgumentError(absl::StrCat("row ", row, " has ", found,
                                                         " values in the input features from ",
                                                         group, " on, more than ", n, " of ", m));
        }
        // The first zeros fill up what is missing.
        int64_t zeros = n - found;
        for (int64_t place = 0; place < m; ++place) {
          if (!own[place] && zeros-- <= 0) continue;
          column[row * kept + i] = group + place;
          const uint32_t shifted = static_cast<uint32_t>(place) << (i * bits % 8);
          packed[i * bits / 8] |= static_cast<uint8_t>(shifted);
          if (shifted > 255) packed[i * bits / 8 + 1] |= static_cast<uint8_t>(shifted >> 8);
          ++i;
        }
      }
    }
    return std::make_unique<SparseNmWeight>(dense.gather(1, columns), std::move(places), pattern);
  });
}

std::unique_ptr<LinearWeight> MakeHollowSparseNmWeight(int64_t out_features, int64_t in_features,
                                                       at::ScalarType dtype,
                                                       const SparsePattern& pattern) {
  const nn::HollowGuard hollow;
  const int64_t kept = in_features / pattern.m * pattern.n;
  return std::make_unique<SparseNmWeight>(
      nn::NewTensor({out_features, kept}, dtype),
      nn::NewTensor({out_features, ops::PlaceBytes(kept, pattern.m)}, at::kByte), pattern);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> SparseNmWeightFromState(
    const WeightState& state, absl::string_view attributes_json, const WeightFormatRegistry&) {
  WANLITE_RETURN_IF_ERROR(CheckTensors("a sparse weight", state, {"weight", kPlacesSuffix}));
  WANLITE_ASSIGN_OR_RETURN(const JsonFields attributes,
                           JsonFields::Parse("attributes of a sparse weight", attributes_json));
  WANLITE_RETURN_IF_ERROR(attributes.OnlyHas({"n", "m"}));
  SparsePattern pattern{0, 0};
  WANLITE_RETURN_IF_ERROR(attributes.Int({"n"}, pattern.n));
  WANLITE_RETURN_IF_ERROR(attributes.Int({"m"}, pattern.m));
  WANLITE_RETURN_IF_ERROR(CheckPatternOf(pattern));
  const at::Tensor& values = state.at("weight");
  const at::Tensor& places = state.at(kPlacesSuffix);
  if (values.dim() != 2 || !HoldsMatrix(values.scalar_type()) || values.size(1) == 0 ||
      values.size(1) % pattern.n != 0) {
    return absl::InvalidArgumentError(absl::StrCat("weight must be fp32, bf16 or fp16 [out, in / ",
                                                   pattern.m, " * ", pattern.n, "], found ",
                                                   TensorText(values)));
  }
  const std::vector<int64_t> shape = {values.size(0), ops::PlaceBytes(values.size(1), pattern.m)};
  if (places.scalar_type() != at::kByte || places.sizes() != at::IntArrayRef(shape)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kPlacesSuffix, " must be uint8 ", ShapeText(shape), ", found ", TensorText(places)));
  }
  if (!nn::IsHollow(places)) {
    WANLITE_RETURN_IF_ERROR(CheckPlaces(places.cpu(), values.size(1), pattern));
  }
  return std::make_unique<SparseNmWeight>(values, places, pattern);
}

absl::StatusOr<std::unique_ptr<LinearWeight>> ExpandSparseNm(const LinearWeight& weight) {
  const auto* sparse = dynamic_cast<const SparseNmWeight*>(&weight);
  if (sparse == nullptr) return std::unique_ptr<LinearWeight>();
  const std::vector<WeightTensor> state = sparse->State();
  if (nn::IsHollow(state[0].tensor)) {
    const nn::HollowGuard hollow;
    return MakeDenseWeight(
        nn::NewTensor({sparse->out_features(), sparse->in_features()}, sparse->dtype()));
  }
  WANLITE_RETURN_IF_ERROR(CheckPlaces(state[1].tensor, state[0].tensor.size(1), sparse->pattern()));
  return CatchTorch([&] { return MakeDenseWeight(sparse->Dequantize().to(sparse->dtype())); });
}

std::string SparseNmNote(const SparsePattern& pattern) {
  const auto percent = [&](int64_t bits) {
    const double kept = static_cast<double>(pattern.n) / static_cast<double>(pattern.m);
    return std::lround(
        100 * kept *
        (1 + static_cast<double>(ops::PlaceBits(pattern.m)) / static_cast<double>(bits)));
  };
  return absl::StrCat(
      pattern.n, ":", pattern.m, " packed takes ", percent(32),
      " % of the bytes of a fp32 matrix, ", percent(16), " % of a bf16 one; ",
      ops::SparseNmSkips()
          ? "this machine's kernels skip the zeros, in fp32"
          : "without a sparse kernel for this machine it is expanded in fp32, and saves no time");
}

}  // namespace wanlite
