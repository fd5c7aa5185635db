// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which passes there are. A value, filled by explicit lists (src/builtin/builtin_passes.cc), never
// by static initialisers.
#ifndef WANLITE_REGISTRY_H_
#define WANLITE_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/pass.h"

namespace wanlite {

// How a pass's factory refuses an option: InvalidArgument "field: message". `field` is the option's
// name in its message, "amount", or "include[1]" for an entry of a repeated one; the recipe reader
// uses it to point at the line. The message names the found value and the wanted ones: "1.5 is not
// in [0, 1]".
absl::Status OptionError(absl::string_view field, absl::string_view message);

class PassRegistry {
 public:
  using Factory = std::function<absl::StatusOr<std::unique_ptr<Pass>>(
      const google::protobuf::Message& options)>;
  // `options_type`: full name of the options message ("wanlite.QuantizeInt8Options"), the key.
  // AlreadyExists when there is a factory for it.
  absl::Status Register(const std::string& options_type, Factory factory);
  // Validates the options and builds the pass. NotFound for an unknown type, InvalidArgument naming
  // the field for a bad value.
  absl::StatusOr<std::unique_ptr<Pass>> Build(const google::protobuf::Message& options) const;
  std::vector<std::string> option_types() const;

 private:
  std::map<std::string, Factory> factories_;
};

// Registers the pass that make(options) builds, by the type of its options, a generated message:
//   absl::StatusOr<std::unique_ptr<Pass>> MakeQuantizeInt8(const QuantizeInt8Options& options);
//   RegisterPass<QuantizeInt8Options>(registry, MakeQuantizeInt8);
template <typename Options, typename Make>
absl::Status RegisterPass(PassRegistry& registry, Make make) {
  return registry.Register(
      Options::descriptor()->full_name(),
      [make](const google::protobuf::Message& options) -> absl::StatusOr<std::unique_ptr<Pass>> {
        const auto* typed = dynamic_cast<const Options*>(&options);
        if (typed == nullptr) return absl::InternalError("the options are no generated message");
        return make(*typed);
      });
}

// The passes of this build.
PassRegistry BuiltinPasses();

}  // namespace wanlite

#endif  // WANLITE_REGISTRY_H_
