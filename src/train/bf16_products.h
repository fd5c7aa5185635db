// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#ifndef WANLITE_SRC_TRAIN_BF16_PRODUCTS_H_
#define WANLITE_SRC_TRAIN_BF16_PRODUCTS_H_

#include <ATen/autocast_mode.h>

namespace wanlite::train {

// While it lives, this thread's products on a kind of device are made in bf16, or as they are when
// not `on`.
class Bf16Products {
 public:
  Bf16Products(bool on, at::DeviceType device)
      : device_(device),
        enabled_(at::autocast::is_autocast_enabled(device)),
        cached_(at::autocast::is_autocast_cache_enabled()),
        dtype_(at::autocast::get_autocast_dtype(device)) {
    at::autocast::set_autocast_enabled(device, on);
    if (!on) return;
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    // The cache is shared by all threads, and with it the graphs of the casts.
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~Bf16Products() {
    at::autocast::set_autocast_enabled(device_, enabled_);
    at::autocast::set_autocast_dtype(device_, dtype_);
    at::autocast::set_autocast_cache_enabled(cached_);
  }
  Bf16Products(const Bf16Products&) = delete;
  Bf16Products& operator=(const Bf16Products&) = delete;

 private:
  const at::DeviceType device_;
  const bool enabled_, cached_;
  const at::ScalarType dtype_;
};

}  // namespace wanlite::train

#endif  // WANLITE_SRC_TRAIN_BF16_PRODUCTS_H_
