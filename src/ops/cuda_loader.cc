// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/ops/cuda_loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"

namespace wanlite::ops {
namespace {

constexpr char kLibraryName[] = "libwanlite_cuda.so";

// The folder of the library or program that this code is part of.
std::string OwnFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&EnsureCuda), &info) == 0 || info.dli_fname == nullptr)
    return "";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string DlError() {
  const char* error = dlerror();
  return error == nullptr ? "unknown error" : error;
}

std::atomic<void*> g_library{nullptr};

absl::Status Load() {
  const char* named = std::getenv("WANLITE_CUDA_LIBRARY");
  const std::string path = named != nullptr && *named != '\0'
                               ? std::string(named)
                               : absl::StrCat(OwnFolder(), "/", kLibraryName);
  // It needs libtorch_cuda, whose initialisers tell LibTorch about CUDA. Never unloaded: operators
  // stay registered.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    const std::string error = DlError();
    if (access(path.c_str(), R_OK) != 0) {
      return absl::NotFoundError(absl::StrCat("there is no CUDA library ", path));
    }
    // Its symbols were checked when it was linked, so what is missing is what it needs: libraries
    // of CUDA, which machines without a GPU do not have.
    return absl::UnavailableError(absl::StrCat("no usable CUDA device: ", error, " (needed by ",
                                               path,
                                               "); LibTorch's CUDA libraries come with its Python "
                                               "package and the packages it depends on"));
  }
  using Probe = int (*)(int*, const char**);
  const auto probe = reinterpret_cast<Probe>(dlsym(library, "wanlite_cuda_probe"));
  if (probe == nullptr) {
    return absl::NotFoundError(absl::StrCat(path, " is not wanlite's CUDA library: ", DlError()));
  }
  int devices = 0;
  const char* text = nullptr;
  const int error = probe(&devices, &text);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat("no usable CUDA device: error ", error, ": ", text));
  }
  if (devices == 0) return absl::UnavailableError("no usable CUDA device: the driver lists none");
  if (!at::globalContext().hasCUDA()) {
    return absl::FailedPreconditionError(
        "LibTorch was asked about CUDA before wanlite loaded it, and answers no for good; call "
        "EnsureCuda() first");
  }
  g_library = library;
  return absl::OkStatus();
}

}  // namespace

absl::Status EnsureCuda() {
  static const absl::Status status = Load();
  return status;
}

void* CudaSymbol(const char* name) {
  void* const library = g_library;
  return library == nullptr ? nullptr : dlsym(library, name);
}

}  // namespace wanlite::ops
