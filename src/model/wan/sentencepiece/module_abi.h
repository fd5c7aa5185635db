// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What libwanlite_sentencepiece offers to libwanlite. Both are built together, so standard types
// may cross; a change here changes the name of the entry.
#ifndef WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_MODULE_ABI_H_
#define WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_MODULE_ABI_H_

#include "src/model/wan/sentencepiece_bridge.h"

namespace wanlite::wan {

class SentencePieceModule {
 public:
  virtual ~SentencePieceModule() = default;
  virtual std::unique_ptr<const SentencePieceModel> Parse(const std::string& serialized,
                                                          std::string* error) const = 0;
  virtual bool Train(const std::unordered_map<std::string, std::string>& options,
                     const std::vector<std::string>& sentences, std::string* model,
                     std::string* error) const = 0;
};

}  // namespace wanlite::wan

#define WANLITE_SENTENCEPIECE_ENTRY wanlite_sentencepiece_module_1
extern "C" const wanlite::wan::SentencePieceModule* WANLITE_SENTENCEPIECE_ENTRY();

#endif  // WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_MODULE_ABI_H_
