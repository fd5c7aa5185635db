// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// See context.h.
#ifndef WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_RENDEZVOUS_STORE_H_
#define WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_RENDEZVOUS_STORE_H_

#include <chrono>
#include <string>
#include <vector>

namespace gloo::rendezvous {

class Store {
 public:
  virtual ~Store() = default;
  virtual void set(const std::string& key, const std::vector<char>& data) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys,
                    const std::chrono::milliseconds& timeout) = 0;
};

}  // namespace gloo::rendezvous

#endif  // WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_RENDEZVOUS_STORE_H_
