// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/video/libav_module.h"

#include <dlfcn.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "wanlite/env.h"

namespace wanlite {
namespace {

constexpr char kModule[] = "libwanlite_ffmpeg.so";

// Folder of the library or program that this code is in.
std::string OwnFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&LoadLibavModule), &info) == 0) return "";
  return Dirname(info.dli_fname);
}

absl::StatusOr<LibavModule> Load() {
  std::string error;
  // Beside libwanlite (build tree and installation), else wherever the system looks.
  for (const std::string& path : {JoinPath(OwnFolder(), kModule), std::string(kModule)}) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      if (error.empty()) error = dlerror();
      continue;
    }
    LibavModule module;
    module.encode =
        reinterpret_cast<wanlite_encode_mp4_fn>(dlsym(handle, WANLITE_ENCODE_MP4_SYMBOL));
    module.decode =
        reinterpret_cast<wanlite_decode_mp4_fn>(dlsym(handle, WANLITE_DECODE_MP4_SYMBOL));
    if (module.encode != nullptr && module.decode != nullptr) return module;
    error = absl::StrCat(path, " is of another version");
    dlclose(handle);
  }
  return absl::UnimplementedError(
      absl::StrCat("MP4 needs wanlite's libav module, which could not be loaded (", error, ")"));
}

}  // namespace

absl::StatusOr<LibavModule> LoadLibavModule() {
  static const absl::StatusOr<LibavModule> module = Load();
  return module;
}

}  // namespace wanlite
