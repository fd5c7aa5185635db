// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/curves_html.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "src/report/number_text.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

using Json = nlohmann::json;

Json CurvesPoint(const std::string& variant, double amount, double kept, double reading) {
  return {{"variant", variant},
          {"amount", amount},
          {"kept", kept},
          {"reading", reading},
          {"operations", 0.875},
          {"digit", 0.5},
          {"consistency", 0.25},
          {"frechet_change", 1.25},
          {"frechet_change_interval", {-0.5, 3.0}},
          {"psnr_db", 21.5},
          {"latency_ratio",
           {{"median", 0.75}, {"quartile_low", 0.5}, {"quartile_high", 0.8125}, {"runs", 3}}},
          {"training_steps", 600}};
}

Json Curves() {
  return {{"version", 1},
          {"settings", {{"model", "digits"}, {"clips", 48}, {"threads", 1}}},
          {"original", {{"reading", 0.96}, {"frechet_to_real", 40.5}}},
          {"machine", {{"cpu", "CPU <X>"}}},
          {"points",
           {CurvesPoint("one-shot", 0.2, 0.8, 0.9), CurvesPoint("in <rounds>", 0.2, 0.82, 0.93),
            CurvesPoint("one-shot", 0.5, 0.53, 0.48)}}};
}

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_CASE("A page of curves has a line for each variant in each measure, and every point") {
  ASSERT_OK_AND_ASSIGN(const PruneCurves curves, ParsePruneCurves(Curves().dump(), "c.json"));
  REQUIRE(curves.points.size() == 3);
  const std::string html = PruneCurvesHtml(curves);
  // Six charts: the variant with two points has a line in each, the original in the four that it
  // has a value in; the variant with one point has markers alone.
  CHECK(CountOf(html, "<svg") == 6);
  CHECK(CountOf(html, "class=\"line k1\"") == 6);
  CHECK(CountOf(html, "class=\"line k2\"") == 0);
  CHECK(CountOf(html, "class=\"line k0\"") == 4);
  CHECK(absl::StrContains(html, "one-shot: 53.00, 48.0000"));
  CHECK(absl::StrContains(html, report::Percent(0.5)));  // 0.48 of 0.96
  CHECK(absl::StrContains(html, "0.75 [0.50, 0.81]"));
  CHECK_FALSE(absl::StrContains(html, "<rounds>"));
  CHECK_FALSE(absl::StrContains(html, "<X>"));
  CHECK_FALSE(absl::StrContains(html, "<script"));
}

TEST_CASE("What a point did not measure is missing from its curve, never zero") {
  Json json = Curves();
  json["points"][2].erase("psnr_db");
  json["points"][2]["latency_ratio"] = nullptr;
  ASSERT_OK_AND_ASSIGN(const PruneCurves curves, ParsePruneCurves(json.dump(), "c.json"));
  CHECK(std::isnan(curves.points[2].psnr_db));
  CHECK(std::isnan(curves.points[2].latency));
  const std::string html = PruneCurvesHtml(curves);
  CHECK(CountOf(html, "class=\"line k1\"") == 4);
  CHECK(absl::StrContains(html, "not measured"));
}

TEST_CASE("A file that is none of curves is refused by what is wrong with it") {
  const auto refused = [](const Json& json, const std::string& text) {
    const auto parsed = ParsePruneCurves(json.dump(), "c.json");
    REQUIRE(absl::IsInvalidArgument(parsed.status()));
    INFO(parsed.status().message());
    CHECK(absl::StartsWith(parsed.status().message(), "c.json"));
    CHECK(absl::StrContains(parsed.status().message(), text));
  };
  CHECK(absl::IsInvalidArgument(ParsePruneCurves("no json", "c.json").status()));
  Json json = Curves();
  json["version"] = 2;
  refused(json, "version is 2");
  json = Curves();
  json["points"] = Json::array();
  refused(json, "no points");
  json = Curves();
  json["points"][1].erase("kept");
  refused(json, "points[1]: no kept");
  json = Curves();
  json["points"][1] = 3;
  refused(json, "points[1] is no object");
  json = Curves();
  json["points"][0]["reading"] = "much";
  refused(json, "reading");
  json = Curves();
  json["original"].erase("reading");
  refused(json, "original: no reading");
}

}  // namespace
}  // namespace wanlite
