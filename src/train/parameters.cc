// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/parameters.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/libtorch.h"
#include "src/model/checked_cast.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::train {

std::vector<NamedTensor> DetachedParameters(const torch::nn::Module& module) {
  std::vector<NamedTensor> result;
  for (const auto& item : module.named_parameters()) {
    result.push_back({item.key(), item.value().detach()});
  }
  return result;
}

absl::Status LoadParameters(Env& env, const std::string& path, torch::nn::Module& module,
                            const std::function<std::string(const std::string&)>& name_of) {
  WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(env, path));
  at::NoGradGuard no_grad;
  for (auto& item : module.named_parameters()) {
    const std::string name = name_of ? name_of(item.key()) : item.key();
    auto value = source->Read(name);
    if (!value.ok()) return Annotate(value.status(), path);
    if (value->sizes() != item.value().sizes() || !value->is_floating_point()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", name, " is ", c10::toString(value->scalar_type()), " [",
                       absl::StrJoin(value->sizes(), ", "), "], the network asks for floating [",
                       absl::StrJoin(item.value().sizes(), ", "), "]"));
    }
    const at::Tensor& parameter = item.value();
    const auto cast = CheckedCast(*value, parameter.scalar_type(), name);
    if (!cast.ok()) return Annotate(cast.status(), path);
    parameter.copy_(*cast);
  }
  return absl::OkStatus();
}

}  // namespace wanlite::train
