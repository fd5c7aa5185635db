// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The outer form of a PNG file: a signature and chunks.
#ifndef WANLITE_SRC_VIDEO_PNG_CHUNKS_H_
#define WANLITE_SRC_VIDEO_PNG_CHUNKS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace wanlite::png {

inline constexpr char kSignature[] = "\x89PNG\r\n\x1a\n";

// Big-endian, as all numbers in PNG.
void AppendU32(std::string& out, uint32_t value);
void AppendU16(std::string& out, uint32_t value);

// Length, type (4 letters), data, CRC over type and data.
void AppendChunk(std::string& out, absl::string_view type, absl::string_view data);

}  // namespace wanlite::png

#endif  // WANLITE_SRC_VIDEO_PNG_CHUNKS_H_
