// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/video/png_animation.h"

#include <png.h>
#include <zlib.h>

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/video/png_chunks.h"
#include "src/video/video_decoders.h"
#include "wanlite/status.h"

namespace wanlite::png {
namespace {

absl::Status Broken(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("PNG: ", what));
}

uint32_t U32(absl::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

int U16(absl::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1]);
}

struct Chunk {
  absl::string_view type, data;
  size_t at = 0;  // in the file, for messages
};

// Takes the chunk at `at` and moves behind it. The checksum is not looked at.
absl::StatusOr<Chunk> TakeChunk(absl::string_view bytes, size_t& at) {
  const auto truncated = [&] {
    return Broken(absl::StrCat("truncated in the chunk at byte ", at, "; the file has ",
                               bytes.size(), " bytes"));
  };
  if (bytes.size() - at < 12) return truncated();
  const size_t size = U32(bytes, at);
  if (size > bytes.size() - at - 12) return truncated();
  const Chunk chunk{bytes.substr(at + 4, 4), bytes.substr(at + 8, size), at};
  at += 12 + size;
  return chunk;
}

absl::Status CheckSum(absl::string_view bytes, const Chunk& chunk) {
  const uint32_t wanted = U32(bytes, chunk.at + 8 + chunk.data.size());
  uLong sum = crc32(0, reinterpret_cast<const Bytef*>(chunk.type.data()), 4);
  sum = crc32_z(sum, reinterpret_cast<const Bytef*>(chunk.data.data()), chunk.data.size());
  if (sum == wanted) return absl::OkStatus();
  return Broken(absl::StrCat("the checksum of chunk ", absl::CHexEscape(chunk.type), " at byte ",
                             chunk.at, " is wrong"));
}

class Parser {
 public:
  absl::Status Take(const Chunk& chunk) {
    if (animation_.header.empty() && chunk.type != "IHDR") {
      return Broken("the first chunk is not IHDR");
    }
    if (chunk.type == "IHDR") return TakeHeader(chunk.data);
    if (chunk.type == "PLTE") animation_.palette = chunk.data;
    if (chunk.type == "tRNS") animation_.transparency = chunk.data;
    if (chunk.type == "acTL") return TakeAnimationControl(chunk.data);
    if (chunk.type == "fcTL" && announced_ > 0) return TakeFrameControl(chunk.data);
    if (chunk.type == "IDAT") return TakeData(chunk.data);
    if (chunk.type == "fdAT" && announced_ > 0) return TakeFrameData(chunk.data);
    return absl::OkStatus();
  }

  absl::StatusOr<Animation> Finish() {
    if (!seen_data_) return Broken("there is no image in it");
    for (const Frame& frame : animation_.frames) {
      if (frame.data.empty()) return Broken("an animation frame has no data");
    }
    if (announced_ > 0 && animation_.frames.size() != announced_) {
      return Broken(
          absl::StrCat("acTL announces ", announced_, " frames, found ", animation_.frames.size()));
    }
    return std::move(animation_);
  }

 private:
  absl::Status TakeHeader(absl::string_view data) {
    if (!animation_.header.empty() || data.size() != 13) return Broken("IHDR is malformed");
    animation_.width = U32(data, 0);
    animation_.height = U32(data, 4);
    animation_.header = data;
    if (data[8] == 16) {
      return absl::UnimplementedError("PNG: 16 bits a sample are not read; up to 8 are");
    }
    return CheckClipSize(1, animation_.height, animation_.width);
  }

  absl::Status TakeAnimationControl(absl::string_view data) {
    if (data.size() != 8 || announced_ > 0 || seen_data_) return Broken("acTL is malformed");
    announced_ = U32(data, 0);
    return CheckClipSize(announced_, 1, 1);
  }

