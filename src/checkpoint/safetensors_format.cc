// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/safetensors_format.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace wanlite {
namespace {

struct DtypeEntry {
  absl::string_view name;
  at::ScalarType dtype;
};

constexpr std::array<DtypeEntry, 12> kDtypes = {{
    {"F64", at::kDouble},
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
    {"F8_E4M3", at::kFloat8_e4m3fn},
    {"F8_E5M2", at::kFloat8_e5m2},
}};

}  // namespace

std::optional<at::ScalarType> ParseSafetensorsDtype(absl::string_view name) {
  for (const DtypeEntry& entry : kDtypes) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

std::optional<absl::string_view> SafetensorsDtypeName(at::ScalarType dtype) {
  for (const DtypeEntry& entry : kDtypes) {
    if (entry.dtype == dtype) return entry.name;
  }
  return std::nullopt;
}

std::string SafetensorsDtypeList() {
  return absl::StrJoin(kDtypes, " ", [](std::string* out, const DtypeEntry& entry) {
    absl::StrAppend(out, entry.name);
  });
}

std::string JoinFew(const std::vector<std::string>& items) {
  constexpr size_t kShown = 5;
  const size_t shown = std::min(items.size(), kShown);
  std::string text =
      absl::StrJoin(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(shown), ", ");
  if (items.size() > shown) absl::StrAppend(&text, ", … (", items.size() - shown, " more)");
  return text;
}

}  // namespace wanlite
