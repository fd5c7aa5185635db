// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The methods PROGRESSIVE and CONSISTENCY of the pass distill-steps, which learn from clips under
// noise: a level of a grid, a clip and noise are drawn, and the student's velocity there is
// compared with one that the teacher, or the student itself, makes.
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/distill/steps.h"
#include "src/train/component_training.h"
#include "wanlite/model_library.h"
#include "wanlite/status.h"

namespace wanlite::distill {
namespace {

enum IntervalStream : uint64_t { kIntervalOrder = 31 };

// What is drawn, on the levels of a grid.
struct NoisyBatch {
  std::vector<int64_t> places;  // of each sample, into the grid
  at::Tensor x, sigma, text;    // sigma: that of the place, [batch]
};
struct Wanted {
  at::Tensor velocity;
  at::Tensor weight;  // of each sample, [batch]; undefined: 1
};
using WantedVelocity = std::function<Wanted(const NoisyBatch& batch)>;

// sigmas of the grid at places + offset, [batch]
at::Tensor LevelsAt(const std::vector<double>& grid, const std::vector<int64_t>& places,
                    int64_t factor, int64_t offset) {
  std::vector<double> levels;
  for (const int64_t place : places) {
    levels.push_back(grid[static_cast<size_t>(place * factor + offset)]);
  }
  return AsTensor(levels);
}

class IntervalObjective : public train::Objective {
 public:
  // first, end: places of the grid that are drawn. parameters: of the student, and what else is
  // trained or moves along.
  IntervalObjective(const Component& student, std::vector<train::TrainedTensor> parameters,
                    const DrawnSamples& data, std::vector<double> grid, int64_t first, int64_t end,
                    bool recompute, WantedVelocity wanted)
      : student_(student),
        parameters_(std::move(parameters)),
        data_(data),
        grid_(std::move(grid)),
        first_(first),
        end_(end),
        recompute_(recompute),
        wanted_(std::move(wanted)) {}

  std::vector<train::TrainedTensor> Parameters() override { return parameters_; }

  Terms Loss(int64_t step, int part, int parts) override {
    const DrawnBatch drawn = data_.Draw(step, part, parts);
    NoisyBatch batch;
    batch.text = drawn.text;
    for (const uint64_t seed : drawn.seeds) {
      batch.places.push_back(first_ + Random(seed).Below(end_ - first_));
    }
    batch.sigma = LevelsAt(grid_, batch.places, 1, 0);
    const at::Tensor factor = AsFactor(batch.sigma, drawn.clip);
    batch.x = (1 - factor) * drawn.clip + factor * drawn.noise;
    Wanted wanted;
    {
      const at::NoGradGuard no_grad;
      wanted = wanted_(batch);
    }
    const at::Tensor found = VelocityOf(student_, batch.x, batch.sigma, batch.text, recompute_);
    at::Tensor error = (found - wanted.velocity).square();
    if (wanted.weight.defined()) error = error * AsFactor(wanted.weight, error);
    Terms terms;
    terms.total = error.mean();
    terms.named.emplace_back("velocity", terms.total.item<double>());
    return terms;
  }

 private:
  const Component& student_;
  const std::vector<train::TrainedTensor> parameters_;
  const DrawnSamples& data_;
  const std::vector<double> grid_;
  const int64_t first_, end_;
  const bool recompute_;
  const WantedVelocity wanted_;
};

// The component as it was before this pass, in fp32, with the values that the model has now.
absl::StatusOr<ModelView> CopyOf(const ModelView& model, const std::string& component,
                                 const PassContext& context) {
  WANLITE_ASSIGN_OR_RETURN(ModelView copy,
                           train::OpenTeacher(context, "distill-steps", "before", component));
  WANLITE_RETURN_IF_ERROR(train::LoadTeacher(copy));
  const at::NoGradGuard no_grad;
  for (const NamedTensor& named : copy.Tensors()) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor now, model.FindTensor(named.name));
    named.tensor.copy_(now);
  }
  return copy;
}

}  // namespace

