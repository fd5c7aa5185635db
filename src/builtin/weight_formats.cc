// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The one list of weight formats. A new format adds a line.
#include "wanlite/weight_formats.h"

#include <c10/util/Exception.h>

#include <utility>

#include "src/model/sparse_nm_weight.h"
#include "src/quant/weight_fp8.h"
#include "src/quant/weight_int4.h"
#include "src/quant/weight_int8.h"
#include "src/quant/weight_int8_static.h"
#include "src/quant/weight_nvfp4.h"
#include "wanlite/factored_weight.h"
#include "wanlite/wrapped_weights.h"

namespace wanlite {

WeightFormatRegistry BuiltinWeightFormats() {
  WeightFormatRegistry registry;
  const auto add = [&registry](const char* name, LinearWeightFactory factory) {
    // Fails only when two formats have one name.
    const absl::Status status = registry.Register(name, std::move(factory));
    TORCH_INTERNAL_ASSERT(status.ok(), status.ToString());
  };
  add("factored", FactoredWeightFromState);
  add("fake_quant", FakeQuantWeightFromState);
  add("fp8", Fp8WeightFromState);
  add("int4", Int4WeightFromState);
  add("int8", Int8WeightFromState);
  add("int8_static", Int8StaticFromState);
  add("int8_weight_only", Int8WeightOnlyFromState);
  add("lora", LoraWeightFromState);
  add("low_rank", LowRankWeightFromState);
  add("masked", MaskedWeightFromState);
  add("nvfp4", Nvfp4WeightFromState);
  add("smoothed", SmoothedWeightFromState);
  add("sparse_nm", SparseNmWeightFromState);
  return registry;
}

}  // namespace wanlite
