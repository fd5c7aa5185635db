// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// A recipe is a list of passes, written by hand as a textproto (docs/recipe.md):
//
//   name: "digits-int8"
//   seed: 7
//   passes { prune_magnitude { amount: 0.3 } }
//   passes { quantize_int8 { rotation: CONVROT } }
#ifndef WANLITE_RECIPE_H_
#define WANLITE_RECIPE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"
#include "wanlite/registry.h"

namespace wanlite {

// One run of one pass: an entry of the recipe's list, or of one round of a repeat in it.
struct RecipeStage {
  std::shared_ptr<const Pass> pass;
  std::string label;  // for people: "2/3 quantize-int8"
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
