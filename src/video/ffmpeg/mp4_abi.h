/* SPDX-FileCopyrightText: 2026 The wanlite authors
   SPDX-License-Identifier: Apache-2.0

   The functions of libwanlite_ffmpeg.so. libav is a library of its own, loaded when an MP4 is
   asked for: it brings some sixty shared libraries into a process, and distributions build it under
   the GPL. */
#ifndef WANLITE_SRC_VIDEO_FFMPEG_MP4_ABI_H_
#define WANLITE_SRC_VIDEO_FFMPEG_MP4_ABI_H_

#include <stddef.h>
#include <stdint.h>

#define WANLITE_ENCODE_MP4_SYMBOL "wanlite_encode_mp4_v1"
#define WANLITE_DECODE_MP4_SYMBOL "wanlite_decode_mp4_v1"

/* rgb: [frames, height, width, 3], even height and width. quality: 1 to 100. Hands the finished
   file to `sink` once. Returns 0, or another number with a text in `error`. */
typedef int (*wanlite_encode_mp4_fn)(const uint8_t* rgb, int64_t frames, int height, int width,
                                     int rate_numerator, int rate_denominator, int quality,
                                     void (*sink)(void* context, const void* data, size_t size),
                                     void* context, char* error, size_t error_size);

/* One decoded frame: rgb [height, width, 3], rows without gaps, borrowed for the call. The rate is
   that of the stream, 0/1 when it does not say. Returns 0 to go on; another number ends the
   decoding, which then returns that number and leaves `error` alone. */
typedef int (*wanlite_mp4_frame_fn)(void* context, const uint8_t* rgb, int height, int width,
                                    int rate_numerator, int rate_denominator);

/* Decodes the first video stream of an MP4 in memory, which is not trusted: frames of more than
   max_pixels, frames that change size, and fewer frames than the file's index names are errors.
   Hands each frame to `sink` in display order. Returns 0, or another number with a text in
   `error`. */
typedef int (*wanlite_decode_mp4_fn)(const uint8_t* file, size_t size, int64_t max_pixels,
                                     wanlite_mp4_frame_fn sink, void* context, char* error,
                                     size_t error_size);

#endif
