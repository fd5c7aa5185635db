// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// Built only where libav is.
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}
#include <torch/torch.h>

#include <filesystem>

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

TEST_CASE("MP4 refuses odd sizes") {
  const auto env = NewMemEnv();
  const auto status = WriteVideo(*env, "odd.mp4", at::zeros({1, 5, 6, 3}, at::kByte), {});
  REQUIRE(absl::IsInvalidArgument(status));
  CHECK(std::string(status.message()).find("6x5") != std::string::npos);
}

}  // namespace
}  // namespace wanlite
