// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The models that a pass may look at beside the one it changes: teachers, and the model as it was.
#ifndef WANLITE_MODEL_LIBRARY_H_
#define WANLITE_MODEL_LIBRARY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/architecture.h"
#include "wanlite/checkpoint.h"
#include "wanlite/env.h"
#include "wanlite/model_view.h"

namespace wanlite {

class ModelLibrary {
 public:
  virtual ~ModelLibrary() = default;
  // `ref`: "input" is the model that the recipe began with, "before" the one that this stage found,
  // anything else a model folder's path. A view of its own, hollow: Lease() one block at a time, or
  // LoadAll() for good. `components`: those to open, all when empty; the files of others are not
  // even looked at. NotFound when there is no such folder or component.
  virtual absl::StatusOr<ModelView> Open(absl::string_view ref,
                                         const std::vector<std::string>& components) = 0;
  // Of the model's content: part of the identity of whatever is learnt from it.
  virtual absl::StatusOr<std::string> Fingerprint(absl::string_view ref) = 0;
};

// `env` and `architectures` must outlive it.
std::unique_ptr<ModelLibrary> NewModelLibrary(Env& env, const ArchitectureRegistry& architectures,
                                              ModelFolder input, ModelFolder before);

}  // namespace wanlite

#endif  // WANLITE_MODEL_LIBRARY_H_
