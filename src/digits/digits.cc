// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "src/core/random.h"
#include "wanlite/status.h"

namespace wanlite::digits {
namespace {

constexpr int kScanSide = 8;
constexpr int kHeldOutEvery = 6;
constexpr size_t kMaxCsvBytes = 16u << 20;

// Blue and red are lightened a little so that all colours are about equally visible.
constexpr std::array<float, 3> kPalette[kColours] = {{1.0f, 0.15f, 0.1f},  {0.1f, 0.9f, 0.2f},
                                                     {0.15f, 0.35f, 1.0f}, {1.0f, 0.9f, 0.1f},
                                                     {1.0f, 1.0f, 1.0f},   {0.75f, 0.2f, 0.95f}};

absl::StatusOr<std::string> Inflate(absl::string_view packed) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) {
    return absl::InternalError("zlib could not be initialised");
  }
  std::string out;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  int result = Z_OK;
  std::string chunk(1 << 16, '\0');
  while (result == Z_OK && out.size() <= kMaxCsvBytes) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    result = inflate(&stream, Z_NO_FLUSH);
    out.append(chunk.data(), chunk.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END) {
    return absl::InvalidArgumentError(
        out.size() > kMaxCsvBytes ? absl::StrCat("more than ", kMaxCsvBytes, " bytes of CSV")
                                  : "not a complete gzip file");
  }
  return out;
}

// Ink of the scan at (u, v) in units of its pixels, bilinear, zero outside.
float Ink(const DigitScan& scan, float u, float v) {
  const int u0 = static_cast<int>(std::floor(u)), v0 = static_cast<int>(std::floor(v));
  const float fu = u - u0, fv = v - v0;
  auto at = [&](int column, int row) -> float {
    if (column < 0 || row < 0 || column >= kScanSide || row >= kScanSide) return 0;
    return scan.pixels[row * kScanSide + column] / 16.0f;
  };
  return (1 - fv) * ((1 - fu) * at(u0, v0) + fu * at(u0 + 1, v0)) +
         fv * ((1 - fu) * at(u0, v0 + 1) + fu * at(u0 + 1, v0 + 1));
}

struct Words {
  std::vector<std::string> templates;  // {d} digit, {D} its word, {c} colour, {m} motion
  std::array<std::string, kDirections> motions;
  std::array<std::string, kColours> colours;
};

const Words& WordsOf(Language language) {
  static const auto* const words = new std::array<Words, kLanguages>{
      Words{{"a {c} digit {d} moves {m}", "the {c} number {d} moves {m}", "a {c} {d} moving {m}",
             "a {c} {D} moves {m}", "the digit {d} moves {m}"},
            {"left", "right", "up", "down"},
            {"red", "green", "blue", "yellow", "white", "purple"}},
      Words{{"{c}的数字{d}向{m}移动", "一个{c}的{d}往{m}移动", "{c}数字{d}向{m}走",
             "数字{d}向{m}移动"},
            {"左", "右", "上", "下"},
            {"红色", "绿色", "蓝色", "黄色", "白色", "紫色"}},
      Words{{"{c}数字の{d}が{m}へ動く", "{c}{d}が{m}に動く", "{c}数字{d}が{m}へ移動する",
             "数字の{d}が{m}へ動く"},
            {"左", "右", "上", "下"},
            {"赤い", "緑の", "青い", "黄色い", "白い", "紫の"}}};
  return (*words)[static_cast<int>(language)];
}

constexpr absl::string_view kDigitWords[kDigits] = {"zero", "one", "two",   "three", "four",
                                                    "five", "six", "seven", "eight", "nine"};

}  // namespace

absl::string_view DirectionName(Direction direction) {
  constexpr absl::string_view kNames[kDirections] = {"left", "right", "up", "down"};
  return kNames[static_cast<int>(direction)];
}

absl::string_view ColourName(Colour colour) {
  constexpr absl::string_view kNames[kColours] = {"red",    "green", "blue",
                                                  "yellow", "white", "purple"};
  return kNames[static_cast<int>(colour)];
}

absl::string_view LanguageName(Language language) {
  constexpr absl::string_view kNames[kLanguages] = {"English", "Chinese", "Japanese"};
  return kNames[static_cast<int>(language)];
}

