// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/sentencepiece_bridge.h"

#include <dlfcn.h>

#include <string>

#include "src/model/wan/sentencepiece/module_abi.h"

namespace wanlite::wan {
namespace {

constexpr char kLibraryName[] = "libwanlite_sentencepiece.so";

#define WANLITE_STRING_INNER_(text) #text
#define WANLITE_STRING_(text) WANLITE_STRING_INNER_(text)
constexpr char kEntryName[] = WANLITE_STRING_(WANLITE_SENTENCEPIECE_ENTRY);

// Folder of the library or program that this code is in.
std::string OwnFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&SentencePieceAvailable), &info) == 0) return ".";
  const std::string path = info.dli_fname == nullptr ? "" : info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

struct Loaded {
  const SentencePieceModule* module = nullptr;
  std::string error;
};

// AddressSanitizer ends the process on RTLD_DEEPBIND, without which the two protobufs would clash.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

Loaded Load() {
  if (kAddressSanitizer) {
    return {nullptr, "the tokenizer library cannot be loaded under AddressSanitizer"};
  }
  Loaded loaded;
  // Beside libwanlite (build tree and installation), else wherever the system looks.
  for (const std::string& path : {OwnFolder() + "/" + kLibraryName, std::string(kLibraryName)}) {
    // DEEPBIND: it finds its own protobuf before the process's. Never unloaded.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (library == nullptr) {
      if (loaded.error.empty()) loaded.error = dlerror();
      continue;
    }
    using Entry = const SentencePieceModule* (*)();
    const auto entry = reinterpret_cast<Entry>(dlsym(library, kEntryName));
    if (entry == nullptr) {
      loaded.error = path + " is of another version of wanlite";
      continue;
    }
    return {entry(), ""};
  }
  loaded.error = "the tokenizer library cannot be loaded: " + loaded.error;
  return loaded;
}

const Loaded& Library() {
  static const Loaded loaded = Load();
  return loaded;
}

}  // namespace

bool SentencePieceAvailable(std::string* error) {
  *error = Library().error;
  return Library().module != nullptr;
}

std::unique_ptr<const SentencePieceModel> SentencePieceModel::Parse(const std::string& serialized,
                                                                    std::string* error) {
  if (Library().module != nullptr) return Library().module->Parse(serialized, error);
  *error = Library().error;
  return nullptr;
}

bool TrainSentencePiece(const std::unordered_map<std::string, std::string>& options,
                        const std::vector<std::string>& sentences, std::string* model,
                        std::string* error) {
  if (Library().module != nullptr) return Library().module->Train(options, sentences, model, error);
  *error = Library().error;
  return false;
}

}  // namespace wanlite::wan
