// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits.h"

#include <algorithm>
#include <set>

#include "src/core/random.h"
#include "tests/digits/scans_path.h"
#include "tests/testing/catch.h"

namespace wanlite::digits {
namespace {

const DigitScans& Scans() {
  static const DigitScans* const scans = [] {
    auto loaded = DigitScans::Load(PosixEnv(), kScansPath);
    REQUIRE_OK(loaded);
    return new DigitScans(*std::move(loaded));
  }();
  return *scans;
}

// Centre of the ink of one frame, in pixels; frames are [3, F, H, W] in [-1, 1].
std::pair<double, double> InkCentre(const std::vector<float>& clip, const ClipGeometry& g,
                                    int frame) {
  double sum = 0, x = 0, y = 0;
  for (int c = 0; c < 3; ++c) {
    for (int row = 0; row < g.size; ++row) {
      for (int column = 0; column < g.size; ++column) {
        const double ink = clip[((c * g.frames + frame) * g.size + row) * g.size + column] + 1;
        sum += ink;
        x += ink * column;
        y += ink * row;
      }
    }
  }
  REQUIRE(sum > 0);
  return {x / sum, y / sum};
}

TEST_CASE("Every scan belongs to exactly one split, and both splits have all digits") {
  const DigitScans& scans = Scans();
  REQUIRE(scans.scans().size() == 1797);
  std::set<int> seen;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    std::set<int> digits;
    for (int index : scans.Of(split)) {
      REQUIRE(seen.insert(index).second);
      digits.insert(scans.scans()[index].digit);
    }
    REQUIRE(digits.size() == 10);
  }
  REQUIRE(seen.size() == scans.scans().size());
}

TEST_CASE("Clips of a split show scans of that split only, and of the wanted combinations") {
  const std::set<int> held_out(Scans().Of(Split::kHeldOut).begin(),
                               Scans().Of(Split::kHeldOut).end());
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const ClipSpec train = SampleClip(Scans(), {}, Split::kTrain, Combinations::kTrained, seed);
    REQUIRE(held_out.count(train.scan) == 0);
    REQUIRE_FALSE(CombinationIsHeldOut(train.digit, train.direction, train.colour));
    const ClipSpec test = SampleClip(Scans(), {}, Split::kHeldOut, Combinations::kHeldOut, seed);
    REQUIRE(held_out.count(test.scan) == 1);
    REQUIRE(CombinationIsHeldOut(test.digit, test.direction, test.colour));
  }
}

TEST_CASE("One combination in six is held out, with every digit, direction and colour among them") {
  int count = 0;
  std::set<int> digits, directions, colours;
  for (int d = 0; d < kDigits; ++d) {
    for (int m = 0; m < kDirections; ++m) {
      for (int c = 0; c < kColours; ++c) {
        if (!CombinationIsHeldOut(d, static_cast<Direction>(m), static_cast<Colour>(c))) continue;
        ++count;
        digits.insert(d);
        directions.insert(m);
        colours.insert(c);
      }
    }
  }
  REQUIRE(count == kDigits * kDirections * kColours / 6);
  REQUIRE(digits.size() == kDigits);
  REQUIRE(directions.size() == kDirections);
  REQUIRE(colours.size() == kColours);
}

TEST_CASE("A clip is a function of its seed alone") {
  const ClipGeometry g;
  std::vector<float> a(3 * g.frames * g.size * g.size), b(a.size(), 7.0f);
  const ClipSpec first = SampleClip(Scans(), g, Split::kTrain, Combinations::kAll, 42);
  RenderClip(Scans(), g, first, a.data());
  RenderClip(Scans(), g, SampleClip(Scans(), g, Split::kTrain, Combinations::kAll, 42), b.data());
  REQUIRE(a == b);
  RenderClip(Scans(), g, SampleClip(Scans(), g, Split::kTrain, Combinations::kAll, 43), b.data());
  REQUIRE(a != b);
  // The generator is part of what reproduces the trained model: its numbers must not drift.
  REQUIRE(Random(1).Next() == 0x910a2dec89025cc1ull);
}

