// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Which colour matrix a stream is read by. Apart from libav, so that it can be tested without it.
#ifndef WANLITE_SRC_VIDEO_FFMPEG_COLOUR_MATRIX_H_
#define WANLITE_SRC_VIDEO_FFMPEG_COLOUR_MATRIX_H_

namespace wanlite {

// matrix_coefficients of ITU-T H.273, which libav's AVColorSpace and swscale's SWS_CS_ share.
inline constexpr int kMatrixBt709 = 1;
inline constexpr int kMatrixUnspecified = 2;
inline constexpr int kMatrixFcc = 4;
inline constexpr int kMatrixBt601 = 5;
inline constexpr int kMatrixSmpte240M = 7;
inline constexpr int kMatrixBt2020 = 9;
inline constexpr int kMatrixBt2020Constant = 10;

// The matrix that a stream tagged `tagged` is converted by. A stream that names none is BT.601 at
// any size, as ffmpeg, OpenCV, PyAV and imageio read it: another guess for tall frames costs 25 dB
// against clips that those wrote.
inline int MatrixFor(int tagged) {
  switch (tagged) {
    case kMatrixBt709:
    case kMatrixFcc:
    case kMatrixSmpte240M:
    case kMatrixBt2020:
      return tagged;
    case kMatrixBt2020Constant:  // its own conversion is not linear; the nearest one
      return kMatrixBt2020;
    default:
      return kMatrixBt601;
  }
}

}  // namespace wanlite

#endif  // WANLITE_SRC_VIDEO_FFMPEG_COLOUR_MATRIX_H_
