// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// PNG (W3C Recommendation, third edition, which includes animation): chunks made by hand, since
// libpng writes no animation; zlib compresses.
#include <zlib.h>

#include <cstdlib>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/video/png_chunks.h"
#include "src/video/video_encoders.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using png::AppendChunk;
using png::AppendU16;
using png::AppendU32;

constexpr int64_t kBytesPerPixel = 3;

uint8_t Paeth(int left, int up, int up_left) {
  const int estimate = left + up - up_left;
  const int d_left = std::abs(estimate - left);
  const int d_up = std::abs(estimate - up);
  const int d_up_left = std::abs(estimate - up_left);
  if (d_left <= d_up && d_left <= d_up_left) return static_cast<uint8_t>(left);
  return static_cast<uint8_t>(d_up <= d_up_left ? up : up_left);
}

// The row after filter `type` (0 none, 1 left, 2 up, 3 average, 4 Paeth); `above` is zero for the
// first.
void Filter(int type, const uint8_t* row, const uint8_t* above, int64_t size, uint8_t* out) {
  for (int64_t i = 0; i < size; ++i) {
    const int left = i >= kBytesPerPixel ? row[i - kBytesPerPixel] : 0;
    const int up_left = i >= kBytesPerPixel ? above[i - kBytesPerPixel] : 0;
    const int up = above[i];
    int predicted = 0;
    if (type == 1) predicted = left;
    if (type == 2) predicted = up;
    if (type == 3) predicted = (left + up) / 2;
    if (type == 4) predicted = Paeth(left, up, up_left);
    out[i] = static_cast<uint8_t>(row[i] - predicted);
  }
}

// Filtered and compressed pixels of one frame. Each row takes the filter with the smallest sum of
// absolute values, the heuristic the PNG specification recommends.
absl::StatusOr<std::string> CompressFrame(const RgbFrames& frames, int64_t index) {
  const int64_t row_bytes = frames.width * kBytesPerPixel;
  std::string filtered;
  filtered.reserve(static_cast<size_t>(frames.height * (row_bytes + 1)));
  const std::vector<uint8_t> zeros(static_cast<size_t>(row_bytes), 0);
  std::vector<uint8_t> best(static_cast<size_t>(row_bytes)), trial(best.size());
  for (int64_t y = 0; y < frames.height; ++y) {
    const uint8_t* row = frames.frame(index) + y * row_bytes;
    const uint8_t* above = y > 0 ? row - row_bytes : zeros.data();
    int64_t best_cost = std::numeric_limits<int64_t>::max();
    int best_type = 0;
    for (int type = 0; type <= 4; ++type) {
      Filter(type, row, above, row_bytes, trial.data());
      int64_t cost = 0;
      for (const uint8_t value : trial) cost += std::abs(static_cast<int8_t>(value));
      if (cost < best_cost) {
        best_cost = cost;
        best_type = type;
        best.swap(trial);
      }
    }
    filtered.push_back(static_cast<char>(best_type));
    filtered.append(reinterpret_cast<const char*>(best.data()), best.size());
  }
  uLongf size = compressBound(static_cast<uLong>(filtered.size()));
  std::string compressed(size, '\0');
  const int rc = compress2(reinterpret_cast<Bytef*>(compressed.data()), &size,
                           reinterpret_cast<const Bytef*>(filtered.data()),
                           static_cast<uLong>(filtered.size()), Z_DEFAULT_COMPRESSION);
  if (rc != Z_OK) {
    return absl::ResourceExhaustedError(
        absl::StrCat("PNG: zlib could not compress a frame (code ", rc, ")"));
  }
  compressed.resize(size);
  return compressed;
}

std::string FrameControl(uint32_t sequence, const RgbFrames& frames, FrameRate rate) {
  std::string data;
  AppendU32(data, sequence);
  AppendU32(data, static_cast<uint32_t>(frames.width));
  AppendU32(data, static_cast<uint32_t>(frames.height));
  AppendU32(data, 0);                                        // x offset
  AppendU32(data, 0);                                        // y offset
  AppendU16(data, static_cast<uint32_t>(rate.denominator));  // delay = 1 / rate
  AppendU16(data, static_cast<uint32_t>(rate.numerator));
  data.push_back(0);  // dispose: leave as it is
  data.push_back(0);  // blend: overwrite
  return data;
}

}  // namespace

absl::StatusOr<std::string> EncodePng(const RgbFrames& frames, FrameRate rate) {
  std::string out(png::kSignature, sizeof(png::kSignature) - 1);
  std::string header;
  AppendU32(header, static_cast<uint32_t>(frames.width));
  AppendU32(header, static_cast<uint32_t>(frames.height));
  header.append({8, 2, 0, 0, 0});  // 8 bits, RGB, deflate, adaptive filters, not interlaced
  AppendChunk(out, "IHDR", header);
  const bool animated = frames.count > 1;
  if (animated) {
    std::string control;
    AppendU32(control, static_cast<uint32_t>(frames.count));
    AppendU32(control, 0);  // loop for ever
    AppendChunk(out, "acTL", control);
  }
  uint32_t sequence = 0;
  for (int64_t i = 0; i < frames.count; ++i) {
    if (animated) AppendChunk(out, "fcTL", FrameControl(sequence++, frames, rate));
    WANLITE_ASSIGN_OR_RETURN(const std::string pixels, CompressFrame(frames, i));
    if (i == 0) {
      AppendChunk(out, "IDAT", pixels);
    } else {
      std::string data;
      AppendU32(data, sequence++);
      data.append(pixels);
      AppendChunk(out, "fdAT", data);
    }
  }
  AppendChunk(out, "IEND", "");
  return out;
}

}  // namespace wanlite
