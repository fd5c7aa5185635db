// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// From prompts to the token ids of the umT5 encoder, as diffusers' Wan pipeline and transformers'
// T5 tokenizer do it.
#ifndef WANLITE_SRC_MODEL_WAN_TOKENIZER_H_
#define WANLITE_SRC_MODEL_WAN_TOKENIZER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite::wan {

class SentencePieceModel;

// Both int64 [B, max_length], one row for each prompt.
struct TokenizedText {
  at::Tensor input_ids;       // tokens, end of sentence, then padding
  at::Tensor attention_mask;  // 1 up to and with the end of sentence, 0 after it
};

// Cheap to copy, immutable, thread-safe.
class Tokenizer {
 public:
  // Reads spiece.model (or tokenizer.model) in `folder`. NotFound without one, Unimplemented when
  // there is a tokenizer.json alone, InvalidArgument when the model has no end-of-sentence piece.
  static absl::StatusOr<Tokenizer> Load(Env& env, absl::string_view folder);
  // serialized: the bytes of a SentencePiece model. Unavailable when libwanlite_sentencepiece,
  // which lies beside libwanlite, cannot be loaded.
  static absl::StatusOr<Tokenizer> Parse(absl::string_view serialized);

  // The prompt is cleaned (HTML references, white space; see prompt_cleaning.h), cut to max_length
  // - 1 tokens and closed with the end of sentence. max_length >= 1, InvalidArgument otherwise.
  // Names of special pieces in a prompt ("</s>") are ordinary text.
  absl::StatusOr<TokenizedText> Encode(const std::string& prompt, int64_t max_length) const;
  absl::StatusOr<TokenizedText> EncodeBatch(const std::vector<std::string>& prompts,
                                            int64_t max_length) const;

  int64_t vocabulary_size() const;
  int64_t eos_id() const;
  int64_t pad_id() const;  // 0 when the model has no padding piece

 private:
  explicit Tokenizer(std::shared_ptr<const SentencePieceModel> model);
  std::shared_ptr<const SentencePieceModel> model_;
};

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_TOKENIZER_H_
