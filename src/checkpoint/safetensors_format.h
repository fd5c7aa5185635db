// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// What the safetensors reader and writer share. The format: 8 bytes little-endian header length N,
// N bytes of JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}, …, "__metadata__":
// {…}}, then the data; offsets count from the end of the header, and the tensors tile the data
// without holes.
#ifndef WANLITE_SRC_CHECKPOINT_SAFETENSORS_FORMAT_H_
#define WANLITE_SRC_CHECKPOINT_SAFETENSORS_FORMAT_H_

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/core/input_limits.h"
#include "src/core/quote_name.h"

namespace wanlite {

inline constexpr absl::string_view kSafetensorsMetadataKey = "__metadata__";

// "BF16" <-> at::kBFloat16; nullopt for what wanlite does not store.
std::optional<at::ScalarType> ParseSafetensorsDtype(absl::string_view name);
std::optional<absl::string_view> SafetensorsDtypeName(at::ScalarType dtype);
// All names, for error messages.
std::string SafetensorsDtypeList();

// "a, b, c, d, e, … (7 more)": what an error says of many names. Quote those that files give.
std::string JoinFew(const std::vector<std::string>& items);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_SAFETENSORS_FORMAT_H_
