// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// See context.h.
#ifndef WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_TRANSPORT_DEVICE_H_
#define WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_TRANSPORT_DEVICE_H_

namespace gloo::transport {

class Device;

class UnboundBuffer {
 public:
  virtual ~UnboundBuffer() = default;
};

}  // namespace gloo::transport

#endif  // WANLITE_SRC_TRAIN_GLOO_NAMES_GLOO_TRANSPORT_DEVICE_H_
