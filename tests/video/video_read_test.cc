// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Clips are read back as they were written, other programs' variants are read by the standards, and
// hostile files end in a message.
#include <png.h>

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/video/ffmpeg/colour_matrix.h"
#include "src/video/png_chunks.h"
#include "src/video/video_decoders.h"
#include "tests/testing/catch.h"
#include "wanlite/env.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

at::Tensor Noise(int64_t frames, int64_t height, int64_t width) {
  at::manual_seed(11);
  return torch::randint(0, 256, {frames, height, width, 3}, torch::kByte);
}

std::string Written(const std::string& name, const at::Tensor& frames, double fps,
                    int quality = 100) {
  const auto env = NewMemEnv();
  VideoOptions options;
  options.fps = fps;
  options.quality = quality;
  REQUIRE_OK(WriteVideo(*env, name, frames, options));
  ASSERT_OK_AND_ASSIGN(std::string bytes, env->ReadFile(name));
  return bytes;
}

absl::StatusOr<VideoClip> ReadBytes(const std::string& bytes) {
  const auto env = NewMemEnv();
  REQUIRE_OK(env->WriteFileAtomically("hostile", bytes));
  return ReadVideo(*env, "hostile");
}

TEST_CASE("PNG, animated PNG and lossless WebP come back exactly, with their rate") {
  for (const std::string name : {"clip.png", "clip.apng", "clip.webp"}) {
    for (const double fps : {10.0, 12.0, 16.0, 24.0, 60.0}) {
      INFO(name << " at " << fps);
      const at::Tensor frames = Noise(5, 13, 21);
      ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(Written(name, frames, fps)));
      REQUIRE(clip.frames.sizes() == frames.sizes());
      CHECK(at::equal(clip.frames, frames));
      CHECK(clip.fps == Approx(fps));
    }
  }
}

TEST_CASE("A still image is a clip of one frame without a rate") {
  for (const std::string name : {"still.png", "still.webp"}) {
    const at::Tensor frames = Noise(1, 6, 5);
    ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(Written(name, frames, 16)));
    CHECK(at::equal(clip.frames, frames));
    CHECK(clip.fps == 0);
  }
}

TEST_CASE("Y4M comes back within rounding") {
  const at::Tensor frames = Noise(3, 7, 9);
  ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(Written("clip.y4m", frames, 16)));
  REQUIRE(clip.frames.sizes() == frames.sizes());
  const at::Tensor error = (clip.frames.to(at::kInt) - frames.to(at::kInt)).abs();
  CHECK(error.max().item<int>() <= 2);
  CHECK(error.to(at::kDouble).mean().item<double>() < 0.6);
  CHECK(clip.fps == 16);
}

TEST_CASE("Equal neighbours, which WebP stores as one longer frame, come back as many") {
  const at::Tensor different = Noise(3, 8, 8);
  const at::Tensor frames =
      different.index_select(0, torch::tensor({0, 1, 1, 1, 2, 2}, at::kLong)).contiguous();
  for (const double fps : {12.0, 16.0, 24.0}) {
    ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(Written("clip.webp", frames, fps)));
    CHECK(clip.fps == fps);
    REQUIRE(clip.frames.sizes() == frames.sizes());
    CHECK(at::equal(clip.frames, frames));
  }
}

TEST_CASE("A WebP of ours comes back whole, however much of it stands still") {
  const at::Tensor different = Noise(3, 8, 8);
  for (const std::vector<int64_t>& order :
       std::vector<std::vector<int64_t>>{{0, 0, 1, 1, 2, 2, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 1}}) {
    const at::Tensor frames =
        different.index_select(0, torch::tensor(order, at::kLong)).contiguous();
    for (const double fps : {0.25, 16.0, 23.976}) {
      INFO(order.size() << " frames at " << fps);
      ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(Written("clip.webp", frames, fps)));
      CHECK(clip.fps == Approx(fps));
      REQUIRE(clip.frames.sizes() == frames.sizes());
      CHECK(at::equal(clip.frames, frames));
    }
  }
}

