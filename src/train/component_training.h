// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What passes that train a component of a model have in common: who teaches it, which of its
// tensors are trained, how far its output is from what is wanted.
#ifndef WANLITE_SRC_TRAIN_COMPONENT_TRAINING_H_
#define WANLITE_SRC_TRAIN_COMPONENT_TRAINING_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/dataset.h"
#include "wanlite/model_view.h"
#include "wanlite/pass.h"
#include "wanlite/train.h"
#include "wanlite/training_cost.h"

namespace wanlite::train {

// While it lives, tensors of the component that are not trained take no gradients, which would be
// computed for nothing.
class TrainedAlone {
 public:
  TrainedAlone(const ModelView& model, absl::string_view component,
               const std::vector<TrainedTensor>& trained);
  ~TrainedAlone();
  TrainedAlone(const TrainedAlone&) = delete;
  TrainedAlone& operator=(const TrainedAlone&) = delete;

 private:
  std::vector<at::Tensor> spared_;
};

// Who teaches: the model folder at `path`, or when that is empty the model before the pass, or the
// one that the recipe began with. As ModelLibrary::Open() takes it, and in words for people.
std::string TeacherRef(const std::string& path, bool before);
std::string TeacherText(const std::string& path, bool before);

// The teacher's component, hollow. ref: of ModelLibrary::Open(). FailedPrecondition, naming the
// pass, in a run without other models.
absl::StatusOr<ModelView> OpenTeacher(const PassContext& context, absl::string_view pass,
                                      absl::string_view ref, const std::string& component);
// The same in memory, in fp32.
absl::Status LoadTeacher(ModelView& teacher);

// Names of the components that are trained: those that fit these glob patterns, the denoisers
// without any. OptionError of the field "components" for a pattern that fits none; InvalidArgument
// for a model without denoisers, and for a component without a program.
absl::StatusOr<std::vector<std::string>> TrainedComponents(
    const ModelView& model, const std::vector<std::string>& patterns);

// OptionError of the field "train" for a pattern over full paths of tensors that fits none of these
// components'.
absl::Status CheckTrainPatterns(const ModelView& model, const std::vector<std::string>& components,
                                const std::vector<std::string>& patterns);
// Those that fit a tensor of the component; of the block alone when one is given.
std::vector<std::string> PatternsFor(const ModelView& model, absl::string_view component,
                                     const std::vector<std::string>& patterns,
                                     absl::string_view block = "");

// How a pass will train a component.
struct TrainingPlan {
  LoopOptions loop;
  bool muon = false;
  bool recompute = false;
  std::vector<std::string> patterns;  // of tensors that train; empty: all
  std::string teacher;                // as ModelLibrary::Open() names it; empty: none
};
// For PassNotes::trainings. `model` may be hollow, and is as the pass will train it.
TrainingNote NoteTraining(const ModelView& model, const std::string& component,
                          const TrainingPlan& plan);
// Of one process, beside the tensors as they are stored and without activations, which hang on the
// sizes of samples. A teacher that the pass does not know counts as large as the component.
int64_t MemoryOf(const TrainingNote& note);

// Memory of training a block beside its tensors as they are stored: for each value fp32 weights,
// gradients, two moments, the average if there is one, and the teacher's if there is one.
int64_t TrainingBytesPerValue(const LoopOptions& loop, bool teacher);

// Samples whose output is compared before and after.
inline constexpr int64_t kComparedSamples = 8;
// |output - wanted| / |wanted| over some samples, spread over the set, whose neighbours are much
// alike. wanted: what the teacher makes, or the target of the samples without one. 0 where nothing
// is wanted. Throws c10::Error.
double OutputError(const Component& student, const Component* teacher, const Dataset& data);

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_COMPONENT_TRAINING_H_
