// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// SHA-256, for file hashes and fingerprints.
#ifndef WANLITE_SRC_CORE_SHA256_H_
#define WANLITE_SRC_CORE_SHA256_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace wanlite {

// Hashes data that comes in pieces. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void Update(absl::string_view data);
  // The hash as 64 lower-case hexadecimal digits. Ends the hashing: call it once.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// The hash of `data` in hexadecimal.
std::string Sha256Hex(absl::string_view data);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_SHA256_H_
