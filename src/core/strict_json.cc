// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/core/strict_json.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/input_limits.h"
#include "src/core/quote_name.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Json = nlohmann::json;

// Builds the tree event by event, and stops at the first thing that is refused. The library's own
// parser with a callback looks through all members of an object after each of them.
class StrictJsonHandler final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return Add(value) != nullptr;
  }
  bool string(string_t& value) override { return Add(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return Fail("holds binary data"); }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    const auto [place, is_new] = open_.back()->emplace(name, nullptr);
    if (!is_new) return Fail(absl::StrCat("the key ", QuoteName(name), " is there twice"));
    next_ = &*place;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return Fail("not valid JSON");
  }

  const std::string& error() const { return error_; }
  Json& root() { return root_; }

 private:
  bool Fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
  }

  // Where the value went; null when it is one too many.
  Json* Add(Json value) {
    if (++values_ > kMaxTextValues) {
      Fail(absl::StrCat("holds more than ", kMaxTextValues, " values"));
      return nullptr;
    }
    if (open_.empty()) return &(root_ = std::move(value));
    if (next_ != nullptr) return &(*std::exchange(next_, nullptr) = std::move(value));
    // Nothing is added to an open container's ancestors, so pointers into them stay good.
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }

  bool Open(Json container) {
    if (open_.size() == kMaxTextDepth) {
      return Fail(absl::StrCat("nested deeper than ", kMaxTextDepth));
    }
    Json* place = Add(std::move(container));
    if (place == nullptr) return false;
    open_.push_back(place);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;  // from the root to the innermost
  Json* next_ = nullptr;     // of the key that was read last
  int64_t values_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, absl::string_view what) {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": JSON of ", text.size(),
                                                   " bytes, at most ", kMaxTextBytes, " are read"));
  }
  StrictJsonHandler handler;
  if (!Json::sax_parse(text.begin(), text.end(), &handler)) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": ", handler.error()));
  }
  if (!handler.root().is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": holds ", handler.root().type_name(), ", wanted an object"));
  }
  return std::move(handler.root());
}

absl::StatusOr<nlohmann::json> ReadStrictJson(Env& env, const std::string& path) {
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(path, kMaxTextBytes));
  return ParseStrictJson(text, path);
}

}  // namespace wanlite
