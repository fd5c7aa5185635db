// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// SentencePiece behind plain types, in a library of its own that is loaded when it is first needed
// (libwanlite_sentencepiece, beside libwanlite). Two reasons: the distributions' libsentencepiece
// carries and exports an old protobuf, which must not meet the protobuf of this process; and its
// headers put std::string_view into namespace absl, where Abseil has a type of that name.
#ifndef WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_BRIDGE_H_
#define WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_BRIDGE_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace wanlite::wan {

// False, with `error` set, when the library cannot be loaded. Everything below fails then.
bool SentencePieceAvailable(std::string* error);

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

// options: SentencePiece's trainer flags. model: gets the bytes of a spiece.model. False, with
// `error` set, on failure.
bool TrainSentencePiece(const std::unordered_map<std::string, std::string>& options,
                        const std::vector<std::string>& sentences, std::string* model,
                        std::string* error);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_SENTENCEPIECE_BRIDGE_H_
