// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Owners of what libav allocates, for std::unique_ptr. A format context is freed differently by
// readers and writers.
#ifndef WANLITE_SRC_VIDEO_FFMPEG_LIBAV_DELETERS_H_
#define WANLITE_SRC_VIDEO_FFMPEG_LIBAV_DELETERS_H_

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

struct IoDeleter {
  void operator()(AVIOContext* io) const {
    av_freep(&io->buffer);
    avio_context_free(&io);
  }
};
struct CodecDeleter {
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
};
struct FrameDeleter {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct PacketDeleter {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct ScaleDeleter {
  void operator()(SwsContext* scale) const { sws_freeContext(scale); }
};

#endif  // WANLITE_SRC_VIDEO_FFMPEG_LIBAV_DELETERS_H_
