// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Built only where libav is.
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <filesystem>

#include "absl/strings/match.h"
#include "src/core/libtorch.h"
#include "tests/testing/catch.h"
#include "wanlite/env.h"
#include "wanlite/video.h"

namespace wanlite {
namespace {

TEST_CASE("MP4 decodes to the right number of frames, size and brightness") {
  const std::string path =
      (std::filesystem::temp_directory_path() / "wanlite_video_mp4_test.mp4").string();
  // Each frame has a grey of its own.
  at::Tensor frames = at::empty({9, 32, 48, 3}, at::kByte);
  for (int64_t f = 0; f < 9; ++f) frames[f].fill_(20 + 25 * f);
  REQUIRE_OK(WriteVideo(PosixEnv(), path, frames, {}));

  AVFormatContext* format = nullptr;
  REQUIRE(avformat_open_input(&format, path.c_str(), nullptr, nullptr) == 0);
  REQUIRE(avformat_find_stream_info(format, nullptr) >= 0);
  REQUIRE(format->nb_streams == 1);
  const AVStream* stream = format->streams[0];
  CHECK(stream->codecpar->width == 48);
  CHECK(stream->codecpar->height == 32);
  CHECK(av_q2d(stream->avg_frame_rate) == Approx(16));
  const AVCodec* decoder = avcodec_find_decoder(stream->codecpar->codec_id);
  REQUIRE(decoder != nullptr);
  AVCodecContext* codec = avcodec_alloc_context3(decoder);
  REQUIRE(avcodec_parameters_to_context(codec, stream->codecpar) >= 0);
  REQUIRE(avcodec_open2(codec, decoder, nullptr) == 0);
  AVPacket* packet = av_packet_alloc();
  AVFrame* frame = av_frame_alloc();
  int64_t decoded = 0;
  const auto drain = [&] {
    while (avcodec_receive_frame(codec, frame) == 0) {
      const double luma = 16 + (20 + 25.0 * static_cast<double>(decoded)) * 219 / 255;
      CHECK(std::abs(frame->data[0][16 * frame->linesize[0] + 24] - luma) < 6);
      ++decoded;
    }
  };
  while (av_read_frame(format, packet) >= 0) {
    CHECK(avcodec_send_packet(codec, packet) == 0);
    av_packet_unref(packet);
    drain();
  }
  avcodec_send_packet(codec, nullptr);
  drain();
  CHECK(decoded == 9);
  av_frame_free(&frame);
  av_packet_free(&packet);
  avcodec_free_context(&codec);
  avformat_close_input(&format);
  std::filesystem::remove(path);
}

// Slow waves of colour, so that 4:2:0 and the quantizer lose little. uint8 [F, H, W, 3].
at::Tensor Waves(int64_t count, int64_t height, int64_t width) {
  const at::Tensor t = torch::arange(count).view({count, 1, 1, 1});
  const at::Tensor y = torch::arange(height).view({1, height, 1, 1});
  const at::Tensor x = torch::arange(width).view({1, 1, width, 1});
  const at::Tensor phase = torch::tensor({0.0, 2.0, 4.0}).view({1, 1, 1, 3});
  const at::Tensor wave = (0.4 * t + 0.1 * x + 0.07 * y + phase).sin();
  return (128 + 90 * wave).round().to(at::kByte);
}

TEST_CASE("MP4 comes back with its frames, rate and colours") {
  const auto env = NewMemEnv();
  const at::Tensor frames = Waves(9, 48, 64);
  VideoOptions options;
  options.fps = 24;
  options.quality = 100;
  REQUIRE_OK(WriteVideo(*env, "clip.mp4", frames, options));
  ASSERT_OK_AND_ASSIGN(const VideoClip clip, ReadVideo(*env, "clip.mp4"));
  REQUIRE(clip.frames.sizes() == frames.sizes());
  CHECK(clip.fps == Approx(24));
  const at::Tensor error = (clip.frames.to(at::kDouble) - frames.to(at::kDouble)).abs();
  // Frames out of order or a wrong colour matrix would be ten times that.
  CHECK(error.mean().item<double>() < 3);
}

TEST_CASE("Every truncation of an MP4 and every flipped byte is an error or a clip") {
  const auto env = NewMemEnv();
  REQUIRE_OK(WriteVideo(*env, "clip.mp4", Waves(3, 16, 16), {}));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, env->ReadFile("clip.mp4"));
  for (size_t at = 0; at < bytes.size(); ++at) {
    INFO("byte " << at << " of " << bytes.size());
    REQUIRE_OK(env->WriteFileAtomically("cut.mp4", bytes.substr(0, at)));
    const auto cut = ReadVideo(*env, "cut.mp4");
    CHECK(absl::IsInvalidArgument(cut.status()));
    CHECK(absl::StrContains(cut.status().ToString(), "cut.mp4"));
    std::string broken = bytes;
    broken[at] = static_cast<char>(broken[at] ^ 0xff);
    REQUIRE_OK(env->WriteFileAtomically("broken.mp4", broken));
    const auto clip = ReadVideo(*env, "broken.mp4");
    CHECK((clip.ok() || absl::IsInvalidArgument(clip.status())));
  }
}

TEST_CASE("MP4 refuses odd sizes") {
  const auto env = NewMemEnv();
  const auto status = WriteVideo(*env, "odd.mp4", at::zeros({1, 5, 6, 3}, at::kByte), {});
  REQUIRE(absl::IsInvalidArgument(status));
  CHECK(std::string(status.message()).find("6x5") != std::string::npos);
}

}  // namespace
}  // namespace wanlite
