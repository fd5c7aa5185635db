// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/proto_text.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/core/input_limits.h"
#include "src/core/nearest_name.h"
#include "src/core/quote_name.h"
#include "wanlite/status.h"

namespace wanlite {

namespace pb = ::google::protobuf;
using pb::Descriptor;
using pb::FieldDescriptor;
using pb::Message;
using pb::Reflection;

namespace {

// Keeps the first error; the parser goes on only to find its consequences.
class FirstError : public pb::io::ErrorCollector {
 public:
  struct Error {
    TextPosition position;
    std::string message;
  };
  void AddError(int line, int column, const std::string& message) override {
    if (!error) error = Error{{std::max(0, line), std::max(0, column)}, message};
  }
  std::optional<Error> error;
};

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names;
}

std::vector<std::string> ValueNames(const pb::EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
  return names;
}

std::string DescribeUnknownName(absl::string_view what, absl::string_view name,
                                const std::vector<std::string>& known) {
  const std::string nearest = NearestName(name, known);
  if (!nearest.empty()) return absl::StrCat(what, ", did you mean '", nearest, "'?");
  return absl::StrCat(what, ", use one of ", absl::StrJoin(known, ", "));
}

std::string DescribeWanted(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "a whole number";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number of 0 or more";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return "a number";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat("one of ", absl::StrJoin(ValueNames(*field.enum_type()), ", "));
    case FieldDescriptor::CPPTYPE_STRING:
      return "a text in quotes";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "{ … }";
  }
  return "a value";
}

// The part of `text` between the first `before` and the next `after`, cut when long; empty when
// they are not there.
std::string Between(absl::string_view text, absl::string_view before, absl::string_view after) {
  const size_t begin = text.find(before);
  if (begin == absl::string_view::npos) return "";
  text.remove_prefix(begin + before.size());
  return CutText(text.substr(0, text.find(after)));
}

// Turns the parser's error into ours. Its messages are matched by their fixed parts; one that is
// not known here is passed on as it is.
absl::Status Reword(absl::string_view file_name, const TextIndex& index,
                    const FirstError::Error& error) {
  const absl::string_view said = error.message;
  // A value that no enum has is reported where the parser looks next, which may be the next field.
  TextPosition at = error.position;
  if (absl::StartsWith(said, "Unknown enumeration value")) {
    at = at.column > 0 ? TextPosition{at.line, at.column - 1}
                       : TextPosition{at.line - 1, std::numeric_limits<int>::max()};
  }
  const TextKey* key = index.Before(at);
  const std::string path = key != nullptr ? key->path : "";
  std::string found = Between(said, ", got: ", "\n");
  if (found.empty()) found = Between(said, "found \"", "\"");
  const auto at_key = [&](absl::string_view what) {
    return TextError(file_name, key != nullptr ? key->key : error.position, path, what);
  };
  const auto here = [&](absl::string_view where, absl::string_view what) {
    return TextError(file_name, error.position, where, what);
  };

  if (absl::StrContains(said, "has no field named") && key != nullptr && key->parent != nullptr) {
    return at_key(DescribeUnknownName("unknown field", key->name, FieldNames(*key->parent)));
  }
  if (absl::StartsWith(said, "Could not find type")) {
    return at_key(absl::StrCat("no options message ", Between(said, "\"", "\""),
                               " is known to this program"));
  }
  if (absl::StartsWith(said, "Unknown enumeration value") && key != nullptr &&
      key->field != nullptr && key->field->enum_type() != nullptr) {
    const std::string value = Between(said, "value of \"", "\"");
    return TextError(file_name, key->value, path,
                     DescribeUnknownName(absl::StrCat("unknown value '", value, "'"), value,
                                         ValueNames(*key->field->enum_type())));
  }
  if (absl::StrContains(said, "is specified multiple times")) {
    return at_key("is given twice");
  }
  if (absl::StrContains(said, "is specified along with field")) {
    return at_key(absl::StrCat("stands beside '", Between(said, "along with field \"", "\""),
                               "', but only one of them may be given"));
  }
  if (absl::StartsWith(said, "Integer out of range") && key != nullptr && key->field != nullptr) {
    return TextError(file_name, key->value, path,
                     absl::StrCat("wants ", DescribeWanted(*key->field), ", ",
                                  Between(said, "(", ")"), " is out of range"));
  }
  if (absl::StartsWith(said, "Expected ")) {
    const bool at_end = absl::EndsWith(said, "got: ");
    if (at_end) {
      const std::string& open = index.open_path();
      if (open.empty()) return here(path, "the text ends where a value should be");
      return here(open, "the text ends before the closing '}'");
    }
    if (key != nullptr && key->field != nullptr && key->value <= error.position &&
        error.position <= key->value) {
      return here(path,
                  absl::StrCat("wants ", DescribeWanted(*key->field), ", found '", found, "'"));
    }
    if (absl::StartsWith(said, "Expected identifier")) {
      return here("", absl::StrCat("expected a field name, found '", found, "'"));
    }
    return here(path, absl::StrCat("expected ", Between(said, "Expected ", ", got"), ", found '",
                                   found, "'"));
  }
  std::string plain = CutText(absl::StripSuffix(said, "."));
  if (!plain.empty()) plain[0] = absl::ascii_tolower(static_cast<unsigned char>(plain[0]));
  return here(path, plain);
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) -> uint32_t { return static_cast<unsigned char>(text[k]); };
    const uint32_t lead = byte(i);
    const int more = lead < 0x80       ? 0
                     : lead >> 5 == 6  ? 1
                     : lead >> 4 == 14 ? 2
                     : lead >> 3 == 30 ? 3
                                       : -1;
    if (more < 0 || i + more >= text.size()) return false;
    uint32_t code = more == 0 ? lead : lead & (0x3Fu >> more);
    for (int k = 1; k <= more; ++k) {
      if (byte(i + k) >> 6 != 2) return false;
      code = code << 6 | (byte(i + k) & 0x3F);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    i += more + 1;
  }
  return true;
}

