// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/int8_quantizer.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/ops/int8_math.h"
#include "src/ops/ops.h"
#include "src/proto/quant.pb.h"
#include "src/quant/input_statistics.h"
#include "src/quant/weight_int8.h"
#include "src/quant/weight_int8_static.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kDefaultRotationGroup = 256;

// The int8 weight as one whose inputs are as the options say.
absl::StatusOr<std::unique_ptr<LinearWeight>> WithInputs(
    absl::StatusOr<std::unique_ptr<LinearWeight>> weight,
    QuantizeInt8Options::Activations activations, const InputStatistics* statistics) {
  if (!weight.ok() || activations == QuantizeInt8Options::DYNAMIC) return weight;
  if (activations == QuantizeInt8Options::FLOAT) return MakeInt8WeightOnly(*std::move(weight));
  if (statistics == nullptr) {
    return absl::InvalidArgumentError(
        "static activations need recorded inputs of the layer, and none are given");
  }
  return MakeInt8StaticWeight(*std::move(weight), statistics->range / ops::kInt8Limit);
}

// One scale per row.
class Int8Grid : public WeightGrid {
 public:
  Int8Grid(int64_t rotation_group, QuantizeInt8Options::Activations activations)
      : rotation_group_(rotation_group), activations_(activations) {}
  int64_t group() const override { return 0; }
  at::Tensor ToBasis(const at::Tensor& rows) const override {
    return rotation_group_ == 0 ? rows : ops::HadamardRotate(rows, rotation_group_);
  }
  // The rotation is its own inverse.
  at::Tensor FromBasis(const at::Tensor& rows) const override { return ToBasis(rows); }
  at::Tensor RoundInput(const at::Tensor& inputs) const override {
    if (activations_ == QuantizeInt8Options::FLOAT) return ToBasis(inputs.to(at::kFloat));
    const auto [q, scale] = ops::QuantizePerToken(inputs, rotation_group_);
    return q.to(at::kFloat).mul_(scale);
  }
  GroupScales Fit(const at::Tensor& columns, double clip) const override {
    // Divided, not multiplied by 1 / 127, and no denormal: at clip 1 the bits of MakeInt8Weight().
    const at::Tensor limit = columns.abs().amax(1, /*keepdim=*/true).mul_(clip);
    const at::Tensor scale = (limit / ops::kInt8Limit).clamp_min_(0x1p-126);
    return {at::where(limit > 0, scale, at::zeros_like(scale)), {}};
  }
  GroupScales Nearest(const GroupScales& scales) const override { return scales; }
  at::Tensor Round(const at::Tensor& columns, const GroupScales& scales) const override {
    return (columns / DivisorOf(scales.scale))
        .round_()
        .clamp_(-ops::kInt8Limit, ops::kInt8Limit)
        .mul_(scales.scale);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Pack(
      const at::Tensor& rounded, const GroupScales& scales,
      const InputStatistics* statistics) const override {
    const WeightState state = {
        {"weight", (rounded / DivisorOf(scales.scale)).round_().to(at::kChar)},
        {"weight_scale", scales.scale}};
    return WithInputs(
        Int8WeightFromState(state, Int8Attributes(rotation_group_), WeightFormatRegistry()),
        activations_, statistics);
  }

 private:
  const int64_t rotation_group_;
  const QuantizeInt8Options::Activations activations_;
};

class Int8Quantizer : public WeightQuantizer {
 public:
  explicit Int8Quantizer(const QuantizeInt8Options& options)
      : rotates_(options.rotation() == QuantizeInt8Options::CONVROT),
        wanted_group_(options.rotation_group()),
        activations_(options.activations()) {}

