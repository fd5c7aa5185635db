// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/int4_quantizer.h"

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/ops/fp8_math.h"
#include "src/ops/int4_math.h"
#include "src/ops/ops.h"
#include "src/proto/quant.pb.h"
#include "src/quant/low_rank_quantizer.h"
#include "src/quant/weight_int4.h"
#include "src/quant/weight_nvfp4.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int64_t kDefaultInt4Group = 64;

class Int4Grid : public WeightGrid {
 public:
  explicit Int4Grid(const Int4Options& options) : options_(options) {}
  int64_t group() const override { return options_.group; }
  at::Tensor RoundInput(const at::Tensor& inputs) const override {
    switch (options_.inputs) {
      case Int4Options::Inputs::kFloat:
        break;
      case Int4Options::Inputs::kInt8: {
        const auto [q, scale] = ops::QuantizePerToken(inputs);
        return q.to(at::kFloat).mul_(scale);
      }
      case Int4Options::Inputs::kInt4: {
        const auto [q, scale] = ops::QuantizeInt4(inputs, options_.group);
        return ops::Int4Dequantize(q, scale, std::nullopt);
      }
    }
    return inputs.to(at::kFloat);
  }

  GroupScales Fit(const at::Tensor& columns, double clip) const override {
    if (!options_.zero_point) {
      return Nearest(
          {columns.abs().amax(1, /*keepdim=*/true).mul_(clip).div_(ops::kInt4Limit), {}});
    }
    const at::Tensor high = columns.amax(1, /*keepdim=*/true).clamp_min_(0).mul_(clip);
    const at::Tensor low = columns.amin(1, /*keepdim=*/true).clamp_max_(0).mul_(clip);
    GroupScales scales =
        Nearest({high.div_(ops::kInt4Codes) - low / ops::kInt4Codes, at::zeros_like(low)});
    scales.zero = at::neg(low).div_(DivisorOf(scales.scale)).round_().clamp_(0, ops::kInt4Codes);
    return scales;
  }

  GroupScales Nearest(const GroupScales& scales) const override {
    const at::Tensor normal = at::where(
        scales.scale > 0, scales.scale.clamp_min(std::numeric_limits<float>::min()), scales.scale);
    GroupScales nearest{normal.to(at::kBFloat16).to(at::kFloat), scales.zero};
    if (options_.zero_point) nearest.zero = scales.zero.round().clamp_(0, ops::kInt4Codes);
    return nearest;
  }

  at::Tensor Round(const at::Tensor& columns, const GroupScales& scales) const override {
    return Steps(columns, scales).mul_(scales.scale);
  }

  absl::StatusOr<std::unique_ptr<LinearWeight>> Pack(const at::Tensor& rounded,
                                                     const GroupScales& scales,
                                                     const InputStatistics*) const override {
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<LinearWeight>> {
      const at::NoGradGuard no_grad;
      const at::Tensor stored = scales.scale.to(at::kBFloat16);
      if (!at::equal(stored.to(at::kFloat), scales.scale)) {
        return absl::InvalidArgumentError(
            "scales that an int4 weight cannot store: they are not the nearest bf16");
      }
      // Rows of groups: [out * groups, group] with scales [out * groups, 1].
      const GroupScales by_row{scales.scale.reshape({-1, 1}),
                               options_.zero_point ? scales.zero.reshape({-1, 1}) : at::Tensor()};
      at::Tensor codes = Steps(rounded.reshape({-1, options_.group}), by_row);
      if (options_.zero_point) {
        codes.add_(by_row.zero);
      } else {
        codes.add_(ops::kInt4Symmetric);
      }
      WeightState state = {{"weight", PackNibbles(codes.to(at::kByte).reshape(rounded.sizes()))},
                           {"weight_scale", stored}};
      if (options_.zero_point) state["weight_zero"] = scales.zero.to(at::kByte);
      return Int4WeightFromState(state, Int4Attributes(options_.inputs), WeightFormatRegistry());
    });
  }

 private:
  // code - zero, in a tensor of its own.
  at::Tensor Steps(const at::Tensor& columns, const GroupScales& scales) const {
    at::Tensor steps = (columns / DivisorOf(scales.scale)).round_();
    if (!options_.zero_point) return steps.clamp_(-ops::kInt4Limit, ops::kInt4Limit);
    return at::minimum(at::maximum(steps, -scales.zero), ops::kInt4Codes - scales.zero);
  }

  const Int4Options options_;
};

