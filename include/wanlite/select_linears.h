// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What passes over linear layers share: which layers they work on, and what these are.
#ifndef WANLITE_SELECT_LINEARS_H_
#define WANLITE_SELECT_LINEARS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"

namespace wanlite {

class LinearSelector;  // generated from src/proto/select.proto, which says what the fields mean

// The same for passes whose options are messages of their own.
struct LinearFilter {
  struct Blocks {
    int64_t from = 0;
    std::optional<int64_t> to;
  };
  std::vector<std::string> include = {}, exclude = {}, kinds = {}, components = {};
  std::vector<Blocks> blocks = {};
  bool skip_outer_blocks = false;
  // Embeddings too, which no filter takes otherwise: of the components, kinds and paths that are
  // asked for; `blocks` and `skip_outer_blocks` say nothing of them.
  bool embeddings = false;
};
LinearFilter FilterOf(const LinearSelector& selector);

struct LinearSelection {
  // In forward order; never empty.
  std::vector<LinearInfo> linears;
  // For the plan: what is left alone beside what patterns say.
  std::vector<std::string> notes;

  // Those of one block.
  std::vector<LinearInfo> InBlock(absl::string_view block) const;
};

// InvalidArgument for a pattern that fits nothing, a range without blocks, components that
// `skip_outer_blocks` leaves nothing of, `embeddings` where there are none, and an empty selection;
// as OptionError() of the field `field` of the pass's options.
absl::StatusOr<LinearSelection> SelectLinears(const ModelView& model, const LinearFilter& filter,
                                              absl::string_view field = "linears");

// BlockPass::Touches() of a pass that changes the selected layers. True where the selection is an
// error, which running the block then tells.
bool TouchesSelection(const ModelView& model, const LinearFilter& filter, absl::string_view block);

// InvalidArgument, naming layer and format, unless the linear's weight is dense.
absl::StatusOr<const LinearWeight*> DenseWeightOf(const ModelView& model, absl::string_view linear);

// Bytes of the tensors; of hollow ones as they would be stored.
int64_t StoredBytes(const std::vector<NamedTensor>& tensors);

}  // namespace wanlite

#endif  // WANLITE_SELECT_LINEARS_H_