TEST_CASE("Frames that another program rounded to milliseconds come back as the file holds them") {
  // 16 frames a second, cut to 62 ms each; every whole rate drifts from that.
  const ConstantRate cut = FindConstantRate(std::vector<double>(17, 62));
  CHECK(cut.repeats == std::vector<int64_t>(17, 1));
  CHECK(cut.fps == Approx(1000.0 / 62));
  const at::Tensor frames = Noise(17, 4, 4);
  ASSERT_OK_AND_ASSIGN(const VideoClip webp, ReadBytes(Written("clip.webp", frames, 1000.0 / 62)));
  REQUIRE(webp.frames.sizes() == frames.sizes());
  CHECK(at::equal(webp.frames, frames));
  CHECK(webp.fps == Approx(1000.0 / 62));
  // 30000 / 1001 a second, by turns of 33 and 34 ms.
  std::vector<double> turns;
  for (int i = 1; i <= 90; ++i) {
    turns.push_back(std::round(i * 1001 / 30.0) - std::round((i - 1) * 1001 / 30.0));
  }
  const ConstantRate ntsc = FindConstantRate(turns);
  CHECK(ntsc.repeats == std::vector<int64_t>(90, 1));
  CHECK(ntsc.fps == Approx(29.97).epsilon(1e-4));
}

TEST_CASE("A pause of a multiple of the common duration is as many frames, another one is not") {
  for (const double pause : {186.0, 187.0}) {
    INFO(pause);
    const ConstantRate merged = FindConstantRate({62, 62, pause, 62, 62});
    CHECK(merged.repeats == std::vector<int64_t>{1, 1, 3, 1, 1});
    CHECK(merged.fps == Approx(16).epsilon(0.02));
  }
  const ConstantRate rest = FindConstantRate({62, 62, 150, 62, 62});
  CHECK(rest.repeats == std::vector<int64_t>(5, 1));
  CHECK(rest.fps == Approx(5000.0 / 398));
  // The common duration counts, not the shortest: 16 frames are not twice as many for one of half.
  const ConstantRate hurry = FindConstantRate({20, 20, 20, 10, 20});
  CHECK(hurry.repeats == std::vector<int64_t>(5, 1));
  CHECK(hurry.fps == Approx(5000.0 / 90));
}

TEST_CASE("Frame times that no whole rate meets keep the frames and give the mean rate") {
  const ConstantRate rate = FindConstantRate({7.3, 1001.9, 13.1});
  CHECK(rate.repeats == std::vector<int64_t>{1, 1, 1});
  CHECK(rate.fps == Approx(3000 / 1022.3));
  const ConstantRate none = FindConstantRate({0, 0});
  CHECK(none.fps == 0);
  CHECK(none.repeats == std::vector<int64_t>{1, 1});
}

// What libpng itself writes, for the kinds of PNG that we do not.
std::string LibpngFile(const std::vector<uint8_t>& pixels, int side, int format,
                       const std::vector<uint8_t>& palette = {}) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = static_cast<png_uint_32>(side);
  image.format = static_cast<png_uint_32>(format);
  image.colormap_entries = static_cast<png_uint_32>(palette.size() / 3);
  const void* map = palette.empty() ? nullptr : palette.data();
  png_alloc_size_t size = 0;
  REQUIRE(png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, map));
  std::string bytes(size, '\0');
  REQUIRE(png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, map));
  return bytes;
}

std::vector<int> FirstPixels(const VideoClip& clip, int64_t frame = 0) {
  const at::Tensor flat = clip.frames[frame].reshape({-1}).to(at::kInt);
  return {flat.data_ptr<int>(), flat.data_ptr<int>() + flat.numel()};
}

TEST_CASE("Gray, palette and alpha PNG are read; what is transparent shows black") {
  ASSERT_OK_AND_ASSIGN(VideoClip clip,
                       ReadBytes(LibpngFile({0, 50, 100, 255}, 2, PNG_FORMAT_GRAY)));
  CHECK(FirstPixels(clip) == std::vector<int>{0, 0, 0, 50, 50, 50, 100, 100, 100, 255, 255, 255});
  ASSERT_OK_AND_ASSIGN(clip, ReadBytes(LibpngFile({1, 0, 1, 0}, 2, PNG_FORMAT_RGB_COLORMAP,
                                                  {10, 20, 30, 200, 210, 220})));
  CHECK(FirstPixels(clip) ==
        std::vector<int>{200, 210, 220, 10, 20, 30, 200, 210, 220, 10, 20, 30});
  ASSERT_OK_AND_ASSIGN(
      clip, ReadBytes(LibpngFile({9, 8, 7, 255, 100, 200, 50, 51, 9, 9, 9, 0, 1, 2, 3, 255}, 2,
                                 PNG_FORMAT_RGBA)));
  CHECK(FirstPixels(clip) == std::vector<int>{9, 8, 7, 20, 40, 10, 0, 0, 0, 1, 2, 3});
}