class Int4Quantizer : public WeightQuantizer {
 public:
  explicit Int4Quantizer(const Int4Options& options) : options_(options) {}

  std::string name() const override {
    std::string name = absl::StrCat("int4 g", options_.group);
    if (options_.zero_point) name += " zero";
    if (options_.inputs == Int4Options::Inputs::kInt8) name += " w4a8";
    if (options_.inputs == Int4Options::Inputs::kInt4) name += " w4a4";
    return name;
  }
  absl::Status CheckShape(int64_t out_features, int64_t in_features) const override {
    return CheckInt4Shape(in_features, options_);
  }
  std::unique_ptr<LinearWeight> Hollow(int64_t out_features, int64_t in_features) const override {
    return MakeHollowInt4Weight(out_features, in_features, options_);
  }
  absl::StatusOr<std::unique_ptr<LinearWeight>> Quantize(const at::Tensor& dense,
                                                         const InputStatistics*,
                                                         QuantizationError* error) const override {
    return MakeInt4Weight(dense, options_, error);
  }
  std::unique_ptr<WeightGrid> Grid(int64_t in_features, double largest) const override {
    return std::make_unique<Int4Grid>(options_);
  }
  std::string simulation() const override {
    if (options_.inputs != Int4Options::Inputs::kInt4) return "";
    return "4-bit activations are simulated in speed: the CPU multiplies them as INT8";
  }

 private:
  const Int4Options options_;
};

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeNvfp4(QuantizeInt4Options& options) {
  if (!options.has_group()) options.set_group(ops::kNvfp4Group);
  if (options.group() != ops::kNvfp4Group) {
    return OptionError("group", absl::StrCat(options.group(), " is not ", ops::kNvfp4Group,
                                             ", which is all that NVFP4 has"));
  }
  if (options.zero_point()) return OptionError("zero_point", "is for codes: INT4");
  switch (options.activations()) {
    case QuantizeInt4Options::FLOAT:
      return MakeNvfp4Quantizer(/*quantized_inputs=*/false);
    case QuantizeInt4Options::SAME:
      return MakeNvfp4Quantizer(/*quantized_inputs=*/true);
    default:
      return OptionError("activations", "must be FLOAT or SAME with codes: NVFP4");
  }
}

// Without the low-rank branch.
absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeCodes(QuantizeInt4Options& options) {
  if (options.codes() == QuantizeInt4Options::NVFP4) return MakeNvfp4(options);
  if (options.codes() != QuantizeInt4Options::INT4) {
    return OptionError("codes",
                       absl::StrCat(static_cast<int>(options.codes()), " is not INT4 or NVFP4"));
  }
  if (!options.has_group()) options.set_group(kDefaultInt4Group);
  if (options.group() < 2 || options.group() % 2 != 0) {
    return OptionError("group", absl::StrCat(options.group(), " is not an even number above 0"));
  }
  Int4Options resolved{options.group(), options.zero_point()};
  switch (options.activations()) {
    case QuantizeInt4Options::FLOAT:
      resolved.inputs = Int4Options::Inputs::kFloat;
      break;
    case QuantizeInt4Options::INT8:
      resolved.inputs = Int4Options::Inputs::kInt8;
      break;
    case QuantizeInt4Options::SAME:
      resolved.inputs = Int4Options::Inputs::kInt4;
      break;
    default:
      return OptionError("activations", absl::StrCat(static_cast<int>(options.activations()),
                                                     " is not FLOAT, INT8 or SAME"));
  }
  return std::make_unique<Int4Quantizer>(resolved);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeInt4Quantizer(QuantizeInt4Options& options) {
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<WeightQuantizer> codes, MakeCodes(options));
  if (!options.has_low_rank()) return codes;
  return MakeLowRankQuantizer(std::move(codes), *options.mutable_low_rank());
}

}  // namespace wanlite
