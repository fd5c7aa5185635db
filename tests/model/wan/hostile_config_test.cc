// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/input_limits.h"
#include "src/core/json_fields.h"
#include "src/model/wan/flow_scheduler.h"
#include "tests/testing/catch.h"
#include "wanlite/wan/config.h"

namespace wanlite::wan {
namespace {

// The error of each parser of configs.
std::vector<std::string> ErrorsOf(const std::string& text) {
  const absl::Status errors[] = {ParseDitConfig(text).status(), ParseUmt5Config(text).status(),
                                 ParseVaeConfig(text).status(),
                                 ParseFlowSchedulerConfig(text).status()};
  std::vector<std::string> messages;
  for (const absl::Status& error : errors) {
    CHECK_FALSE(error.ok());
    messages.emplace_back(error.message());
  }
  return messages;
}

std::string Brackets(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST_CASE("configs nested very deep are refused by every parser") {
  for (const char* field : {"num_layers", "z_dim", "vocab_size", "a_field_of_others"}) {
    for (const int depth : {70, 100'000}) {
      for (const std::string& message :
           ErrorsOf(absl::StrCat("{\"", field, "\":", Brackets(depth), "}"))) {
        CHECK(absl::StrContains(message, "nested deeper than"));
      }
    }
  }
}

TEST_CASE("a large value of a wrong type is not quoted whole") {
  std::string list = "[0";
  for (int i = 0; i < 100'000; ++i) list += ",0";
  const auto dit = ParseDitConfig(absl::StrCat("{\"num_layers\":", list, "]}"));
  CHECK(dit.status().message() ==
        "transformer config: num_layers is a list of 100001, must be an integer");
  const auto text =
      ParseDitConfig(absl::StrCat("{\"num_layers\":\"", std::string(100'000, 'x'), "\"}"));
  CHECK(text.status().message().size() < 300);
}

TEST_CASE("a text length beyond the limit is refused, whose attention would take all memory") {
  const auto with_length = [](int64_t length) {
    return ParseDitConfig(absl::StrCat("{\"text_len\":", length, "}"));
  };
  CHECK(with_length(kMaxTextTokens).ok());
  const auto refused = with_length(16000);
  CHECK(refused.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(absl::StrContains(std::string(refused.status().message()), "text_len is 16000"));
}

TEST_CASE("an object inside a config has its own fields, and none when it is absent") {
  ASSERT_OK_AND_ASSIGN(const JsonFields json,
                       JsonFields::Parse("c", R"({"in": {"n": 3, "s": ["x"]}, "n": 4})"));
  ASSERT_OK_AND_ASSIGN(const JsonFields in, json.Object("in"));
  int64_t n = 0;
  std::vector<std::string> s;
  REQUIRE_OK(in.Int({"n"}, n));
  REQUIRE_OK(in.Strings({"s"}, s));
  CHECK(n == 3);
  CHECK(s == std::vector<std::string>{"x"});
  ASSERT_OK_AND_ASSIGN(const JsonFields none, json.Object("absent"));
  CHECK_FALSE(none.Has({"n"}));
  CHECK(json.Object("n").status().message() == "c: n is 4, must be an object");
  CHECK(in.Strings({"n"}, s).message() == "c: in: n is 3, must be a list of strings");
}

}  // namespace
}  // namespace wanlite::wan
