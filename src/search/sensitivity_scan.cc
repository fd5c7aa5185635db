// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/search/sensitivity_scan.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/core/object_reader.h"
#include "src/core/quote_name.h"
#include "src/core/strict_json.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr int kScanFormatVersion = 2;

using Json = nlohmann::json;

class ScanReader : public ObjectReader {
 public:
  using ObjectReader::ObjectReader;

  std::string String(const char* field) {
    const Json* value = Needed(field);
    if (value == nullptr) return "";
    if (value->is_string()) return value->get<std::string>();
    Wrong(field, *value, "a string");
    return "";
  }
  int64_t Count(const char* field) {
    const Json* value = Needed(field);
    if (value == nullptr) return 0;
    if (IsCount(*value)) return value->get<int64_t>();
    Wrong(field, *value, "a number that is not negative");
    return 0;
  }
  // Finite, not negative.
  double Number(const char* field) {
    const Json* value = Needed(field);
    if (value == nullptr) return 0;
    if (value->is_number() && value->get<double>() >= 0) return value->get<double>();
    Wrong(field, *value, "a number that is not negative");
    return 0;
  }
  std::vector<int64_t> Counts(const char* field) {
    std::vector<int64_t> counts;
    const Json* value = Needed(field);
    if (value == nullptr) return counts;
    if (!value->is_array()) {
      Wrong(field, *value, "a list");
      return counts;
    }
    for (const Json& item : *value) {
      if (!IsCount(item)) Wrong(field, item, "a list of numbers that are not negative");
      counts.push_back(IsCount(item) ? item.get<int64_t>() : 0);
    }
    return counts;
  }
  template <typename Read>
  void EachKey(const char* field, const Read& read) {
    const Json* value = Needed(field);
    if (value == nullptr) return;
    if (!value->is_object()) return Wrong(field, *value, "an object");
    for (const auto& [key, item] : value->items()) {
      Keep(read(key, item, absl::StrCat(where(), ".", field, "[", QuoteName(key), "]")));
    }
  }

 private:
  static bool IsCount(const Json& value) {
    return value.is_number_integer() && value.get<int64_t>() >= 0;
  }
  const Json* Needed(const char* field) {
    const Json* value = Field(field);
    if (value == nullptr && is_object()) Fail(absl::StrCat("has no ", field));
    return value;
  }
};

absl::StatusOr<SensitivityScan> ScanFromJson(const Json& json, const std::string& what) {
  ScanReader reader(json, what);
  SensitivityScan scan;
  if (const int64_t version = reader.Count("format_version");
      reader.is_object() && version != kScanFormatVersion) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, " has the format_version ", version, ", wanted ", kScanFormatVersion,
        version == 1 ? ": it is of an earlier version; remove it, or name another file" : ""));
  }
  scan.pass = reader.String("pass");
  scan.samples = reader.String("samples");
  reader.EachKey("components",
                 [&](const std::string& name, const Json& item, const std::string& where) {
                   ScanReader component(item, where);
                   ScannedComponent& out = scan.components[name];
                   out.weights_sha256 = component.String("weights_sha256");
                   out.passes = component.Counts("passes");
                   return component.Finish();
                 });
  reader.EachKey(
      "items", [&](const std::string& name, const Json& json_item, const std::string& where) {
        ScanReader item(json_item, where);
        ScannedItem& out = scan.items[name];
        out.rows = item.Count("rows");
        item.EachKey(
            "scores", [&](const std::string& key, const Json& score, const std::string& inside) {
              ScanReader fields(score, inside);
              out.scores[key] = {fields.Number("trajectory_error"), fields.Number("pass_error"),
                                 fields.Number("local_error")};
              return fields.Finish();
            });
        item.EachKey("seconds",
                     [&](const std::string& key, const Json& seconds,
                         const std::string& inside) -> absl::Status {
                       if (!seconds.is_number() || !(seconds.get<double>() > 0)) {
                         return absl::InvalidArgumentError(absl::StrCat(
                             inside, " is ", seconds.type_name(), ", wanted a positive number"));
                       }
                       out.seconds[key] = seconds.get<double>();
                       return absl::OkStatus();
                     });
        return item.Finish();
      });
  WANLITE_RETURN_IF_ERROR(reader.Finish());
  return scan;
}

}  // namespace

absl::Status SensitivityScan::CheckSame(const SensitivityScan& wanted,
                                        absl::string_view what) const {
  const auto differs = [&](absl::string_view in) {
    return absl::FailedPreconditionError(absl::StrCat(
        what, ": holds scores of ", in, "; name another file, or remove this one to score anew"));
  };
  if (pass != wanted.pass) return differs(pass);
  if (samples != wanted.samples) return differs("other samples");
  for (const auto& [name, component] : wanted.components) {
    const auto known = components.find(name);
    if (known == components.end()) continue;
    if (known->second.weights_sha256 != component.weights_sha256) {
      return differs(absl::StrCat(name, " with other weights"));
    }
    if (known->second.passes != component.passes) {
      return differs(absl::StrCat("other forward passes of ", name));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ScanLock>> ScanLock::Take(Env& env, const std::string& path) {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(Dirname(path)));
  const std::string file = path + ".lock";
  absl::StatusOr<std::unique_ptr<FileLock>> lock = env.Lock(file);
  if (!lock.ok()) return Annotate(lock.status(), "another run works on these scores");
  std::unique_ptr<ScanLock> taken(new ScanLock(env, file, *std::move(lock)));
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(Dirname(path)));
  for (const std::string& name : names) {
    if (!IsTemporaryName(name, Basename(path))) continue;
    WANLITE_RETURN_IF_ERROR(env.RemoveFile(JoinPath(Dirname(path), name)));
  }
  return taken;
}

// What stays after a kill is locked and removed by the next run.
ScanLock::~ScanLock() { env_.RemoveFile(file_).IgnoreError(); }

absl::Status WriteScan(Env& env, const std::string& path, const SensitivityScan& scan) {
  Json json{{"format_version", kScanFormatVersion},
            {"pass", scan.pass},
            {"samples", scan.samples},
            {"components", Json::object()},
            {"items", Json::object()}};
  for (const auto& [name, component] : scan.components) {
    json["components"][name] = {{"weights_sha256", component.weights_sha256},
                                {"passes", component.passes}};
  }
  for (const auto& [name, item] : scan.items) {
    Json& out = json["items"][name];
    out = {{"rows", item.rows}, {"scores", Json::object()}, {"seconds", Json::object()}};
    for (const auto& [key, score] : item.scores) {
      out["scores"][key] = {{"trajectory_error", score.trajectory_error},
                            {"pass_error", score.pass_error},
                            {"local_error", score.local_error}};
    }
    for (const auto& [key, seconds] : item.seconds) out["seconds"][key] = seconds;
  }
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(Dirname(path)));
  return env.WriteFileAtomically(path, json.dump(1, ' ') + "\n");
}

absl::StatusOr<SensitivityScan> ReadScan(Env& env, const std::string& path) {
  if (!env.FileExists(path)) return absl::NotFoundError(path);
  WANLITE_ASSIGN_OR_RETURN(const Json json, ReadStrictJson(env, path));
  return ScanFromJson(json, path);
}

}  // namespace wanlite
