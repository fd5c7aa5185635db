// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/video/png_chunks.h"

#include <zlib.h>

namespace wanlite::png {

void AppendU32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

void AppendU16(std::string& out, uint32_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

void AppendChunk(std::string& out, absl::string_view type, absl::string_view data) {
  AppendU32(out, static_cast<uint32_t>(data.size()));
  const size_t start = out.size();
  out.append(type.data(), type.size());
  out.append(data.data(), data.size());
  const uLong crc =
      crc32_z(0, reinterpret_cast<const Bytef*>(out.data() + start), out.size() - start);
  AppendU32(out, static_cast<uint32_t>(crc));
}

}  // namespace wanlite::png
