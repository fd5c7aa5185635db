// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Where the fields of a textproto stand in its text. Protobuf's parser tells the position of an
// error but not the field; validation errors know the field but not the position. This index knows
// both.
#ifndef WANLITE_SRC_CORE_TEXT_INDEX_H_
#define WANLITE_SRC_CORE_TEXT_INDEX_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace wanlite {

// Zero-based; columns count bytes, tabs advance to the next multiple of 8 (as protobuf's
// tokenizer).
struct TextPosition {
  int line = 0;
  int column = 0;
  friend bool operator<=(const TextPosition& a, const TextPosition& b) {
    return a.line != b.line ? a.line < b.line : a.column <= b.column;
  }
};

struct TextKey {
  std::string path;    // "passes[1].quantize_int8.rotation"
  std::string name;    // as written: "rotation"; with '-' where the text has it ("quantize-int8")
  TextPosition key;    // of the name
  TextPosition value;  // of the value's first token
  const google::protobuf::Descriptor* parent = nullptr;  // message that holds it; null when unknown
  const google::protobuf::FieldDescriptor* field = nullptr;  // null when `parent` has no such field
};

class TextIndex {
 public:
  // Never fails: of a text that does not parse, what can be made out up to its first unknown name
  // is indexed; nothing of one beyond the limits of input_limits.h.
  TextIndex(absl::string_view text, const google::protobuf::Descriptor* root);

  // The last key that starts at or before the position; null when there is none.
  const TextKey* Before(TextPosition position) const;
  // The first key of that path; null when the text does not name it.
  const TextKey* Find(absl::string_view path) const;
  // The path of the innermost message that is still open where the text ends; empty when none is.
  const std::string& open_path() const { return open_path_; }
  // Which limit the text is beyond, and where; empty when within them. It must not be parsed then:
  // protobuf's parser does not count messages inside an Any.
  const std::string& beyond_limits() const { return beyond_limits_; }
  TextPosition beyond_limits_at() const { return beyond_limits_at_; }

 private:
  friend class TextIndexer;
  std::vector<TextKey> keys_;
  std::string open_path_;
  std::string beyond_limits_;
  TextPosition beyond_limits_at_;
};

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_TEXT_INDEX_H_
