// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/prompt_cleaning.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

namespace wanlite::wan {
namespace {

struct Entity {
  const char* name;  // without "&", with ";" where it is needed
  const char* text;  // UTF-8
};
// Sorted by name, bytewise.
constexpr Entity kEntities[] = {
#include "src/model/wan/html_entities.inc"
};
constexpr size_t kLongestName = 33;  // bytes of "CounterClockwiseContourIntegral;" and one to spare

constexpr uint32_t kReplacement = 0xFFFD;
constexpr uint32_t kMaxCodePoint = 0x10FFFF;

// What browsers make of the numbers 0x80 to 0x9F (Windows-1252); 0 where they mean themselves.
constexpr uint16_t kWindows1252[32] = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// Control characters and noncharacters, which vanish.
bool IsForbidden(uint32_t code) {
  return (code >= 0x1 && code <= 0x8) || code == 0xB || (code >= 0xE && code <= 0x1F) ||
         (code >= 0x7F && code <= 0x9F) || (code >= 0xFDD0 && code <= 0xFDEF) ||
         (code & 0xFFFE) == 0xFFFE;
}

void AppendNumbered(uint32_t code, std::string& out) {
  if (code == 0 || (code >= 0xD800 && code <= 0xDFFF) || code > kMaxCodePoint) {
    AppendUtf8(kReplacement, out);
  } else if (code >= 0x80 && code <= 0x9F) {
    const uint32_t mapped = kWindows1252[code - 0x80];
    AppendUtf8(mapped == 0 ? code : mapped, out);
  } else if (!IsForbidden(code)) {
    AppendUtf8(code, out);
  }
}

// Value of a digit in the given base, or -1.
int Digit(char c, int base) {
  if (c >= '0' && c <= '9') return c - '0';
  if (base == 16 && c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (base == 16 && c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Reads "#233;" at `at`. Returns the bytes it takes, 0 when it is no numbered reference.
size_t ReadNumbered(const std::string& text, size_t at, std::string& out) {
  size_t end = at + 1;
  int base = 10;
  if (end < text.size() && (text[end] == 'x' || text[end] == 'X')) {
    base = 16;
    ++end;
  }
  const size_t first = end;
  uint32_t code = 0;
  for (; end < text.size() && Digit(text[end], base) >= 0; ++end) {
    // Stays above the largest code point once it is there.
    code = std::min<uint32_t>(code * base + Digit(text[end], base), kMaxCodePoint + 1);
  }
  if (end == first) return 0;
  if (end < text.size() && text[end] == ';') ++end;
  AppendNumbered(code, out);
  return end - at;
}

// Reads the longest known name at `at`. Returns the bytes it takes, 0 when there is none.
size_t ReadNamed(const std::string& text, size_t at, std::string& out) {
  size_t length = 0;
  while (at + length < text.size() && length < kLongestName) {
    const char c = text[at + length];
    if (c != '\0' && std::strchr("\t\n\f <&#", c) != nullptr) break;
    ++length;
    if (c == ';') break;
  }
  for (; length >= 2; --length) {
    const std::string name = text.substr(at, length);
    const Entity* found = std::lower_bound(
        std::begin(kEntities), std::end(kEntities), name,
        [](const Entity& entity, const std::string& key) { return entity.name < key; });
    if (found == std::end(kEntities) || found->name != name) continue;
    out += found->text;
    return length;
  }
  return 0;
}

// Reads one code point. Returns its bytes; 1 with code 0 for a byte that starts none.
size_t ReadUtf8(const std::string& text, size_t at, uint32_t& code) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t lead = byte(0);
  const size_t size = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : 0;
  code = 0;
  // White space needs three bytes at most; longer sequences pass as single bytes.
  if (size == 0 || at + size > text.size()) return 1;
  for (size_t i = 1; i < size; ++i) {
    if (byte(i) >> 6 != 2) return 1;
  }
  code = size == 1   ? lead
         : size == 2 ? (lead & 0x1Fu) << 6 | (byte(1) & 0x3Fu)
                     : (lead & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
  return size;
}

// Python's str.isspace().
bool IsSpace(uint32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

}  // namespace

std::string HtmlUnescape(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    size_t taken = 0;
    if (text[at] == '&' && at + 1 < text.size()) {
      taken = text[at + 1] == '#' ? ReadNumbered(text, at + 1, out) : ReadNamed(text, at + 1, out);
    }
    if (taken == 0) {
      out += text[at++];
    } else {
      at += 1 + taken;
    }
  }
  return out;
}

std::string CollapseWhitespace(const std::string& text) {
  std::string out;
  bool pending = false;
  for (size_t at = 0; at < text.size();) {
    uint32_t code = 0;
    const size_t size = ReadUtf8(text, at, code);
    if (IsSpace(code)) {
      pending = !out.empty();
    } else {
      if (pending) out += ' ';
      pending = false;
      out.append(text, at, size);
    }
    at += size;
  }
  return out;
}

std::string CleanPrompt(const std::string& text) {
  return CollapseWhitespace(HtmlUnescape(HtmlUnescape(text)));
}

}  // namespace wanlite::wan
