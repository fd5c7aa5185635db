// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The one list of weight formats. A new format adds a line.
#include "wanlite/weight_formats.h"

#include <c10/util/Exception.h>

#include <utility>

#include "src/quant/weight_int4.h"
#include "src/quant/weight_int8.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {

WeightFormatRegistry BuiltinWeightFormats() {
  WeightFormatRegistry registry;
  const std::pair<const char*, LinearWeightFactory> formats[] = {
      {"fake_int8", FakeInt8WeightFromState}, {"int4", Int4WeightFromState},
      {"int8", Int8WeightFromState},          {"low_rank", LowRankWeightFromState},
      {"masked", MaskedWeightFromState},
  };
  for (const auto& [name, factory] : formats) {
    // Fails only when two formats have one name.
    const absl::Status status = registry.Register(name, factory);
    TORCH_INTERNAL_ASSERT(status.ok(), status.ToString());
  }
  return registry;
}

}  // namespace wanlite
