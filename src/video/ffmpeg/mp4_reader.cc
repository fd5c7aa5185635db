// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>
}

#include "src/video/ffmpeg/colour_matrix.h"
#include "src/video/ffmpeg/libav_deleters.h"
#include "src/video/ffmpeg/mp4_abi.h"

namespace {

struct MemoryFile {
  const uint8_t* data;
  int64_t size;
  int64_t position = 0;
};

int ReadMemory(void* opaque, uint8_t* out, int size) {
  auto* file = static_cast<MemoryFile*>(opaque);
  const int64_t rest = file->size - file->position;
  if (rest <= 0) return AVERROR_EOF;
  const int count = rest < size ? static_cast<int>(rest) : size;
  std::memcpy(out, file->data + file->position, static_cast<size_t>(count));
  file->position += count;
  return count;
}

int64_t SeekMemory(void* opaque, int64_t offset, int whence) {
  auto* file = static_cast<MemoryFile*>(opaque);
  int64_t base = 0;
  switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
      return file->size;
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = file->position;
      break;
    case SEEK_END:
      base = file->size;
      break;
    default:
      return AVERROR(EINVAL);
  }
  // Offsets come from the file: no sum may overflow.
  if (offset > INT64_MAX - base || base + offset < 0) return AVERROR(EINVAL);
  file->position = base + offset;
  return file->position;
}

struct FormatDeleter {
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
};

// Frames in libav's pixel format to the receiver in RGB.
class Converter {
 public:
  Converter(wanlite_mp4_frame_fn sink, void* context, AVRational rate)
      : sink_(sink), context_(context), rate_(rate) {}

  int64_t frames() const { return frames_; }
  int refused() const { return refused_; }

  // Returns the step that failed; null when all went well. `rc` is then what libav said.
  const char* Take(const AVFrame& frame, int& rc) {
    if (scale_ == nullptr) {
      if (const char* failed = Open(frame, rc); failed != nullptr) return failed;
    } else if (frame.width != width_ || frame.height != height_ || frame.format != format_) {
      rc = AVERROR_INPUT_CHANGED;
      return "a frame is of another size or format than the first";
    }
    uint8_t* out = rgb_.data();
    const int stride = 3 * width_;
    sws_scale(scale_.get(), frame.data, frame.linesize, 0, height_, &out, &stride);
    ++frames_;
    refused_ = sink_(context_, rgb_.data(), height_, width_, rate_.num, rate_.den);
    rc = refused_;
    return refused_ != 0 ? "" : nullptr;
  }

 private:
  const char* Open(const AVFrame& frame, int& rc) {
    width_ = frame.width;
    height_ = frame.height;
    format_ = frame.format;
    rc = AVERROR(ENOMEM);
    scale_.reset(sws_getContext(
        width_, height_, static_cast<AVPixelFormat>(format_), width_, height_, AV_PIX_FMT_RGB24,
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP, nullptr, nullptr,
        nullptr));
    if (scale_ == nullptr) return "setting up the conversion";
    static_assert(
        AVCOL_SPC_BT709 == wanlite::kMatrixBt709 && SWS_CS_ITU709 == wanlite::kMatrixBt709 &&
        SWS_CS_ITU601 == wanlite::kMatrixBt601 && SWS_CS_BT2020 == wanlite::kMatrixBt2020);
    const int matrix = wanlite::MatrixFor(frame.colorspace);
    const int full = frame.color_range == AVCOL_RANGE_JPEG ? 1 : 0;
    sws_setColorspaceDetails(scale_.get(), sws_getCoefficients(matrix), full,
                             sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    // swscale may write some bytes behind the last row.
    rgb_.reset(static_cast<size_t>(width_) * static_cast<size_t>(height_) * 3 + 64);
    return rgb_.data() == nullptr ? "allocating a frame" : nullptr;
  }

  // A buffer that says when there is no memory, instead of throwing through C code.
  class Buffer {
   public:
    void reset(size_t size) { data_.reset(new (std::nothrow) uint8_t[size]); }
    uint8_t* data() { return data_.get(); }

   private:
    std::unique_ptr<uint8_t[]> data_;
  };

  wanlite_mp4_frame_fn sink_;
  void* context_;
  AVRational rate_;
  int width_ = 0, height_ = 0, format_ = -1;
  std::unique_ptr<SwsContext, ScaleDeleter> scale_;
  Buffer rgb_;
  int64_t frames_ = 0;
  int refused_ = 0;
};

// Feeds one packet (null drains the decoder) and takes the frames that come out.
const char* Decode(AVCodecContext* codec, const AVPacket* packet, AVFrame* frame,
                   Converter& converter, int& rc) {
  rc = avcodec_send_packet(codec, packet);
  if (rc < 0 && rc != AVERROR_EOF) return "decoding a frame";
  while (true) {
    rc = avcodec_receive_frame(codec, frame);
    if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) return nullptr;
    if (rc < 0) return "decoding a frame";
    const char* failed = converter.Take(*frame, rc);
    av_frame_unref(frame);
    if (failed != nullptr) return failed;
  }
}

