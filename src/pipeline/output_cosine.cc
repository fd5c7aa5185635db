// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "wanlite/block_program.h"
#include "wanlite/pipeline.h"
#include "wanlite/sample_set.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

class OutputCosine : public QualityGauge {
 public:
  absl::string_view name() const override { return "output-cosine"; }
  bool needs_samples() const override { return true; }

  absl::StatusOr<double> Measure(const ModelFolder& original, const ModelFolder& now,
                                 PassContext& context) const override {
    if (context.samples == nullptr) {
      return absl::FailedPreconditionError("needs recorded inputs of the model");
    }
    const SampleSet& samples = *context.samples;
    WANLITE_ASSIGN_OR_RETURN(const ModelView hollow, original.BuildView());
    const std::vector<std::string> components = Judged(hollow, samples);
    int64_t forwards = 0;
    for (const std::string& component : components) forwards += 2 * samples.size(component);
    context.progress->Begin(name(), forwards);
    double sum = 0, weights = 0;
    int64_t done = 0;
    for (const std::string& component : components) {
      std::vector<at::Tensor> before;
      const auto keep = [&](at::Tensor output, double) {
        before.push_back(std::move(output));
        return absl::OkStatus();
      };
      size_t next = 0;
      const auto compare = [&](const at::Tensor& output, double weight) -> absl::Status {
        const at::Tensor wanted = std::move(before[next++]);
        if (wanted.sizes() != output.sizes()) {
          return absl::FailedPreconditionError(
              absl::StrCat(component, " gives another shape than the original's"));
        }
        sum += weight * Cosine(wanted, output);
        weights += weight;
        return absl::OkStatus();
      };
      WANLITE_RETURN_IF_ERROR(RunSamples(original, component, context, done, keep));
      WANLITE_RETURN_IF_ERROR(RunSamples(now, component, context, done, compare));
    }
    context.progress->End();
    if (!(weights > 0)) return absl::FailedPreconditionError("the samples have no weight");
    return sum / weights;
  }

 private:
  static std::vector<std::string> Judged(const ModelView& model, const SampleSet& samples) {
    std::vector<std::string> denoisers, others;
    for (const Component& component : model.components()) {
      if (samples.size(component.name) == 0) continue;
      (component.role == ComponentRole::kDenoiser ? denoisers : others).push_back(component.name);
    }
    return denoisers.empty() ? others : denoisers;
  }

  // Calls take(output, weight) with each sample's output, fp64 and flat.
  template <typename Take>
  static absl::Status RunSamples(const ModelFolder& folder, const std::string& component,
                                 const PassContext& context, int64_t& done, const Take& take) {
    const at::NoGradGuard no_grad;
    WANLITE_ASSIGN_OR_RETURN(const ModelFolder alone, folder.OpenAlone(component));
    WANLITE_ASSIGN_OR_RETURN(ModelView view, alone.BuildView());
    WANLITE_RETURN_IF_ERROR(view.LoadAll());
    const BlockProgram* program = ProgramOf(*view.FindComponent(component));
    if (program == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(component, " declares no block program"));
    }
    for (int64_t i = 0; i < context.samples->size(component); ++i) {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(context.cancel));
      WANLITE_ASSIGN_OR_RETURN(Values values, context.samples->Read(component, i));
      const double weight = context.samples->sample(component, i).weight;
      WANLITE_RETURN_IF_ERROR(
          take(program->Run(std::move(values)).to(at::kDouble).flatten(), weight));
      context.progress->Update(++done, component);
    }
    return absl::OkStatus();
  }

  // Two outputs of zeros are equal.
  static double Cosine(const at::Tensor& a, const at::Tensor& b) {
    const double norms = a.norm().item<double>() * b.norm().item<double>();
    if (norms == 0) return at::equal(a, b) ? 1.0 : 0.0;
    return a.dot(b).item<double>() / norms;
  }
};

}  // namespace

const QualityGauge& OutputCosineGauge() {
  static const OutputCosine& gauge = *new OutputCosine;
  return gauge;
}

}  // namespace wanlite
