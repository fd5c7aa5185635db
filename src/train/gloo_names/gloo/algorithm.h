// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Nothing of it is used. See context.h.
#ifndef WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_ALGORITHM_H_
#define WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_ALGORITHM_H_

#endif  // WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_ALGORITHM_H_
