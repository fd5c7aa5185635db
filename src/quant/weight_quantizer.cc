// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_quantizer.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/proto/quant.pb.h"
#include "src/quant/cast_quantizer.h"
#include "src/quant/int4_quantizer.h"
#include "src/quant/int8_quantizer.h"
#include "src/quant/weight_fp8.h"
#include "wanlite/registry.h"

namespace wanlite {
namespace {

absl::Status LinearsGiven(absl::string_view field) {
  return OptionError(absl::StrCat(field, ".linears"), "the pass itself says which layers");
}

// What a format refuses, as a field of the pass that holds it.
absl::Status Within(absl::string_view field, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(field, ".", status.message()));
}

}  // namespace

double QuantizationError::Relative() const {
  return squared_weight > 0 ? std::sqrt(squared_error / squared_weight) : 0;
}

at::Tensor DivisorOf(const at::Tensor& scale) {
  return at::where(scale > 0, scale, at::ones_like(scale));
}

WeightGrid::~WeightGrid() = default;
at::Tensor WeightGrid::ToBasis(const at::Tensor& rows) const { return rows; }
at::Tensor WeightGrid::FromBasis(const at::Tensor& rows) const { return rows; }
at::Tensor WeightGrid::RoundInput(const at::Tensor& inputs) const {
  return ToBasis(inputs.to(at::kFloat));
}
WeightQuantizer::~WeightQuantizer() = default;

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeWeightQuantizer(LinearFormat& format,
                                                                     absl::string_view field) {
  // The format's options under their name in the message.
  const auto make = [field](
                        const char* kind, auto* options,
                        auto make_quantizer) -> absl::StatusOr<std::unique_ptr<WeightQuantizer>> {
    const std::string name = absl::StrCat(field, ".", kind);
    if (options->has_linears()) return LinearsGiven(name);
    auto quantizer = make_quantizer(*options);
    if (!quantizer.ok()) return Within(name, quantizer.status());
    return quantizer;
  };
  switch (format.format_case()) {
    case LinearFormat::kCast:
      return make("cast", format.mutable_cast(), MakeCastQuantizer);
    case LinearFormat::kInt8:
      if (format.int8().embeddings()) {
        return OptionError(absl::StrCat(field, ".int8.embeddings"),
                           "embeddings are quantized by quantize_int8 alone");
      }
      return make("int8", format.mutable_int8(), MakeInt8Quantizer);
    case LinearFormat::kFp8:
      return make("fp8", format.mutable_fp8(), MakeFp8Quantizer);
    case LinearFormat::kInt4:
      return make("int4", format.mutable_int4(), MakeInt4Quantizer);
    case LinearFormat::FORMAT_NOT_SET:
      break;
  }
  return OptionError(field, "names no format: int8, int4, fp8 or cast");
}

}  // namespace wanlite