absl::StatusOr<DigitScans> DigitScans::Load(Env& env, absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(const std::string packed, env.ReadFile(path));
  auto csv = Inflate(packed);
  if (!csv.ok()) return Annotate(csv.status(), path);

  DigitScans result;
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(*csv, '\n')) {
    ++line_number;
    if (line.empty()) continue;
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ',');
    if (fields.size() != 65) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", line_number, ": ", fields.size(), " values where 65 are wanted"));
    }
    DigitScan scan;
    for (int i = 0; i < 65; ++i) {
      int value = 0;
      const int limit = i < 64 ? 16 : 9;
      if (!absl::SimpleAtoi(fields[i], &value) || value < 0 || value > limit) {
        return absl::InvalidArgumentError(absl::StrCat(path, ":", line_number, ": value ", i + 1,
                                                       " is '", fields[i], "', not in 0..", limit));
      }
      if (i < 64) {
        scan.pixels[i] = static_cast<uint8_t>(value);
      } else {
        scan.digit = value;
      }
    }
    const int index = static_cast<int>(result.scans_.size());
    (index % kHeldOutEvery == kHeldOutEvery - 1 ? result.held_out_ : result.train_)
        .push_back(index);
    result.scans_.push_back(scan);
  }
  // Sampling draws a digit first and then one of its scans.
  for (const std::vector<int>* part : {&result.train_, &result.held_out_}) {
    std::set<int> seen;
    for (int index : *part) seen.insert(result.scans_[index].digit);
    if (seen.size() != kDigits) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": only ", seen.size(),
                                                     " of 10 digits occur in a split of its ",
                                                     result.scans_.size(), " scans"));
    }
  }
  return result;
}

bool CombinationIsHeldOut(int digit, Direction direction, Colour colour) {
  return (digit + 2 * static_cast<int>(direction) + static_cast<int>(direction) / 3) % kColours ==
         static_cast<int>(colour);
}

ClipSpec SampleClip(const DigitScans& scans, const ClipGeometry& geometry, Split split,
                    Combinations combinations, uint64_t seed) {
  Random random(seed);
  ClipSpec spec;
  do {
    spec.digit = static_cast<int>(random.Below(kDigits));
    spec.direction = static_cast<Direction>(random.Below(kDirections));
    spec.colour = static_cast<Colour>(random.Below(kColours));
  } while (combinations != Combinations::kAll &&
           CombinationIsHeldOut(spec.digit, spec.direction, spec.colour) !=
               (combinations == Combinations::kHeldOut));
  const std::vector<int>& candidates = scans.Of(split);
  do {
    spec.scan = candidates[random.Below(static_cast<int64_t>(candidates.size()))];
  } while (scans.scans()[spec.scan].digit != spec.digit);

  const double room = geometry.size - geometry.digit_size;
  const double longest = std::min(geometry.max_travel, room);
  const double shortest = std::min(geometry.min_travel, longest);
  spec.travel = shortest + (longest - shortest) * random.Uniform();
  const double along = (room - spec.travel) * random.Uniform();
  const double across = room * random.Uniform();
  switch (spec.direction) {
    case Direction::kLeft:
      spec.x = along + spec.travel, spec.y = across;
      break;
    case Direction::kRight:
      spec.x = along, spec.y = across;
      break;
    case Direction::kUp:
      spec.x = across, spec.y = along + spec.travel;
      break;
    case Direction::kDown:
      spec.x = across, spec.y = along;
      break;
  }
  return spec;
}

std::pair<double, double> PositionAt(const ClipSpec& spec, double progress) {
  const double moved = progress * spec.travel;
  switch (spec.direction) {
    case Direction::kLeft:
      return {spec.x - moved, spec.y};
    case Direction::kRight:
      return {spec.x + moved, spec.y};
    case Direction::kUp:
      return {spec.x, spec.y - moved};
    case Direction::kDown:
      return {spec.x, spec.y + moved};
  }
  return {spec.x, spec.y};
}

ScanWarp SampleWarp(double strength, uint64_t seed) {
  constexpr double kTurn = 15 * std::numbers::pi / 180, kStretch = 0.2, kSlant = 0.2;
  Random random(seed);
  const auto draw = [&](double most) { return strength * most * (2 * random.Uniform() - 1); };
  const double turn = draw(kTurn), width = std::exp(draw(kStretch)),
               height = std::exp(draw(kStretch)), slant = draw(kSlant);
  const double c = std::cos(turn), s = std::sin(turn);
  return {(c + slant * s) / width, (s - slant * c) / width, -s / height, c / height};
}

std::array<float, 3> ColourValues(Colour colour) { return kPalette[static_cast<int>(colour)]; }

