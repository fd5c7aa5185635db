// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/report/evaluation_html.h"

#include <cmath>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "src/report/frame_strip.h"
#include "tests/report/synthetic_report.h"
#include "tests/testing/catch.h"

namespace wanlite {
namespace {

// The first tag that closes what is not open, or is left open; empty for a balanced document.
// Attribute values are read as quoted strings, so that a ">" in one ends no tag.
std::string FirstUnbalancedTag(const std::string& html) {
  const std::set<std::string> kVoid{"meta", "br", "img", "!DOCTYPE"};
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at)) {
    size_t end = at + 1;
    char quote = 0;
    for (; end < html.size() && (quote != 0 || html[end] != '>'); ++end) {
      if (quote == 0 && (html[end] == '"' || html[end] == '\'')) {
        quote = html[end];
      } else if (html[end] == quote) {
        quote = 0;
      }
    }
    if (end >= html.size()) return "a tag without end";
    const bool closing = html[at + 1] == '/';
    const size_t name_at = at + (closing ? 2 : 1);
    const std::string name = html.substr(name_at, html.find_first_of(" />\n", name_at) - name_at);
    if (closing) {
      if (open.empty() || open.back() != name) return "</" + name + ">";
      open.pop_back();
    } else if (html[end - 1] != '/' && kVoid.count(name) == 0) {
      open.push_back(name);
    }
    at = end + 1;
  }
  return open.empty() ? "" : "<" + open.back() + ">";
}

// What a reader sees: no tags, no style, no images.
std::string VisibleText(const std::string& html) {
  std::string text;
  bool inside = false;
  for (char c : html.substr(html.find("<body>"))) {
    if (c == '<') inside = true;
    if (!inside) text += c;
    if (c == '>') inside = false;
  }
  return text;
}

// What the page refers to.
std::vector<absl::string_view> Addresses(const std::string& html) {
  std::vector<absl::string_view> addresses;
  for (const std::string start : {" src=\"", " href=\"", "srcset=\"", "url("}) {
    for (size_t at = html.find(start); at != std::string::npos; at = html.find(start, at + 1)) {
      const size_t from = at + start.size();
      addresses.push_back(
          absl::string_view(html).substr(from, html.find_first_of("\")", from) - from));
    }
  }
  return addresses;
}

void CheckPage(const std::string& html) {
  CHECK(FirstUnbalancedTag(html) == "");
  for (const char* id : {"gains", "quality", "pareto", "frames", "operations", "layers", "lineage",
                         "settings", "reading"}) {
    CHECK(absl::StrContains(html, absl::StrCat("<section id=\"", id, "\">")));
    CHECK(absl::StrContains(html, absl::StrCat("href=\"#", id, "\"")));
  }
  const std::regex number(R"((^|[^a-zA-Z])-?(nan|inf|NaN|Inf)([^a-zA-Z]|$))");
  CHECK(!std::regex_search(VisibleText(html), number));
  CHECK(!absl::StrContains(html, "<script"));
  // Nothing is loaded: the only addresses are data and places on the page.
  for (const absl::string_view& address : Addresses(html)) {
    CHECK((absl::StartsWith(address, "#") || absl::StartsWith(address, "data:image/webp;base64,")));
  }
  CHECK(!absl::StrContains(html, "http:"));
  CHECK(!absl::StrContains(html, "https:"));
}

TEST_CASE("The balance checker finds what is wrong") {
  CHECK(FirstUnbalancedTag("<p><b>x</b></p>") == "");
  CHECK(FirstUnbalancedTag("<p title=\"a > b\">x</p><br>") == "");
  CHECK(FirstUnbalancedTag("<p><b>x</p></b>") == "</p>");
  CHECK(FirstUnbalancedTag("<p><b>x</b>") == "<p>");
}

TEST_CASE(
    "A report is a whole page for the original alone, one and five models, all parts or few") {
  for (int candidates : {0, 1, 5}) {
    for (bool set : {true, false}) {
      for (bool vae : {true, false}) {
        CAPTURE(candidates, set, vae);
        const EvaluateReport report = SyntheticReport({candidates, set, vae, vae});
        const std::string html = EvaluationHtml(report);
        CheckPage(html);
        CHECK(html.size() < 2'000'000);
        for (const CandidateReport& candidate : report.candidates) {
          CHECK(absl::StrContains(html, candidate.model.name));
        }
        CHECK(absl::StrContains(html, "image/webp") == vae);
        CHECK(absl::StrContains(html, "FD-TransNetV2") == set);
      }
    }
  }
}

