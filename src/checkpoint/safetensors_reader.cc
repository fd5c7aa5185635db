// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/safetensors_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/tensor_text.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors data is little-endian and is used in place");

// Below this a mapping costs more than a copy, and a process may have only so many mappings.
constexpr size_t kLeastMappedBytes = size_t{1} << 16;
// LibTorch's iterators stop at 64 dimensions.
constexpr size_t kMaxDims = 64;

struct HeaderEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<uint64_t> offsets;
  bool has_dtype = false;
  bool has_shape = false;
  bool has_offsets = false;
};

// Reads the header event by event: a document that is not a header is left at its first wrong
// token, and no tree of it is ever built. Duplicate keys, which a tree would swallow, are errors.
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override {
    if (state_ != State::kMetadata) return Wrong("null");
    state_ = State::kTop;  // some writers say null for none
    return true;
  }
  bool boolean(bool) override { return Wrong("a boolean"); }
  bool number_float(number_float_t, const string_t& text) override {
    return Wrong(absl::StrCat("the number ", text.substr(0, 40)));
  }
  bool binary(binary_t&) override { return Wrong("binary data"); }

  bool number_integer(number_integer_t value) override {
    return Wrong(absl::StrCat("the negative number ", value));
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShapeItems) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Wrong(absl::StrCat("the size ", value));
      }
      if (entry_.shape.size() == kMaxDims) {
        return Fail(absl::StrCat(Where(), " has more than ", kMaxDims, " dimensions"));
      }
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (state_ == State::kOffsetItems) {
      if (entry_.offsets.size() == 2)
        return Fail(absl::StrCat(Where(), " has more than 2 data_offsets"));
      entry_.offsets.push_back(value);
      return true;
    }
    return Wrong(absl::StrCat("the number ", value));
  }

  bool string(string_t& value) override {
    if (state_ == State::kDtype) {
      entry_.dtype = value;
      state_ = State::kFields;
      return true;
    }
    if (state_ == State::kMetadataValue) {
      metadata_[key_] = value;
      state_ = State::kMetadataFields;
      return true;
    }
    return Wrong(absl::StrCat("the string ", QuoteName(value)));
  }

  bool start_object(std::size_t) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kEntry:
        state_ = State::kFields;
        return true;
      case State::kMetadata:
        state_ = State::kMetadataFields;
        return true;
      default:
        return Wrong("an object");
    }
  }

  bool key(string_t& value) override {
    switch (state_) {
      case State::kTop:
        if (value == std::string(kSafetensorsMetadataKey)) {
          if (std::exchange(seen_metadata_, true)) return Fail("__metadata__ is there twice");
          state_ = State::kMetadata;
          return true;
        }
        if (!Room()) return false;
        entry_ = HeaderEntry{};
        entry_.name = value;
        state_ = State::kEntry;
        return true;
      case State::kMetadataFields:
        if (!Room()) return false;
        if (metadata_.contains(value)) {
          return Fail(absl::StrCat("__metadata__ holds ", QuoteName(value), " twice"));
        }
        key_ = value;
        state_ = State::kMetadataValue;
        return true;
      case State::kFields:
        if (value == "dtype") return Field(entry_.has_dtype, State::kDtype, value);
        if (value == "shape") return Field(entry_.has_shape, State::kShape, value);
        if (value == "data_offsets") return Field(entry_.has_offsets, State::kOffsets, value);
        return Fail(absl::StrCat(Where(), " has the unknown field ", QuoteName(value)));
      default:
        return Wrong("a key");
    }
  }

  bool end_object() override {
    switch (state_) {
      case State::kTop:
        state_ = State::kEnd;
        return true;
      case State::kMetadataFields:
        state_ = State::kTop;
        return true;
      case State::kFields:
        if (!entry_.has_dtype || !entry_.has_shape || !entry_.has_offsets) {
          return Fail(absl::StrCat(Where(), " has no ",
                                   !entry_.has_dtype   ? "dtype"
                                   : !entry_.has_shape ? "shape"
                                                       : "data_offsets"));
        }
        entries_.push_back(std::move(entry_));
        state_ = State::kTop;
        return true;
      default:
        return Wrong("the end of an object");
    }
  }

  bool start_array(std::size_t) override {
    switch (state_) {
      case State::kShape:
        state_ = State::kShapeItems;
        return true;
      case State::kOffsets:
        state_ = State::kOffsetItems;
        return true;
      default:
        return Wrong("an array");
    }
  }

  bool end_array() override {
    if (state_ == State::kOffsetItems && entry_.offsets.size() != 2) {
      return Fail(absl::StrCat(Where(), " has ", entry_.offsets.size(), " data_offsets, wanted 2"));
    }
    state_ = State::kFields;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    return Fail(absl::StrCat("it is not JSON at byte ", position));
  }

  const std::string& error() const { return error_; }
  std::vector<HeaderEntry>& entries() { return entries_; }
  std::map<std::string, std::string>& metadata() { return metadata_; }

 private:
  enum class State {
    kStart,
    kTop,
    kEntry,
    kFields,
    kDtype,
    kShape,
    kShapeItems,
    kOffsets,
    kOffsetItems,
    kMetadata,
    kMetadataFields,
    kMetadataValue,
    kEnd,
  };

  std::string Where() const { return absl::StrCat("tensor ", QuoteName(entry_.name)); }

  bool Fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
  }

  // For one entry more.
  bool Room() {
    if (entries_.size() + metadata_.size() < static_cast<size_t>(kMaxSafetensorsEntries))
      return true;
    return Fail(absl::StrCat("it has more than ", kMaxSafetensorsEntries,
                             " tensors and entries of metadata"));
  }

  bool Field(bool& seen, State next, const std::string& name) {
    if (std::exchange(seen, true)) return Fail(absl::StrCat(Where(), " has ", name, " twice"));
    state_ = next;
    return true;
  }

  bool Wrong(absl::string_view found) {
    switch (state_) {
      case State::kStart:
        return Fail(absl::StrCat("it holds ", found, ", wanted an object"));
      case State::kEntry:
        return Fail(absl::StrCat(Where(), " is ", found, ", wanted an object"));
      case State::kDtype:
        return Fail(absl::StrCat(Where(), ": dtype is ", found, ", wanted a string"));
      case State::kShape:
        return Fail(absl::StrCat(Where(), ": shape is ", found, ", wanted an array"));
      case State::kShapeItems:
        return Fail(absl::StrCat(Where(), ": shape holds ", found, ", wanted a size"));
      case State::kOffsets:
        return Fail(absl::StrCat(Where(), ": data_offsets is ", found, ", wanted an array"));
      case State::kOffsetItems:
        return Fail(absl::StrCat(Where(), ": data_offsets holds ", found, ", wanted an offset"));
      case State::kMetadata:
        return Fail(absl::StrCat("__metadata__ is ", found, ", wanted an object"));
      case State::kMetadataValue:
        return Fail(
            absl::StrCat("__metadata__ ", QuoteName(key_), " is ", found, ", wanted a string"));
      default:
        return Fail(absl::StrCat("it holds ", found, " in a wrong place"));
    }
  }

  State state_ = State::kStart;
  std::string error_;
  std::string key_;
  bool seen_metadata_ = false;
  HeaderEntry entry_;
  std::vector<HeaderEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

