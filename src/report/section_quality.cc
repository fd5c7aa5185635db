// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/report/number_text.h"
#include "src/report/sections.h"
#include "src/report/svg_chart.h"

namespace wanlite::report {
namespace {

std::string DistanceText(const SetDistance* distance, int decimals) {
  if (distance == nullptr) return NotMeasured();
  const std::string interval = IntervalText(distance->interval, decimals);
  return absl::StrCat(Fixed(distance->frechet, decimals),
                      interval.empty() ? "" : absl::StrCat("<small>", interval, "</small>"));
}

std::string ChangeText(const DistanceChange* change, int decimals) {
  if (change == nullptr) return NotMeasured();
  const std::string interval = IntervalText(change->interval, decimals);
  return absl::StrCat(Signed(change->frechet, decimals),
                      interval.empty() ? "" : absl::StrCat("<small>", interval, "</small>"));
}

Bar DistanceBar(const std::string& label, const SetDistance* distance, int series, int decimals) {
  if (distance == nullptr) return {label, std::nan(""), {}, "", series};
  const std::string interval = IntervalText(distance->interval, decimals);
  return {label, distance->frechet, distance->interval,
          absl::StrCat(Fixed(distance->frechet, decimals), interval.empty() ? "" : "  ", interval),
          series};
}

std::string OneExtractor(const EvaluateReport& report, const std::vector<NamedModel>& models,
                         int64_t index) {
  const ExtractorReport& extractor = report.extractors[index];
  const SetDistance* original = DistanceToReal(models.front().quality, index);
  const int decimals =
      std::min(DecimalsFor(original != nullptr ? original->frechet : extractor.floor.frechet), 4);
  BarChart chart{absl::StrCat(extractor.name, ", to real clips"),
                 "Frechet distance, lower is better; whiskers are bootstrap intervals",
                 extractor.name,
                 {},
                 extractor.floor.frechet};
  chart.bars.push_back(
      DistanceBar("floor: real clips, other real clips", &extractor.floor, kRealClips, decimals));
  Table table;
  table.head = {"",
                "to real clips",
                "of the floor",
                "minus the original's",
                "to the original's clips",
                "kernel distance to real",
                "clips: real, generated"};
  table.rows.push_back(
      {{"floor: real against other real clips", DistanceText(&extractor.floor, decimals), "", "",
        "", Number(extractor.floor.kernel, 3),
        absl::StrCat(extractor.floor.n_real, ", ", extractor.floor.n_generated)}});
  for (const NamedModel& model : models) {
    const SetDistance* real = DistanceToReal(model.quality, index);
    chart.bars.push_back(DistanceBar(model.name, real, model.series, decimals));
    const bool other = model.paired != nullptr;
    table.rows.push_back(
        {{ModelLabel(model), DistanceText(real, decimals),
          real == nullptr ? NotMeasured() : Ratio(real->frechet, extractor.floor.frechet),
          other ? ChangeText(ChangeOfDistance(model.quality, index), decimals) : "",
          other ? DistanceText(DistanceToOriginal(model.quality, index), decimals) : "",
          real == nullptr ? NotMeasured() : Number(real->kernel, 3),
          real == nullptr ? NotMeasured() : absl::StrCat(real->n_real, ", ", real->n_generated)}});
  }
  std::string out = absl::StrCat("<h3>", Escape(extractor.name), "</h3>\n");
  if (!extractor.temporal_check) {
    absl::StrAppend(&out,
                    AlertHtml(absl::StrCat(
                        Escape(extractor.name),
                        " fails its temporal check on these clips: real clips with shuffled frames "
                        "score ",
                        Fixed(extractor.shuffled.frechet, decimals), ", with a frozen first frame ",
                        Fixed(extractor.frozen.frechet, decimals), ", untouched ones ",
                        Fixed(extractor.floor.frechet, decimals),
                        ". A distance that time does not change says nothing about motion.")));
  }
  if (!extractor.warning.empty()) {
    absl::StrAppend(&out, NoteHtml("<b>Caution:</b> " + Escape(extractor.warning)));
  }
  absl::StrAppend(&out, "<div class=\"grid two\">", BarChartHtml(chart), "</div>\n",
                  TableHtml(table, ""));
  return out;
}

std::string ShareText(double share, int64_t clips) {
  if (!std::isfinite(share) || clips < 1) return NotMeasured();
  const Interval interval = ShareInterval(share, clips);
  return absl::StrCat(Percent(share), "<small>", Fixed(100 * interval.low, 0), " to ",
                      Fixed(100 * interval.high, 0), "</small>");
}

const LanguageQuality* Find(const SetQuality* quality, const std::string& language) {
  if (quality == nullptr) return nullptr;
  for (const LanguageQuality& row : quality->languages) {
    if (row.language == language) return &row;
  }
  return nullptr;
}

// Real clips lead, as what is to be reached.
struct Reader {
  std::string label;
  const SetQuality* quality;
};
std::vector<Reader> Readers(const EvaluateReport& report) {
  std::vector<Reader> readers;
  if (report.real_quality) readers.push_back({"real clips", &*report.real_quality});
  for (const NamedModel& model : ModelsOf(report)) {
    readers.push_back({ModelLabel(model), model.quality});
  }
  return readers;
}

bool AnyQuality(const EvaluateReport& report) {
  for (const NamedModel& model : ModelsOf(report)) {
    if (model.quality != nullptr) return true;
  }
  return false;
}

}  // namespace

std::string DistancesHtml(const EvaluateReport& report) {
  if (report.extractors.empty()) {
    return NoteHtml("Distances to real clips: " + NotMeasured() +
                    ". They need an evaluation set with real clips.");
  }
  const std::vector<NamedModel> models = ModelsOf(report);
  std::string out = NoteHtml(
      "Fr\u00e9chet distances between sets of clips; lower is better, and the floor is "
      "what real clips score against other real ones of the same prompts: a distance below it says "
      "that the clips vary less than real ones or are too few. Intervals are bootstrap intervals "
      "over clips.");
  for (size_t i = 0; i < report.extractors.size(); ++i) {
    absl::StrAppend(&out, OneExtractor(report, models, static_cast<int64_t>(i)));
  }
  return out;
}

std::string ExtractorsHtml(const EvaluateReport& report) {
  if (report.extractors.empty()) return "";
  std::string out = "<h3>What the distances are measured with</h3>\n";
  for (const ExtractorReport& e : report.extractors) {
    const int decimals = std::min(DecimalsFor(e.floor.frechet), 4);
    absl::StrAppend(
        &out, "<details><summary><b>", Escape(e.name), "</b>: ", e.dim,
        " features, temporal check ", e.temporal_check ? "passed" : "<b>FAILED</b>", "</summary>\n",
        DefinitionsHtml(
            {{"weights, SHA-256", "<code>" + Escape(e.digest) + "</code>"},
             {"preprocessing", Escape(e.preprocessing)},
             {"features", absl::StrCat(e.dim)},
             {"real clips",
              absl::StrCat(e.clips, " of ", e.frames, " frames, ", e.width, "\u00d7", e.height)},
             {"covariance divisor", Escape(e.divisor)},
             {"floor: other real clips", DistanceText(&e.floor, decimals)},
             {"other real clips, frames shuffled", DistanceText(&e.shuffled, decimals)},
             {"other real clips, first frame frozen", DistanceText(&e.frozen, decimals)},
             {"temporal check", e.temporal_check
                                    ? "passed: both are farther than the floor"
                                    : "<b>FAILED</b>: a damaged set is no farther than "
                                      "the floor"}}),
        "</details>\n");
  }
  return out;
}

std::string ReadingHtml(const EvaluateReport& report) {
  if (!AnyQuality(report)) {
    return "<h3>What the prompts asked for</h3>\n" +
           NoteHtml("Alignment with the prompt and what a classifier reads: " + NotMeasured() +
                    ". They need an evaluation set.");
  }
  const std::vector<Reader> readers = Readers(report);
  std::vector<std::string> languages;
  bool reading = false;
  for (const Reader& reader : readers) {
    if (reader.quality == nullptr) continue;
    for (const LanguageQuality& row : reader.quality->languages) {
      reading = reading || row.has_reading;
      if (std::find(languages.begin(), languages.end(), row.language) == languages.end()) {
        languages.push_back(row.language);
      }
    }
  }
  Table table;
  table.head = {"", "clips", "alignment", "retrieval"};
  if (reading)
    table.head.insert(table.head.end(), {"digit right", "direction right", "colour right",
                                         "same digit in every third"});
  for (const std::string& language : languages) {
    table.rows.push_back({{Quoted(language)}, true});
    for (const Reader& reader : readers) {
      const LanguageQuality* row = Find(reader.quality, language);
      Table::Row cells{{reader.label}};
      if (row == nullptr) {
        cells.cells.resize(table.head.size(), NotMeasured());
      } else {
        cells.cells.insert(
            cells.cells.end(),
            {absl::StrCat(row->clips),
             row->has_alignment ? Fixed(row->alignment, 3) : NotMeasured(),
             row->has_alignment ? ShareText(row->retrieval, row->clips) : NotMeasured()});
        for (double share : {row->digit, row->direction, row->colour, row->digit_consistency}) {
          if (reading) {
            cells.cells.push_back(row->has_reading ? ShareText(share, row->clips) : NotMeasured());
          }
        }
      }
      table.rows.push_back(cells);
    }
  }
  return absl::StrCat(
      "<h3>What the prompts asked for</h3>\n", TableHtml(table, ""),
      NoteHtml(
          "Alignment: mean cosine of clip and prompt in " +
          (report.encoder_name.empty() ? "a text-video encoder" : Escape(report.encoder_name)) +
          ". Retrieval: share of clips that no other prompt of the set in the same language fits "
          "better. Same digit in every third: share of clips whose first, middle and last third "
          "are "
          "read as one digit, right or wrong. Small "
          "print: 95\u00a0% Wilson intervals in per cent. Real clips are the row to compare "
          "with: networks that read clips make mistakes on them too."));
}

std::string FlickerHtml(const EvaluateReport& report) {
  if (!AnyQuality(report)) {
    return "<h3>Flicker</h3>\n" + NoteHtml("Flicker: " + NotMeasured() + ".");
  }
  Table table;
  table.head = {"", "clips", "frame difference", "second difference", "energy at high frequencies"};
  for (const Reader& reader : Readers(report)) {
    Table::Row row{{reader.label}};
    if (reader.quality == nullptr || reader.quality->flicker.clips == 0) {
      row.cells.resize(table.head.size(), NotMeasured());
    } else {
      const FlickerStatistics& f = reader.quality->flicker;
      row.cells.insert(row.cells.end(),
                       {absl::StrCat(f.clips), Number(f.frame_difference, 3),
                        Number(f.second_difference, 3), Percent(f.high_frequency_energy, 2)});
    }
    table.rows.push_back(row);
  }
  return absl::StrCat(
      "<h3>Flicker</h3>\n", TableHtml(table, ""),
      NoteHtml("Means over clips of pixel values in [0,\u00a01]. Real motion moves these numbers "
               "too: they mean something against the rows of real clips and of the original, not "
               "by themselves."));
}

}  // namespace wanlite::report
