// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Inputs of the doctor's forward passes where nothing was recorded: a prompt and noise.
#ifndef WANLITE_SRC_DOCTOR_DOCTOR_INPUTS_H_
#define WANLITE_SRC_DOCTOR_DOCTOR_INPUTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/doctor/doctor.h"
#include "wanlite/runner.h"

namespace wanlite {

// The text encoder on the prompt (the folder's own when it is empty), and each denoiser at the
// middle of the timesteps that it has in the request's sampling, on noise of variance 1. Reads no
// weights. `notes` says what is not the user's: a size that was made small because the folder's own
// is large, noise in place of a text where there is no encoder or tokenizer.
absl::StatusOr<std::vector<DoctorCase>> CasesOfRequest(Runner& runner,
                                                       const GenerateRequest& request,
                                                       std::vector<std::string>& notes);

}  // namespace wanlite

#endif  // WANLITE_SRC_DOCTOR_DOCTOR_INPUTS_H_
