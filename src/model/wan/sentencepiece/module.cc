// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// libwanlite_sentencepiece: see sentencepiece_bridge.h. Knows nothing of Abseil, LibTorch or
// protobuf.
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "src/model/wan/sentencepiece/module_abi.h"

namespace wanlite::wan {
namespace {

using sentencepiece::util::Status;

bool Report(const Status& status, std::string* error) {
  if (!status.ok()) *error = status.message();
  return status.ok();
}

class Model : public SentencePieceModel {
 public:
  bool Encode(const std::string& text, std::vector<int>* ids, std::string* error) const override {
    return Report(processor_.Encode(text, ids), error);
  }
  int pad_id() const override { return processor_.pad_id(); }
  int eos_id() const override { return processor_.eos_id(); }
  int vocabulary_size() const override { return processor_.GetPieceSize(); }

  bool Load(const std::string& serialized, std::string* error) {
    return Report(processor_.LoadFromSerializedProto(serialized), error);
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
};

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& list) : list_(list) {}
  bool done() const override { return next_ >= list_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return list_[next_]; }
  Status status() const override { return Status(); }

 private:
  const std::vector<std::string>& list_;
  size_t next_ = 0;
};

class Module : public SentencePieceModule {
 public:
  std::unique_ptr<const SentencePieceModel> Parse(const std::string& serialized,
                                                  std::string* error) const override {
    auto model = std::make_unique<Model>();
    if (!model->Load(serialized, error)) return nullptr;
    return model;
  }
  bool Train(const std::unordered_map<std::string, std::string>& options,
             const std::vector<std::string>& sentences, std::string* model,
             std::string* error) const override {
    Sentences iterator(sentences);
    return Report(sentencepiece::SentencePieceTrainer::Train(options, &iterator, model), error);
  }
};

}  // namespace
}  // namespace wanlite::wan

extern "C" const wanlite::wan::SentencePieceModule* WANLITE_SENTENCEPIECE_ENTRY() {
  static const wanlite::wan::Module module;
  return &module;
}
