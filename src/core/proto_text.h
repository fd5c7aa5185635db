// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Protobuf text format: reading with errors that name file, line and field; writing with every
// default.
#ifndef WANLITE_SRC_CORE_PROTO_TEXT_H_
#define WANLITE_SRC_CORE_PROTO_TEXT_H_

#include <google/protobuf/message.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/core/text_index.h"

namespace wanlite {

// Well-formed UTF-8 as of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(absl::string_view text);
// Without the mark that some editors put before UTF-8, which is no part of what they were given.
absl::string_view WithoutByteOrderMark(absl::string_view text);

// "file:line:column: path: what"; position is zero-based, the text one-based. An empty path is left
// out.
absl::Status TextError(absl::string_view file_name, TextPosition position, absl::string_view path,
                       absl::string_view what);

// Parses `text` into `message`. Refuses beside what text format refuses: numbers that are not
// finite, enum numbers without a name, strings that are not UTF-8, texts beyond the limits of
// input_limits.h. InvalidArgument, worded for
// whoever wrote the text, for the first error. Logs nothing. `index` must be of the same text.
absl::Status ParseTextProto(absl::string_view text, absl::string_view file_name,
                            const TextIndex& index, google::protobuf::Message& message);
absl::Status ParseTextProto(absl::string_view text, absl::string_view file_name,
                            google::protobuf::Message& message);

// The message as text, every field written out, defaults too (but neither absent optional fields
// nor empty lists). The same message always gives the same text, and the text parses to the same
// message.
std::string ResolvedText(const google::protobuf::Message& message);

// The same, field by field: "vae.loop.steps" -> "2600", "dim_mult[1]" -> "2".
std::map<std::string, std::string> FieldsByPath(const google::protobuf::Message& message);

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_PROTO_TEXT_H_