// An RGBA animation by hand, frame by frame.
class HandMade {
 public:
  explicit HandMade(int side, uint32_t frames) : side_(side) {
    bytes_.assign(png::kSignature, sizeof(png::kSignature) - 1);
    std::string header, control;
    png::AppendU32(header, static_cast<uint32_t>(side));
    png::AppendU32(header, static_cast<uint32_t>(side));
    header.append({8, 6, 0, 0, 0});
    png::AppendChunk(bytes_, "IHDR", header);
    png::AppendU32(control, frames);
    png::AppendU32(control, 0);
    png::AppendChunk(bytes_, "acTL", control);
  }

  // A square of one colour.
  void Add(int side, uint32_t x, uint32_t y, const std::vector<uint8_t>& rgba, char dispose,
           char blend, uint32_t delay_numerator = 1, uint32_t delay_denominator = 10) {
    std::string control;
    for (const uint32_t value :
         {sequence_++, static_cast<uint32_t>(side), static_cast<uint32_t>(side), x, y}) {
      png::AppendU32(control, value);
    }
    png::AppendU16(control, delay_numerator);
    png::AppendU16(control, delay_denominator);
    control.append({dispose, blend});
    png::AppendChunk(bytes_, "fcTL", control);
    std::string data;
    if (seen_image_) png::AppendU32(data, sequence_++);
    data += Compressed(side, rgba);
    png::AppendChunk(bytes_, seen_image_ ? "fdAT" : "IDAT", data);
    seen_image_ = true;
  }

  // The image for programs without animation, and no part of it.
  void AddDefault(const std::vector<uint8_t>& rgba) {
    png::AppendChunk(bytes_, "IDAT", Compressed(side_, rgba));
    seen_image_ = true;
  }

  std::string Finish() {
    png::AppendChunk(bytes_, "IEND", "");
    return bytes_;
  }

 private:
  // The data of IDAT as libpng makes it.
  static std::string Compressed(int side, const std::vector<uint8_t>& rgba) {
    std::vector<uint8_t> pixels;
    for (int i = 0; i < side * side; ++i) pixels.insert(pixels.end(), rgba.begin(), rgba.end());
    const std::string file = LibpngFile(pixels, side, PNG_FORMAT_RGBA);
    const size_t at = file.find("IDAT");
    REQUIRE(at != std::string::npos);
    size_t size = 0;
    for (size_t i = at - 4; i < at; ++i) size = size << 8 | static_cast<uint8_t>(file[i]);
    return file.substr(at + 4, size);
  }

  int side_;
  std::string bytes_;
  uint32_t sequence_ = 0;
  bool seen_image_ = false;
};

// Red values of a 2x2 clip's frame.
std::vector<int> Reds(const VideoClip& clip, int64_t frame) {
  std::vector<int> reds;
  for (int64_t i = 0; i < 4; ++i) {
    reds.push_back(clip.frames[frame][i / 2][i % 2][0].item<int>());
  }
  return reds;
}

TEST_CASE("Animated PNG honours offsets, disposal and blending") {
  HandMade file(2, 6);
  file.Add(2, 0, 0, {100, 0, 0, 255}, 0, 0);  // stays
  file.Add(1, 1, 0, {200, 0, 0, 255}, 2, 0);  // goes back to what was below
  file.Add(1, 0, 1, {50, 0, 0, 255}, 1, 0);   // leaves a hole
  file.Add(1, 1, 1, {200, 0, 0, 51}, 0, 1);   // a fifth of it over 100
  file.Add(1, 0, 1, {200, 0, 0, 51}, 0, 1);   // ... and over the hole
  file.Add(1, 0, 0, {80, 0, 0, 0}, 0, 0);     // transparent, not blended: a hole
  ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(file.Finish()));
  REQUIRE(clip.frames.size(0) == 6);
  CHECK(clip.fps == 10);
  CHECK(Reds(clip, 0) == std::vector<int>{100, 100, 100, 100});
  CHECK(Reds(clip, 1) == std::vector<int>{100, 200, 100, 100});
  CHECK(Reds(clip, 2) == std::vector<int>{100, 100, 50, 100});
  CHECK(Reds(clip, 3) == std::vector<int>{100, 100, 0, 120});
  CHECK(Reds(clip, 4) == std::vector<int>{100, 100, 40, 120});
  CHECK(Reds(clip, 5) == std::vector<int>{0, 100, 40, 120});
}

