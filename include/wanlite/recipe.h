// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A recipe is a list of passes, written by hand as a textproto (docs/recipe.md):
//
//   name: "digits-int8"
//   seed: 7
//   passes { prune_magnitude { amount: 0.3 } }
//   passes { quantize_int8 { rotation: CONVROT } }
//   passes { repeat { rounds: 4 passes { … } floor { … } } }
#ifndef WANLITE_RECIPE_H_
#define WANLITE_RECIPE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"
#include "wanlite/registry.h"

namespace wanlite {

// A quality that a round of a repeat must keep.
struct QualityFloor {
  std::string gauge;  // QualityGauge::name()
  double at_least = 0;
  bool relative = false;  // at_least is a fraction of what the original has
};

// One run of one pass: an entry of the recipe's list, or of one round of a repeat in it.
struct RecipeStage {
  std::shared_ptr<const Pass> pass;
  // For people: "2/3 quantize-int8"; in a repeat of ten rounds "3/10 prune-magnitude".
  std::string label;
  uint64_t seed = 0;  // the recipe's, and another one in each round of a repeat
  int round = 0;      // from 1; 0 outside repeats
  // Of a round that must keep a floor: what it leaves counts when the floor, measured after the
  // round's last stage, was kept.
  bool judged = false;
  std::optional<QualityFloor> floor;  // at the last stage of such a round
};

class ParsedRecipe {
 public:
  // InvalidArgument with "file:line:column: field: what is wrong" for syntax errors, unknown fields
  // (with the nearest known name) and bad values.
  static absl::StatusOr<ParsedRecipe> Parse(absl::string_view text, absl::string_view file_name,
                                            const PassRegistry& registry);
  static absl::StatusOr<ParsedRecipe> Load(Env& env, absl::string_view path,
                                           const PassRegistry& registry);

  const std::string& name() const;
  uint64_t seed() const;
  // In the order in which they run; at least one.
  const std::vector<RecipeStage>& stages() const;
  // The recipe with every default written out, as text.
  const std::string& resolved_text() const;
  // SHA-256 of resolved_text().
  std::string Fingerprint() const;

 private:
  struct Rep;
  std::shared_ptr<const Rep> rep_;
};

}  // namespace wanlite

#endif  // WANLITE_RECIPE_H_
