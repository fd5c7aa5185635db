// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_DISTILL_STUDENT_H_
#define WANLITE_SRC_DISTILL_STUDENT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/pass.h"

namespace wanlite {

// The pass student: fewer blocks, fresh values in other sizes, two experts as one network.
absl::StatusOr<std::unique_ptr<Pass>> MakeStudent(const StudentOptions& options);

// Which of `blocks` blocks stay when `count` of them do, ascending.
std::vector<int64_t> MapBlocks(StudentOptions::Mapping mapping, int64_t blocks, int64_t count);

}  // namespace wanlite

#endif  // WANLITE_SRC_DISTILL_STUDENT_H_
