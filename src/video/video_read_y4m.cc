// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/core/libtorch.h"
#include "src/video/video_decoders.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// No program writes longer lines; a file without line ends is not searched to its end.
constexpr size_t kMaxLine = 1024;

struct Layout {
  int64_t width = 0, height = 0;
  double fps = 0;
  int64_t chroma_x = 2, chroma_y = 2;  // pixels that share a chroma sample
  bool mono = false;
  bool full_range = false;

  int64_t chroma_width() const { return (width + chroma_x - 1) / chroma_x; }
  int64_t chroma_height() const { return (height + chroma_y - 1) / chroma_y; }
  int64_t chroma_bytes() const { return mono ? 0 : chroma_width() * chroma_height(); }
  int64_t frame_bytes() const { return width * height + 2 * chroma_bytes(); }
};

// The line at `at` without its end; moves `at` behind it.
absl::StatusOr<absl::string_view> TakeLine(absl::string_view bytes, size_t& at) {
  const absl::string_view rest = bytes.substr(at, kMaxLine);
  const size_t end = rest.find('\n');
  if (end == absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("Y4M: no line of at most ", kMaxLine,
                                                   " bytes at byte ", at, "; the file has ",
                                                   bytes.size(), " bytes"));
  }
  at += end + 1;
  return rest.substr(0, end);
}

absl::Status Unread(absl::string_view what) {
  return absl::UnimplementedError(absl::StrCat(
      "Y4M: ", what,
      " is not read; 8 bits, progressive, C420jpeg, C420mpeg2, C420, C422, C444 and Cmono are"));
}

absl::Status ReadColour(absl::string_view name, Layout& layout) {
  if (name == "420" || name == "420jpeg" || name == "420mpeg2") {
    layout.chroma_x = layout.chroma_y = 2;
  } else if (name == "422") {
    layout.chroma_x = 2;
    layout.chroma_y = 1;
  } else if (name == "444") {
    layout.chroma_x = layout.chroma_y = 1;
  } else if (name == "mono") {
    layout.mono = true;
  } else {
    return Unread(absl::StrCat("colour space C", name));
  }
  return absl::OkStatus();
}

absl::Status ReadField(absl::string_view field, Layout& layout) {
  const char tag = field.front();
  const absl::string_view value = field.substr(1);
  if (tag == 'W' || tag == 'H') {
    int64_t& side = tag == 'W' ? layout.width : layout.height;
    if (!absl::SimpleAtoi(value, &side)) {
      return absl::InvalidArgumentError(absl::StrCat("Y4M: '", field, "' is not a size"));
    }
  } else if (tag == 'F') {
    const std::vector<absl::string_view> parts = absl::StrSplit(value, ':');
    int64_t numerator = 0, denominator = 0;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &numerator) ||
        !absl::SimpleAtoi(parts[1], &denominator) || numerator < 0 || denominator < 0) {
      return absl::InvalidArgumentError(absl::StrCat("Y4M: '", field, "' is not a frame rate"));
    }
    // F0:0 is the format's word for unknown.
    if (denominator > 0) {
      layout.fps = static_cast<double>(numerator) / static_cast<double>(denominator);
    }
  } else if (tag == 'I' && value != "p" && value != "?") {
    return Unread(absl::StrCat("interlacing I", value));
  } else if (tag == 'C') {
    return ReadColour(value, layout);
  } else if (tag == 'X' && value == "COLORRANGE=FULL") {
    layout.full_range = true;
  }
  return absl::OkStatus();
}

absl::StatusOr<Layout> ReadHeader(absl::string_view line) {
  Layout layout;
  std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
  fields.erase(fields.begin());  // the magic word
  for (const absl::string_view field : fields) {
    WANLITE_RETURN_IF_ERROR(ReadField(field, layout));
  }
  WANLITE_RETURN_IF_ERROR(CheckClipSize(1, layout.height, layout.width));
  return layout;
}

// Where each frame's planes begin.
absl::StatusOr<std::vector<size_t>> FindFrames(absl::string_view bytes, size_t at,
                                               const Layout& layout) {
  const size_t size = static_cast<size_t>(layout.frame_bytes());
  std::vector<size_t> starts;
  while (at < bytes.size()) {
    const size_t marker = at;
    WANLITE_ASSIGN_OR_RETURN(const absl::string_view line, TakeLine(bytes, at));
    if (line != "FRAME" && !absl::StartsWith(line, "FRAME ")) {
      return absl::InvalidArgumentError(
          absl::StrCat("Y4M: no FRAME at byte ", marker, ", after frame ", starts.size()));
    }
    if (bytes.size() - at < size) {
      return absl::InvalidArgumentError(absl::StrCat("Y4M: truncated in frame ", starts.size(),
                                                     ": it has ", bytes.size() - at, " bytes of ",
                                                     size));
    }
    starts.push_back(at);
    at += size;
    WANLITE_RETURN_IF_ERROR(
        CheckClipSize(static_cast<int64_t>(starts.size()), layout.height, layout.width));
  }
  if (starts.empty()) return absl::InvalidArgumentError("Y4M: a header without frames");
  return starts;
}

uint8_t ToByte(double value) {
  return static_cast<uint8_t>(std::clamp(std::lround(value), 0L, 255L));
}

// ITU-R BT.601, 8 bits. planes: Y, then Cb and Cr.
void ToRgb(const uint8_t* planes, const Layout& layout, uint8_t* rgb) {
  const uint8_t* cb_plane = planes + layout.width * layout.height;
  const uint8_t* cr_plane = cb_plane + layout.chroma_bytes();
  const double black = layout.full_range ? 0 : 16;
  const double luma_scale = layout.full_range ? 1 : 255.0 / 219.0;
  const double chroma_scale = layout.full_range ? 1 : 255.0 / 224.0;
  for (int64_t y = 0; y < layout.height; ++y) {
    const int64_t chroma_row = y / layout.chroma_y * layout.chroma_width();
    for (int64_t x = 0; x < layout.width; ++x, rgb += 3) {
      const double luma = (planes[y * layout.width + x] - black) * luma_scale;
      const int64_t at = chroma_row + x / layout.chroma_x;
      const double cb = layout.mono ? 0 : (cb_plane[at] - 128) * chroma_scale;
      const double cr = layout.mono ? 0 : (cr_plane[at] - 128) * chroma_scale;
      const double red = luma + 1.402 * cr;
      const double blue = luma + 1.772 * cb;
      rgb[0] = ToByte(red);
      // From luma = 0.299 R + 0.587 G + 0.114 B.
      rgb[1] = ToByte((luma - 0.299 * red - 0.114 * blue) / 0.587);
      rgb[2] = ToByte(blue);
    }
  }
}

}  // namespace

absl::StatusOr<VideoClip> DecodeY4m(absl::string_view bytes) {
  size_t at = 0;
  WANLITE_ASSIGN_OR_RETURN(const absl::string_view line, TakeLine(bytes, at));
  WANLITE_ASSIGN_OR_RETURN(const Layout layout, ReadHeader(line));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<size_t> starts, FindFrames(bytes, at, layout));
  VideoClip clip;
  clip.fps = layout.fps;
  clip.frames =
      at::empty({static_cast<int64_t>(starts.size()), layout.height, layout.width, 3}, at::kByte);
  auto* rgb = clip.frames.data_ptr<uint8_t>();
  for (const size_t start : starts) {
    ToRgb(reinterpret_cast<const uint8_t*>(bytes.data() + start), layout, rgb);
    rgb += layout.height * layout.width * 3;
  }
  return clip;
}

}  // namespace wanlite
