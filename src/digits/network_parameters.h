// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_DIGITS_NETWORK_PARAMETERS_H_
#define WANLITE_SRC_DIGITS_NETWORK_PARAMETERS_H_

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "wanlite/train.h"

namespace wanlite::digits {

// All parameters of a network, their names after `prefix`: vectors do not decay; with `muon`,
// matrices are updated by it, but for those of embeddings and output heads.
std::vector<train::TrainedTensor> NetworkParameters(const torch::nn::Module& network,
                                                    const std::string& prefix = "",
                                                    bool muon = false);

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_NETWORK_PARAMETERS_H_
