// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/core/text_table.h"
#include "src/evaluate/evaluate_videos.h"

namespace wanlite {
namespace {

using Json = nlohmann::ordered_json;

Json FolderJson(const VideoFolderReport& folder) {
  Json json{{"path", folder.path},      {"clips", folder.clips},
            {"frames", folder.frames},  {"height", folder.height},
            {"width", folder.width},    {"fps", folder.fps > 0 ? Json(folder.fps) : Json()},
            {"skipped", folder.skipped}};
  json["flicker"] = folder.flicker
                        ? Json{{"frame_difference", folder.flicker->frame_difference},
                               {"second_difference", folder.flicker->second_difference},
                               {"high_frequency_energy", folder.flicker->high_frequency_energy}}
                        : Json();
  return json;
}

Json DistanceJson(const SetDistance& distance, bool interval) {
  return Json{{"frechet", distance.frechet},
              {"interval", interval ? Json{distance.interval.low, distance.interval.high} : Json()},
              {"kernel_distance", distance.kernel},
              {"n_real", distance.n_real},
              {"n_generated", distance.n_generated}};
}

Json ExtractorJson(const VideoDistance& distance, bool interval) {
  Json json{{"name", distance.name},
            {"digest", distance.digest},
            {"preprocessing", distance.preprocessing},
            {"dim", distance.dim},
            {"covariance_divisor", distance.divisor},
            {"distance", DistanceJson(distance.all, interval)}};
  json["at_floor_size"] =
      distance.at_floor_size ? DistanceJson(*distance.at_floor_size, interval) : Json();
  json["floor"] = distance.check ? DistanceJson(distance.check->floor, interval) : Json();
  json["temporal_check"] =
      distance.check ? Json{{"passed", distance.check->temporal_check},
                            {"shuffled", DistanceJson(distance.check->shuffled, interval)},
                            {"frozen", DistanceJson(distance.check->frozen, interval)}}
                     : Json();
  json["warning"] = distance.warning.empty() ? Json() : Json(distance.warning);
  return json;
}

// Four significant digits: distances of different extractors differ by orders of magnitude.
std::string Digits(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

std::vector<std::string> DistanceRow(const std::string& name, const SetDistance& distance,
                                     bool has_interval) {
  const std::string interval = has_interval ? absl::StrCat(Digits(distance.interval.low), " to ",
                                                           Digits(distance.interval.high))
                                            : "-";
  return {name, Digits(distance.frechet), interval, Digits(distance.kernel),
          absl::StrCat(distance.n_generated, " : ", distance.n_real)};
}

std::string FoldersTable(const VideosReport& report) {
  const VideoFolderReport &a = report.videos, &b = report.reference;
  const auto fps = [](const VideoFolderReport& folder) {
    return folder.fps > 0 ? Digits(folder.fps) : std::string("-");
  };
  std::vector<std::vector<std::string>> rows{
      {"", "videos", "reference"},
      {"clips", absl::StrCat(a.clips), absl::StrCat(b.clips)},
      {"frames a second", fps(a), fps(b)}};
  if (a.flicker && b.flicker) {
    const auto row = [&](const char* name, double FlickerStatistics::*field) {
      rows.push_back({name, Digits(*a.flicker.*field), Digits(*b.flicker.*field)});
    };
    row("frame difference", &FlickerStatistics::frame_difference);
    row("second difference", &FlickerStatistics::second_difference);
    row("high-frequency energy", &FlickerStatistics::high_frequency_energy);
  }
  return absl::StrCat("videos     ", a.path, "\nreference  ", b.path, "\nclips of ", a.frames,
                      " frames of ", a.width, "x", a.height, "\n\n", FormatTable(rows));
}

std::string ExtractorText(const VideoDistance& distance, const VideosReport& report) {
  const bool interval = report.resamples > 0;
  std::vector<std::vector<std::string>> rows{
      {distance.name, "Fréchet", absl::StrCat(Digits(100 * report.confidence), " % interval"),
       "kernel", "clips"},
      DistanceRow("videos : reference", distance.all, interval)};
  if (distance.at_floor_size) {
    rows.push_back(
        DistanceRow("videos : reference, as many as below", *distance.at_floor_size, interval));
  }
  if (distance.check) {
    rows.push_back(DistanceRow("reference : reference (floor)", distance.check->floor, interval));
    rows.push_back(DistanceRow("  with shuffled frames", distance.check->shuffled, interval));
    rows.push_back(DistanceRow("  with frozen frames", distance.check->frozen, interval));
  }
  std::string text = absl::StrCat(
      "\n", FormatTable(rows), "weights ", distance.digest.substr(0, 16), ", ", distance.dim,
      " features, covariance by ", distance.divisor, "\n", distance.preprocessing, "\n");
  if (!distance.check) {
    absl::StrAppend(&text, "no floor: the reference needs at least 4 clips to be split\n");
  } else if (distance.check->temporal_check) {
    absl::StrAppend(&text, "temporal check passed: damaged order scores worse than the floor\n");
  } else {
    absl::StrAppend(
        &text,
        "TEMPORAL CHECK FAILED: shuffled or frozen clips score no worse than the floor; "
        "on these clips the number does not see motion\n");
  }
  if (!distance.warning.empty()) absl::StrAppend(&text, "warning: ", distance.warning, "\n");
  return text;
}

}  // namespace

std::string VideosJson(const VideosReport& report) {
  Json json{{"videos", FolderJson(report.videos)}, {"reference", FolderJson(report.reference)}};
  json["distances"] = Json::array();
  for (const VideoDistance& distance : report.distances) {
    json["distances"].push_back(ExtractorJson(distance, report.resamples > 0));
  }
  json["confidence"] = report.confidence;
  json["resamples"] = report.resamples;
  json["paired"] = Json();
  if (report.paired) {
    const PairedClips& paired = *report.paired;
    json["paired"] = Json{{"pairs", paired.pairs},
                          {"unpaired_videos", paired.unpaired_videos},
                          {"unpaired_reference", paired.unpaired_reference},
                          {"identical", paired.identical},
                          {"psnr_db", paired.psnr_db},
                          {"ssim", paired.ssim ? Json(*paired.ssim) : Json()}};
  }
  json["missing"] = report.missing;
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string VideosTable(const VideosReport& report) {
  std::string text = FoldersTable(report);
  for (const VideoFolderReport* folder : {&report.videos, &report.reference}) {
    if (folder->skipped.empty()) continue;
    absl::StrAppend(&text, "passed over in ", folder->path, ": ", folder->skipped.size(),
                    " entries that are no clips, e.g. ", folder->skipped.front(), "\n");
  }
  for (const VideoDistance& distance : report.distances) {
    text += ExtractorText(distance, report);
  }
  if (report.paired) {
    const PairedClips& paired = *report.paired;
    absl::StrAppend(&text, "\nPaired by name: ", paired.pairs, " pairs (",
                    paired.unpaired_videos + paired.unpaired_reference, " clips without partner, ",
                    paired.identical, " pairs identical), PSNR ", FormatFixed(paired.psnr_db, 2),
                    " dB, SSIM ", paired.ssim ? FormatFixed(*paired.ssim, 4) : "-", "\n");
  } else {
    absl::StrAppend(&text, "\nNot paired: no file name is in both folders\n");
  }
  for (const std::string& missing : report.missing) {
    absl::StrAppend(&text, "missing: ", missing, "\n");
  }
  return text;
}

}  // namespace wanlite
