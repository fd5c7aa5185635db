// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What the options of distill_guidance and distill_steps have in common.
#ifndef WANLITE_SRC_DISTILL_GUIDED_OPTIONS_H_
#define WANLITE_SRC_DISTILL_GUIDED_OPTIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/proto/distillation.pb.h"
#include "wanlite/pass.h"
#include "wanlite/sampling.h"

namespace wanlite::distill {

// Guidance to fold in, of the first expert and of the second.
struct GuidanceChoice {
  std::optional<double> first, second;
};
template <typename Options>
GuidanceChoice GuidanceOf(const Options& options) {
  GuidanceChoice choice;
  if (options.has_guidance()) choice.first = options.guidance();
  if (options.has_guidance_2()) choice.second = options.guidance_2();
  return choice;
}

absl::Status CheckGuidance(const GuidanceChoice& choice);
absl::Status CheckTeacher(int which, const std::string& path);
absl::Status CheckLoop(bool given, const TrainLoop& loop);

// A denoiser of the teacher.
struct GuidedExpert {
  std::string component;
  double guidance = 1;
  double from_sigma = 1;  // noise levels of its own, downwards from here
};
// The teacher's denoisers in the order in which they run, with the guidance chosen or that of the
// teacher's own folder. A second one that its folder never runs is not among them.
// FailedPrecondition, naming the pass, in a run without other models.
absl::StatusOr<std::vector<GuidedExpert>> ExpertsOfTeacher(const PassContext& context,
                                                           absl::string_view pass,
                                                           const std::string& ref,
                                                           const GuidanceChoice& choice);
// Steps that the teacher's folder samples with.
absl::StatusOr<SamplingDefaults> SamplingOfTeacher(const PassContext& context,
                                                   absl::string_view pass, const std::string& ref);
const GuidedExpert* FindExpert(const std::vector<GuidedExpert>& experts,
                               absl::string_view component);  // nullptr when absent

// "4 and 3", or "5" where both are one.
std::string GuidanceText(const SamplingDefaults& sampling);

}  // namespace wanlite::distill

#endif  // WANLITE_SRC_DISTILL_GUIDED_OPTIONS_H_