// Bytes of shape * dtype; nullopt on overflow, zero sizes notwithstanding: strides would overflow
// too.
std::optional<uint64_t> CheckedBytes(const std::vector<int64_t>& shape, at::ScalarType dtype) {
  int64_t product = static_cast<int64_t>(c10::elementSize(dtype));
  bool empty = false;
  for (const int64_t size : shape) {
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(product, size, &product)) {
      return std::nullopt;
    }
  }
  return empty ? 0 : static_cast<uint64_t>(product);
}

// What a file that is no safetensors file is, by its first bytes; empty when they tell nothing.
// `header_bytes` is what they are as the length of a header.
std::string ForeignKind(absl::string_view file, uint64_t header_bytes) {
  absl::string_view text = absl::StripLeadingAsciiWhitespace(file.substr(0, 4096));
  absl::ConsumePrefix(&text, "\xEF\xBB\xBF");
  if (absl::StartsWith(text, "version https://git-lfs")) {
    return "a git-lfs pointer in place of the file; fetch the file itself with 'git lfs pull'";
  }
  if (absl::StartsWithIgnoreCase(text, "<!doctype") || absl::StartsWithIgnoreCase(text, "<html") ||
      absl::StartsWithIgnoreCase(text, "<?xml")) {
    return "a web page, as servers send in place of a file that they refuse; download it again";
  }
  constexpr absl::string_view kPickle =
      "a pickle (PyTorch's .pt, .pth and .bin), which wanlite does not read, since opening one can "
      "run any code in it; save its tensors as safetensors";
  if (absl::StartsWith(file, "PK\x03\x04")) {
    if (absl::StrContains(file.substr(0, 4096), ".pkl")) return std::string(kPickle);
    return "a zip archive; unpack it";
  }
  // A pickle begins with the opcode PROTO and its version, as the length of a short header may.
  if (file.size() > 1 && file[0] == '\x80' && file[1] >= 1 && file[1] <= 5 &&
      (file.size() < 8 || header_bytes > kMaxSafetensorsHeaderBytes)) {
    return std::string(kPickle);
  }
  if (absl::StartsWith(file, "GGUF")) {
    return "a GGUF file, which wanlite does not read; take the model's safetensors";
  }
  if (absl::StartsWith(file, "\x1F\x8B")) return "a gzip archive; unpack it";
  if (absl::StartsWith(file, "\x89HDF")) return "an HDF5 file, which wanlite does not read";
  return "";
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Open(
    Env& env, absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const FileMapping> mapping, env.Map(path));
  const absl::string_view file(mapping->data().data(), mapping->data().size());
  const auto fail = [&](auto&&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", parts...));
  };

  uint64_t header_bytes = 0;
  if (file.size() >= 8) std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  HeaderHandler header;
  const char* text = file.substr(std::min<size_t>(8, file.size())).data();
  const bool is_header = file.size() >= 8 && header_bytes <= kMaxSafetensorsHeaderBytes &&
                         header_bytes <= file.size() - 8 &&
                         nlohmann::json::sax_parse(text, text + header_bytes, &header);
  if (const std::string kind = is_header ? "" : ForeignKind(file, header_bytes); !kind.empty()) {
    return fail("not a safetensors file but ", kind);
  }
  if (file.size() < 8) {
    return fail("not a safetensors file: ", file.size(), " bytes, wanted at least 8");
  }
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    return fail("not a safetensors file: header of ", header_bytes, " bytes, at most ",
                kMaxSafetensorsHeaderBytes, " are read");
  }
  if (header_bytes > file.size() - 8) {
    return fail("truncated: header of ", header_bytes, " bytes in a file of ", file.size());
  }

  if (!is_header) return fail("safetensors header: ", header.error());

  std::vector<HeaderEntry>& entries = header.entries();
  const uint64_t data_start = 8 + header_bytes;
  const uint64_t data_bytes = file.size() - data_start;
  std::sort(entries.begin(), entries.end(),
            [](const HeaderEntry& a, const HeaderEntry& b) { return a.name < b.name; });
  std::shared_ptr<SafetensorsFile> result(new SafetensorsFile());
  result->infos_.reserve(entries.size());
  result->offsets_.reserve(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    HeaderEntry& entry = entries[i];
    const std::string where = absl::StrCat("tensor ", QuoteName(entry.name));
    if (i > 0 && entry.name == result->infos_.back().name) return fail(where, " is there twice");
    const std::optional<at::ScalarType> dtype = ParseSafetensorsDtype(entry.dtype);
    if (!dtype.has_value()) {
      return fail(where, " has dtype ", QuoteName(entry.dtype), ", wanted one of ",
                  SafetensorsDtypeList());
    }
    const uint64_t begin = entry.offsets[0];
    const uint64_t end = entry.offsets[1];
    if (begin > end || end > data_bytes) {
      return fail(where, " has data_offsets [", begin, ", ", end, "] in ", data_bytes,
                  " bytes of data",
                  end > data_bytes ? ": the file is truncated or its header lies" : "");
    }
    const std::optional<uint64_t> bytes = CheckedBytes(entry.shape, *dtype);
    if (bytes != end - begin) {
      return fail(where, " of dtype ", entry.dtype, " and shape ", ShapeText(entry.shape),
                  " takes ", bytes.has_value() ? absl::StrCat(*bytes) : "more than 2^63",
                  " bytes, its data_offsets [", begin, ", ", end, "] hold ", end - begin);
    }
    result->infos_.push_back({entry.name, *dtype, std::move(entry.shape)});
    result->offsets_.push_back(data_start + begin);
  }

  // The tensors must tile the data: no holes to hide things in, no bytes shared or left over.
  std::sort(entries.begin(), entries.end(),
            [](const HeaderEntry& a, const HeaderEntry& b) { return a.offsets < b.offsets; });
  uint64_t expected = 0;
  for (const HeaderEntry& entry : entries) {
    if (entry.offsets[0] != expected) {
      return fail("the data of tensor ", QuoteName(entry.name), " begins at ", entry.offsets[0],
                  ", ",
                  entry.offsets[0] < expected ? "inside the tensor before it, which ends at "
                                              : "leaving a hole after ",
                  expected);
    }
    expected = entry.offsets[1];
  }
  if (expected != data_bytes) {
    return fail("the tensors end at byte ", expected, " of the data, but there are ", data_bytes);
  }

  result->path_ = std::string(path);
  result->mapping_ = std::move(mapping);
  result->metadata_ = std::move(header.metadata());
  return std::shared_ptr<const SafetensorsFile>(std::move(result));
}

