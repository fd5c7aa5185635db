// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The method TRAJECTORY of the pass distill-steps: paths of the teacher are computed and written
// down first, and then learnt.
#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/distill/steps.h"
#include "src/train/held_out.h"
#include "src/train/loop_options.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::distill {
namespace {

enum TrajectoryStream : uint64_t { kPathNoise = 21, kPathOrder = 22 };

// The teacher's paths from noise to clips, as files in a folder of the scratch: of each of its
// denoisers the states at the levels of the few steps that it meets, and where it ends.
class TeacherPaths {
 public:
  // Of as many paths as the options say, one noise and one prompt each.
  static absl::StatusOr<TeacherPaths> Open(const StepsRun& run, PassContext& context) {
    WANLITE_ASSIGN_OR_RETURN(
        PromptSamples samples,
        PromptSamples::Open(*context.samples, run.decision.experts(0).component()));
    TeacherPaths paths(run, context, std::move(samples));
    paths.texts_ = paths.samples_.Texts();
    paths.count_ =
        run.options.has_paths() ? run.options.paths() : static_cast<int64_t>(paths.texts_.size());
    paths.fine_ = DividedSigmas(run.decision, run.decision.substeps());
    const std::vector<int64_t> held = paths.samples_.Held();
    paths.held_.insert(held.begin(), held.end());
    WANLITE_RETURN_IF_ERROR(paths.Fill());
    return paths;
  }

  int64_t count() const { return count_; }
  bool held(int64_t path) const { return held_.contains(TextOf(path)); }
  std::string fingerprint() const {
    return absl::StrCat(samples_.fingerprint(), "/", count_, " paths of seed ", context_->seed);
  }

  // [1, ...], at the level of step k; k = steps: where the path ends.
  absl::StatusOr<at::Tensor> State(int64_t path, int64_t k) const {
    const bool end = k == run_->options.steps();
    const size_t teacher =
        end ? static_cast<size_t>(run_->decision.teachers_size()) - 1 : TeacherAt(k * substeps());
    return ReadOf(teacher, path, end ? "end" : absl::StrCat("state.", k));
  }

  absl::StatusOr<at::Tensor> Text(int64_t path) const {
    WANLITE_ASSIGN_OR_RETURN(const Values values, samples_.Read(TextOf(path)));
    return values.at(kText);
  }

 private:
  TeacherPaths(const StepsRun& run, PassContext& context, PromptSamples samples)
      : run_(&run), context_(&context), samples_(std::move(samples)) {}

  int64_t substeps() const { return run_->decision.substeps(); }
  int64_t TextOf(int64_t path) const { return texts_[static_cast<size_t>(path) % texts_.size()]; }
  int64_t PerFile() const {
    const auto loop = train::LoopOf(run_->options.loop());
    return std::max<int64_t>(1, loop.batch / loop.accumulate);
  }
  // Of the teacher's denoisers the one that steps from a level of the fine grid; in fp32, as
  // samplers compare.
  size_t TeacherAt(int64_t fine) const {
    size_t teacher = 0;
    const auto timestep = static_cast<float>(kTimesteps * fine_[static_cast<size_t>(fine)]);
    for (int i = 1; i < run_->decision.teachers_size(); ++i) {
      const double from = run_->decision.teachers(i).from_sigma();
      if (timestep < static_cast<float>(kTimesteps * from)) teacher = static_cast<size_t>(i);
    }
    return teacher;
  }

  std::string FileOf(size_t teacher, int64_t file) const {
    return JoinPath(JoinPath(context_->scratch, "paths"),
                    absl::StrCat(run_->decision.teachers(static_cast<int>(teacher)).component(),
                                 "-", absl::Dec(file, absl::kZeroPad6), ".safetensors"));
  }
  // Files of the teacher are open.
  absl::StatusOr<at::Tensor> ReadOf(size_t teacher, int64_t path, const std::string& what) const {
    return files_[teacher][static_cast<size_t>(path / PerFile())]->Read(
        absl::StrCat("path.", path, ".", what));
  }

  absl::Status Fill() {
    WANLITE_RETURN_IF_ERROR(context_->env->CreateFolders(JoinPath(context_->scratch, "paths")));
    const int64_t files = (count_ + PerFile() - 1) / PerFile();
    for (int i = 0; i < run_->decision.teachers_size(); ++i) {
      const auto teacher = static_cast<size_t>(i);
      const std::string& component = run_->decision.teachers(i).component();
      std::optional<ModelView> view;  // loaded when a path is missing
      WANLITE_RETURN_IF_ERROR(
          SharedWork(*context_, absl::StrCat("paths of ", component), files,
                     [&](int64_t file) -> absl::Status {
                       if (context_->env->FileExists(FileOf(teacher, file)))
                         return absl::OkStatus();
                       if (!view.has_value()) {
                         WANLITE_ASSIGN_OR_RETURN(view, run_->LoadTeacherOf(component, *context_));
                       }
                       return FillFile(*view->FindComponent(component), teacher, file);
                     }));
      std::vector<std::shared_ptr<const TensorSource>>& opened = files_.emplace_back();
      for (int64_t file = 0; file < files; ++file) {
        WANLITE_ASSIGN_OR_RETURN(opened.emplace_back(),
                                 OpenSafetensors(*context_->env, FileOf(teacher, file)));
      }
    }
    return absl::OkStatus();
  }

