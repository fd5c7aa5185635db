// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Files are read back by the formats' own libraries.
#include <png.h>
#include <webp/demux.h>
#include <zlib.h>

#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/env.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

// Smooth colours that move, so that every row filter gets its turn. uint8 [F, H, W, 3].
at::Tensor MovingFrames(int64_t count, int64_t height, int64_t width) {
  at::Tensor frames = at::empty({count, height, width, 3}, at::kByte);
  auto* out = frames.data_ptr<uint8_t>();
  for (int64_t f = 0; f < count; ++f)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        for (int64_t c = 0; c < 3; ++c) {
          *out++ = static_cast<uint8_t>(x * 5 + y * 3 * c + f * 17 + (x * y % 7 == 0 ? 90 : 0));
        }
  return frames;
}

uint32_t U32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

struct Chunk {
  std::string type, data;
};

std::vector<Chunk> Chunks(const std::string& png) {
  std::vector<Chunk> chunks;
  for (size_t at = 8; at + 12 <= png.size();) {
    const size_t size = U32(png, at);
    REQUIRE(at + 12 + size <= png.size());
    chunks.push_back({png.substr(at + 4, 4), png.substr(at + 8, size)});
    const uLong crc =
        crc32(0, reinterpret_cast<const Bytef*>(png.data() + at + 4), static_cast<uInt>(size + 4));
    CHECK(crc == U32(png, at + 8 + size));
    at += 12 + size;
  }
  return chunks;
}

at::Tensor DecodePng(const std::string& bytes) {
  png_image image;
  std::memset(&image, 0, sizeof(image));
  image.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()));
  image.format = PNG_FORMAT_RGB;
  at::Tensor pixels = at::empty(
      {static_cast<int64_t>(image.height), static_cast<int64_t>(image.width), 3}, at::kByte);
  REQUIRE(png_image_finish_read(&image, nullptr, pixels.data_ptr(), 0, nullptr));
  return pixels;
}

void AppendChunk(std::string& out, const std::string& type, const std::string& data) {
  const auto u32 = [&](uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  };
  u32(static_cast<uint32_t>(data.size()));
  const std::string body = type + data;
  out += body;
  u32(static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
}

TEST_CASE("One frame makes an ordinary PNG that libpng reads back exactly") {
  const auto env = NewMemEnv();
  const at::Tensor frames = MovingFrames(1, 13, 21);
  REQUIRE_OK(WriteVideo(*env, "one.png", frames, {}));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("one.png"));
  CHECK(at::equal(DecodePng(bytes), frames[0]));
  for (const Chunk& chunk : Chunks(bytes)) CHECK(chunk.type != "acTL");
}

TEST_CASE("Animated PNG holds every frame exactly, at the frame rate") {
  const auto env = NewMemEnv();
  const at::Tensor frames = MovingFrames(4, 14, 18);
  VideoOptions options;
  options.fps = 12;
  REQUIRE_OK(WriteVideo(*env, "clip.png", frames, options));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("clip.png"));
  CHECK(at::equal(DecodePng(bytes), frames[0]));  // viewers without animation see the first

  const std::vector<Chunk> chunks = Chunks(bytes);
  REQUIRE(chunks.size() >= 2);
  REQUIRE(chunks[1].type == "acTL");
  CHECK(U32(chunks[1].data, 0) == 4);
  // Every later frame, made into a PNG of its own.
  uint32_t sequence = 0;
  int64_t frame = 0;
  for (const Chunk& chunk : chunks) {
    if (chunk.type == "fcTL" || chunk.type == "fdAT") CHECK(U32(chunk.data, 0) == sequence++);
    if (chunk.type == "fcTL") {
      CHECK(static_cast<uint8_t>(chunk.data[21]) == 1);   // delay 1 …
      CHECK(static_cast<uint8_t>(chunk.data[23]) == 12);  // … by 12 of a second
    }
    if (chunk.type != "fdAT") continue;
    std::string png = bytes.substr(0, 8);
    AppendChunk(png, "IHDR", chunks[0].data);
    AppendChunk(png, "IDAT", chunk.data.substr(4));
    AppendChunk(png, "IEND", "");
    CHECK(at::equal(DecodePng(png), frames[++frame]));
  }
  CHECK(frame == 3);
}