  absl::Status TakeFrameControl(absl::string_view data) {
    if (data.size() != 26) return Broken("fcTL is malformed");
    WANLITE_RETURN_IF_ERROR(TakeSequence(data));
    if (animation_.frames.size() == announced_) {
      return Broken(absl::StrCat("more frames than the ", announced_, " that acTL announces"));
    }
    Frame frame;
    frame.width = U32(data, 4);
    frame.height = U32(data, 8);
    frame.x = U32(data, 12);
    frame.y = U32(data, 16);
    frame.delay_numerator = U16(data, 20);
    // The standard reads 0 as 100.
    frame.delay_denominator = U16(data, 22) == 0 ? 100 : U16(data, 22);
    const size_t index = animation_.frames.size();
    if (frame.width < 1 || frame.height < 1 || frame.x + frame.width > animation_.width ||
        frame.y + frame.height > animation_.height) {
      return Broken(absl::StrCat("frame ", index, " of ", frame.width, "x", frame.height, " at ",
                                 frame.x, ",", frame.y, " leaves the canvas of ", animation_.width,
                                 "x", animation_.height));
    }
    if (!seen_data_ && (frame.width != animation_.width || frame.height != animation_.height)) {
      return Broken("the first frame, which is the default image, is not of the canvas' size");
    }
    const auto dispose = static_cast<uint8_t>(data[24]), blend = static_cast<uint8_t>(data[25]);
    if (dispose > 2 || blend > 1) {
      return Broken(absl::StrCat("frame ", index, ": dispose ", dispose, " and blend ", blend,
                                 " are not of the standard"));
    }
    frame.dispose = static_cast<Dispose>(dispose);
    frame.blend = static_cast<Blend>(blend);
    animation_.frames.push_back(std::move(frame));
    return absl::OkStatus();
  }

  // The default image: the first frame when a control chunk stands before it, or there is no
  // animation.
  absl::Status TakeData(absl::string_view data) {
    const bool first = !seen_data_;
    seen_data_ = true;
    if (first && announced_ == 0) {
      Frame frame;
      frame.width = animation_.width;
      frame.height = animation_.height;
      animation_.frames.push_back(std::move(frame));
    }
    if (animation_.frames.size() > 1) return Broken("IDAT stands behind the first frame");
    if (first) default_is_frame_ = !animation_.frames.empty();
    if (default_is_frame_) animation_.frames[0].data.push_back(data);
    return absl::OkStatus();
  }

  absl::Status TakeFrameData(absl::string_view data) {
    if (data.size() < 4) return Broken("fdAT is malformed");
    WANLITE_RETURN_IF_ERROR(TakeSequence(data));
    if (animation_.frames.empty() || !seen_data_ ||
        (default_is_frame_ && animation_.frames.size() == 1)) {
      return Broken("fdAT stands before its fcTL");
    }
    animation_.frames.back().data.push_back(data.substr(4));
    return absl::OkStatus();
  }

  absl::Status TakeSequence(absl::string_view data) {
    const uint32_t found = U32(data, 0);
    if (found == sequence_++) return absl::OkStatus();
    return Broken(
        absl::StrCat("animation chunk ", found, " stands where ", sequence_ - 1, " should be"));
  }

  Animation animation_;
  uint32_t announced_ = 0;  // frames, by acTL
  uint32_t sequence_ = 0;
  bool seen_data_ = false;
  bool default_is_frame_ = false;
};

}  // namespace

absl::StatusOr<Animation> ParseAnimation(absl::string_view bytes) {
  size_t at = sizeof(kSignature) - 1;
  Parser parser;
  while (true) {
    WANLITE_ASSIGN_OR_RETURN(const Chunk chunk, TakeChunk(bytes, at));
    WANLITE_RETURN_IF_ERROR(CheckSum(bytes, chunk));
    if (chunk.type == "IEND") return parser.Finish();
    WANLITE_RETURN_IF_ERROR(parser.Take(chunk));
  }
}

absl::StatusOr<std::vector<uint8_t>> DecodeFrame(const Animation& animation, const Frame& frame) {
  std::string file(kSignature, sizeof(kSignature) - 1);
  std::string header;
  AppendU32(header, static_cast<uint32_t>(frame.width));
  AppendU32(header, static_cast<uint32_t>(frame.height));
  const absl::string_view rest = animation.header.substr(8);  // depth, colour, methods
  header.append(rest.data(), rest.size());
  AppendChunk(file, "IHDR", header);
  if (!animation.palette.empty()) AppendChunk(file, "PLTE", animation.palette);
  if (!animation.transparency.empty()) AppendChunk(file, "tRNS", animation.transparency);
  for (const absl::string_view piece : frame.data) AppendChunk(file, "IDAT", piece);
  AppendChunk(file, "IEND", "");

  png_image image;
  std::memset(&image, 0, sizeof(image));
  image.version = PNG_IMAGE_VERSION;
  const auto failed = [&] {
    const absl::Status status = absl::InvalidArgumentError(image.message);
    png_image_free(&image);
    return status;
  };
  if (!png_image_begin_read_from_memory(&image, file.data(), file.size())) return failed();
  image.format = PNG_FORMAT_RGBA;
  std::vector<uint8_t> rgba(static_cast<size_t>(frame.width * frame.height * 4));
  if (!png_image_finish_read(&image, nullptr, rgba.data(), 0, nullptr)) return failed();
  return rgba;
}

}  // namespace wanlite::png
