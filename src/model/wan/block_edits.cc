// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/block_edits.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/core/quote_name.h"
#include "wanlite/status.h"

namespace wanlite::wan {
namespace {

// "blocks.3.ffn.channels" -> 3 and "ffn.channels"; false for other paths.
bool ParseBlockPath(absl::string_view path, int64_t num_layers, int64_t* block,
                    absl::string_view* rest) {
  if (!absl::ConsumePrefix(&path, "blocks.")) return false;
  const size_t dot = path.find('.');
  *rest = dot == absl::string_view::npos ? absl::string_view() : path.substr(dot + 1);
  return absl::SimpleAtoi(path.substr(0, dot), block) && *block >= 0 && *block < num_layers;
}

}  // namespace

absl::Status EditBlockSizes(const StructureEdit& edit, int64_t* num_layers,
                            const std::map<std::string, std::vector<int64_t>*>& sizes,
                            const std::map<std::string, int64_t*>& others) {
  for (const auto& [name, units] : edit.units) {
    int64_t block = 0;
    absl::string_view rest;
    if (const auto other = others.find(name); other != others.end()) {
      *other->second = units;
      continue;
    }
    const auto size = ParseBlockPath(name, *num_layers, &block, &rest)
                          ? sizes.find(std::string(rest))
                          : sizes.end();
    if (size == sizes.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the config has no number for the axis group ", QuoteName(name)));
    }
    size->second->at(static_cast<size_t>(block)) = units;
  }
  std::vector<bool> dropped(static_cast<size_t>(*num_layers), false);
  for (const std::string& name : edit.drop_blocks) {
    int64_t block = 0;
    absl::string_view rest;
    if (!ParseBlockPath(name, *num_layers, &block, &rest) || !rest.empty() ||
        dropped[static_cast<size_t>(block)]) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no block ", QuoteName(name), " to drop, or it is named twice"));
    }
    dropped[static_cast<size_t>(block)] = true;
  }
  for (const auto& [name, values] : sizes) {
    std::vector<int64_t> left;
    for (size_t i = 0; i < values->size(); ++i) {
      if (!dropped[i]) left.push_back((*values)[i]);
    }
    *values = std::move(left);
  }
  *num_layers -= static_cast<int64_t>(edit.drop_blocks.size());
  return absl::OkStatus();
}

void ExpandPerBlock(std::vector<int64_t>& values, int64_t common, int64_t num_layers) {
  if (values.empty()) values.assign(static_cast<size_t>(num_layers), common);
}

int64_t PaddedSize(const std::vector<int64_t>& values, int64_t common, int64_t multiple) {
  const int64_t most = values.empty() ? common : *std::max_element(values.begin(), values.end());
  return (most + multiple - 1) / multiple * multiple;
}

void DropIfUniform(std::vector<int64_t>& values, int64_t common) {
  if (std::all_of(values.begin(), values.end(), [&](int64_t v) { return v == common; })) {
    values.clear();
  }
}

}  // namespace wanlite::wan
