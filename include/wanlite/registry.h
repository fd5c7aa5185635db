// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which passes there are. A value, filled by explicit lists (src/core/builtin_passes.cc), never by
// static initialisers.
#ifndef WANLITE_REGISTRY_H_
#define WANLITE_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "wanlite/pass.h"

namespace wanlite {

class PassRegistry {
 public:
  using Factory =
      std::function<absl::StatusOr<std::unique_ptr<Pass>>(const google::protobuf::Message& options)>;
  // `options_type`: full name of the options message ("wanlite.QuantizeInt8Options"), the key.
  absl::Status Register(const std::string& options_type, Factory factory);
  // Validates the options and builds the pass. NotFound for an unknown type, InvalidArgument naming
  // the field for a bad value.
  absl::StatusOr<std::unique_ptr<Pass>> Build(const google::protobuf::Message& options) const;
  std::vector<std::string> option_types() const;

 private:
  std::map<std::string, Factory> factories_;
};

// The passes of this build.
PassRegistry BuiltinPasses();

}  // namespace wanlite

#endif  // WANLITE_REGISTRY_H_
