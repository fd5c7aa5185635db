// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/training_html.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

using Catch::Contains;

TEST_CASE("a training's log becomes a page with a curve for each term") {
  std::string text;
  for (int step = 0; step < 1000; ++step) {
    absl::StrAppend(&text, "{\"step\": ", step, ", \"loss\": ", 100.0 / (1 + step),
                    ", \"terms\": {\"data\": ", 2.0,
                    ", \"a<b\": ", step == 7 ? "null" : absl::StrCat(1.0 + step),
                    "}, \"rate\": 0.1, ", "\"gradient_norm\": 3",
                    step == 7 ? ", \"skipped\": true" : "", "}\n");
  }
  ASSERT_OK_AND_ASSIGN(const TrainingCurve curve, ParseTrainingLog(text, "student.jsonl"));
  CHECK(curve.steps.size() == 1000);
  CHECK(curve.skipped == 1);
  REQUIRE(curve.terms.size() == 2);
  CHECK(curve.terms[0].first == "a<b");
  CHECK(std::isnan(curve.terms[0].second[7]));
  CHECK(curve.terms[0].second[8] == 9);
  const std::string page = TrainingHtml({curve});
  CHECK_THAT(page, Contains("student.jsonl") && Contains("a&lt;b") && Contains("log10") &&
                       Contains("1 steps were left out"));
  CHECK_THAT(page, !Contains("a<b") && !Contains("<script") && !Contains("NaN"));
  // Two logs are two sections.
  CHECK_THAT(TrainingHtml({curve, curve}),
             Contains("id=\"training\"") && Contains("id=\"trainingb\""));
}

TEST_CASE("what is no log of a training is refused by its line") {
  const auto error = [](const std::string& text) {
    const auto parsed = ParseTrainingLog(text, "log");
    REQUIRE_FALSE(parsed.ok());
    return std::string(parsed.status().message());
  };
  const std::string line = "{\"step\": 3, \"loss\": 1, \"terms\": {}}\n";
  CHECK_THAT(error(""), Contains("no step of a training"));
  CHECK_THAT(error(line + "{"), Contains("log:2: no JSON object"));
  CHECK_THAT(error(line + "{}"), Contains("log:2: no step"));
  CHECK_THAT(error(line + line), Contains("log:2: step 3 after step 3"));
  CHECK_THAT(error("{\"step\": 0}"), Contains("log:1: no terms"));
}

}  // namespace
}  // namespace wanlite
