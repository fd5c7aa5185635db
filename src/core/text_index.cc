// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/text_index.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "src/core/input_limits.h"
#include "src/core/quote_name.h"

namespace wanlite {

namespace pb = ::google::protobuf;
using Tokenizer = pb::io::Tokenizer;

class TextIndexer {
  // The parser reports what is wrong with the text; here it does not matter.
  class IgnoreErrors : public pb::io::ErrorCollector {
   public:
    void AddError(int line, int column, const std::string& message) override {}
  };

 public:
  TextIndexer(absl::string_view text, TextIndex& index)
      : stream_(text.data(), static_cast<int>(text.size())),
        tokens_(&stream_, &ignore_),
        index_(index) {
    tokens_.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    tokens_.set_allow_f_after_float(true);
    tokens_.Next();
  }

  // Counts what the parser would, so before it: every message opens with a sign of its own.
  void CheckLimits() {
    int depth = 0;
    for (int64_t count = 1; !AtEnd(); ++count, tokens_.Next()) {
      if (Is("{") || Is("<")) ++depth;
      if ((Is("}") || Is(">")) && depth > 0) --depth;
      if (depth <= kMaxTextDepth && count <= kMaxTextProtoTokens) continue;
      index_.beyond_limits_ =
          depth > kMaxTextDepth
              ? absl::StrCat("messages are nested deeper than ", kMaxTextDepth)
              : absl::StrCat("more than ", kMaxTextProtoTokens, " names, values and signs");
      index_.beyond_limits_at_ = Position();
      return;
    }
  }

  // Reads fields up to the end of the message.
  void Message(const std::string& path, const pb::Descriptor* type) {
    std::map<std::string, int> counts;
    while (!stopped_) {
      if (AtEnd()) {
        if (index_.open_path_.empty()) index_.open_path_ = path;
        return;
      }
      if (Is("}") || Is(">")) {
        tokens_.Next();
        return;
      }
      if (Is("[")) {
        TypeInBrackets(path);
      } else if (tokens_.current().type == Tokenizer::TYPE_IDENTIFIER) {
        Field(path, type, counts);
      } else {
        tokens_.Next();  // a stray token
      }
    }
  }

 private:
  bool AtEnd() { return tokens_.current().type == Tokenizer::TYPE_END; }
  bool Is(absl::string_view symbol) {
    return tokens_.current().type == Tokenizer::TYPE_SYMBOL && tokens_.current().text == symbol;
  }
  TextPosition Position() { return {tokens_.current().line, tokens_.current().column}; }

  // A name; "prune-magnitude" is three tokens but one word to whoever wrote it.
  std::string Word() {
    std::string word = tokens_.current().text;
    int end = tokens_.current().end_column;
    tokens_.Next();
    const int line = tokens_.previous().line;
    while (tokens_.current().line == line && tokens_.current().column == end &&
           (Is("-") || tokens_.current().type == Tokenizer::TYPE_IDENTIFIER ||
            tokens_.current().type == Tokenizer::TYPE_INTEGER)) {
      word += tokens_.current().text;
      end = tokens_.current().end_column;
      tokens_.Next();
    }
    return CutText(word);
  }

  // "[type.googleapis.com/some.Options] { … }" inside an Any. Its fields are indexed as if they
  // were the Any's own.
  void TypeInBrackets(const std::string& path) {
    TextKey key;
    key.key = Position();
    while (!AtEnd() && !Is("]")) {
      key.name += tokens_.current().text;
      tokens_.Next();
    }
    key.name = absl::StrCat(CutText(key.name), "]");
    tokens_.Next();
    if (Is(":")) tokens_.Next();
    key.path = absl::StrCat(path, key.name);
    key.value = Position();
    const std::string type_name =
        key.name.substr(key.name.rfind('/') + 1, key.name.size() - key.name.rfind('/') - 2);
    index_.keys_.push_back(std::move(key));
    const pb::Descriptor* type =
        pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type_name);
    // The parser stops here too.
    if (type == nullptr) stopped_ = true;
    if (Is("{") || Is("<")) {
      tokens_.Next();
      Message(path, type);
    }
  }

  void Field(const std::string& path, const pb::Descriptor* type,
             std::map<std::string, int>& counts) {
    TextKey key;
    key.key = Position();
    key.name = Word();
    key.parent = type;
    if (type != nullptr) key.field = type->FindFieldByName(key.name);
    // The parser stops at the first unknown name. What follows would only cost memory: each key has
    // the path of all that it is in.
    if (key.field == nullptr) stopped_ = true;
    const bool repeated = key.field != nullptr && key.field->is_repeated();
    const pb::Descriptor* inner = key.field != nullptr ? key.field->message_type() : nullptr;
    const std::string stem = path.empty() ? key.name : absl::StrCat(path, ".", key.name);
    if (Is(":")) tokens_.Next();
    const auto next_path = [&] {
      return repeated ? absl::StrCat(stem, "[", counts[key.name]++, "]") : stem;
    };
    if (!Is("[")) {
      key.path = next_path();
      key.value = Position();
      index_.keys_.push_back(key);
      Value(key.path, inner);
      return;
    }
    tokens_.Next();
    // "[ ]" names the field without an entry.
    if (Is("]")) {
      key.path = stem;
      key.value = Position();
      index_.keys_.push_back(key);
    }
    bool first = true;
    while (!stopped_ && !AtEnd() && !Is("]") && !Is("}") && !Is(">")) {
      if (Is(",")) {
        tokens_.Next();
        continue;
      }
      key.path = next_path();
      key.value = Position();
      if (!first) key.key = key.value;
      first = false;
      index_.keys_.push_back(key);
      Value(key.path, inner);
    }
    if (Is("]")) tokens_.Next();
  }

  void Value(const std::string& path, const pb::Descriptor* inner) {
    if (Is("{") || Is("<")) {
      tokens_.Next();
      Message(path, inner);
      return;
    }
    if (Is("-")) tokens_.Next();
    if (Is("}") || Is(">") || Is("]") || AtEnd()) return;  // the value is missing
    const bool string = tokens_.current().type == Tokenizer::TYPE_STRING;
    tokens_.Next();
    while (string && tokens_.current().type == Tokenizer::TYPE_STRING) tokens_.Next();
    if (Is(";") || Is(",")) tokens_.Next();
  }

  IgnoreErrors ignore_;
  pb::io::ArrayInputStream stream_;
  Tokenizer tokens_;
  TextIndex& index_;
  bool stopped_ = false;
};

TextIndex::TextIndex(absl::string_view text, const pb::Descriptor* root) {
  TextIndexer(text, *this).CheckLimits();
  if (beyond_limits_.empty()) TextIndexer(text, *this).Message("", root);
}

const TextKey* TextIndex::Before(TextPosition position) const {
  const TextKey* last = nullptr;
  for (const TextKey& key : keys_) {
    if (key.key <= position) last = &key;
  }
  return last;
}

const TextKey* TextIndex::Find(absl::string_view path) const {
  for (const TextKey& key : keys_) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

}  // namespace wanlite
