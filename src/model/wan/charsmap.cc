// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/model/wan/charsmap.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/input_limits.h"
#include "wanlite/status.h"

namespace wanlite::wan {
namespace {

// Values that one text may find: SentencePiece's kMaxTrieResultsSize.
constexpr int kMaxResults = 32;

// One unit of the double array, as darts-clone reads it.
struct Unit {
  uint32_t bits;
  bool has_leaf() const { return (bits >> 8 & 1) != 0; }
  uint32_t value() const { return bits & 0x7fffffffu; }
  // A unit without a character has the highest bit set, so it is never that of a byte.
  uint32_t label() const { return bits & 0x800000ffu; }
  uint32_t offset() const { return (bits >> 10) << ((bits & 0x200u) >> 6); }
};

class CharsmapChecker {
 public:
  CharsmapChecker(absl::string_view trie, absl::string_view texts)
      : units_(trie.size() / sizeof(uint32_t)), texts_(texts) {
    std::memcpy(units_.data(), trie.data(), units_.size() * sizeof(uint32_t));
    results_.resize(units_.size(), kUnseen);
  }

  // Walks all that can be reached, each place once; a trie may share its tails.
  absl::Status Check() {
    if (units_.empty()) return Bad("the trie is empty");
    WANLITE_RETURN_IF_ERROR(Enter(Unit{units_[0]}.offset()));
    while (!path_.empty()) {
      Place& place = path_.back();
      if (place.next_byte == 256) {
        const int below = place.most;
        if (below > kMaxResults) return TooMany();
        results_[place.base] = static_cast<uint8_t>(below);
        path_.pop_back();
        if (!path_.empty()) Take(below);
        continue;
      }
      const uint32_t byte = static_cast<uint32_t>(place.next_byte++);
      const uint32_t at = place.base ^ byte;
      const Unit unit{units_[at]};
      if (unit.label() != byte) continue;
      const uint32_t next = at ^ unit.offset();
      place.leaf = unit.has_leaf();
      if (next >= units_.size()) return Outside(next);
      if (unit.has_leaf() && Unit{units_[next]}.value() >= texts_.size()) {
        return Bad(absl::StrCat("a value is the text at byte ", Unit{units_[next]}.value(), " of ",
                                texts_.size()));
      }
      if (results_[next] == kOpen) return Bad("the trie leads back into itself");
      if (results_[next] != kUnseen) {
        Take(results_[next]);
      } else {
        WANLITE_RETURN_IF_ERROR(Enter(next));
      }
    }
    return absl::OkStatus();
  }

 private:
  // Where the search stands after some bytes: the unit of the next byte is at base ^ byte.
  struct Place {
    uint32_t base;
    int next_byte = 0;
    bool leaf = false;  // the byte that is being followed ends a text of the trie
    int most = 0;       // values that the best continuation finds
  };
  static constexpr uint8_t kUnseen = 255, kOpen = 254;

  static absl::Status Bad(absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("character normalisation: ", what));
  }
  static absl::Status TooMany() {
    return Bad(absl::StrCat("a text finds more than ", kMaxResults, " values"));
  }
  absl::Status Outside(uint32_t at) const {
    return Bad(absl::StrCat("the trie leads to unit ", at, " of ", units_.size()));
  }

  absl::Status Enter(uint32_t base) {
    // Any byte may come next.
    if ((base | 255u) >= units_.size()) return Outside(base | 255u);
    results_[base] = kOpen;
    path_.push_back(Place{base});
    return absl::OkStatus();
  }

  // What lies behind the byte that the innermost place is following.
  void Take(int below) {
    Place& place = path_.back();
    place.most = std::max(place.most, below + (place.leaf ? 1 : 0));
  }

  std::vector<uint32_t> units_;
  absl::string_view texts_;
  std::vector<uint8_t> results_;  // by base: values found from there on, or kUnseen, kOpen
  std::vector<Place> path_;
};

// Reads a message of protobuf's wire format, without knowing its type.
class WireReader {
 public:
  explicit WireReader(absl::string_view bytes) : bytes_(bytes) {}
  bool AtEnd() const { return bytes_.empty(); }

  // The next field; `value` is its bytes when it has a length. False when the bytes are no message.
  // Groups, which no known field is, are not read.
  bool Next(uint64_t& field, bool& has_length, absl::string_view& value) {
    uint64_t tag = 0;
    // Protobuf drops what is above 32 bits, so another field would be read there than here.
    if (!Varint(tag) || tag > std::numeric_limits<uint32_t>::max()) return false;
    field = tag >> 3;
    has_length = (tag & 7) == 2;
    uint64_t size = 0;
    switch (tag & 7) {
      case 0:
        return Varint(size);
      case 1:
        size = 8;
        break;
      case 2:
        if (!Varint(size)) return false;
        break;
      case 5:
        size = 4;
        break;
      default:
        return false;
    }
    if (size > bytes_.size()) return false;
    value = bytes_.substr(0, static_cast<size_t>(size));
    bytes_.remove_prefix(static_cast<size_t>(size));
    return true;
  }

 private:
  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const uint64_t byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  absl::string_view bytes_;
};

absl::Status NotAModel() {
  return absl::InvalidArgumentError("not a SentencePiece model: its bytes are no message");
}

absl::Status CheckNormalizer(absl::string_view normalizer) {
  constexpr uint64_t kPrecompiledCharsmap = 2;
  WireReader reader(normalizer);
  while (!reader.AtEnd()) {
    uint64_t field = 0;
    bool has_length = false;
    absl::string_view value;
    if (!reader.Next(field, has_length, value)) return NotAModel();
    // Empty: no normalisation.
    if (field != kPrecompiledCharsmap || !has_length || value.empty()) continue;
    WANLITE_RETURN_IF_ERROR(CheckCharsmap(value));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCharsmap(absl::string_view charsmap) {
  const auto bad = [](auto&&... parts) {
    return absl::InvalidArgumentError(absl::StrCat("character normalisation: ", parts...));
  };
  if (charsmap.size() > kMaxCharsmapBytes) {
    return bad("a table of ", charsmap.size(), " bytes, at most ", kMaxCharsmapBytes, " are read");
  }
  uint32_t trie_bytes = 0;
  if (charsmap.size() <= sizeof(trie_bytes)) return bad("a table of ", charsmap.size(), " bytes");
  std::memcpy(&trie_bytes, charsmap.data(), sizeof(trie_bytes));
  charsmap.remove_prefix(sizeof(trie_bytes));
  if (trie_bytes >= charsmap.size() || trie_bytes % sizeof(uint32_t) != 0) {
    return bad("a trie of ", trie_bytes, " bytes in a table of ", charsmap.size(),
               ", wanted a multiple of 4 that leaves room for texts");
  }
  const absl::string_view texts = charsmap.substr(trie_bytes);
  if (texts.back() != '\0') return bad("the last text has no end");
  return CharsmapChecker(charsmap.substr(0, trie_bytes), texts).Check();
}

absl::Status CheckCharsmaps(absl::string_view model) {
  constexpr uint64_t kNormalizerSpec = 3, kDenormalizerSpec = 5;
  WireReader reader(model);
  while (!reader.AtEnd()) {
    uint64_t field = 0;
    bool has_length = false;
    absl::string_view value;
    if (!reader.Next(field, has_length, value)) return NotAModel();
    if ((field == kNormalizerSpec || field == kDenormalizerSpec) && has_length) {
      WANLITE_RETURN_IF_ERROR(CheckNormalizer(value));
    }
  }
  return absl::OkStatus();
}

}  // namespace wanlite::wan
