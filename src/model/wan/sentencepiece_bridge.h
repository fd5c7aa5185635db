// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// SentencePiece behind plain types. Its headers put std::string_view into namespace absl, which cannot
// stand in one file with an Abseil that has a string_view of its own: only sentencepiece_bridge.cc
// includes them, without the precompiled header.
#ifndef WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_BRIDGE_H_
#define WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_BRIDGE_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace wanlite::wan {

// Immutable; Encode() may be called by many threads.
class SentencePieceModel {
 public:
  // serialized: the bytes of a spiece.model. Null, with `error` set, when they are not one.
  static std::unique_ptr<const SentencePieceModel> Parse(const std::string& serialized,
                                                         std::string* error);
  virtual ~SentencePieceModel() = default;
  // False, with `error` set, on failure.
  virtual bool Encode(const std::string& text, std::vector<int>* ids, std::string* error) const = 0;
  // -1 where the model has no such piece.
  virtual int pad_id() const = 0;
  virtual int eos_id() const = 0;
  virtual int vocabulary_size() const = 0;
};

// options: SentencePiece's trainer flags. model: gets the bytes of a spiece.model. False, with `error`
// set, on failure.
bool TrainSentencePiece(const std::unordered_map<std::string, std::string>& options,
                        const std::vector<std::string>& sentences, std::string* model,
                        std::string* error);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_BRIDGE_H_
