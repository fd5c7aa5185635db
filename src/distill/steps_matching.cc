// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The method DMD2 of the pass distill-steps: distribution matching distillation.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/noise_levels.h"
#include "src/core/random.h"
#include "src/distill/steps.h"
#include "src/train/component_training.h"
#include "wanlite/status.h"

namespace wanlite::distill {
namespace {

enum MatchingStream : uint64_t {
  kMatchedStep = 41,
  kRenoised = 42,
  kScoreNoise = 43,
  kPrompts = 44
};

// Two networks in turn. The student makes clips from noise by its own few steps, the last of them,
// step k, with its graph (backward simulation, arXiv 2405.14867, section 4.5):
//   x_0 = x - s_k v(x, s_k)
// and moves them along the difference of two scores at a noise level t of its own side:
//   x_t = (1 - t) x_0 + t noise,   d = t (v_real(x_t, t) - v_fake(x_t, t)) / mean |x_0 - x_0,real|
//   loss = |x_0 - stopgrad(x_0 - d)|^2 / 2
// where x_0,real = x_t - t v_real is the clip that the guided teacher sees, and d the difference of
// both networks' clips, x_0,fake - x_0,real. The other network, "fake", learns the velocity of what
// the student makes, noise - x_0, on the same levels.
class MatchingObjective : public train::Objective {
 public:
  struct Networks {
    std::vector<const Component*> of_step;  // the student's, by step, up to its own last one
    const Component* fake = nullptr;
    const Component* real = nullptr;
    double guidance = 1;
  };

  MatchingObjective(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                    Networks networks, std::vector<train::TrainedTensor> parameters,
                    const DrawnSamples& data, uint64_t seed)
      : run_(run),
        expert_(expert),
        networks_(std::move(networks)),
        parameters_(std::move(parameters)),
        data_(data),
        seed_(seed),
        cycle_(run.options.fake_updates() + 1) {}

  std::vector<train::TrainedTensor> Parameters() override { return parameters_; }

  Terms Loss(int64_t step, int part, int parts) override {
    const DrawnBatch drawn = data_.Draw(step, part, parts);
    const bool student_turn = step % cycle_ == cycle_ - 1;
    // One for the whole batch, whichever part this is.
    const int64_t k =
        expert_.first_step() + Random(MixSeed(seed_, {kMatchedStep, static_cast<uint64_t>(step)}))
                                   .Below(expert_.end_step() - expert_.first_step());
    const at::Tensor clip = Simulate(drawn, k, student_turn);
    const at::Tensor seen = clip.detach();
    const at::Tensor level = DrawLevels(drawn);
    const at::Tensor noise = NoiseOf(drawn, seen, kScoreNoise, 0);
    const at::Tensor t = AsFactor(level, seen);
    const at::Tensor noisy = (1 - t) * seen + t * noise;
    Terms terms;
    if (!student_turn) {
      const at::Tensor found =
          VelocityOf(*networks_.fake, noisy, level, drawn.text, run_.options.recompute());
      terms.total = at::mse_loss(found, noise - seen);
      terms.named = {{"matching", 0}, {"fake", terms.total.item<double>()}};
      return terms;
    }
    at::Tensor wanted;
    double fake_loss = 0;
    {
      const at::NoGradGuard no_grad;
      const at::Tensor fake = VelocityOf(*networks_.fake, noisy, level, drawn.text);
      const at::Tensor real = GuidedVelocity(*networks_.real, networks_.guidance, noisy, level,
                                             drawn.text, run_.negative);
      fake_loss = at::mse_loss(fake, noise - seen).item<double>();
      std::vector<int64_t> dims;
      for (int64_t dim = 1; dim < seen.dim(); ++dim) dims.push_back(dim);
      const at::Tensor scale =
          (seen - (noisy - t * real)).abs().mean(dims, /*keepdim=*/true).clamp_min(1e-6);
      wanted = seen - t * (real - fake) / scale;
    }
    terms.total = 0.5 * at::mse_loss(clip, wanted);
    terms.named = {{"matching", terms.total.item<double>()}, {"fake", fake_loss}};
    return terms;
  }

 private:
  // The student's clip of step k, [batch, ...].
  at::Tensor Simulate(const DrawnBatch& drawn, int64_t k, bool with_graph) const {
    at::Tensor x = drawn.noise;
    const auto predict = [&](int64_t at, bool recompute) {
      const double sigma = run_.decision.sigmas(static_cast<int>(at));
      return x - sigma * VelocityOf(*networks_.of_step[static_cast<size_t>(at)], x,
                                    at::full({x.size(0)}, sigma, at::kFloat), drawn.text,
                                    recompute);
    };
    {
      const at::NoGradGuard no_grad;
      for (int64_t before = 0; before < k; ++before) {
        const at::Tensor clip = predict(before, false);
        const double next = run_.decision.sigmas(static_cast<int>(before) + 1);
        x = (1 - next) * clip +
            next * NoiseOf(drawn, clip, kRenoised, static_cast<uint64_t>(before));
      }
      if (!with_graph) return predict(k, false);
    }
    return predict(k, run_.options.recompute());
  }