TEST_CASE("Animated PNG with delays of rounded milliseconds holds the frames it names") {
  HandMade file(2, 17);
  for (uint8_t i = 0; i < 17; ++i) file.Add(2, 0, 0, {i, 0, 0, 255}, 0, 0, i == 5 ? 63 : 62, 1000);
  ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(file.Finish()));
  REQUIRE(clip.frames.size(0) == 17);
  for (int64_t i = 0; i < 17; ++i) CHECK(Reds(clip, i)[0] == i);
  CHECK(clip.fps == Approx(17000.0 / (17 * 62 + 1)));
}

TEST_CASE("Delays that would make more frames than the budget are refused before any is decoded") {
  HandMade larger(128, 3);
  for (const uint32_t delay : {1, 60000, 1}) {
    larger.Add(128, 0, 0, {9, 0, 0, 255}, 0, 0, delay, 1000);
  }
  const auto refused = ReadBytes(larger.Finish());
  REQUIRE(absl::IsInvalidArgument(refused.status()));
  CHECK(absl::StrContains(refused.status().ToString(), "60002 frames of 128x128"));
  CHECK(absl::StrContains(refused.status().ToString(), absl::StrCat(kMaxReadPixels)));
}

TEST_CASE("A default image outside of the animation is left out") {
  HandMade file(2, 2);
  file.AddDefault({1, 1, 1, 255});
  file.Add(2, 0, 0, {10, 0, 0, 255}, 0, 0);
  file.Add(2, 0, 0, {20, 0, 0, 255}, 0, 0);
  ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(file.Finish()));
  REQUIRE(clip.frames.size(0) == 2);
  CHECK(Reds(clip, 0)[0] == 10);
  CHECK(Reds(clip, 1)[0] == 20);
}

TEST_CASE("An animation frame that leaves the canvas is refused") {
  HandMade file(2, 2);
  file.Add(2, 0, 0, {1, 1, 1, 255}, 0, 0);
  file.Add(2, 1, 0, {1, 1, 1, 255}, 0, 0);
  const auto clip = ReadBytes(file.Finish());
  REQUIRE(absl::IsInvalidArgument(clip.status()));
  CHECK(absl::StrContains(clip.status().ToString(), "leaves the canvas of 2x2"));
}

// One frame of constant planes.
std::string Y4m(const std::string& fields, size_t luma, size_t chroma, char y, char cb, char cr) {
  return "YUV4MPEG2 " + fields + "\nFRAME\n" + std::string(luma, y) + std::string(chroma, cb) +
         std::string(chroma, cr);
}

TEST_CASE("Y4M subsampling is read for odd sizes too") {
  // BT.601: pure red is Y 81, Cb 90, Cr 240.
  for (const auto& [colour, chroma] : std::vector<std::pair<std::string, size_t>>{
           {"", 6}, {" C420jpeg", 6}, {" C420mpeg2", 6}, {" C422", 9}, {" C444", 15}}) {
    INFO(colour);
    ASSERT_OK_AND_ASSIGN(const VideoClip clip,
                         ReadBytes(Y4m("W5 H3 F30000:1001 Ip" + colour, 15, chroma, 81, 90,
                                       static_cast<char>(240))));
    REQUIRE(clip.frames.sizes() == at::IntArrayRef({1, 3, 5, 3}));
    CHECK(clip.fps == Approx(29.97).epsilon(1e-4));
    const at::Tensor wanted = torch::tensor({254, 0, 0}, at::kInt);
    CHECK((clip.frames.to(at::kInt) - wanted).abs().max().item<int>() <= 1);
  }
  ASSERT_OK_AND_ASSIGN(const VideoClip gray, ReadBytes(Y4m("W2 H2 Cmono", 4, 0, 126, 0, 0)));
  CHECK(gray.frames.eq(128).all().item<bool>());
  CHECK(gray.fps == 0);
  ASSERT_OK_AND_ASSIGN(const VideoClip full,
                       ReadBytes(Y4m("W2 H2 Cmono XCOLORRANGE=FULL", 4, 0, 126, 0, 0)));
  CHECK(full.frames.eq(126).all().item<bool>());
}

