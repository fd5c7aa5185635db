// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which axis groups a structured pass works on, and which blocks.
#ifndef WANLITE_SRC_PRUNING_SELECT_UNITS_H_
#define WANLITE_SRC_PRUNING_SELECT_UNITS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"

namespace wanlite {

class UnitSelector;

// What a pass is for: kinds of groups as glob patterns ("ffn.channels", "*attn.heads", "vae.*"),
// and the roles of the components whose groups it takes when none are named.
struct UnitScope {
  std::vector<std::string> kinds;
  std::vector<ComponentRole> roles = {ComponentRole::kDenoiser};
};

// Whether groups of the component may be among what SelectUnits() gives a pass for denoisers.
bool MayHoldUnits(const Component& component, const UnitSelector& selector);

// In forward order; never empty. As OptionError() of a field below `field` ("units.include"):
// InvalidArgument for a pattern that fits no group that the pass is for, a range without blocks,
// and an empty selection.
absl::StatusOr<std::vector<AxisGroup>> SelectUnits(const ModelView& model,
                                                   const UnitSelector& selector,
                                                   const UnitScope& scope,
                                                   absl::string_view field = "units");

}  // namespace wanlite

#endif  // WANLITE_SRC_PRUNING_SELECT_UNITS_H_