TEST_CASE("Lossless WebP holds every frame exactly") {
  const auto env = NewMemEnv();
  const at::Tensor frames = MovingFrames(5, 16, 20);
  VideoOptions options;
  options.quality = 100;
  options.fps = 10;
  REQUIRE_OK(WriteVideo(*env, "clip.webp", frames, options));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("clip.webp"));
  const WebPData data{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  WebPAnimDecoder* decoder = WebPAnimDecoderNew(&data, nullptr);
  REQUIRE(decoder != nullptr);
  int64_t index = 0;
  while (WebPAnimDecoderHasMoreFrames(decoder)) {
    uint8_t* rgba = nullptr;
    int timestamp = 0;
    REQUIRE(WebPAnimDecoderGetNext(decoder, &rgba, &timestamp));
    const at::Tensor decoded = at::from_blob(rgba, {16, 20, 4}, at::kByte).narrow(2, 0, 3);
    REQUIRE(index < 5);
    CHECK(at::equal(decoded.contiguous(), frames[index]));
    CHECK(timestamp == 100 * ++index);
  }
  CHECK(index == 5);
  WebPAnimDecoderDelete(decoder);
}

TEST_CASE("Y4M parses and gives the colours back within rounding") {
  const auto env = NewMemEnv();
  const at::Tensor frames = MovingFrames(3, 6, 10);
  REQUIRE_OK(WriteVideo(*env, "clip.y4m", frames, {}));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("clip.y4m"));
  const size_t line = bytes.find('\n');
  const std::string header = bytes.substr(0, line);
  CHECK(absl::StartsWith(header, "YUV4MPEG2 W10 H6 F16:1 "));
  CHECK(absl::StrContains(header, " C444 "));
  const int64_t pixels = 60;
  REQUIRE(bytes.size() == line + 1 + 3 * (6 + 3 * pixels));
  size_t at = line + 1;
  for (int64_t f = 0; f < 3; ++f) {
    REQUIRE(bytes.compare(at, 6, "FRAME\n") == 0);
    at += 6;
    const auto* y = reinterpret_cast<const uint8_t*>(bytes.data() + at);
    const uint8_t* rgb = frames[f].data_ptr<uint8_t>();
    for (int64_t p = 0; p < pixels; ++p, rgb += 3) {
      const double luma = (y[p] - 16) * 255.0 / 219.0;
      const double cb = (y[pixels + p] - 128) * 255.0 / 224.0;
      const double cr = (y[2 * pixels + p] - 128) * 255.0 / 224.0;
      CHECK(std::abs(luma + 1.402 * cr - rgb[0]) < 2.5);
      CHECK(std::abs(luma + 1.772 * cb - rgb[2]) < 2.5);
      CHECK(std::abs(luma - 0.344136 * cb - 0.714136 * cr - rgb[1]) < 2.5);
    }
    at += static_cast<size_t>(3 * pixels);
  }
}

TEST_CASE("Upscaling repeats pixels") {
  const auto env = NewMemEnv();
  const at::Tensor frames = MovingFrames(1, 4, 5);
  VideoOptions options;
  options.upscale = 3;
  REQUIRE_OK(WriteVideo(*env, "big.png", frames, options));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("big.png"));
  const at::Tensor big = DecodePng(bytes);
  REQUIRE(big.sizes() == at::IntArrayRef({12, 15, 3}));
  CHECK(at::equal(big[11][14], frames[0][3][4]));
  CHECK(at::equal(big[3][2], frames[0][1][0]));
}

TEST_CASE("A contact sheet shows all frames") {
  const auto env = NewMemEnv();
  const at::Tensor frames = MovingFrames(5, 4, 6);
  REQUIRE_OK(WriteContactSheet(*env, "sheet.png", frames, 3));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("sheet.png"));
  const at::Tensor sheet = DecodePng(bytes);
  REQUIRE(sheet.sizes() == at::IntArrayRef({9, 20, 3}));
  CHECK(at::equal(sheet.narrow(0, 5, 4).narrow(1, 7, 6).contiguous(), frames[4]));
}

TEST_CASE("Decoded values become bytes by round(clamp((x + 1) / 2) * 255)") {
  at::Tensor video = at::zeros({1, 3, 1, 1, 5});
  video[0][0][0][0] = torch::tensor({-1.0f, -2.0f, 0.0f, 1.0f, 0.999f});
  const at::Tensor frames = ToFrames(video);
  REQUIRE(frames.sizes() == at::IntArrayRef({1, 1, 5, 3}));
  const std::vector<int> wanted{0, 0, 128, 255, 255};
  for (int64_t x = 0; x < 5; ++x) CHECK(frames[0][0][x][0].item<int>() == wanted[x]);
}

