// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include "absl/strings/str_cat.h"
#include "src/runner/ffmpeg/mp4_abi.h"
#include "src/runner/video_encoders.h"
#include "wanlite/env.h"

namespace wanlite {
namespace {

constexpr char kModule[] = "libwanlite_ffmpeg.so";

// Folder of the library or program that this code is in.
std::string OwnFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&Mp4Available), &info) == 0) return "";
  return Dirname(info.dli_fname);
}

struct Module {
  wanlite_encode_mp4_fn encode = nullptr;
  std::string error;
};

Module LoadModule() {
  Module module;
  // Beside libwanlite (build tree and installation), else wherever the system looks.
  for (const std::string& path : {JoinPath(OwnFolder(), kModule), std::string(kModule)}) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      module.encode = reinterpret_cast<wanlite_encode_mp4_fn>(dlsym(handle, WANLITE_MP4_SYMBOL));
      if (module.encode != nullptr) return module;
      module.error = absl::StrCat(path, " is of another version");
      dlclose(handle);
    } else if (module.error.empty()) {
      module.error = dlerror();
    }
  }
  return module;
}

const Module& LibavModule() {
  static const Module module = LoadModule();
  return module;
}

}  // namespace

bool Mp4Available() { return LibavModule().encode != nullptr; }

absl::StatusOr<std::string> EncodeMp4(const RgbFrames& frames, FrameRate rate, int quality) {
  const Module& module = LibavModule();
  if (module.encode == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("MP4 needs wanlite's libav module, which could not be loaded (", module.error,
                     "); write .png (animated), .webp or .y4m instead"));
  }
  std::string bytes;
  char error[256] = "";
  const auto sink = [](void* context, const void* data, size_t size) {
    static_cast<std::string*>(context)->assign(static_cast<const char*>(data), size);
  };
  if (module.encode(frames.data, frames.count, static_cast<int>(frames.height),
                    static_cast<int>(frames.width), rate.numerator, rate.denominator, quality, sink,
                    &bytes, error, sizeof(error)) != 0) {
    return absl::InternalError(absl::StrCat("MP4: ", error));
  }
  return bytes;
}

}  // namespace wanlite