// Salimans & Ho 2022: in each round the student's step from s to e learns where two steps of its
// teacher, over the middle m, arrive: x_m = x + (m - s) v(x, s), x_e = x_m + (e - m) v(x_m, m), and
// the velocity is (x_e - x) / (e - s). Then the student is the teacher. The first one is guided.
absl::Status DistillByHalving(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                              ModelView& model, PassContext& context) {
  const std::string& component = expert.component();
  WANLITE_ASSIGN_OR_RETURN(const PromptSamples samples,
                           PromptSamples::Open(*context.samples, component));
  const DrawnSamples data(samples, samples.Trained(), run.options.loop().batch(),
                          MixSeed(context.seed, {kIntervalOrder}), /*clips=*/true);
  bool first_round = true;
  for (int64_t parts = run.decision.substeps() / 2; parts >= 1; parts /= 2) {
    std::optional<ModelView> view;
    double guidance = 1;
    if (first_round) {
      guidance = run.TeacherOf(component).guidance();
      WANLITE_ASSIGN_OR_RETURN(view, run.LoadTeacherOf(component, context));
    } else {
      WANLITE_ASSIGN_OR_RETURN(view, CopyOf(model, component, context));
    }
    const Component& teacher = *view->FindComponent(component);
    const std::vector<double> grid = DividedSigmas(run.decision, 2 * parts);
    const auto wanted = [&](const NoisyBatch& batch) {
      const at::Tensor middle = LevelsAt(grid, batch.places, 2, 1);
      const at::Tensor end = LevelsAt(grid, batch.places, 2, 2);
      const auto step = [&](const at::Tensor& x, const at::Tensor& from, const at::Tensor& to) {
        return x + AsFactor(to - from, x) *
                       GuidedVelocity(teacher, guidance, x, from, batch.text, run.negative);
      };
      const at::Tensor arrived = step(step(batch.x, batch.sigma, middle), middle, end);
      return Wanted{(arrived - batch.x) / AsFactor(end - batch.sigma, batch.x), {}};
    };
    DenoiserTraining training =
        run.Training(component, absl::StrCat(component, ".", run.options.steps() * parts));
    training.identity["data"] = data.fingerprint();
    training.identity["parts"] = absl::StrCat(parts);
    WANLITE_RETURN_IF_ERROR(Annotate(
        TrainDenoiser(
            model, training,
            [&](const Component& student,
                std::vector<train::TrainedTensor> tensors) -> absl::StatusOr<DenoiserObjective> {
              DenoiserObjective made;
              made.objective = std::make_unique<IntervalObjective>(
                  student, std::move(tensors), data, DividedSigmas(run.decision, parts),
                  expert.first_step() * parts, expert.end_step() * parts, run.options.recompute(),
                  wanted);
              return made;
            },
            context),
        absl::StrCat(2 * parts * run.options.steps(), " to ", parts * run.options.steps(),
                     " steps")));
    first_round = false;
  }
  return absl::OkStatus();
}

// Interval by interval: with f(x, s) = x - (s - E) v(x, s), where the interval of a few step ends
// at E, the student's f at a level s of the fine grid is to be the target network's at the next
// level s', where one guided step of the teacher leads: f(x, s) = f_target(x', s'), with f(x', E) =
// x'. Compared as places, |f - f_target|^2 in units of the interval's length, so that no level near
// the interval's end outweighs the others.
absl::Status DistillConsistency(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                                ModelView& model, PassContext& context) {
  const std::string& component = expert.component();
  WANLITE_ASSIGN_OR_RETURN(const PromptSamples samples,
                           PromptSamples::Open(*context.samples, component));
  const DrawnSamples data(samples, samples.Trained(), run.options.loop().batch(),
                          MixSeed(context.seed, {kIntervalOrder}), /*clips=*/true);
  WANLITE_ASSIGN_OR_RETURN(const ModelView teacher_view, run.LoadTeacherOf(component, context));
  const Component& teacher = *teacher_view.FindComponent(component);
  const double guidance = run.TeacherOf(component).guidance();
  WANLITE_ASSIGN_OR_RETURN(const ModelView target_view, CopyOf(model, component, context));
  const Component& target = *target_view.FindComponent(component);
  const int64_t parts = run.decision.substeps();
  const std::vector<double> grid = DividedSigmas(run.decision, parts);
  const auto wanted = [&](const NoisyBatch& batch) {
    const at::Tensor next = LevelsAt(grid, batch.places, 1, 1);
    std::vector<double> starts, ends;
    for (const int64_t place : batch.places) {
      starts.push_back(grid[static_cast<size_t>(place / parts * parts)]);
      ends.push_back(grid[static_cast<size_t>((place / parts + 1) * parts)]);
    }
    const at::Tensor start = AsTensor(starts), end = AsTensor(ends);
    const at::Tensor x = batch.x + AsFactor(next - batch.sigma, batch.x) *
                                       GuidedVelocity(teacher, guidance, batch.x, batch.sigma,
                                                      batch.text, run.negative);
    const at::Tensor arrived =
        x - AsFactor(next - end, x) * VelocityOf(target, x, next, batch.text);
    const at::Tensor left = batch.sigma - end;
    return Wanted{(batch.x - arrived) / AsFactor(left, x), (left / (start - end)).square()};
  };
  DenoiserTraining training = run.Training(component, component);
  training.identity["data"] = data.fingerprint();
  training.identity["target_decay"] = absl::StrCat(run.options.target_decay());
  return TrainDenoiser(
      model, training,
      [&](const Component& student,
          std::vector<train::TrainedTensor> tensors) -> absl::StatusOr<DenoiserObjective> {
        const size_t trained = tensors.size();
        for (size_t i = 0; i < trained; ++i) {
          train::TrainedTensor follower;
          follower.name = absl::StrCat("target.", tensors[i].name);
          WANLITE_ASSIGN_OR_RETURN(follower.tensor, target_view.FindTensor(tensors[i].name));
          follower.follows = tensors[i].tensor;
          follower.follow_decay = run.options.target_decay();
          tensors.push_back(std::move(follower));
        }
        DenoiserObjective made;
        made.objective = std::make_unique<IntervalObjective>(
            student, std::move(tensors), data, grid, expert.first_step() * parts,
            expert.end_step() * parts, run.options.recompute(), wanted);
        return made;
      },
      context);
}

}  // namespace wanlite::distill
