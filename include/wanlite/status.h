// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Status plumbing. The library has one error rule: code that handles models, files, recipes or
// requests returns absl::Status or absl::StatusOr and never throws; code that maps tensors to
// tensors (forward functions, operators, losses) reports misuse by TORCH_CHECK and may throw. The
// two meet only in CatchTorch() (src/core/catch_torch.h).
#ifndef WANLITE_STATUS_H_
#define WANLITE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wanlite {

// Returns `status` with "context: " in front of its message; OK stays OK. Code and payloads are
// kept.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

}  // namespace wanlite

#define WANLITE_CONCAT_INNER_(a, b) a##b
#define WANLITE_CONCAT_(a, b) WANLITE_CONCAT_INNER_(a, b)

// Evaluates `expr` (an absl::Status) and returns it from the calling function when it is not OK.
#define WANLITE_RETURN_IF_ERROR(expr)                                                         \
  do {                                                                                        \
    if (absl::Status wanlite_status_ = (expr); !wanlite_status_.ok()) return wanlite_status_; \
  } while (false)

// Evaluates `expr` (an absl::StatusOr<T>); assigns its value to `lhs` or returns its status.
#define WANLITE_ASSIGN_OR_RETURN(lhs, expr) \
  WANLITE_ASSIGN_OR_RETURN_IMPL_(WANLITE_CONCAT_(wanlite_statusor_, __LINE__), lhs, expr)
#define WANLITE_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                                   \
  if (!tmp.ok()) return std::move(tmp).status();       \
  lhs = *std::move(tmp)

#endif  // WANLITE_STATUS_H_