namespace {

// An Any's message; null when its type is not linked in. Sets `error` when the bytes do not parse.
std::unique_ptr<Message> Unpack(const pb::Any& any) {
  const std::string type = any.type_url().substr(any.type_url().rfind('/') + 1);
  const Descriptor* descriptor = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (descriptor == nullptr) return nullptr;
  std::unique_ptr<Message> message(
      pb::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  if (!message->ParseFromString(any.value())) return nullptr;
  return message;
}

// What text format lets through and we do not.
class ValueChecker {
 public:
  ValueChecker(absl::string_view file_name, const TextIndex& index)
      : file_name_(file_name), index_(index) {}

  // depth: of the messages around this one. An Any whose bytes are written out hides its own depth
  // from the text.
  absl::Status Check(const Message& message, const std::string& path, int depth) const {
    if (depth > kMaxTextDepth) {
      return Bad(path, absl::StrCat("messages are nested deeper than ", kMaxTextDepth));
    }
    if (message.GetDescriptor()->full_name() == pb::Any::descriptor()->full_name()) {
      const std::unique_ptr<Message> inner = Unpack(static_cast<const pb::Any&>(message));
      return inner == nullptr ? absl::OkStatus() : Check(*inner, path, depth + 1);
    }
    const Reflection& reflection = *message.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection.ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      const std::string stem =
          path.empty() ? field->name() : absl::StrCat(path, ".", field->name());
      const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
      for (int i = 0; i < count; ++i) {
        const std::string at = field->is_repeated() ? absl::StrCat(stem, "[", i, "]") : stem;
        WANLITE_RETURN_IF_ERROR(CheckField(message, *field, i, at, depth));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckField(const Message& message, const FieldDescriptor& field, int i,
                          const std::string& path, int depth) const {
    const Reflection& r = *message.GetReflection();
    const bool many = field.is_repeated();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        const double v =
            many ? r.GetRepeatedDouble(message, &field, i) : r.GetDouble(message, &field);
        return std::isfinite(v) ? absl::OkStatus()
                                : Bad(path, absl::StrCat("wants a finite number, found ", v));
      }
      case FieldDescriptor::CPPTYPE_FLOAT: {
        const float v = many ? r.GetRepeatedFloat(message, &field, i) : r.GetFloat(message, &field);
        return std::isfinite(v) ? absl::OkStatus()
                                : Bad(path, absl::StrCat("wants a finite number, found ", v));
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int v =
            many ? r.GetRepeatedEnumValue(message, &field, i) : r.GetEnumValue(message, &field);
        if (field.enum_type()->FindValueByNumber(v) != nullptr) return absl::OkStatus();
        return Bad(path, absl::StrCat("wants ", DescribeWanted(field), ", found ", v));
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        if (field.type() != FieldDescriptor::TYPE_STRING) return absl::OkStatus();
        const std::string v =
            many ? r.GetRepeatedString(message, &field, i) : r.GetString(message, &field);
        return IsUtf8(v) ? absl::OkStatus() : Bad(path, "wants a text in UTF-8");
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Check(
            many ? r.GetRepeatedMessage(message, &field, i) : r.GetMessage(message, &field), path,
            depth + 1);
      default:
        return absl::OkStatus();
    }
  }

  absl::Status Bad(const std::string& path, const std::string& what) const {
    const TextKey* key = index_.Find(path);
    return TextError(file_name_, key != nullptr ? key->value : TextPosition{}, path, what);
  }

  absl::string_view file_name_;
  const TextIndex& index_;
};

// --- Writing.

class ResolvedPrinter {
 public:
  ResolvedPrinter() { printer_.SetUseUtf8StringEscaping(true); }

  void Print(const Message& message, const std::string& indent, std::string& out) const {
    if (message.GetDescriptor()->full_name() == pb::Any::descriptor()->full_name()) {
      const auto& any = static_cast<const pb::Any&>(message);
      if (const std::unique_ptr<Message> inner = Unpack(any); inner != nullptr) {
        absl::StrAppend(&out, indent, "[type.googleapis.com/", inner->GetDescriptor()->full_name(),
                        "] {\n");
        Print(*inner, indent + "  ", out);
        absl::StrAppend(&out, indent, "}\n");
        return;
      }
    }
    const Reflection& reflection = *message.GetReflection();
    const Descriptor& type = *message.GetDescriptor();
    for (int f = 0; f < type.field_count(); ++f) {
      const FieldDescriptor& field = *type.field(f);
      if (!field.is_repeated()) {
        if (field.has_presence() && !reflection.HasField(message, &field)) continue;
        PrintField(message, field, -1, indent, out);
        continue;
      }
      std::vector<std::string> entries;
      for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
        PrintField(message, field, i, indent, entries.emplace_back());
      }
      if (field.is_map()) std::sort(entries.begin(), entries.end());  // their own order is random
      for (const std::string& entry : entries) out += entry;
    }
  }

 private:
  void PrintField(const Message& message, const FieldDescriptor& field, int i,
                  const std::string& indent, std::string& out) const {
    absl::StrAppend(&out, indent, field.name());
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const Reflection& reflection = *message.GetReflection();
      out += " {\n";
      Print(i >= 0 ? reflection.GetRepeatedMessage(message, &field, i)
                   : reflection.GetMessage(message, &field),
            indent + "  ", out);
      absl::StrAppend(&out, indent, "}\n");
      return;
    }
    std::string value;
    printer_.PrintFieldValueToString(message, &field, i, &value);
    absl::StrAppend(&out, ": ", value, "\n");
  }

  pb::TextFormat::Printer printer_;
};

}  // namespace

