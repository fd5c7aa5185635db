// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// Names of blocks and components as paths and files.
#ifndef WANLITE_SRC_CHECKPOINT_BLOCK_FILES_H_
#define WANLITE_SRC_CHECKPOINT_BLOCK_FILES_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "wanlite/model_view.h"

namespace wanlite {

// "transformer", "blocks.0.norm.weight" -> "transformer.blocks.0.norm.weight".
std::string FullPath(absl::string_view component, absl::string_view inside);
// The way back; nullopt when the path is not below the component.
std::optional<std::string> PathInside(absl::string_view component, absl::string_view full);

// File of a block in its component's folder: "transformer.blocks.0" -> "blocks.0.safetensors", a
// component's rest -> "rest.safetensors". InvalidArgument when the block is not of the component or
// has no file name of its own.
absl::StatusOr<std::string> BlockFile(absl::string_view component, absl::string_view block);

// The linears of one component that are not dense, by path inside it.
absl::StatusOr<std::map<std::string, const LinearWeight*>> QuantizedLinears(
    const ModelView& view, const Component& component);

}  // namespace wanlite

#endif  // WANLITE_SRC_CHECKPOINT_BLOCK_FILES_H_