TEST_CASE("The verdict gives ratios, quality and the distance with its interval") {
  const std::string text = VisibleText(EvaluationHtml(SyntheticReport()));
  CHECK(absl::StrContains(text, "\u00d70.69 of the size, \u00d71.00 of the operations"));
  CHECK(absl::StrContains(text, "\u00d71.02 of the latency (0.95 to 1.11)"));
  CHECK(absl::StrContains(text, "PSNR 46.0\u00a0dB against the original"));
  // By the paired bootstrap, not by the intervals of both distances.
  CHECK(absl::StrContains(text, "FD-TransNetV2 to real clips +1.20 [0.30, 2.30]"));
}

TEST_CASE("An original alone is told by its distance in floors, and no pairs are claimed") {
  const std::string text = VisibleText(EvaluationHtml(SyntheticReport({0, true, false, false})));
  CHECK(absl::StrContains(text, "FD-TransNetV2 to real clips 41.30, \u00d73.39 of the floor"));
  CHECK(!absl::StrContains(text, "clip by clip"));
}

TEST_CASE("Warnings of the runs stand in the report") {
  EvaluateReport report = SyntheticReport({1, true, false, false});
  report.warnings = {"the prompt is longer than the 26 tokens"};
  CHECK(absl::StrContains(VisibleText(EvaluationHtml(report)), report.warnings[0]));
}

TEST_CASE("Hostile texts from files and prompts stay texts") {
  const std::string evil = "</p><script>alert(1)</script>&\"' onload=x \x80";
  EvaluateReport report = SyntheticReport();
  report.original.name = report.candidates[0].model.name = evil;
  report.candidates[0].model.layers[0].path = report.candidates[0].model.layers[0].format = evil;
  report.candidates[0].model.lineage[0] = {evil, evil, {{evil, 1}}};
  report.candidates[0].model.ops.denoisers[evil] = report.original.step;
  report.candidates[0].paired.velocity[3].component = evil;
  report.original_examples[0].prompt = report.prompts[0] = report.set_name = evil;
  report.settings.negative_prompt = evil;
  report.original_quality->languages[0].language = evil;
  ExtractorReport& extractor = report.extractors[0];
  extractor.name = extractor.digest = extractor.preprocessing = extractor.divisor = evil;
  extractor.warning = evil;
  extractor.temporal_check = report.extractors[1].temporal_check = false;
  MachineInfo& machine = report.machine;
  machine.cpu = machine.system = machine.compiler = machine.commit = machine.device = evil;
  machine.libtorch = machine.wanlite = evil;
  machine.cpu_features = {evil};
  const std::string html = EvaluationHtml(report);
  CheckPage(html);
  CHECK(!absl::StrContains(html, "<script"));
  CHECK(!absl::StrContains(html, "&\"'"));
  CHECK(absl::StrContains(html, "&lt;script&gt;alert(1)"));
}

TEST_CASE("What was not measured says so") {
  EvaluateReport report = SyntheticReport({1, false, false, false});
  const std::string text = VisibleText(EvaluationHtml(report));
  CHECK(absl::StrContains(text, "peak memory not measured"));
  CHECK(absl::StrContains(text, "Distances to real clips: not measured"));
  CHECK(absl::StrContains(text, "latent MSE 0.00109 against the original"));
  // Every number missing, and nothing else.
  EvaluateReport bare;
  bare.candidates.resize(1);
  const std::string empty = EvaluationHtml(bare);
  CheckPage(empty);
  CHECK(absl::StrContains(VisibleText(empty),
                          "size not measured, operations not measured, latency "
                          "not measured, peak memory not measured"));
}