TEST_CASE("A rate that a format cannot carry is refused by its range, before there are frames") {
  VideoOptions options;
  for (const char* path : {"clip.png", "clip.apng", "clip.webp", "clip.y4m"}) {
    for (const double fps : {0.0, 0.004, -1.0, 240.5, std::nan("")}) {
      INFO(path << " at " << fps);
      options.fps = fps;
      const absl::Status status = CheckVideoPath(path, options);
      REQUIRE(absl::IsInvalidArgument(status));
      CHECK(absl::StrContains(std::string(status.message()), "carries 0.01 to 240"));
    }
  }
}

TEST_CASE("Slow rates come back as they were asked for") {
  const auto env = NewMemEnv();
  VideoOptions options;
  for (const char* path : {"clip.png", "clip.webp", "clip.y4m"}) {
    for (const double fps : {0.01, 0.015, 0.25, 2.5, 23.976}) {
      INFO(path << " at " << fps);
      options.fps = fps;
      REQUIRE_OK(WriteVideo(*env, path, MovingFrames(3, 6, 6), options));
      ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadVideo(*env, path));
      CHECK(clip.frames.size(0) == 3);
      CHECK(clip.fps == Approx(fps).epsilon(0.005));
    }
  }
}

TEST_CASE("Sizes that a format does not take are found without frames") {
  VideoOptions options;
  REQUIRE_OK(CheckVideoPath("clip.webp", options, 16383, 16383));
  CHECK(absl::IsInvalidArgument(CheckVideoPath("clip.webp", options, 16384, 16)));
  options.upscale = 4;
  CHECK(absl::IsInvalidArgument(CheckVideoPath("clip.webp", options, 4096, 16)));
  CHECK(absl::IsInvalidArgument(CheckVideoPath("clip.png", options, 16, 8193)));
  CHECK(absl::IsInvalidArgument(CheckSheetPath("sheet.webp", options)));
  REQUIRE_OK(CheckSheetPath("sheet.png", options));
}

TEST_CASE("Wrong endings, rates and frames are refused, and nothing is written") {
  const auto env = NewMemEnv();
  const at::Tensor frames = MovingFrames(2, 4, 4);
  const auto unknown = WriteVideo(*env, "clip.avi", frames, {});
  REQUIRE(absl::IsInvalidArgument(unknown));
  CHECK(absl::StrContains(std::string(unknown.message()), ".webp"));
  VideoOptions options;
  options.fps = 0;
  CHECK(absl::IsInvalidArgument(WriteVideo(*env, "clip.png", frames, options)));
  CHECK(absl::IsInvalidArgument(WriteVideo(*env, "clip.png", frames.to(at::kFloat), {})));
  CHECK(absl::IsInvalidArgument(WriteVideo(*env, "clip.png", frames.narrow(0, 0, 0), {})));
  CHECK_FALSE(env->FileExists("clip.png"));
  CHECK_FALSE(env->FileExists("clip.avi"));
}

TEST_CASE("Frames that no memory can hold are refused with a Status, not with an exception") {
  const auto env = NewMemEnv();
  const at::Tensor frames =
      at::zeros({1, 1, 1, 1}, at::kByte).expand({1 << 30, 1 << 15, 1 << 15, 3});
  CHECK(absl::IsResourceExhausted(WriteVideo(*env, "a.png", frames, {})));
  CHECK_FALSE(WriteContactSheet(*env, "a.png", frames).ok());
  CHECK_FALSE(env->FileExists("a.png"));
}

TEST_CASE("A full disk leaves no half-written clip") {
  const auto base = NewMemEnv();
  const at::Tensor frames = MovingFrames(2, 4, 4);
  for (int64_t fail_at = 0;; ++fail_at) {
    REQUIRE(fail_at < 50);
    const auto fault = NewFaultEnv(*base, fail_at);
    const absl::Status status = WriteVideo(*fault, "clip.png", frames, {});
    if (status.ok()) break;
    CHECK(absl::IsResourceExhausted(status));
    if (base->FileExists("clip.png")) {
      ASSERT_OK_AND_ASSIGN(const std::string bytes, base->ReadFile("clip.png"));
      CHECK(at::equal(DecodePng(bytes), frames[0]));
    }
    REQUIRE_OK(base->RemoveAll("clip.png"));
  }
}

}  // namespace
}  // namespace wanlite