const char* ReadMp4(MemoryFile& file, int64_t max_pixels, wanlite_mp4_frame_fn sink, void* context,
                    int& refused, int& rc) {
  constexpr int kBufferSize = 1 << 16;
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBufferSize));
  const std::unique_ptr<AVIOContext, IoDeleter> io(
      avio_alloc_context(buffer, kBufferSize, 0, &file, ReadMemory, nullptr, SeekMemory));
  AVFormatContext* raw_format = avformat_alloc_context();
  rc = AVERROR(ENOMEM);
  if (io == nullptr || raw_format == nullptr) return "opening the demuxer";
  raw_format->pb = io.get();
  raw_format->flags |= AVFMT_FLAG_CUSTOM_IO;
  // This demuxer only: the file must not choose another one, which could open files of its own.
  rc = avformat_open_input(&raw_format, nullptr, av_find_input_format("mp4"), nullptr);
  if (rc < 0) return "reading the header (truncated files have none)";  // frees raw_format
  const std::unique_ptr<AVFormatContext, FormatDeleter> format(raw_format);
  const int index = av_find_best_stream(format.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  rc = index;
  if (index < 0) return "finding a video stream";
  AVStream* stream = format->streams[index];
  const AVCodec* decoder = avcodec_find_decoder(stream->codecpar->codec_id);
  rc = AVERROR_DECODER_NOT_FOUND;
  if (decoder == nullptr) return "finding a decoder";
  const std::unique_ptr<AVCodecContext, CodecDeleter> codec(avcodec_alloc_context3(decoder));
  const std::unique_ptr<AVFrame, FrameDeleter> frame(av_frame_alloc());
  const std::unique_ptr<AVPacket, PacketDeleter> packet(av_packet_alloc());
  rc = AVERROR(ENOMEM);
  if (codec == nullptr || frame == nullptr || packet == nullptr) return "opening the decoder";
  rc = avcodec_parameters_to_context(codec.get(), stream->codecpar);
  if (rc < 0) return "opening the decoder";
  codec->max_pixels = max_pixels;
  codec->err_recognition |= AV_EF_EXPLODE;  // no made-up pictures in place of broken ones
  codec->thread_count = 1;
  rc = avcodec_open2(codec.get(), decoder, nullptr);
  if (rc < 0) return "opening the decoder";

  AVRational rate = av_guess_frame_rate(format.get(), stream, nullptr);
  if (rate.num <= 0 || rate.den <= 0) rate = AVRational{0, 1};
  Converter converter(sink, context, rate);
  while (true) {
    rc = av_read_frame(format.get(), packet.get());
    if (rc == AVERROR_EOF) break;
    if (rc < 0) return "reading a frame";
    if (packet->stream_index == index) {
      if ((packet->flags & AV_PKT_FLAG_CORRUPT) != 0) {
        rc = AVERROR_INVALIDDATA;
        return "a frame is cut off";
      }
      const char* failed = Decode(codec.get(), packet.get(), frame.get(), converter, rc);
      refused = converter.refused();
      if (failed != nullptr) return failed;
    }
    av_packet_unref(packet.get());
  }
  const char* failed = Decode(codec.get(), nullptr, frame.get(), converter, rc);
  refused = converter.refused();
  if (failed != nullptr) return failed;
  rc = AVERROR_INVALIDDATA;
  if (converter.frames() < stream->nb_frames) return "fewer frames than its index names";
  rc = 0;
  return nullptr;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int wanlite_decode_mp4_v1(
    const uint8_t* data, size_t size, int64_t max_pixels, wanlite_mp4_frame_fn sink, void* context,
    char* error, size_t error_size) {
  av_log_set_level(AV_LOG_QUIET);
  MemoryFile file{data, static_cast<int64_t>(size)};
  int rc = 0;
  int refused = 0;
  const char* failed = ReadMp4(file, max_pixels, sink, context, refused, rc);
  if (failed == nullptr) return 0;
  if (refused != 0) return refused;
  char text[AV_ERROR_MAX_STRING_SIZE] = "unknown error";
  av_strerror(rc, text, sizeof(text));
  std::snprintf(error, error_size, "%s: %s", failed, text);
  return rc < 0 ? rc : -1;
}