  absl::Status FillFile(const Component& network, size_t teacher, int64_t file) const {
    const int64_t first = file * PerFile(), end = std::min(count_, first + PerFile());
    std::vector<at::Tensor> starts, texts;
    for (int64_t path = first; path < end; ++path) {
      WANLITE_ASSIGN_OR_RETURN(const Values values, samples_.Read(TextOf(path)));
      texts.push_back(values.at(kText));
      if (teacher == 0) {
        starts.push_back(
            SeededNoise(values.at(kLatents),
                        MixSeed(context_->seed, {kPathNoise, static_cast<uint64_t>(path)})));
      } else {
        WANLITE_ASSIGN_OR_RETURN(starts.emplace_back(), ReadOf(teacher - 1, path, "end"));
      }
    }
    const at::NoGradGuard no_grad;
    at::Tensor x = at::cat(starts);
    const at::Tensor text = at::cat(texts);
    const double guidance = run_->decision.teachers(static_cast<int>(teacher)).guidance();
    std::vector<NamedTensor> states;
    const auto keep = [&](const std::string& what) {
      for (int64_t path = first; path < end; ++path) {
        states.push_back({absl::StrCat("path.", path, ".", what),
                          x.narrow(0, path - first, 1).contiguous().clone()});
      }
    };
    for (int64_t fine = 0; fine + 1 < static_cast<int64_t>(fine_.size()); ++fine) {
      if (TeacherAt(fine) != teacher) continue;
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context_->cancel));
      if (fine % substeps() == 0) keep(absl::StrCat("state.", fine / substeps()));
      const double from = fine_[static_cast<size_t>(fine)],
                   to = fine_[static_cast<size_t>(fine) + 1];
      x = x + (to - from) * GuidedVelocity(network, guidance, x,
                                           at::full({x.size(0)}, from, at::kFloat), text,
                                           run_->negative);
    }
    keep("end");
    return WriteSafetensors(*context_->env, FileOf(teacher, file), states).status();
  }

  const StepsRun* run_;
  const PassContext* context_;
  PromptSamples samples_;
  std::vector<int64_t> texts_;  // numbers of samples
  std::set<int64_t> held_;      // of them, those kept out
  int64_t count_ = 0;
  std::vector<double> fine_;
  std::vector<std::vector<std::shared_ptr<const TensorSource>>> files_;  // by teacher
};

// What a student's expert is to do at its steps.
class PathData : public Dataset {
 public:
  PathData(const StepsRun& run, const DistillStepsDecision::Expert& expert,
           const TeacherPaths& paths, bool held)
      : run_(run), expert_(expert), paths_(paths) {
    for (int64_t path = 0; path < paths.count(); ++path) {
      if (paths.held(path) == held) numbers_.push_back(path);
    }
    fingerprint_ = absl::StrCat(paths.fingerprint(), "/steps ", expert.first_step(), " to ",
                                expert.end_step(), "/", numbers_.size());
  }
  int64_t size() const override {
    return static_cast<int64_t>(numbers_.size()) * (expert_.end_step() - expert_.first_step());
  }
  absl::StatusOr<Values> Read(int64_t i, uint64_t) const override {
    if (i < 0 || i >= size()) return absl::OutOfRangeError(absl::StrCat("sample ", i));
    const int64_t steps = expert_.end_step() - expert_.first_step();
    const int64_t path = numbers_[static_cast<size_t>(i / steps)];
    const int64_t k = expert_.first_step() + i % steps;
    const int64_t end =
        run_.options.sampler() == DistillStepsOptions::LCM ? run_.options.steps() : k + 1;
    const double from = run_.decision.sigmas(static_cast<int>(k));
    const double to = run_.decision.sigmas(static_cast<int>(end));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor x, paths_.State(path, k));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor arrived, paths_.State(path, end));
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor text, paths_.Text(path));
    return Values{{kLatents, x},
                  {kTimestep, at::full({1}, kTimesteps * from, at::kFloat)},
                  {kText, text},
                  {kTargetValue, (x - arrived) / (from - to)}};
  }
  const std::string& fingerprint() const override { return fingerprint_; }

 private:
  const StepsRun& run_;
  const DistillStepsDecision::Expert& expert_;
  const TeacherPaths& paths_;
  std::vector<int64_t> numbers_;
  std::string fingerprint_;
};

}  // namespace

absl::Status DistillTrajectory(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                               ModelView& model, PassContext& context) {
  WANLITE_ASSIGN_OR_RETURN(const TeacherPaths paths, TeacherPaths::Open(run, context));
  const PathData data(run, expert, paths, /*held=*/false);
  const PathData held(run, expert, paths, /*held=*/true);
  const uint64_t seed =
      MixSeed(context.seed, {kPathOrder, static_cast<uint64_t>(expert.first_step())});
  return TrainOnTargets(model, run.Training(expert.component(), expert.component()), seed,
                        run.options.recompute(), data, held.size() > 0 ? held : data, context);
}

}  // namespace wanlite::distill