void RenderClip(const DigitScans& scans, const ClipGeometry& geometry, const ClipSpec& spec,
                const ClipWindow& window, float* out) {
  const DigitScan& scan = scans.scans()[spec.scan];
  const std::array<float, 3> colour = ColourValues(spec.colour);
  const ScanWarp& warp = spec.warp;
  const size_t plane = static_cast<size_t>(window.height) * window.width;
  const size_t channel = plane * window.frames;
  std::fill(out, out + 3 * channel, -1.0f);
  const double scale = static_cast<double>(kScanSide) / geometry.digit_size;
  for (int f = 0; f < window.frames; ++f) {
    const double progress =
        geometry.frames > 1 ? static_cast<double>(window.first_frame + f) / (geometry.frames - 1)
                            : 0;
    const auto [x, y] = PositionAt(spec, progress);
    // One scan pixel of margin: bilinear ink fades out just beyond the scan. A warped one may reach
    // further.
    const int margin = static_cast<int>(std::ceil((warp.none() ? 1 : kScanSide) / scale));
    const int row0 = std::max(0, static_cast<int>(std::floor(y)) - margin - window.top);
    const int row1 = std::min(
        window.height, static_cast<int>(std::ceil(y)) + geometry.digit_size + margin - window.top);
    const int col0 = std::max(0, static_cast<int>(std::floor(x)) - margin - window.left);
    const int col1 = std::min(
        window.width, static_cast<int>(std::ceil(x)) + geometry.digit_size + margin - window.left);
    for (int row = row0; row < row1; ++row) {
      for (int column = col0; column < col1; ++column) {
        float u = static_cast<float>((column + window.left + 0.5 - x) * scale - 0.5);
        float v = static_cast<float>((row + window.top + 0.5 - y) * scale - 0.5);
        if (!warp.none()) {
          constexpr double kCentre = (kScanSide - 1) / 2.0;
          const double du = u - kCentre, dv = v - kCentre;
          u = static_cast<float>(kCentre + warp.uu * du + warp.uv * dv);
          v = static_cast<float>(kCentre + warp.vu * du + warp.vv * dv);
        }
        // Scans are soft; more contrast makes strokes of about the width of a pen.
        const float ink = std::clamp(1.6f * Ink(scan, u, v) - 0.2f, 0.0f, 1.0f);
        if (ink <= 0) continue;
        float* pixel = out + f * plane + static_cast<size_t>(row) * window.width + column;
        for (int c = 0; c < 3; ++c) pixel[c * channel] = 2 * ink * colour[c] - 1;
      }
    }
  }
}

void RenderClip(const DigitScans& scans, const ClipGeometry& geometry, const ClipSpec& spec,
                float* out) {
  RenderClip(scans, geometry, spec,
             ClipWindow{0, geometry.frames, 0, 0, geometry.size, geometry.size}, out);
}

int CaptionTemplates(Language language) {
  return static_cast<int>(WordsOf(language).templates.size());
}

bool CaptionNamesColour(Language language, int template_index) {
  return WordsOf(language).templates[template_index].find("{c}") != std::string::npos;
}

std::string Caption(const ClipSpec& spec, Language language, int template_index) {
  const Words& words = WordsOf(language);
  return absl::StrReplaceAll(words.templates[template_index],
                             {{"{d}", absl::StrCat(spec.digit)},
                              {"{D}", kDigitWords[spec.digit]},
                              {"{c}", words.colours[static_cast<int>(spec.colour)]},
                              {"{m}", words.motions[static_cast<int>(spec.direction)]}});
}

std::vector<ClipSpec> AllCombinations() {
  std::vector<ClipSpec> result;
  for (int digit = 0; digit < kDigits; ++digit) {
    for (int direction = 0; direction < kDirections; ++direction) {
      for (int colour = 0; colour < kColours; ++colour) {
        ClipSpec spec;
        spec.digit = digit;
        spec.direction = static_cast<Direction>(direction);
        spec.colour = static_cast<Colour>(colour);
        result.push_back(spec);
      }
    }
  }
  return result;
}

std::vector<std::string> AllCaptions() {
  std::set<std::string> captions;
  for (const ClipSpec& spec : AllCombinations()) {
    for (int i = 0; i < kLanguages; ++i) {
      const auto language = static_cast<Language>(i);
      for (int t = 0; t < CaptionTemplates(language); ++t) {
        captions.insert(Caption(spec, language, t));
      }
    }
  }
  return {captions.begin(), captions.end()};
}

}  // namespace wanlite::digits
