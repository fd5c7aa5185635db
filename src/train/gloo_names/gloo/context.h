// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The names of Gloo that LibTorch's header of its Gloo backend mentions. LibTorch's packages bring
// that header and all of Gloo's code, but none of Gloo's headers. The backend holds pointers to
// these classes alone, so their names are enough to make one; nothing here may be called or made.
#ifndef WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_CONTEXT_H_
#define WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_CONTEXT_H_

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo

#endif  // WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_CONTEXT_H_
