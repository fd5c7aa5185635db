// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/model/wan/dit_names.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace wanlite::wan {
namespace {

using Renaming = std::pair<absl::string_view, absl::string_view>;

// Outside the blocks: paths from the root.
constexpr Renaming kRootNames[] = {
    {"text_embedding.0", "condition_embedder.text_embedder.linear_1"},
    {"text_embedding.2", "condition_embedder.text_embedder.linear_2"},
    {"time_embedding.0", "condition_embedder.time_embedder.linear_1"},
    {"time_embedding.2", "condition_embedder.time_embedder.linear_2"},
    {"time_projection.1", "condition_embedder.time_proj"},
    {"head.modulation", "scale_shift_table"},
    {"head.head", "proj_out"},
};

// Inside a block: paths from the block.
constexpr Renaming kBlockNames[] = {
    {"modulation", "scale_shift_table"},   {"self_attn.q", "attn1.to_q"},
    {"self_attn.k", "attn1.to_k"},         {"self_attn.v", "attn1.to_v"},
    {"self_attn.o", "attn1.to_out.0"},     {"self_attn.norm_q", "attn1.norm_q"},
    {"self_attn.norm_k", "attn1.norm_k"},  {"cross_attn.q", "attn2.to_q"},
    {"cross_attn.k", "attn2.to_k"},        {"cross_attn.v", "attn2.to_v"},
    {"cross_attn.o", "attn2.to_out.0"},    {"cross_attn.norm_q", "attn2.norm_q"},
    {"cross_attn.norm_k", "attn2.norm_k"}, {"norm3", "norm2"},
    {"ffn.0", "ffn.net.0.proj"},           {"ffn.2", "ffn.net.2"},
};

template <size_t N>
std::string Rename(absl::string_view path, const Renaming (&table)[N]) {
  for (const auto& [from, to] : table) {
    absl::string_view rest = path;
    if (absl::ConsumePrefix(&rest, from) && (rest.empty() || rest.front() == '.')) {
      return absl::StrCat(to, rest);
    }
  }
  return std::string(path);
}

}  // namespace

std::string DitDiffusersName(absl::string_view original) {
  constexpr absl::string_view kBlocks = "blocks.";
  if (!absl::StartsWith(original, kBlocks)) return Rename(original, kRootNames);
  const size_t dot = original.find('.', kBlocks.size());
  if (dot == absl::string_view::npos) return std::string(original);
  return absl::StrCat(original.substr(0, dot + 1), Rename(original.substr(dot + 1), kBlockNames));
}

bool IsDit(const std::vector<std::string>& names) {
  const auto has = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const char* const marks[] = {"head.modulation", "blocks.0.modulation",
                               "blocks.0.self_attn.q.weight", "time_projection.1.weight"};
  return has("patch_embedding.weight") &&
         (std::all_of(std::begin(marks), std::end(marks), has) ||
          std::all_of(std::begin(marks), std::end(marks),
                      [&](const char* name) { return has(DitDiffusersName(name)); }));
}

}  // namespace wanlite::wan