TEST_CASE("Values that are no numbers never reach the page") {
  EvaluateReport report = SyntheticReport();
  const double nan = std::nan("");
  report.candidates[0].model.layers[0].relative_error = nan;
  report.candidates[0].paired.velocity[2].cosine = nan;
  report.candidates[0].paired.psnr_db = report.candidates[0].paired.latent_mse = INFINITY;
  report.candidates[0].quality->to_real[0] = {nan, {nan, nan}, nan, 256, 256, 448, {}};
  report.candidates[0].quality->languages[0].alignment = nan;
  report.candidates[0].quality->languages[0].digit = nan;
  report.candidates[0].model.latency.median = nan;
  report.extractors[0].floor.frechet = nan;
  CheckPage(EvaluationHtml(report));
}

TEST_CASE("An extractor that fails its temporal check is marked, and does not lead") {
  EvaluateReport report = SyntheticReport();
  CHECK(!absl::StrContains(EvaluationHtml(report), "class=\"alert\""));
  report.extractors[0].temporal_check = false;
  const std::string html = EvaluationHtml(report);
  CHECK(absl::StrContains(html, "<div class=\"alert\" role=\"alert\">FD-TransNetV2 fails"));
  CHECK(absl::StrContains(VisibleText(html), "FD-Digits to real clips +0.30"));
}

TEST_CASE("Identical clips are called so") {
  EvaluateReport report = SyntheticReport();
  report.candidates[0].paired.identical = true;
  report.candidates[0].paired.psnr_db = kPsnrCap;
  const std::string text = VisibleText(EvaluationHtml(report));
  CHECK(absl::StrContains(text, "identical to the original in all 4 clips"));
  CHECK(!absl::StrContains(text, "100.0\u00a0dB"));
}

TEST_CASE("Differences are amplified and clipped") {
  const at::Tensor a = torch::tensor({10, 200, 0, 255}, at::kByte);
  const at::Tensor b = torch::tensor({12, 200, 100, 250}, at::kByte);
  CHECK(report::DifferenceFrames(a, b).equal(torch::tensor({8, 0, 255, 20}, at::kByte)));
  CHECK(report::StripIndices(17) == std::vector<int64_t>{0, 2, 4, 6, 9, 11, 13, 16});
  CHECK(report::StripIndices(1) == std::vector<int64_t>{0});
  CHECK(report::StripIndices(3) == std::vector<int64_t>{0, 1, 2});
}

TEST_CASE("Images stay within their budget, and what is left out is told") {
  const at::Tensor noise = torch::randint(0, 255, {17, 48, 48, 3}, at::kByte);
  report::ImageBudget budget{60'000};
  const std::string html = report::FramesHtml({{"a", noise}, {"b", noise.flip(0)}}, 8, &budget);
  CHECK(budget.remaining >= 0);
  CHECK(absl::StrContains(html, "Left out to keep this file small."));
  CHECK(html.size() < 63'000);
}

TEST_CASE("Clips of another size, without frames or as wide as real ones are shown or told") {
  const at::Tensor small = torch::zeros({5, 16, 16, 3}, at::kByte);
  report::ImageBudget budget{1'000'000};
  CHECK(absl::StrContains(
      report::FramesHtml({{"a", small}, {"b", torch::zeros({5, 8, 16, 3}, at::kByte)}}, 8, &budget),
      "of another size"));
  CHECK(absl::StrContains(report::FramesHtml({{"a", small}, {"b", {}}}, 8, &budget), "no frames"));
  CHECK(absl::StrContains(report::FramesHtml({{"a", {}}, {"b", small}}, 8, &budget), "No frames"));
  const at::Tensor wide = torch::zeros({9, 480, 832, 3}, at::kByte);
  // 8 frames of 160 pixels and 7 gaps of 2.
  CHECK(absl::StrContains(report::FramesHtml({{"a", wide}, {"b", wide}}, 16, &budget),
                          "width=\"1294\" height=\"92\""));
}

TEST_CASE("The file appears whole or not at all") {
  const auto disk = NewMemEnv();
  CHECK(disk->CreateFolders("out").ok());
  const EvaluateReport report = SyntheticReport({1, false, false, false});
  REQUIRE(WriteEvaluationHtml(*disk, "out/report.html", report).ok());
  CHECK(*disk->ReadFile("out/report.html") == EvaluationHtml(report));
  const auto full = NewFaultEnv(*disk, 1);
  CHECK(!WriteEvaluationHtml(*full, "out/other.html", report).ok());
  CHECK(!disk->FileExists("out/other.html"));
}

}  // namespace
}  // namespace wanlite
