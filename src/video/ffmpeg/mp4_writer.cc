// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include "src/video/ffmpeg/libav_deleters.h"
#include "src/video/ffmpeg/mp4_abi.h"

namespace {

// The file being made. MP4 goes back to fill in sizes, so it must be seekable.
struct MemoryFile {
  std::string bytes;
  size_t position = 0;
};

int WriteMemory(void* opaque, uint8_t* data, int size) {
  auto* file = static_cast<MemoryFile*>(opaque);
  const size_t end = file->position + static_cast<size_t>(size);
  if (file->bytes.size() < end) file->bytes.resize(end);
  std::memcpy(file->bytes.data() + file->position, data, static_cast<size_t>(size));
  file->position = end;
  return size;
}

int64_t SeekMemory(void* opaque, int64_t offset, int whence) {
  auto* file = static_cast<MemoryFile*>(opaque);
  int64_t base = 0;
  switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
      return static_cast<int64_t>(file->bytes.size());
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = static_cast<int64_t>(file->position);
      break;
    case SEEK_END:
      base = static_cast<int64_t>(file->bytes.size());
      break;
    default:
      return AVERROR(EINVAL);
  }
  if (base + offset < 0) return AVERROR(EINVAL);
  file->position = static_cast<size_t>(base + offset);
  return base + offset;
}

struct FormatDeleter {
  void operator()(AVFormatContext* format) const { avformat_free_context(format); }
};

struct Video {
  const uint8_t* rgb;
  int64_t frames;
  int height, width;
  AVRational rate;
  int quality;
};

// Moves finished packets into the file; `frame` null drains the encoder.
int Encode(AVCodecContext* codec, const AVFrame* frame, AVFormatContext* format, AVStream* stream) {
  int rc = avcodec_send_frame(codec, frame);
  const std::unique_ptr<AVPacket, PacketDeleter> packet(av_packet_alloc());
  if (packet == nullptr) return AVERROR(ENOMEM);
  while (rc >= 0) {
    rc = avcodec_receive_packet(codec, packet.get());
    if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) return 0;
    if (rc < 0) return rc;
    av_packet_rescale_ts(packet.get(), codec->time_base, stream->time_base);
    packet->stream_index = stream->index;
    rc = av_interleaved_write_frame(format, packet.get());
  }
  return rc;
}