std::optional<size_t> SafetensorsFile::IndexOf(absl::string_view name) const {
  const TensorInfo* info = Find(name);
  if (info == nullptr) return std::nullopt;
  return static_cast<size_t>(info - infos_.data());
}

absl::string_view SafetensorsFile::Bytes(size_t index) const {
  return absl::string_view(mapping_->data().data() + offsets_[index],
                           static_cast<size_t>(infos_[index].bytes()));
}

absl::StatusOr<at::Tensor> SafetensorsFile::Read(absl::string_view name) const {
  const std::optional<size_t> index = IndexOf(name);
  if (!index.has_value()) {
    return absl::NotFoundError(absl::StrCat(path_, " holds no tensor ", QuoteName(name)));
  }
  const TensorInfo& info = infos_[*index];
  const absl::string_view bytes = Bytes(*index);
  if (info.dtype == at::kBool) {
    // A bool that is neither 0 nor 1 is undefined behaviour the moment it is read.
    const auto bad =
        std::find_if(bytes.begin(), bytes.end(), [](char c) { return c != 0 && c != 1; });
    if (bad != bytes.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": BOOL tensor ", QuoteName(name), " holds the byte ",
                       static_cast<int>(static_cast<unsigned char>(*bad)), ", wanted 0 or 1"));
    }
  }
  const auto options = at::TensorOptions().dtype(info.dtype);
  if (bytes.empty()) return CatchTorch([&] { return at::empty(info.shape, options); });
  if (bytes.size() < kLeastMappedBytes || offsets_[*index] % c10::elementSize(info.dtype) != 0) {
    return CatchTorch([&]() -> at::Tensor {
      at::Tensor copy = at::empty(info.shape, options);
      std::memcpy(copy.mutable_data_ptr(), bytes.data(), bytes.size());
      return copy;
    });
  }
  // A mapping of its own: whoever writes to the tensor must not change what others read.
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const FileMapping> own,
                           mapping_->MapAgain(offsets_[*index], bytes.size()));
  return CatchTorch([&]() -> at::Tensor {
    char* data = own->data().data();
    return at::from_blob(
        data, info.shape, [own = std::move(own)](void*) {}, options);
  });
}

void SafetensorsFile::Release(absl::string_view name) const {
  const std::optional<size_t> index = IndexOf(name);
  if (!index.has_value()) return;
  mapping_->Release(offsets_[*index], static_cast<uint64_t>(infos_[*index].bytes()));
}

void SafetensorsFile::Prefetch(absl::string_view name) const {
  const std::optional<size_t> index = IndexOf(name);
  if (!index.has_value()) return;
  mapping_->Prefetch(offsets_[*index], static_cast<uint64_t>(infos_[*index].bytes()));
}

absl::StatusOr<std::shared_ptr<const TensorSource>> OpenSafetensors(Env& env,
                                                                    absl::string_view path) {
  WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const SafetensorsFile> file,
                           SafetensorsFile::Open(env, path));
  return std::shared_ptr<const TensorSource>(std::move(file));
}

}  // namespace wanlite