TEST_CASE("The digit moves the way its caption says and stays on the canvas") {
  const ClipGeometry g;
  std::vector<float> clip(3 * g.frames * g.size * g.size);
  std::set<Direction> seen;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const ClipSpec spec = SampleClip(Scans(), g, Split::kTrain, Combinations::kAll, seed);
    seen.insert(spec.direction);
    RenderClip(Scans(), g, spec, clip.data());
    REQUIRE(*std::min_element(clip.begin(), clip.end()) >= -1);
    REQUIRE(*std::max_element(clip.begin(), clip.end()) <= 1);
    const auto [x0, y0] = InkCentre(clip, g, 0);
    const auto [x1, y1] = InkCentre(clip, g, g.frames - 1);
    const bool horizontal =
        spec.direction == Direction::kLeft || spec.direction == Direction::kRight;
    const bool forward = spec.direction == Direction::kRight || spec.direction == Direction::kDown;
    const double along = horizontal ? x1 - x0 : y1 - y0, across = horizontal ? y1 - y0 : x1 - x0;
    REQUIRE((forward ? along : -along) == Approx(spec.travel).margin(0.7));
    REQUIRE(across == Approx(0).margin(0.7));
  }
  REQUIRE(seen.size() == kDirections);
}

TEST_CASE("A window of a clip equals the same part of the whole clip") {
  const ClipGeometry g;
  const ClipSpec spec = SampleClip(Scans(), g, Split::kTrain, Combinations::kAll, 5);
  std::vector<float> whole(3 * g.frames * g.size * g.size);
  RenderClip(Scans(), g, spec, whole.data());
  const ClipWindow w{3, 5, 11, 20, 32, 24};
  std::vector<float> part(3 * w.frames * w.height * w.width);
  RenderClip(Scans(), g, spec, w, part.data());
  for (int c = 0; c < 3; ++c) {
    for (int f = 0; f < w.frames; ++f) {
      for (int row = 0; row < w.height; ++row) {
        for (int column = 0; column < w.width; ++column) {
          const float expected =
              whole[((c * g.frames + f + w.first_frame) * g.size + row + w.top) * g.size + column +
                    w.left];
          REQUIRE(part[((c * w.frames + f) * w.height + row) * w.width + column] == expected);
        }
      }
    }
  }
}

TEST_CASE("Captions name what they should in all three languages") {
  ClipSpec spec;
  spec.digit = 7;
  spec.direction = Direction::kUp;
  spec.colour = Colour::kGreen;
  REQUIRE(Caption(spec, Language::kEnglish, 0) == "a green digit 7 moves up");
  REQUIRE(Caption(spec, Language::kEnglish, 3) == "a green seven moves up");
  REQUIRE(Caption(spec, Language::kChinese, 0) == "绿色的数字7向上移动");
  REQUIRE(Caption(spec, Language::kJapanese, 0) == "緑の数字の7が上へ動く");
  for (int language = 0; language < kLanguages; ++language) {
    const auto l = static_cast<Language>(language);
    REQUIRE_FALSE(CaptionNamesColour(l, CaptionTemplates(l) - 1));
    for (int t = 0; t < CaptionTemplates(l); ++t) {
      REQUIRE(Caption(spec, l, t).find('{') == std::string::npos);
    }
  }
  const std::vector<std::string> all = AllCaptions();
  REQUIRE(std::is_sorted(all.begin(), all.end()));
  REQUIRE(std::set<std::string>(all.begin(), all.end()).size() == all.size());
}

TEST_CASE("A damaged file of scans is refused with its place") {
  const auto env = NewMemEnv();
  REQUIRE(DigitScans::Load(*env, "absent.csv.gz").status().code() == absl::StatusCode::kNotFound);
  REQUIRE_OK(env->WriteFileAtomically("text.csv.gz", "0,1,2"));
  const auto text = DigitScans::Load(*env, "text.csv.gz");
  REQUIRE(text.status().code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(std::string(text.status().message()).find("gzip") != std::string::npos);
  ASSERT_OK_AND_ASSIGN(std::string real, PosixEnv().ReadFile(kScansPath));
  REQUIRE_OK(env->WriteFileAtomically("cut.csv.gz", real.substr(0, real.size() / 2)));
  REQUIRE(DigitScans::Load(*env, "cut.csv.gz").status().code() ==
          absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace wanlite::digits