// Returns the step that failed and sets `rc`; null when all went well.
const char* WriteMp4(const Video& video, MemoryFile& file, int& rc) {
  constexpr int kBufferSize = 1 << 16;
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBufferSize));
  const std::unique_ptr<AVIOContext, IoDeleter> io(
      avio_alloc_context(buffer, kBufferSize, 1, &file, nullptr, WriteMemory, SeekMemory));
  AVFormatContext* raw_format = nullptr;
  rc = avformat_alloc_output_context2(&raw_format, nullptr, "mp4", nullptr);
  if (rc < 0 || io == nullptr) return "opening the MP4 muxer";
  const std::unique_ptr<AVFormatContext, FormatDeleter> format(raw_format);
  format->pb = io.get();
  format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;

  const AVCodec* encoder = avcodec_find_encoder(AV_CODEC_ID_H264);
  if (encoder == nullptr) encoder = avcodec_find_encoder(AV_CODEC_ID_MPEG4);
  if (encoder == nullptr) {
    rc = AVERROR_ENCODER_NOT_FOUND;
    return "finding an H.264 or MPEG-4 encoder";
  }
  const std::unique_ptr<AVCodecContext, CodecDeleter> codec(avcodec_alloc_context3(encoder));
  AVStream* stream = avformat_new_stream(format.get(), nullptr);
  if (codec == nullptr || stream == nullptr) {
    rc = AVERROR(ENOMEM);
    return "opening the encoder";
  }
  codec->width = video.width;
  codec->height = video.height;
  codec->pix_fmt = AV_PIX_FMT_YUV420P;
  codec->time_base = av_inv_q(video.rate);
  codec->framerate = video.rate;
  codec->color_range = AVCOL_RANGE_MPEG;
  codec->colorspace = AVCOL_SPC_BT709;
  codec->color_primaries = AVCOL_PRI_BT709;
  codec->color_trc = AVCOL_TRC_BT709;
  codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  stream->time_base = codec->time_base;
  stream->avg_frame_rate = video.rate;
  // Constant quality: quality 90 is x264's visually lossless 18. Options an encoder does not know
  // are not an error; MPEG-4 takes its quantizer instead.
  char crf[16];
  std::snprintf(crf, sizeof(crf), "%d", 12 + (100 - video.quality) * 39 / 100 * 3 / 2);
  av_opt_set(codec->priv_data, "crf", crf, 0);
  av_opt_set(codec->priv_data, "preset", "medium", 0);
  av_opt_set(codec->priv_data, "x264-params", "log-level=none", 0);
  if (encoder->id == AV_CODEC_ID_MPEG4) {
    codec->flags |= AV_CODEC_FLAG_QSCALE;
    codec->global_quality = FF_QP2LAMBDA * (2 + (100 - video.quality) / 4);
  }
  rc = avcodec_open2(codec.get(), encoder, nullptr);
  if (rc < 0) return "opening the encoder";
  rc = avcodec_parameters_from_context(stream->codecpar, codec.get());
  if (rc < 0) return "describing the stream";
  rc = avformat_write_header(format.get(), nullptr);
  if (rc < 0) return "writing the header";

  const std::unique_ptr<AVFrame, FrameDeleter> frame(av_frame_alloc());
  const std::unique_ptr<SwsContext, ScaleDeleter> scale(sws_getContext(
      video.width, video.height, AV_PIX_FMT_RGB24, video.width, video.height, AV_PIX_FMT_YUV420P,
      SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, nullptr, nullptr, nullptr));
  if (frame == nullptr || scale == nullptr) {
    rc = AVERROR(ENOMEM);
    return "setting up the conversion";
  }
  const int* bt709 = sws_getCoefficients(SWS_CS_ITU709);
  sws_setColorspaceDetails(scale.get(), bt709, 1, bt709, 0, 0, 1 << 16, 1 << 16);
  frame->format = codec->pix_fmt;
  frame->width = codec->width;
  frame->height = codec->height;
  rc = av_frame_get_buffer(frame.get(), 0);
  if (rc < 0) return "allocating a frame";
  const int stride = 3 * video.width;
  for (int64_t i = 0; i < video.frames; ++i) {
    rc = av_frame_make_writable(frame.get());
    if (rc < 0) return "allocating a frame";
    const uint8_t* pixels = video.rgb + i * video.height * stride;
    sws_scale(scale.get(), &pixels, &stride, 0, video.height, frame->data, frame->linesize);
    frame->pts = i;
    rc = Encode(codec.get(), frame.get(), format.get(), stream);
    if (rc < 0) return "encoding a frame";
  }
  rc = Encode(codec.get(), nullptr, format.get(), stream);
  if (rc < 0) return "encoding the last frames";
  rc = av_write_trailer(format.get());
  return rc < 0 ? "writing the trailer" : nullptr;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int wanlite_encode_mp4_v1(
    const uint8_t* rgb, int64_t frames, int height, int width, int rate_numerator,
    int rate_denominator, int quality, void (*sink)(void* context, const void* data, size_t size),
    void* context, char* error, size_t error_size) {
  av_log_set_level(AV_LOG_QUIET);
  MemoryFile file;
  int rc = 0;
  const Video video{rgb,    frames, height, width, AVRational{rate_numerator, rate_denominator},
                    quality};
  const char* failed = WriteMp4(video, file, rc);
  if (failed != nullptr) {
    char text[AV_ERROR_MAX_STRING_SIZE] = "unknown error";
    av_strerror(rc, text, sizeof(text));
    std::snprintf(error, error_size, "%s: %s", failed, text);
    return rc < 0 ? rc : -1;
  }
  sink(context, file.bytes.data(), file.bytes.size());
  return 0;
}