TEST_CASE("Y4M is BT.601 at any height, and MP4 what its stream names, BT.601 for none") {
  ASSERT_OK_AND_ASSIGN(const VideoClip tall,
                       ReadBytes(Y4m("W2 H720 C444", 2 * 720, 2 * 720, 81, 90, 90)));
  ASSERT_OK_AND_ASSIGN(const VideoClip low, ReadBytes(Y4m("W2 H2 C444", 4, 4, 81, 90, 90)));
  CHECK(at::equal(tall.frames[0][719][1], low.frames[0][1][1]));

  CHECK(MatrixFor(kMatrixUnspecified) == kMatrixBt601);
  CHECK(MatrixFor(kMatrixBt709) == kMatrixBt709);
  CHECK(MatrixFor(kMatrixBt601) == kMatrixBt601);
  CHECK(MatrixFor(6) == kMatrixBt601);  // SMPTE 170M: the same numbers
  CHECK(MatrixFor(kMatrixFcc) == kMatrixFcc);
  CHECK(MatrixFor(kMatrixSmpte240M) == kMatrixSmpte240M);
  CHECK(MatrixFor(kMatrixBt2020) == kMatrixBt2020);
  CHECK(MatrixFor(kMatrixBt2020Constant) == kMatrixBt2020);
}

TEST_CASE("Y4M chroma belongs to the pixels it was taken from") {
  std::string file = "YUV4MPEG2 W4 H2 F16:1 C420jpeg\nFRAME\n";
  file += std::string(8, static_cast<char>(126));
  file += std::string{static_cast<char>(128), static_cast<char>(128)};  // Cb
  file += std::string{static_cast<char>(128), static_cast<char>(200)};  // Cr: red on the right
  ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadBytes(file));
  for (int64_t y = 0; y < 2; ++y) {
    CHECK(clip.frames[0][y][1][0].item<int>() == 128);
    CHECK(clip.frames[0][y][2][0].item<int>() > 200);
  }
}

TEST_CASE("Y4M variants that are not read say so") {
  for (const std::string fields : {"W2 H2 F16:1 C420p10", "W2 H2 It", "W2 H2 C420paldv"}) {
    INFO(fields);
    const auto clip = ReadBytes(Y4m(fields, 4, 4, 0, 0, 0));
    CHECK(absl::IsUnimplemented(clip.status()));
    CHECK(absl::StrContains(clip.status().ToString(), "hostile"));
  }
}

TEST_CASE("Sizes beyond the limits are refused by their headers") {
  const auto refused = [](const std::string& bytes, const std::string& reason) {
    const auto clip = ReadBytes(bytes);
    INFO(clip.status());
    CHECK(absl::IsInvalidArgument(clip.status()));
    CHECK(absl::StrContains(clip.status().ToString(), "hostile"));
    CHECK(absl::StrContains(clip.status().ToString(), reason));
  };
  refused("YUV4MPEG2 W8193 H2\nFRAME\n", "8193x2");
  refused("YUV4MPEG2 W99999999999999999999 H2\nFRAME\n", "not a size");
  refused("YUV4MPEG2 W-4 H2\nFRAME\n", "empty");
  refused(std::string("YUV4MPEG2 ") + std::string(5000, 'x'), "no line");

  std::string header("\x89PNG\r\n\x1a\n", 8), data;
  png::AppendU32(data, 0x7fffffff);
  png::AppendU32(data, 0x7fffffff);
  data.append({8, 2, 0, 0, 0});
  png::AppendChunk(header, "IHDR", data);
  refused(header, "2147483647x2147483647");

  HandMade many(2, 0xffffffff);
  refused(many.Finish(), "4294967295 frames");

  // A picture that a few kilobytes can promise: three gigabytes to decode.
  CHECK(absl::IsInvalidArgument(CheckClipSize(1, 16384, 16384)));
  REQUIRE_OK(CheckClipSize(4, 8192, 8192));
  CHECK(absl::IsInvalidArgument(CheckClipSize(5, 8192, 8192)));
  REQUIRE_OK(CheckClipSize(81, 720, 1280));
  CHECK(absl::IsInvalidArgument(CheckClipSize(65537, 1, 1)));
}

// The smallest file of each kind that has all parts.
std::vector<std::pair<std::string, std::string>> SmallFiles() {
  const at::Tensor frames = Noise(3, 4, 5);
  HandMade animated(2, 2);
  animated.Add(2, 0, 0, {100, 0, 0, 255}, 0, 0);
  animated.Add(1, 1, 0, {200, 0, 0, 100}, 2, 1);
  return {{"png", Written("a.png", frames.narrow(0, 0, 1), 16)},
          {"apng", Written("a.png", frames, 16)},
          {"hand-made apng", animated.Finish()},
          {"lossless webp", Written("a.webp", frames, 16)},
          {"webp of merged frames",
           Written("a.webp", frames.index_select(0, torch::tensor({0, 0, 1, 1}, at::kLong)), 16)},
          {"still webp", Written("a.webp", frames.narrow(0, 0, 1), 16)},
          {"lossy webp", Written("a.webp", frames, 16, 50)},
          {"y4m", Written("a.y4m", frames, 16)}};
}

