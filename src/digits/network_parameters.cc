// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/network_parameters.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace wanlite::digits {

std::vector<train::TrainedTensor> NetworkParameters(const torch::nn::Module& network,
                                                    const std::string& prefix, bool muon) {
  std::vector<train::TrainedTensor> trained;
  for (const auto& item : network.named_parameters()) {
    const std::string name = absl::StrCat(prefix, item.key());
    const at::Tensor& value = item.value();
    // A gamma of shape [C, 1, 1, 1] is a vector too.
    const bool vector = value.dim() < 2 || value.numel() == value.size(0);
    const bool inner = value.dim() == 2 && value.size(0) > 1 && value.size(1) > 1 &&
                       !absl::StrContains(name, "embedding") && !absl::StrContains(name, "head.");
    trained.push_back({name, value, /*rate_scale=*/1, /*decay=*/!vector,
                       muon && inner ? train::UpdateRule::kMuon : train::UpdateRule::kAdamW});
  }
  return trained;
}

}  // namespace wanlite::digits
