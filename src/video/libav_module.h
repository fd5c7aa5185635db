// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// libwanlite_ffmpeg.so, opened when first needed (see ffmpeg/mp4_abi.h).
#ifndef WANLITE_SRC_VIDEO_LIBAV_MODULE_H_
#define WANLITE_SRC_VIDEO_LIBAV_MODULE_H_

#include "absl/status/statusor.h"
#include "src/video/ffmpeg/mp4_abi.h"

namespace wanlite {

struct LibavModule {
  wanlite_encode_mp4_fn encode = nullptr;
  wanlite_decode_mp4_fn decode = nullptr;
};
// Unimplemented, saying why, when the module cannot be loaded. Loaded once; never unloaded.
absl::StatusOr<LibavModule> LoadLibavModule();

}  // namespace wanlite

#endif  // WANLITE_SRC_VIDEO_LIBAV_MODULE_H_