absl::Status TextError(absl::string_view file_name, TextPosition position, absl::string_view path,
                       absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file_name, ":", position.line + 1, ":",
                                                 position.column + 1, ": ", path,
                                                 path.empty() ? "" : ": ", what));
}

absl::Status ParseTextProto(absl::string_view text, absl::string_view file_name,
                            const TextIndex& index, Message& message) {
  if (!index.beyond_limits().empty()) {
    return TextError(file_name, index.beyond_limits_at(), "", index.beyond_limits());
  }
  const pb::LogSilencer silence;  // the parser logs some warnings whatever its collector
  FirstError errors;
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.SetRecursionLimit(kMaxTextDepth);
  pb::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  const bool parsed = parser.Parse(&stream, &message);
  if (errors.error) return Reword(file_name, index, *errors.error);
  if (!parsed) return TextError(file_name, {}, "", "is not valid text format");
  return ValueChecker(file_name, index).Check(message, "", 0);
}

absl::string_view WithoutByteOrderMark(absl::string_view text) {
  absl::ConsumePrefix(&text, "\xEF\xBB\xBF");
  return text;
}

absl::Status ParseTextProto(absl::string_view text, absl::string_view file_name, Message& message) {
  text = WithoutByteOrderMark(text);
  return ParseTextProto(text, file_name, TextIndex(text, message.GetDescriptor()), message);
}

namespace {

void AddFields(const Message& message, const std::string& prefix,
               std::map<std::string, std::string>& fields) {
  const pb::Descriptor& type = *message.GetDescriptor();
  const pb::Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    const std::string path = absl::StrCat(prefix, prefix.empty() ? "" : ".", field.name());
    const bool is_message = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE;
    const auto add = [&](const std::string& where, int index) {
      if (!is_message) {
        pb::TextFormat::PrintFieldValueToString(message, &field, index, &fields[where]);
      } else {
        AddFields(index < 0 ? reflection.GetMessage(message, &field)
                            : reflection.GetRepeatedMessage(message, &field, index),
                  where, fields);
      }
    };
    if (field.is_repeated()) {
      for (int k = 0; k < reflection.FieldSize(message, &field); ++k) {
        add(absl::StrCat(path, "[", k, "]"), k);
      }
    } else if (!field.has_presence() || reflection.HasField(message, &field)) {
      add(path, -1);
    }
  }
}

}  // namespace

std::map<std::string, std::string> FieldsByPath(const Message& message) {
  std::map<std::string, std::string> fields;
  AddFields(message, "", fields);
  return fields;
}

std::string ResolvedText(const Message& message) {
  std::string text;
  ResolvedPrinter().Print(message, "", text);
  return text;
}

}  // namespace wanlite