  // Even before the shift, between the ends of the expert's own side.
  at::Tensor DrawLevels(const DrawnBatch& drawn) const {
    const DistillStepsDecision& decision = run_.decision;
    const double shift = decision.shift();
    const double high =
        UnshiftSigma(decision.sigmas(static_cast<int>(expert_.first_step())), shift);
    const double low = UnshiftSigma(decision.sigmas(static_cast<int>(expert_.end_step())), shift);
    std::vector<double> levels;
    for (const uint64_t seed : drawn.seeds) {
      const double place =
          run_.options.min_level() +
          (run_.options.max_level() - run_.options.min_level()) * Random(seed).Uniform();
      levels.push_back(ShiftSigma(low + (high - low) * place, shift));
    }
    return AsTensor(levels);
  }

  static at::Tensor NoiseOf(const DrawnBatch& drawn, const at::Tensor& like, uint64_t stream,
                            uint64_t number) {
    std::vector<at::Tensor> noises;
    for (const uint64_t seed : drawn.seeds) {
      noises.push_back(SeededNoise(like.narrow(0, 0, 1), MixSeed(seed, {stream, number})));
    }
    return at::cat(noises);
  }

  const StepsRun& run_;
  const DistillStepsDecision::Expert& expert_;
  const Networks networks_;
  const std::vector<train::TrainedTensor> parameters_;
  const DrawnSamples& data_;
  const uint64_t seed_;
  const int64_t cycle_;
};

}  // namespace

absl::Status DistillMatching(const StepsRun& run, const DistillStepsDecision::Expert& expert,
                             ModelView& model, PassContext& context) {
  const std::string& component = expert.component();
  WANLITE_ASSIGN_OR_RETURN(const PromptSamples samples,
                           PromptSamples::Open(*context.samples, component));
  const uint64_t seed =
      MixSeed(context.seed, {kPrompts, static_cast<uint64_t>(expert.first_step())});
  const std::vector<int64_t> texts = samples.Texts();
  const std::vector<int64_t> held = samples.Held();
  std::vector<int64_t> trained;
  for (const int64_t text : texts) {
    if (!std::binary_search(held.begin(), held.end(), text)) trained.push_back(text);
  }
  const DrawnSamples data(samples, std::move(trained), run.options.loop().batch(), seed,
                          /*clips=*/false);
  WANLITE_ASSIGN_OR_RETURN(const ModelView real, run.LoadTeacherOf(component, context));
  WANLITE_ASSIGN_OR_RETURN(const ModelView fake, run.LoadTeacherOf(component, context));
  MatchingObjective::Networks networks;
  networks.real = real.FindComponent(component);
  networks.fake = fake.FindComponent(component);
  networks.guidance = run.TeacherOf(component).guidance();
  for (const auto& other : run.decision.experts()) {
    for (int64_t k = other.first_step(); k < std::min(other.end_step(), expert.end_step()); ++k) {
      networks.of_step.push_back(model.FindComponent(other.component()));
    }
  }
  train::TensorSelector every;
  every.components = {component};
  every.muon = run.options.loop().muon();
  WANLITE_ASSIGN_OR_RETURN(std::vector<train::TrainedTensor> along,
                           train::TrainableTensors(fake, every));
  const auto updates = static_cast<size_t>(run.options.fake_updates());
  std::vector<bool> fake_turns(updates + 1, true), student_turns(updates + 1, false);
  fake_turns[updates] = false;
  student_turns[updates] = true;
  for (train::TrainedTensor& tensor : along) {
    tensor.name = absl::StrCat("fake.", tensor.name);
    tensor.rate_scale *= run.options.fake_learning_rate() / run.options.loop().learning_rate();
    tensor.turns = fake_turns;
  }
  DenoiserTraining training = run.Training(component, component);
  training.identity["data"] = data.fingerprint();
  training.identity["levels"] =
      absl::StrCat(run.options.min_level(), " to ", run.options.max_level());
  return TrainDenoiser(
      model, training,
      [&](const Component&,
          std::vector<train::TrainedTensor> tensors) -> absl::StatusOr<DenoiserObjective> {
        for (train::TrainedTensor& tensor : tensors) tensor.turns = student_turns;
        tensors.insert(tensors.end(), along.begin(), along.end());
        DenoiserObjective made;
        made.objective = std::make_unique<MatchingObjective>(run, expert, networks,
                                                             std::move(tensors), data, seed);
        return made;
      },
      context);
}

}  // namespace wanlite::distill
