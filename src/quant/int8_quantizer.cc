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
#include "src/quant/weight_int8.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kDefaultRotationGroup = 256;

// One scale per row.
class Int8Grid : public WeightGrid {
 public:
  explicit Int8Grid(int64_t rotation_group) : rotation_group_(rotation_group) {}
  int64_t group() const override { return 0; }
  at::Tensor ToBasis(const at::Tensor& rows) const override {
    return rotation_group_ == 0 ? rows : ops::HadamardRotate(rows, rotation_group_);
  }
  GroupScales Fit(const at::Tensor& columns, double clip) const override {
    return {columns.abs().amax(1, /*keepdim=*/true).mul_(clip).div_(ops::kInt8Limit), {}};
  }
  GroupScales Nearest(const GroupScales& scales) const override { return scales; }
  at::Tensor Round(const at::Tensor& columns, const GroupScales& scales) const override {
    const at::Tensor divisor =
        at::where(scales.scale > 0, scales.scale, at::ones_like(scales.scale));
    return (columns / divisor)
        .round_()
        .clamp_(-ops::kInt8Limit, ops::kInt8Limit)
        .mul_(scales.scale);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Pack(
      const at::Tensor& rounded, const GroupScales& scales,
      const InputStatistics* statistics) const override {
    const at::Tensor divisor =
        at::where(scales.scale > 0, scales.scale, at::ones_like(scales.scale));
    const WeightState state = {{"weight", (rounded / divisor).round_().to(at::kChar)},
                               {"weight_scale", scales.scale}};
    return Int8WeightFromState(state, Int8Attributes(rotation_group_), WeightFormatRegistry());
  }

 private:
  const int64_t rotation_group_;
};

class Int8Quantizer : public WeightQuantizer {
 public:
  explicit Int8Quantizer(const QuantizeInt8Options& options)
      : rotates_(options.rotation() == QuantizeInt8Options::CONVROT),
        wanted_group_(options.rotation_group()) {}

  std::string name() const override {
    return rotates_ ? absl::StrCat("int8 convrot ", wanted_group_) : "int8";
  }
  absl::Status CheckShape(int64_t out_features, int64_t in_features) const override {
    if (in_features <= ops::kMaxInt8Features) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(in_features, " input features; int8 takes ",
                                                   ops::kMaxInt8Features, " at most"));
  }
  std::unique_ptr<LinearWeight> Hollow(int64_t out_features, int64_t in_features) const override {
    return MakeHollowInt8Weight(out_features, in_features, GroupFor(in_features));
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Quantize(const at::Tensor& dense,
                                                         const InputStatistics* statistics,
                                                         QuantizationError* error) const override {
    return MakeInt8Weight(dense, dense.dim() == 2 ? GroupFor(dense.size(1)) : 0, error);
  }
  std::unique_ptr<WeightGrid> Grid(int64_t in_features, double largest) const override {
    return std::make_unique<Int8Grid>(GroupFor(in_features));
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
  if (options.activations() != QuantizeInt8Options::DYNAMIC) {
    return absl::UnimplementedError("activations: only DYNAMIC is there yet");
  }
  return std::make_unique<Int8Quantizer>(options);
}

}  // namespace wanlite
