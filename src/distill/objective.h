// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The objective of distillation: a student, a teacher that is in memory or on the disk, and the
// terms that a recipe mixes.
#ifndef WANLITE_SRC_DISTILL_OBJECTIVE_H_
#define WANLITE_SRC_DISTILL_OBJECTIVE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "src/distill/distill_samples.h"
#include "src/distill/output_reader.h"
#include "src/distill/teacher.h"
#include "src/proto/distillation.pb.h"
#include "src/train/sample_order.h"
#include "wanlite/alignment.h"
#include "wanlite/model_view.h"
#include "wanlite/train.h"

namespace wanlite::distill {

// A value of the student after a step of its program, and the teacher's beside it.
struct ComparedValue {
  std::string value;
  size_t student_step = 0;
  std::vector<size_t> teacher_steps = {};        // of each component that teaches
  std::vector<std::string> teacher_blocks = {};  // that these steps end
};

// A term of the loss, its options resolved, its values found in both programs.
struct ObjectiveTerm {
  LossTerm options;
  std::vector<ComparedValue> pairs = {};
};

// What of the teachers the terms want, one for each component.
std::vector<TeacherWants> WantsOf(const std::vector<ObjectiveTerm>& terms,
                                  const std::vector<std::string>& components);

// Whether the term compares with a teacher, and whether it needs to know noise levels.
bool NeedsTeacher(const LossTerm& term);
bool NeedsLevels(const LossTerm& term);

// weight times the ramp at a step; 0 where the term does not count.
double TermWeight(const LossTerm& term, int64_t step);

struct ObjectiveOptions {
  std::vector<ObjectiveTerm> terms;
  bool uncertainty = false;
  double balance_rate = 10;  // of the log-variances, times the loop's
  int64_t batch = 1;
  uint64_t seed = 0;
  bool recompute = false;
};

// Other networks that terms look through.
struct ObjectiveTools {
  const VideoTextEncoder* encoder = nullptr;  // of clip
  const LatentDecoder* decoder = nullptr;
  const OutputReader* reader = nullptr;  // of projected
};

class DistillObjective : public train::Objective {
 public:
  // `parameters`: of the student, on the device where all is computed. teacher: of WantsOf() the
  // terms, may be null where no term needs one. Runs both on one sample of each teaching component
  // to learn shapes: InvalidArgument, naming term, value, block and shapes, where they do not fit.
  // What is pointed to must outlive the objective.
  static absl::StatusOr<std::unique_ptr<DistillObjective>> Create(
      const Component& student, std::vector<train::TrainedTensor> parameters,
      const Teacher* teacher, const DistillSamples& samples, ObjectiveOptions options,
      const ObjectiveTools& tools = {});

  // The student's, projections, and log-variances.
  std::vector<train::TrainedTensor> Parameters() override { return parameters_; }
  Terms Loss(int64_t step, int part, int parts) override;
  // Data, seed and terms; the caller adds what the teacher is.
  train::Identity identity() const;

  // |output - wanted| / |wanted| over up to eight samples, spread over the set. wanted: the
  // teacher's output, or the samples' target without one; 0 where nothing is wanted.
  absl::StatusOr<double> OutputError(const DistillSamples& samples) const;

 private:
  struct Projection {
    at::Tensor weight, bias;  // [teacher, student], [teacher]
  };
  // Samples of one shape and one teaching component, stacked.
  struct Group {
    size_t component = 0;
    std::vector<int64_t> numbers;
    std::vector<std::string> prompts;
    Values values;
  };
  // What the student gives: its output, and the values of all pairs by {step, name}.
  struct StudentGives {
    at::Tensor output;
    std::map<std::pair<size_t, std::string>, at::Tensor> values;
  };

  DistillObjective(const Component& student, std::vector<train::TrainedTensor> parameters,
                   const Teacher* teacher, const DistillSamples& samples, ObjectiveOptions options,
                   const ObjectiveTools& tools);
  absl::Status Prepare();
  absl::Status PrepareTerm(size_t term, const StudentGives& student, const TeacherGives& teacher,
                           const Group& group);
  absl::StatusOr<Group> ReadGroup(const DistillSamples& samples, int64_t i) const;
  StudentGives RunStudent(const Values& inputs) const;
  TeacherGives AskTeacher(const Group& group, const Values& inputs) const;
  // Undefined for terms that do not count at the step.
  std::vector<at::Tensor> LossesOf(const Group& group, int64_t step) const;
  at::Tensor TermLoss(size_t term, const StudentGives& student, const TeacherGives& teacher,
                      const Group& group) const;
  at::Tensor ProjectedLoss(const ProjectedTerm& term, const at::Tensor& own,
                           const at::Tensor& other, const Group& group) const;
  at::Tensor ClipLoss(const ClipTerm& term, const at::Tensor& output, const Group& group) const;
  at::Tensor Embedded(const std::vector<std::string>& prompts, const at::Tensor& like) const;
  // The pair's values, the student's projected where it has a projection.
  std::pair<at::Tensor, at::Tensor> PairOf(size_t term, size_t pair, const StudentGives& student,
                                           const TeacherGives& teacher, size_t component) const;
  std::string StepName(const ComparedValue& pair) const;

  const Component& student_;
  std::vector<train::TrainedTensor> parameters_;
  const Teacher* teacher_;
  const DistillSamples& samples_;
  const ObjectiveOptions options_;
  const ObjectiveTools tools_;
  train::SampleOrder order_;
  at::Device device_;
  std::vector<TeacherWants> wants_;                   // by teaching component
  std::vector<std::vector<Projection>> projections_;  // by term and pair; undefined: none
  std::vector<at::Tensor> log_variances_;             // by term, [1]
  mutable std::mutex embedded_mutex_;
  mutable std::map<std::string, at::Tensor> embedded_;  // captions
};

}  // namespace wanlite::distill

#endif  // WANLITE_SRC_DISTILL_OBJECTIVE_H_
