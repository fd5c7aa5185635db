// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Trains small tokenizers of umT5's kind.
#ifndef WANLITE_SRC_MODEL_WAN_TOKENIZER_TRAINER_H_
#define WANLITE_SRC_MODEL_WAN_TOKENIZER_TRAINER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace wanlite::wan {

struct TokenizerTrainerOptions {
  int64_t vocabulary_size = 256;  // at most; a small corpus may give fewer pieces
  // Characters outside the corpus become bytes instead of <unk>; takes 256 pieces.
  bool byte_fallback = false;
};

// A SentencePiece unigram model (the bytes of a spiece.model) with <pad> 0, </s> 1, <unk> 2, no
// <s>, and NFKC normalisation, as umT5's; every character of the corpus is covered. The same
// sentences in the same order give the same model. Sentences are taken as they are: clean them as
// prompts are (prompt_cleaning.h). InvalidArgument when there are none or the size is too small for
// them.
absl::StatusOr<std::string> TrainTokenizer(const std::vector<std::string>& sentences,
                                           const TokenizerTrainerOptions& options);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_TOKENIZER_TRAINER_H_
