// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The Wan-Digits data set: real handwritten digits, coloured and moving over a black canvas, with
// captions by rule in three languages. Nothing is stored: a clip is a function of (seed, index).
// No tensors here, so that other programs can use it without LibTorch.
#ifndef WANLITE_SRC_DIGITS_DIGITS_H_
#define WANLITE_SRC_DIGITS_DIGITS_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/env.h"

namespace wanlite::digits {

enum class Split { kTrain, kHeldOut };
enum class Direction { kLeft, kRight, kUp, kDown };
enum class Colour { kRed, kGreen, kBlue, kYellow, kWhite, kPurple };
enum class Language { kEnglish, kChinese, kJapanese };
inline constexpr int kDigits = 10;
inline constexpr int kDirections = 4;
inline constexpr int kColours = 6;
inline constexpr int kLanguages = 3;

absl::string_view DirectionName(Direction direction);  // "left"
absl::string_view ColourName(Colour colour);           // "red"
absl::string_view LanguageName(Language language);     // "English"

struct DigitScan {
  std::array<uint8_t, 64> pixels;  // 8 rows of 8, ink from 0 to 16
  int digit = 0;
};

// The scans, divided by source image: every sixth is held out, so held-out clips show handwriting
// that no training clip shows.
class DigitScans {
 public:
  // Reads the gzipped CSV of scikit-learn (64 values 0..16 and the digit, per line).
  // InvalidArgument with the line number for anything else.
  static absl::StatusOr<DigitScans> Load(Env& env, absl::string_view path);

  // Indices into scans(), ascending.
  const std::vector<int>& Of(Split split) const {
    return split == Split::kTrain ? train_ : held_out_;
  }
  const std::vector<DigitScan>& scans() const { return scans_; }

 private:
  std::vector<DigitScan> scans_;
  std::vector<int> train_;
  std::vector<int> held_out_;
};

struct ClipGeometry {
  int frames = 17;
  int size = 64;        // height and width of the canvas in pixels
  int digit_size = 28;  // side of the enlarged scan
  // Pixels that a digit travels from the first frame to the last. Start and end lie inside the
  // canvas.
  double min_travel = 16;
  double max_travel = 34;
};

// Turns, stretches and slants a scan about its centre: where a pixel of the clip, (du, dv) scan
// pixels right of and below the centre, looks for its ink: (uu du + uv dv, vu du + vv dv).
struct ScanWarp {
  double uu = 1, uv = 0, vu = 0, vv = 1;
  bool none() const { return uu == 1 && uv == 0 && vu == 0 && vv == 1; }
};
// Up to 15 degrees of turn, 20 % of height and width each and a slant of 0.2, at strength 1.
ScanWarp SampleWarp(double strength, uint64_t seed);

struct ClipSpec {
  int scan = 0;  // index into DigitScans::scans()
  int digit = 0;
  Direction direction = Direction::kLeft;
  Colour colour = Colour::kRed;
  double x = 0, y = 0;  // left upper corner in the first frame, pixels
  double travel = 0;    // pixels over the whole clip
  ScanWarp warp = {};   // of what networks that read clips are trained on
};

// One sixth of the combinations of digit, direction and colour are never trained on: a prompt for
// one of them asks the model to combine what it knows. Every digit, direction and colour is among
// them.
bool CombinationIsHeldOut(int digit, Direction direction, Colour colour);

enum class Combinations { kAll, kTrained, kHeldOut };

// A function of its arguments alone.
ClipSpec SampleClip(const DigitScans& scans, const ClipGeometry& geometry, Split split,
                    Combinations combinations, uint64_t seed);

// Left upper corner (x, y) of the digit in pixels, `progress` of the way from the first frame (0)
// to the last (1).
std::pair<double, double> PositionAt(const ClipSpec& spec, double progress);

// Of the ink, in [0, 1].
std::array<float, 3> ColourValues(Colour colour);

// Writes the window of frames [first_frame, first_frame + frames) and pixels [top, top + height) x
// [left, left + width) of the clip into out, laid out [3, frames, height, width], values in [-1,
// 1].
struct ClipWindow {
  int first_frame = 0, frames = 0, top = 0, left = 0, height = 0, width = 0;
};
void RenderClip(const DigitScans& scans, const ClipGeometry& geometry, const ClipSpec& spec,
                const ClipWindow& window, float* out);
// The whole clip, [3, geometry.frames, geometry.size, geometry.size].
void RenderClip(const DigitScans& scans, const ClipGeometry& geometry, const ClipSpec& spec,
                float* out);

// Number of caption templates of a language; the last ones do not name the colour.
int CaptionTemplates(Language language);
// True when the template names the colour.
bool CaptionNamesColour(Language language, int template_index);
std::string Caption(const ClipSpec& spec, Language language, int template_index);
// One spec for each of the 240 combinations of digit, direction and colour; the rest as by default.
std::vector<ClipSpec> AllCombinations();
// Every caption there is, sorted and without repetition: what a tokenizer is trained on.
std::vector<std::string> AllCaptions();

}  // namespace wanlite::digits

#endif  // WANLITE_SRC_DIGITS_DIGITS_H_