  std::string name() const override {
    std::string name = rotates_ ? absl::StrCat("int8 convrot ", wanted_group_) : "int8";
    if (activations_ == QuantizeInt8Options::STATIC) name += " static";
    if (activations_ == QuantizeInt8Options::FLOAT) name += " weight-only";
    return name;
  }
  bool needs_statistics() const override { return activations_ == QuantizeInt8Options::STATIC; }
  absl::Status CheckShape(int64_t out_features, int64_t in_features) const override {
    if (in_features <= ops::kMaxInt8Features) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(in_features, " input features; int8 takes ",
                                                   ops::kMaxInt8Features, " at most"));
  }
  std::unique_ptr<LinearWeight> Hollow(int64_t out_features, int64_t in_features) const override {
    auto weight = MakeHollowInt8Weight(out_features, in_features, GroupFor(in_features));
    if (activations_ == QuantizeInt8Options::STATIC) {
      return MakeHollowInt8StaticWeight(std::move(weight));
    }
    if (activations_ == QuantizeInt8Options::FLOAT) return MakeInt8WeightOnly(std::move(weight));
    return weight;
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Quantize(const at::Tensor& dense,
                                                         const InputStatistics* statistics,
                                                         QuantizationError* error) const override {
    return WithInputs(MakeInt8Weight(dense, dense.dim() == 2 ? GroupFor(dense.size(1)) : 0, error),
                      activations_, statistics);
  }
  std::unique_ptr<WeightGrid> Grid(int64_t in_features, double largest) const override {
    return std::make_unique<Int8Grid>(GroupFor(in_features), activations_);
  }
  std::vector<std::string> Notes(
      const std::vector<std::pair<int64_t, int64_t>>& shapes) const override {
    if (!rotates_) return {};
    int64_t narrowed = 0, unrotated = 0;
    for (const auto& [out, in] : shapes) {
      const int64_t group = GroupFor(in);
      narrowed += group != 0 && group != wanted_group_;
      unrotated += group == 0;
    }
    std::vector<std::string> notes;
    if (narrowed > 0) {
      notes.push_back(absl::StrCat(narrowed,
                                   " layers are rotated in smaller groups than rotation_group ",
                                   wanted_group_, ", which does not divide their input width"));
    }
    if (unrotated > 0) {
      notes.push_back(absl::StrCat(
          unrotated, " layers are not rotated: no power of 4 divides their input width"));
    }
    return notes;
  }

 private:
  // The wanted group, or the largest power of 4 below it that divides the width; 0 for no rotation.
  int64_t GroupFor(int64_t in_features) const {
    if (!rotates_) return 0;
    for (int64_t group = wanted_group_; group >= 4; group /= 4) {
      if (in_features % group == 0) return group;
    }
    return 0;
  }

  const bool rotates_;
  const int64_t wanted_group_;
  const QuantizeInt8Options::Activations activations_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeInt8Quantizer(QuantizeInt8Options& options) {
  if (!QuantizeInt8Options::Rotation_IsValid(options.rotation())) {
    return OptionError(
        "rotation", absl::StrCat(static_cast<int>(options.rotation()), " is not NONE or CONVROT"));
  }
  if (options.rotation() == QuantizeInt8Options::CONVROT) {
    if (!options.has_rotation_group()) options.set_rotation_group(kDefaultRotationGroup);
    if (!ops::IsRotationGroup(options.rotation_group())) {
      return OptionError("rotation_group", absl::StrCat(options.rotation_group(),
                                                        " is not one of 4, 16, 64, 256, 1024"));
    }
  } else if (options.has_rotation_group()) {
    return OptionError("rotation_group",
                       absl::StrCat(options.rotation_group(),
                                    " is given but rotation is NONE; set rotation: CONVROT"));
  }
  if (!QuantizeInt8Options::Activations_IsValid(options.activations())) {
    return OptionError("activations", absl::StrCat(static_cast<int>(options.activations()),
                                                   " is not DYNAMIC, STATIC or FLOAT"));
  }
  if (options.activations() == QuantizeInt8Options::STATIC) {
    WANLITE_RETURN_IF_ERROR(ResolveCalibration(*options.mutable_calibration(), "calibration"));
  } else if (options.has_calibration()) {
    return OptionError("calibration", "is for activations: STATIC");
  }
  return std::make_unique<Int8Quantizer>(options);
}

}  // namespace wanlite
