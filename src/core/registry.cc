// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "wanlite/registry.h"

#include <google/protobuf/message.h>

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/core/catch_torch.h"
#include "src/core/option_field.h"
#include "wanlite/status.h"

namespace wanlite {

absl::Status OptionError(absl::string_view field, absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, ": ", message));
  status.SetPayload(kOptionFieldPayload, absl::Cord(field));
  return status;
}

absl::Status PassRegistry::Register(const std::string& options_type, Factory factory) {
  if (!factories_.emplace(options_type, std::move(factory)).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("a pass with options ", options_type, " is registered already"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Pass>> PassRegistry::Build(
    const google::protobuf::Message& options) const {
  const std::string& type = options.GetDescriptor()->full_name();
  const auto it = factories_.find(type);
  if (it == factories_.end()) {
    return absl::NotFoundError(
        absl::StrCat("no pass with options ", type, " is registered; there are ",
                     factories_.empty() ? "none" : absl::StrJoin(option_types(), ", ")));
  }
  absl::StatusOr<std::unique_ptr<Pass>> pass = CatchTorch([&] { return it->second(options); });
  if (pass.ok() && *pass == nullptr) {
    return absl::InternalError(absl::StrCat("the factory of ", type, " made no pass"));
  }
  return pass;
}

std::vector<std::string> PassRegistry::option_types() const {
  std::vector<std::string> types;
  for (const auto& [type, unused] : factories_) types.push_back(type);
  return types;
}

}  // namespace wanlite