TEST_CASE("Every truncation of a file is an error that names it, or a shorter clip") {
  for (const auto& [kind, bytes] : SmallFiles()) {
    REQUIRE_OK(ReadBytes(bytes));
    for (size_t size = 0; size < bytes.size(); ++size) {
      INFO(kind << " cut to " << size << " of " << bytes.size() << " bytes");
      const auto clip = ReadBytes(bytes.substr(0, size));
      if (clip.ok()) {
        // Y4M has no end mark, so a cut between frames cannot be seen; a byte of padding behind the
        // last WebP chunk is not missed.
        CHECK((kind == "y4m" || size + 1 == bytes.size()));
        CHECK(clip->frames.dim() == 4);
      } else {
        CHECK(absl::IsInvalidArgument(clip.status()));
        CHECK(absl::StartsWith(std::string(clip.status().message()), "hostile: "));
      }
    }
  }
}

TEST_CASE("A flipped byte anywhere is an error or a clip within the limits") {
  for (const auto& [kind, bytes] : SmallFiles()) {
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (const int mask : {0xff, 0x01, 0x80}) {
        INFO(kind << ", byte " << at << " xor " << mask);
        std::string broken = bytes;
        broken[at] = static_cast<char>(broken[at] ^ mask);
        const auto clip = ReadBytes(broken);
        if (clip.ok()) {
          CHECK(clip->frames.dim() == 4);
          CHECK(clip->frames.numel() <= 3 * kMaxReadPixels);
          CHECK(!absl::StrContains(kind, "png"));  // its checksums see everything
        } else {
          CHECK((absl::IsInvalidArgument(clip.status()) || absl::IsUnimplemented(clip.status())));
        }
      }
    }
  }
}

TEST_CASE("The content names the format, not the ending") {
  const auto env = NewMemEnv();
  const at::Tensor frames = Noise(2, 4, 4);
  REQUIRE_OK(env->WriteFileAtomically("clip.txt", Written("a.png", frames, 16)));
  ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadVideo(*env, "clip.txt"));
  CHECK(at::equal(clip.frames, frames));
  ASSERT_OK_AND_ASSIGN(bool video, IsVideo(*env, "clip.txt"));
  CHECK(video);

  REQUIRE_OK(env->WriteFileAtomically("clip.png", "BM89a and more"));
  ASSERT_OK_AND_ASSIGN(video, IsVideo(*env, "clip.png"));
  CHECK_FALSE(video);
  const auto unknown = ReadVideo(*env, "clip.png");
  REQUIRE(absl::IsInvalidArgument(unknown.status()));
  CHECK(absl::StrContains(unknown.status().ToString(), "clip.png: not a PNG"));
  CHECK(absl::StrContains(unknown.status().ToString(), "BM89a"));
  REQUIRE_OK(env->WriteFileAtomically("riff", "RIFF"));
  CHECK(absl::IsInvalidArgument(ReadVideo(*env, "riff").status()));
  CHECK(absl::IsNotFound(ReadVideo(*env, "absent.png").status()));
}

TEST_CASE("GIF is not read, and the message says what to do") {
  const auto env = NewMemEnv();
  REQUIRE_OK(env->WriteFileAtomically("clip.gif", "GIF89a and more"));
  const absl::Status status = ReadVideo(*env, "clip.gif").status();
  CHECK(absl::IsUnimplemented(status));
  CHECK(absl::StrContains(status.ToString(), "clip.gif: GIF is not read"));
  CHECK(absl::StrContains(status.ToString(), "convert"));
  ASSERT_OK_AND_ASSIGN(const bool video, IsVideo(*env, "clip.gif"));
  CHECK_FALSE(video);
}

TEST_CASE("MP4 without libav is Unimplemented and names the file") {
  const std::vector<std::string> formats = VideoFormats();
  const bool libav = std::find(formats.begin(), formats.end(), ".mp4") != formats.end();
  const auto clip =
      ReadBytes(std::string("\0\0\0\x10"
                            "ftypisom\0\0\0\0",
                            16));
  CHECK(clip.status().code() ==
        (libav ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kUnimplemented));
  CHECK(absl::StartsWith(std::string(clip.status().message()), "hostile: MP4"));
}

}  // namespace
}  // namespace wanlite
