// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Who teaches a student: networks in memory, or what they gave, read back from the disk.
#ifndef WANLITE_SRC_DISTILL_TEACHER_H_
#define WANLITE_SRC_DISTILL_TEACHER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "wanlite/block_program.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"

namespace wanlite::distill {

// What is asked of one component: its output, and values after steps of its program.
struct TeacherWants {
  std::string component;
  bool output = true;
  std::vector<std::pair<size_t, std::string>> values;  // {step, name}, each once
};

// In fp32.
struct TeacherGives {
  at::Tensor output;               // undefined unless wanted
  std::vector<at::Tensor> values;  // as wanted
};

class Teacher {
 public:
  virtual ~Teacher() = default;
  // component: the place among those that were asked for. numbers: of the samples in the set.
  // inputs: theirs, stacked. Takes no gradients. Thread-safe. Throws c10::Error.
  virtual TeacherGives Give(size_t component, const std::vector<int64_t>& numbers,
                            const Values& inputs) const = 0;
};

// `model` is in memory, on the device of the inputs, and outlives it.
std::unique_ptr<Teacher> LiveTeacher(const ModelView& model, std::vector<TeacherWants> wants);

// What the teacher gives for every recorded sample, computed when it is not there yet: streamed,
// one block of the teacher in memory at a time, in fp32, into the folder `dir`; a run that is
// killed goes on from there. teacher: what it is, fingerprint and all; FailedPrecondition when the
// folder holds what another one gave. Rank 0 of a group computes, the others wait. It reads values
// to the device of the inputs. `model` is hollow and needed no more when this returns;
// context.samples and context.env outlive it.
absl::StatusOr<std::unique_ptr<Teacher>> CachedTeacher(const PassContext& context,
                                                       const std::string& dir,
                                                       const std::string& teacher, ModelView& model,
                                                       std::vector<TeacherWants> wants);

}  // namespace wanlite::distill

#endif  // WANLITE_SRC_DISTILL_TEACHER_H_
