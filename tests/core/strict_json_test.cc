// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/core/strict_json.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "src/core/input_limits.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

std::string JsonError(const std::string& text) {
  const auto json = ParseStrictJson(text, "f.json");
  if (json.ok()) return "OK";
  CHECK(json.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(json.status().message());
}

// {"a":{"a":… 1 …}} or {"a":[[… 1 …]]}
std::string Nested(int depth, const std::string& open, const std::string& close) {
  std::string text = "{\"a\":";
  for (int i = 1; i < depth; ++i) text += open;
  text += "1";
  for (int i = 1; i < depth; ++i) text += close;
  return text + "}";
}

TEST_CASE("JSON is read as it is written") {
  ASSERT_OK_AND_ASSIGN(
      const nlohmann::json json,
      ParseStrictJson(R"({"a": [1, -2, 0.5, true, null, "x", {"b": []}], "c": {}})", "f.json"));
  CHECK(json.dump() == R"({"a":[1,-2,0.5,true,null,"x",{"b":[]}],"c":{}})");
}

TEST_CASE("what is no JSON object, or says something twice, is refused with the reason") {
  CHECK(JsonError("") == "f.json: not valid JSON");
  CHECK(JsonError("{") == "f.json: not valid JSON");
  CHECK(JsonError("{} x") == "f.json: not valid JSON");
  CHECK(JsonError("{\"a\": 1e999}") == "f.json: not valid JSON");
  CHECK(JsonError("[1]") == "f.json: holds array, wanted an object");
  CHECK(JsonError("3") == "f.json: holds number, wanted an object");
  CHECK(JsonError(R"({"a": {"b": 1, "b": {}}})") == "f.json: the key 'b' is there twice");
}

TEST_CASE("JSON nested as deep as the limit is read, a level deeper is refused") {
  for (const auto& [open, close] :
       {std::pair<const char*, const char*>{"{\"a\":", "}"}, {"[", "]"}}) {
    CHECK(JsonError(Nested(kMaxTextDepth, open, close)) == "OK");
    CHECK(JsonError(Nested(kMaxTextDepth + 1, open, close)) ==
          absl::StrCat("f.json: nested deeper than ", kMaxTextDepth));
    CHECK(JsonError(Nested(1'000'000, open, "")) ==
          absl::StrCat("f.json: nested deeper than ", kMaxTextDepth));
  }
}

TEST_CASE("JSON of more values than the limit is refused") {
  std::string text = "{\"a\":[0";
  for (int64_t i = 0; i < kMaxTextValues; ++i) text += ",0";
  CHECK(JsonError(text + "]}") ==
        absl::StrCat("f.json: holds more than ", kMaxTextValues, " values"));
}

// A parser that looks through an object after each of its members needs hours for this one.
TEST_CASE("an object of very many objects is read in time proportional to its size") {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) absl::StrAppend(&text, i > 0 ? "," : "", "\"k", i, "\":{}");
  text += "}";
  ASSERT_OK_AND_ASSIGN(const nlohmann::json json, ParseStrictJson(text, "f.json"));
  CHECK(json.size() == 300'000);
}

TEST_CASE("a long name is cut in the message") {
  const std::string name(100'000, 'n');
  CHECK(JsonError(absl::StrCat("{\"", name, "\":1,\"", name, "\":2}")).size() < 300);
}

}  // namespace
}  // namespace wanlite
