// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/runner/select_forwards.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "src/core/sha256.h"

namespace wanlite {
namespace {

// In [0, 1), a function of the text alone.
double UniformOf(const std::string& text) {
  return static_cast<double>(std::strtoull(Sha256Hex(text).substr(0, 12).c_str(), nullptr, 16)) *
         0x1p-48;
}

}  // namespace

absl::StatusOr<std::vector<SelectedForward>> SelectForwards(const std::vector<ForwardCall>& calls,
                                                            int64_t prompts, int64_t count,
                                                            uint64_t seed) {
  std::map<std::string, std::vector<int64_t>> by_component;
  for (size_t i = 0; i < calls.size(); ++i) {
    by_component[calls[i].component].push_back(static_cast<int64_t>(i));
  }
  const int64_t all = static_cast<int64_t>(calls.size()) * prompts;
  const auto experts = static_cast<int64_t>(by_component.size());
  if (count < 0 || (count > 0 && count < experts)) {
    return absl::InvalidArgumentError(absl::StrCat("samples is ", count,
                                                   ", wanted 0 for all or at least ", experts,
                                                   ", one for each of the denoisers that run"));
  }
  if (count == 0 || count > all) count = all;

  // Whole numbers by largest remainder, one at least.
  std::map<std::string, int64_t> share;
  int64_t given = 0;
  std::vector<std::pair<double, std::string>> remainders;
  for (const auto& [component, own] : by_component) {
    const double exact = static_cast<double>(count) * static_cast<double>(own.size()) /
                         static_cast<double>(calls.size());
    share[component] = std::max<int64_t>(1, static_cast<int64_t>(std::floor(exact)));
    given += share[component];
    remainders.emplace_back(-(exact - static_cast<double>(share[component])), component);
  }
  std::sort(remainders.begin(), remainders.end());
  for (size_t i = 0; given < count; i = (i + 1) % remainders.size(), ++given) {
    ++share[remainders[i].second];
  }
  for (; given > count; --given) {
    // What one expert got beyond its share, the others give.
    --std::max_element(share.begin(), share.end(), [](const auto& a, const auto& b) {
        return a.second < b.second;
      })->second;
  }

  std::vector<SelectedForward> selected;
  std::map<int64_t, int64_t> prompt_uses;
  std::map<bool, int64_t> branch_uses;
  for (const auto& [component, own] : by_component) {
    const int64_t passes = static_cast<int64_t>(own.size()) * prompts;
    const int64_t wanted = std::min(share[component], passes);
    // The passes lie in the order of their timesteps, one picked from each stretch of equal length,
    // all at the same place of it: so the timesteps are covered as evenly as they are run.
    const double place = UniformOf(absl::StrCat("place ", seed, " ", component));
    std::map<int64_t, int64_t> of_step;  // first call of a step -> samples wanted of it
    for (int64_t k = 0; k < wanted; ++k) {
      const double position = (static_cast<double>(k) + place) * static_cast<double>(passes) /
                              static_cast<double>(wanted);
      int64_t call =
          own[static_cast<size_t>(std::min(static_cast<int64_t>(position), passes - 1) / prompts)];
      if (calls[static_cast<size_t>(call)].negative) --call;  // its step's first
      ++of_step[call];
    }
    for (const auto& [first, number] : of_step) {
      using Candidate = std::tuple<int64_t, int64_t, double, int64_t, int64_t>;
      std::vector<std::pair<int64_t, int64_t>> open;  // prompt, call
      for (int64_t call = first;
           call < static_cast<int64_t>(calls.size()) &&
           calls[static_cast<size_t>(call)].step == calls[static_cast<size_t>(first)].step;
           ++call) {
        for (int64_t prompt = 0; prompt < prompts; ++prompt) open.emplace_back(prompt, call);
      }
      for (int64_t k = 0; k < number; ++k) {
        const auto rank = [&](const std::pair<int64_t, int64_t>& item) -> Candidate {
          return {prompt_uses[item.first],
                  branch_uses[calls[static_cast<size_t>(item.second)].negative],
                  UniformOf(absl::StrCat("pick ", seed, " ", item.first, " ", item.second)),
                  item.first, item.second};
        };
        const auto best =
            std::min_element(open.begin(), open.end(),
                             [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
        ++prompt_uses[best->first];
        ++branch_uses[calls[static_cast<size_t>(best->second)].negative];
        selected.push_back(
            {best->first, best->second, static_cast<double>(passes) / static_cast<double>(wanted)});
        open.erase(best);
      }
    }
  }
  std::sort(selected.begin(), selected.end(), [](const auto& a, const auto& b) {
    return std::tie(a.prompt, a.call) < std::tie(b.prompt, b.call);
  });
  return selected;
}

}  // namespace wanlite
