// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// How much is read of files that nobody vouches for: one table for every reader, stated in
// SECURITY.md. All are far above any real file; what exceeds one is refused before it can cost
// stack, time or memory.
#ifndef WANLITE_SRC_CORE_INPUT_LIMITS_H_
#define WANLITE_SRC_CORE_INPUT_LIMITS_H_

#include <cstdint>

namespace wanlite {

// Objects and arrays of JSON, messages of a textproto (those inside an Any counted) in each other.
inline constexpr int kMaxTextDepth = 64;
// A text file read whole: configs, indices, manifests, states.
inline constexpr uint64_t kMaxTextBytes = uint64_t{64} << 20;
// Values of one JSON text, objects and arrays counted.
inline constexpr int64_t kMaxTextValues = int64_t{1} << 20;
// Names, values and signs of one textproto.
inline constexpr int64_t kMaxTextProtoTokens = int64_t{1} << 16;
// A textproto that is written by hand: a recipe, options of training.
inline constexpr uint64_t kMaxRecipeBytes = uint64_t{1} << 20;
// The limit of the reference implementation of safetensors.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
// Tensors, and entries of the metadata, of one safetensors file.
inline constexpr int64_t kMaxSafetensorsEntries = int64_t{1} << 18;
// A SentencePiece model; umT5's, with 256,000 pieces, has 4.5 MB.
inline constexpr uint64_t kMaxSpieceBytes = uint64_t{64} << 20;
// Its table of character normalisation; that of NFKC has 0.3 MB.
inline constexpr uint64_t kMaxCharsmapBytes = uint64_t{4} << 20;
// Tokens a prompt is padded to. Attention of the text encoder takes memory with its square; Wan's
// own models have 512.
inline constexpr int64_t kMaxTextTokens = 2048;
// Bytes of a name or a value from a file that go into a message.
inline constexpr uint64_t kMaxQuotedBytes = 160;

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_INPUT_LIMITS_H_
