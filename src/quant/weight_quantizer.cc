// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/quant/weight_quantizer.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/proto/quant.pb.h"
#include "src/quant/int4_quantizer.h"
#include "src/quant/int8_quantizer.h"
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

WeightGrid::~WeightGrid() = default;
at::Tensor WeightGrid::ToBasis(const at::Tensor& rows) const { return rows; }
WeightQuantizer::~WeightQuantizer() = default;

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeWeightQuantizer(LinearFormat& format,
                                                                     absl::string_view field) {
  switch (format.format_case()) {
    case LinearFormat::kInt8: {
      const std::string name = absl::StrCat(field, ".int8");
      if (format.int8().has_linears()) return LinearsGiven(name);
      if (format.int8().embeddings()) {
        return OptionError(absl::StrCat(name, ".embeddings"),
                           "embeddings are quantized by quantize_int8 alone");
      }
      auto quantizer = MakeInt8Quantizer(*format.mutable_int8());
      if (!quantizer.ok()) return Within(name, quantizer.status());
      return quantizer;
    }
    case LinearFormat::kInt4: {
      const std::string name = absl::StrCat(field, ".int4");
      if (format.int4().has_linears()) return LinearsGiven(name);
      auto quantizer = MakeInt4Quantizer(*format.mutable_int4());
      if (!quantizer.ok()) return Within(name, quantizer.status());
      return quantizer;
    }
    case LinearFormat::FORMAT_NOT_SET:
      return OptionError(field, "names no format: int8, int4, fp8 or cast");
    default:
      return absl::UnimplementedError(absl::StrCat(field, ": this format is not there yet"));
  }
}

}  // namespace wanlite
