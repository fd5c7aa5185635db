// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "wanlite/metrics.h"

namespace wanlite {

OpCount& OpCount::operator+=(const OpCount& other) {
  dense += other.dense;
  effective += other.effective;
  realised += other.realised;
  int8 += other.int8;
  bops += other.bops;
  return *this;
}

OpCount OpCount::operator*(double calls) const {
  return OpCount{dense * calls, effective * calls, realised * calls, int8 * calls, bops * calls};
}

OpCount ForwardOps::total() const {
  OpCount sum = linear;
  sum += self_attention;
  sum += cross_attention;
  sum += convolution;
  return sum;
}

ForwardOps& ForwardOps::operator+=(const ForwardOps& more) {
  linear += more.linear;
  self_attention += more.self_attention;
  cross_attention += more.cross_attention;
  convolution += more.convolution;
  other += more.other;
  weight_bytes += more.weight_bytes;
  return *this;
}

ForwardOps ForwardOps::operator*(double calls) const {
  return ForwardOps{linear * calls,      self_attention * calls, cross_attention * calls,
                    convolution * calls, other * calls,          weight_bytes * calls};
}

ForwardOps GenerationCount::total() const {
  ForwardOps sum = text_encoder;
  for (const auto& [name, ops] : denoisers) sum += ops;
  sum += vae_encode;
  sum += vae_decode;
  return sum;
}

ForwardOps GenerationCount::Step(int64_t steps) const {
  ForwardOps sum;
  for (const auto& [name, ops] : denoisers) sum += ops;
  return sum * (1.0 / static_cast<double>(std::max<int64_t>(steps, 1)));
}

absl::StatusOr<GenerationCount> GenerationOps(const ModelOps& ops,
                                              const std::map<std::string, int64_t>& calls) {
  const auto counted = [](const ForwardOps& forward) { return forward.total().dense > 0; };
  std::map<std::string, const ForwardOps*> known;
  for (const auto& [name, forward] : ops.denoisers) known[name] = &forward;
  if (counted(ops.text_encoder)) known["text_encoder"] = &ops.text_encoder;
  if (counted(ops.vae_encode)) known["vae.encode"] = &ops.vae_encode;
  if (counted(ops.vae_decode)) known["vae.decode"] = &ops.vae_decode;

  GenerationCount count;
  for (const auto& [name, forward] : ops.denoisers) count.denoisers[name] = ForwardOps();
  for (const auto& [name, n] : calls) {
    if (n < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("calls of '", name, "' are ", n, ", must not be negative"));
    }
    if (n == 0) continue;
    const auto found = known.find(name);
    if (found == known.end()) {
      std::vector<std::string> names;
      for (const auto& [one, forward] : known) names.push_back(one);
      return absl::InvalidArgumentError(absl::StrCat(
          "'", name, "' was called ", n, " times but has no operation count; there are ",
          "counts of ", absl::StrJoin(names, ", ")));
    }
    const ForwardOps all = *found->second * static_cast<double>(n);
    if (ops.denoisers.count(name) > 0) {
      count.denoisers[name] = all;
    } else if (name == "text_encoder") {
      count.text_encoder = all;
    } else if (name == "vae.encode") {
      count.vae_encode = all;
    } else {
      count.vae_decode = all;
    }
  }
  return count;
}

}  // namespace wanlite
