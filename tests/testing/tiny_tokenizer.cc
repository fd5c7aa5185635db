// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Apart from tiny_wan.cc: sentencepiece brings an absl::string_view of its own.
#include <sentencepiece_trainer.h>

#include <string>
#include <unordered_map>
#include <vector>

namespace wanlite::testing {

std::string TinyTokenizerModel();

namespace {

class Sentences : public sentencepiece::SentenceIterator {
 public:
  bool done() const override { return at_ >= sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  size_t at_ = 0;
  std::vector<std::string> sentences_{
      "a red digit moves right",       "a blue digit moves left",
      "the green digit moves up",      "a white digit 3 moves down",
      "digits 0 1 2 4 5 6 7 8 9 move", "a cat walks through the grass",
  };
};

}  // namespace

std::string TinyTokenizerModel() {
  const std::unordered_map<std::string, std::string> options{{"vocab_size", "64"},
                                                             {"model_type", "unigram"},
                                                             {"hard_vocab_limit", "false"},
                                                             {"pad_id", "0"},
                                                             {"eos_id", "1"},
                                                             {"unk_id", "2"},
                                                             {"bos_id", "-1"},
                                                             {"num_threads", "1"},
                                                             {"minloglevel", "2"},
                                                             {"character_coverage", "1.0"}};
  Sentences sentences;
  std::string model;
  if (!sentencepiece::SentencePieceTrainer::Train(options, &sentences, &model).ok()) model.clear();
  return model;
}

}  // namespace wanlite::testing
