// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/distill/guided_options.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/distill/guided_samples.h"
#include "src/train/loop_options.h"
#include "wanlite/model_library.h"
#include "wanlite/registry.h"
#include "wanlite/status.h"

namespace wanlite::distill {

absl::Status CheckGuidance(const GuidanceChoice& choice) {
  if (choice.second.has_value() && !choice.first.has_value()) {
    return OptionError("guidance_2", "is of the second expert; give guidance as well");
  }
  const std::pair<const char*, std::optional<double>> fields[] = {{"guidance", choice.first},
                                                                  {"guidance_2", choice.second}};
  for (const auto& [field, value] : fields) {
    if (!value.has_value() || (*value >= 1 && *value <= 100)) continue;
    return OptionError(field, absl::StrCat(*value, " is not in [1, 100]; 1 is none"));
  }
  return absl::OkStatus();
}

absl::Status CheckTeacher(int which, const std::string& path) {
  if (!GuidedTeacher::Which_IsValid(which)) {
    return OptionError("teacher", absl::StrCat(which, " is not INPUT or BEFORE"));
  }
  if (!path.empty() && which != GuidedTeacher::INPUT) {
    return OptionError("teacher_path", "is in place of INPUT; leave out teacher");
  }
  return absl::OkStatus();
}

absl::Status CheckLoop(bool given, const TrainLoop& loop) {
  if (!given) return OptionError("loop", "is missing: how long it is trained");
  return CheckLoopOptions(train::LoopOf(loop), "loop");
}

absl::StatusOr<SamplingDefaults> SamplingOfTeacher(const PassContext& context,
                                                   absl::string_view pass, const std::string& ref) {
  if (context.models == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(pass, " with a teacher runs over folders alone"));
  }
  WANLITE_ASSIGN_OR_RETURN(const ModelView teacher, context.models->Open(ref, {}));
  return ReadSampling(teacher.pipeline());
}

absl::StatusOr<std::vector<GuidedExpert>> ExpertsOfTeacher(const PassContext& context,
                                                           absl::string_view pass,
                                                           const std::string& ref,
                                                           const GuidanceChoice& choice) {
  WANLITE_ASSIGN_OR_RETURN(SamplingDefaults sampling, SamplingOfTeacher(context, pass, ref));
  WANLITE_ASSIGN_OR_RETURN(const ModelView teacher, context.models->Open(ref, {}));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, GuidedDenoisers(teacher));
  if (choice.first.has_value()) {
    sampling.guidance = *choice.first;
    sampling.guidance_2 = choice.second.value_or(*choice.first);
  } else if (sampling.guidance <= 1) {
    // As diffusers: the first decides for both.
    sampling.guidance = sampling.guidance_2 = 1;
  }
  std::vector<GuidedExpert> experts{{names[0], sampling.guidance, 1.0}};
  if (names.size() > 1 && sampling.boundary_ratio > 0) {
    experts.push_back({names[1], sampling.guidance_2, sampling.boundary_ratio});
  }
  return experts;
}

const GuidedExpert* FindExpert(const std::vector<GuidedExpert>& experts,
                               absl::string_view component) {
  for (const GuidedExpert& expert : experts) {
    if (expert.component == component) return &expert;
  }
  return nullptr;
}

std::string GuidanceText(const SamplingDefaults& sampling) {
  if (sampling.guidance == sampling.guidance_2) return absl::StrCat(sampling.guidance);
  return absl::StrCat(sampling.guidance, " and ", sampling.guidance_2);
}

}  // namespace wanlite::distill
