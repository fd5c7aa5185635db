// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which linear layers a pass works on, by the include and exclude patterns of its options.
#ifndef WANLITE_SRC_MODEL_SELECT_LINEARS_H_
#define WANLITE_SRC_MODEL_SELECT_LINEARS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/model_view.h"

namespace wanlite {

struct LinearSelection {
  // In forward order; never empty.
  std::vector<LinearInfo> linears;
  // For the plan: exclude patterns that fit nothing.
  std::vector<std::string> notes;
};

// The linears whose full path fits one of the `include` globs (sensitive ones too), or, when there
// are none, every linear of the denoisers that is not sensitive; less those that fit an `exclude`
// glob. InvalidArgument for an include pattern that fits no linear and for an empty selection.
absl::StatusOr<LinearSelection> SelectLinears(const ModelView& model,
                                              const std::vector<std::string>& include,
                                              const std::vector<std::string>& exclude);

// InvalidArgument, naming layer and format, unless the linear's weight is dense.
absl::StatusOr<const LinearWeight*> DenseWeightOf(const ModelView& model,
                                                  const std::string& linear);

// Bytes of all tensors of the model, of hollow ones as they would be stored.
int64_t StoredBytes(const std::vector<NamedTensor>& tensors);

}  // namespace wanlite

#endif  // WANLITE_SRC_MODEL_SELECT_LINEARS_H_
