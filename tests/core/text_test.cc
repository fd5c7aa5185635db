// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "src/core/glob.h"
#include "src/core/nearest_name.h"
#include "src/core/sha256.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

TEST_CASE("globs match whole paths") {
  CHECK(GlobMatch("transformer*.blocks.*.ffn.?", "transformer_2.blocks.11.ffn.0"));
  CHECK(GlobMatch("*", ""));
  CHECK(GlobMatch("*.q", "a.b.c.q"));
  CHECK(GlobMatch("a*b*c", "aXbXbc"));
  CHECK(GlobMatch("", ""));
  CHECK_FALSE(GlobMatch("*.q", "a.q.weight"));
  CHECK_FALSE(GlobMatch("ffn", "blocks.0.ffn"));
  CHECK_FALSE(GlobMatch("a?c", "ac"));
  CHECK_FALSE(GlobMatch("", "a"));
  CHECK(AnyGlobMatches({"x", "b*"}, "bc"));
  CHECK_FALSE(AnyGlobMatches({}, "bc"));
}

TEST_CASE("a glob full of stars does not take exponential time") {
  std::string pattern;
  for (int i = 0; i < 2000; ++i) pattern += "*a";
  CHECK_FALSE(GlobMatch(pattern + "b", std::string(20000, 'a')));
}

TEST_CASE("SHA-256 gives the published values, whole and in pieces") {
  CHECK(Sha256Hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(Sha256Hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  pieces.Update("a");
  pieces.Update("");
  pieces.Update("bc");
  CHECK(pieces.Finish() == Sha256Hex("abc"));
}

TEST_CASE("the nearest name forgives spelling, not meaning") {
  const std::vector<std::string> names = {"prune_magnitude", "quantize_int8", "custom"};
  CHECK(NearestName("prune-magnitude", names) == "prune_magnitude");
  CHECK(NearestName("PruneMagnitude", names) == "prune_magnitude");
  CHECK(NearestName("QuantizeInt8Options", names) == "quantize_int8");
  CHECK(NearestName("quantise_int8", names) == "quantize_int8");
  CHECK(NearestName("costum", names) == "custom");
  CHECK(NearestName("distill", names) == "");
  CHECK(NearestName("", names) == "");
}

}  // namespace
}  // namespace wanlite
