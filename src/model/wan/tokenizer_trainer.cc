// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/tokenizer_trainer.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/model/wan/sentencepiece_bridge.h"

namespace wanlite::wan {

absl::StatusOr<std::string> TrainTokenizer(const std::vector<std::string>& sentences,
                                           const TokenizerTrainerOptions& options) {
  constexpr int64_t kMaxVocabulary = 1 << 20;
  if (options.vocabulary_size < 8 || options.vocabulary_size > kMaxVocabulary) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: vocabulary_size is ",
                                                   options.vocabulary_size, ", must be 8 to ",
                                                   kMaxVocabulary));
  }
  if (std::all_of(sentences.begin(), sentences.end(),
                  [](const std::string& sentence) { return sentence.empty(); })) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer: ", sentences.size(),
                     " sentences to train on, all empty; needs some with text"));
  }
  std::string model, error;
  if (!SentencePieceAvailable(&error)) return absl::UnavailableError(error);
  const bool trained =
      TrainSentencePiece({{"model_type", "unigram"},
                          {"vocab_size", absl::StrCat(options.vocabulary_size)},
                          {"hard_vocab_limit", "false"},
                          {"byte_fallback", options.byte_fallback ? "true" : "false"},
                          {"character_coverage", "1.0"},
                          {"pad_id", "0"},
                          {"eos_id", "1"},
                          {"unk_id", "2"},
                          {"bos_id", "-1"},
                          // One thread and no shuffling: the same model every time.
                          {"num_threads", "1"},
                          {"shuffle_input_sentence", "false"},
                          {"minloglevel", "1"}},
                         sentences, &model, &error);
  if (!trained) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: training on ", sentences.size(),
                                                   " sentences for ", options.vocabulary_size,
                                                   " pieces failed: ", error));
  }
  return model;
}

}  // namespace wanlite::wan
