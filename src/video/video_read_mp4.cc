// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include <cstring>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/video/libav_module.h"
#include "src/video/video_decoders.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Frames as they come: an MP4's index may promise any number, so nothing is reserved for it.
struct Frames {
  std::vector<at::Tensor> frames;
  double fps = 0;
  absl::Status status;
};

int TakeFrame(void* context, const uint8_t* rgb, int height, int width, int rate_numerator,
              int rate_denominator) {
  auto& taken = *static_cast<Frames*>(context);
  taken.status = CheckClipSize(static_cast<int64_t>(taken.frames.size()) + 1, height, width);
  if (!taken.status.ok()) return 1;
  // No exception may pass the C functions that called this.
  taken.status = CatchTorch([&] {
    at::Tensor frame = at::empty({height, width, 3}, at::kByte);
    std::memcpy(frame.data_ptr(), rgb, static_cast<size_t>(frame.numel()));
    taken.frames.push_back(std::move(frame));
  });
  if (rate_denominator > 0) taken.fps = static_cast<double>(rate_numerator) / rate_denominator;
  return taken.status.ok() ? 0 : 1;
}

uint64_t BigEndian(absl::string_view bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// The outermost boxes must end inside the file: libav is content with what is left of a cut one.
absl::Status CheckBoxes(absl::string_view bytes) {
  size_t at = 0;
  while (bytes.size() - at >= 8) {
    uint64_t size = BigEndian(bytes, at, 4);
    if (size == 0) return absl::OkStatus();  // up to the end of the file
    if (size == 1 && bytes.size() - at >= 16) size = BigEndian(bytes, at + 8, 8);
    if (size < 8 || size > bytes.size() - at) {
      return absl::InvalidArgumentError(absl::StrCat("MP4: truncated or broken: the box at byte ",
                                                     at, " should have ", size, " bytes, ",
                                                     bytes.size() - at, " are there"));
    }
    at += size;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VideoClip> DecodeMp4(absl::string_view bytes) {
  WANLITE_ASSIGN_OR_RETURN(const LibavModule module, LoadLibavModule());
  WANLITE_RETURN_IF_ERROR(CheckBoxes(bytes));
  Frames taken;
  char error[256] = "";
  const int rc =
      module.decode(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
                    kMaxReadSide * kMaxReadSide, TakeFrame, &taken, error, sizeof(error));
  WANLITE_RETURN_IF_ERROR(taken.status);
  if (rc != 0) return absl::InvalidArgumentError(absl::StrCat("MP4: ", error));
  if (taken.frames.empty()) return absl::InvalidArgumentError("MP4: no frames in it");
  return VideoClip{at::stack(taken.frames), taken.fps};
}

}  // namespace wanlite
