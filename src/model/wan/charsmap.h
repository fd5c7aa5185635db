// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The tables of character normalisation in a SentencePiece model (NormalizerSpec.
// precompiled_charsmap). SentencePiece follows their offsets wherever they lead, so they are
// checked before it sees them.
#ifndef WANLITE_SRC_MODEL_WAN_CHARSMAP_H_
#define WANLITE_SRC_MODEL_WAN_CHARSMAP_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace wanlite::wan {

// Every table of a serialized ModelProto. InvalidArgument when the bytes are not one, or as of
// CheckCharsmap().
absl::Status CheckCharsmaps(absl::string_view model);

// charsmap: 4 bytes, the size of the trie; the trie, an array of 32-bit units (darts-clone's double
// array); texts, each ended by a zero. InvalidArgument unless every unit that some text can lead to
// lies in the array, every value it finds is the start of a text, and no text finds more than the
// 32 values that the library has room for.
absl::Status CheckCharsmap(absl::string_view charsmap);

}  // namespace wanlite::wan

#endif  // WANLITE_SRC_MODEL_WAN_CHARSMAP_H_
