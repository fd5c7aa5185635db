// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/cli/session.h"

#include <cerrno>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace wanlite::cli {

ProgressSink& Session::progress() {
  if (quiet) return SilentProgress();
  if (progress_ == nullptr) progress_ = NewTerminalProgress();
  return *progress_;
}

void Session::Say(absl::string_view text) {
  std::FILE* out = json ? stderr : stdout;
  if (json && quiet) return;
  Write(Printable(text), out);
}

void Session::SayNotes(const std::vector<std::string>& notes) {
  if (quiet) return;
  for (const std::string& note : notes) {
    std::fprintf(stderr, "note: %s\n", OneLine(note).c_str());
  }
}

void Session::PrintJson(const Json& value) {
  // File names may hold any bytes; JSON holds UTF-8.
  PrintJsonText(value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void Session::PrintJsonText(const std::string& text) {
  // JSON lets DEL and the controls U+0080 to U+009F stand as they are, and terminals obey them.
  // They can stand in its strings alone.
  std::string shown;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (c == 0x7F) {
      absl::StrAppend(&shown, "\\u007f");
    } else if (c == 0xC2 && next >= 0x80 && next < 0xA0) {
      absl::StrAppend(&shown, "\\u", absl::Hex(next, absl::kZeroPad4));
      ++i;
    } else {
      shown.push_back(text[i]);
    }
  }
  Write(shown, stdout);
}

void Session::Write(absl::string_view text, std::FILE* out) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), out) == text.size() && std::fflush(out) == 0) return;
  if (out == stdout && written_.ok()) {
    written_ = absl::ErrnoToStatus(errno, "cannot write to standard output");
  }
}

absl::Status Session::Finish() {
  if (std::fflush(stdout) != 0 && written_.ok()) {
    written_ = absl::ErrnoToStatus(errno, "cannot write to standard output");
  }
  return written_;
}

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 3;
    case absl::StatusCode::kNotFound:
      return 4;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return 5;
    case absl::StatusCode::kResourceExhausted:
      return 6;
    case absl::StatusCode::kUnimplemented:
      return 7;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 8;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return 9;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kAborted:
      return 10;
    case absl::StatusCode::kCancelled:
      return 130;
    default:
      return 1;
  }
}

std::string ExitCodeHelp() {
  return "Exit codes:\n"
         "  0 done                          6 out of disk or memory\n"
         "  1 an error of wanlite itself    7 not in this build\n"
         "  2 wrong use of the command      8 device not available\n"
         "  3 a wrong value or a bad file   9 permission denied\n"
         "  4 not found                    10 damaged data\n"
         "  5 exists already, or not now   11 doctor: something is out of its band\n"
         "                                130 interrupted (Ctrl-C)\n";
}

std::string OneLine(absl::string_view message) {
  std::string line;
  for (absl::string_view part : absl::StrSplit(message, '\n')) {
    part = absl::StripAsciiWhitespace(part);
    if (absl::StartsWith(part, "Exception raised from") || absl::StartsWith(part, "frame #")) break;
    if (part.empty()) continue;
    if (!line.empty()) line += line.back() == ':' || line.back() == ';' ? " " : "; ";
    line += std::string(part);
  }
  return Printable(line);
}

std::string Printable(absl::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F, which some terminals obey as they do ESC [, are C2 80 to C2 9F.
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool c1 = byte == 0xC2 && next >= 0x80 && next <= 0x9F;
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F || c1) {
      absl::StrAppend(&printable, "\\x", absl::Hex(c1 ? next : byte, absl::kZeroPad2));
      if (c1) ++i;
    } else {
      printable.push_back(text[i]);
    }
  }
  return printable;
}

}  // namespace wanlite::cli
