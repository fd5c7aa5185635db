// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/calibration/sample_set_json.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/core/object_reader.h"
#include "src/core/quote_name.h"
#include "src/core/sha256.h"
#include "src/core/strict_json.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using SampleJson = nlohmann::json;
using OrderedSampleJson = nlohmann::ordered_json;

constexpr int kSampleSetVersion = 1;
constexpr char kFingerprint[] = "fingerprint";

// Every field must be there.
class SampleFields : public ObjectReader {
 public:
  using ObjectReader::ObjectReader;

  std::string Text(const char* field) {
    const SampleJson* value = Get(field, "a string", &SampleJson::is_string);
    return value == nullptr ? "" : value->get<std::string>();
  }
  uint64_t Unsigned(const char* field) {
    const SampleJson* value =
        Get(field, "a whole number from 0 on", &SampleJson::is_number_unsigned);
    return value == nullptr ? 0 : value->get<uint64_t>();
  }
  int64_t Int(const char* field) {
    const SampleJson* value = Get(field, "a whole number", &SampleJson::is_number_integer);
    if (value == nullptr) return 0;
    if (value->is_number_unsigned() && value->get<uint64_t>() > (uint64_t{1} << 62)) {
      Fail(absl::StrCat("has ", field, " = ", value->dump(), ", which is too large"));
      return 0;
    }
    return value->get<int64_t>();
  }
  double Double(const char* field) {
    const SampleJson* value = Get(field, "a number", &SampleJson::is_number);
    return value == nullptr ? 0 : value->get<double>();
  }
  const SampleJson& Array(const char* field) {
    static const SampleJson& empty = *new SampleJson(SampleJson::array());
    const SampleJson* value = Get(field, "a list", &SampleJson::is_array);
    return value == nullptr ? empty : *value;
  }
  const SampleJson& Object(const char* field) {
    static const SampleJson& empty = *new SampleJson(SampleJson::object());
    const SampleJson* value = Get(field, "an object", &SampleJson::is_object);
    return value == nullptr ? empty : *value;
  }

 private:
  const SampleJson* Get(const char* field, const char* wanted,
                        bool (SampleJson::*is)() const noexcept) {
    const SampleJson* found = Field(field);
    if (found == nullptr) {
      if (is_object()) Fail(absl::StrCat("has no field ", field));
      return nullptr;
    }
    if ((found->*is)()) return found;
    Wrong(field, *found, wanted);
    return nullptr;
  }
};

OrderedSampleJson FilesJson(const std::vector<SampleSetFile>& files) {
  OrderedSampleJson json = OrderedSampleJson::array();
  for (const SampleSetFile& file : files) {
    json.push_back({{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return json;
}

absl::Status ReadSampleFiles(SampleFields& fields, absl::string_view what,
                             std::vector<SampleSetFile>& files) {
  std::set<std::string> paths;
  const SampleJson& list = fields.Array("files");
  for (size_t i = 0; i < list.size(); ++i) {
    SampleFields entry(list[i], absl::StrCat(what, ": files[", i, "]"));
    SampleSetFile file{entry.Text("path"), entry.Int("bytes"), entry.Text("sha256")};
    WANLITE_RETURN_IF_ERROR(entry.Finish());
    if (!IsSafeRelativePath(file.path) || absl::StrContains(file.path, "/") ||
        !absl::EndsWith(file.path, kSampleFileEnding)) {
      entry.Fail(absl::StrCat("has the path ", QuoteName(file.path), ", wanted a ",
                              kSampleFileEnding, " in the set's folder"));
    }
    if (!paths.insert(file.path).second) {
      entry.Fail(absl::StrCat("lists ", QuoteName(file.path), " once more"));
    }
    if (file.bytes < 0) entry.Fail(absl::StrCat("has bytes = ", file.bytes));
    WANLITE_RETURN_IF_ERROR(entry.Finish());
    files.push_back(std::move(file));
  }
  return absl::OkStatus();
}

absl::StatusOr<SampleInfo> ReadSample(const SampleJson& json, const std::string& where,
                                      size_t prompts) {
  SampleFields fields(json, where);
  SampleInfo sample;
  sample.component = fields.Text("component");
  sample.weight = fields.Double("weight");
  sample.prompt = fields.Int("prompt");
  sample.branch = fields.Text("branch");
  sample.step = fields.Int("step");
  sample.timestep = fields.Double("timestep");
  for (const auto& [name, tensor] : fields.Object("values").items()) {
    if (!tensor.is_string()) {
      fields.Fail(absl::StrCat("has values[", QuoteName(name), "] of type ", tensor.type_name(),
                               ", wanted the name of a tensor"));
      break;
    }
    sample.values[name] = tensor.get<std::string>();
  }
  if (!std::isfinite(sample.weight) || sample.weight <= 0) {
    fields.Fail(absl::StrCat("has weight = ", sample.weight, ", wanted a positive number"));
  }
  if (!std::isfinite(sample.timestep)) fields.Fail("has a timestep that is not finite");
  if (sample.prompt < -1 || sample.prompt >= static_cast<int64_t>(prompts)) {
    fields.Fail(absl::StrCat("has prompt = ", sample.prompt, ", there are ", prompts));
  }
  WANLITE_RETURN_IF_ERROR(fields.Finish());
  return sample;
}

absl::StatusOr<SampleJson> ReadVersioned(absl::string_view text, absl::string_view what) {
  WANLITE_ASSIGN_OR_RETURN(SampleJson json, ParseStrictJson(text, what));
  // Before anything else: a later version may have fields that mean something.
  const auto version = json.find("format_version");
  if (version == json.end() || !version->is_number_unsigned() ||
      version->get<uint64_t>() != kSampleSetVersion) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, ": format_version is ",
        version == json.end()
            ? "absent"
            : QuoteName(version->dump(-1, ' ', true, SampleJson::error_handler_t::replace)),
        ", this build of wanlite reads ", kSampleSetVersion));
  }
  return json;
}

// Of the manifest without its fingerprint; its keys sorted and the version of the writer left out.
std::string FingerprintOf(SampleJson json) {
  json.erase(kFingerprint);
  json.erase("writer");
  return Sha256Hex(json.dump(-1, ' ', false, SampleJson::error_handler_t::replace));
}

}  // namespace

absl::StatusOr<std::string> SampleSetToJson(const SampleSetManifest& manifest) {
  WANLITE_ASSIGN_OR_RETURN(const SampleJson settings,
                           ParseStrictJson(manifest.info.settings_json, "settings_json"));
  OrderedSampleJson json;
  json["format_version"] = kSampleSetVersion;
  json["writer"] = manifest.writer;
  json["model"] = manifest.info.model_fingerprint;
  json["seed"] = manifest.info.seed;
  json["settings"] = OrderedSampleJson::parse(settings.dump(), nullptr, false);
  json["prompts"] = manifest.info.prompts;
  json["files"] = FilesJson(manifest.files);
  json["samples"] = OrderedSampleJson::array();
  for (const SampleInfo& sample : manifest.samples) {
    if (!std::isfinite(sample.weight) || sample.weight <= 0 || !std::isfinite(sample.timestep)) {
      return absl::InvalidArgumentError(absl::StrCat("a sample of '", sample.component,
                                                     "' has weight ", sample.weight,
                                                     " and timestep ", sample.timestep));
    }
    if (sample.prompt < -1 || sample.prompt >= static_cast<int64_t>(manifest.info.prompts.size())) {
      return absl::InvalidArgumentError(absl::StrCat("a sample of '", sample.component,
                                                     "' is of prompt ", sample.prompt,
                                                     ", there are ", manifest.info.prompts.size()));
    }
    OrderedSampleJson entry{{"component", sample.component}, {"weight", sample.weight},
                            {"prompt", sample.prompt},       {"branch", sample.branch},
                            {"step", sample.step},           {"timestep", sample.timestep}};
    entry["values"] = OrderedSampleJson::object();
    for (const auto& [name, tensor] : sample.values) entry["values"][name] = tensor;
    json["samples"].push_back(std::move(entry));
  }
  // As a reader will see it: strings that are not UTF-8 are replaced before they are hashed.
  const std::string text = json.dump(-1, ' ', false, OrderedSampleJson::error_handler_t::replace);
  json[kFingerprint] = FingerprintOf(SampleJson::parse(text, nullptr, false));
  return json.dump(1, ' ', false, OrderedSampleJson::error_handler_t::replace) + "\n";
}

absl::StatusOr<SampleSetManifest> SampleSetFromJson(absl::string_view text, absl::string_view what,
                                                    std::string* fingerprint) {
  WANLITE_ASSIGN_OR_RETURN(const SampleJson json, ReadVersioned(text, what));
  SampleSetManifest manifest;
  SampleFields fields(json, std::string(what));
  fields.Int("format_version");
  manifest.writer = fields.Text("writer");
  manifest.info.model_fingerprint = fields.Text("model");
  manifest.info.seed = fields.Unsigned("seed");
  manifest.info.settings_json =
      fields.Object("settings").dump(-1, ' ', false, SampleJson::error_handler_t::replace);
  for (const SampleJson& prompt : fields.Array("prompts")) {
    if (!prompt.is_string()) {
      fields.Fail(absl::StrCat("has a prompt of type ", prompt.type_name(), ", wanted a string"));
      break;
    }
    manifest.info.prompts.push_back(prompt.get<std::string>());
  }
  fields.Keep(ReadSampleFiles(fields, what, manifest.files));
  const SampleJson& samples = fields.Array("samples");
  for (size_t i = 0; i < samples.size(); ++i) {
    WANLITE_ASSIGN_OR_RETURN(SampleInfo sample,
                             ReadSample(samples[i], absl::StrCat(what, ": samples[", i, "]"),
                                        manifest.info.prompts.size()));
    manifest.samples.push_back(std::move(sample));
  }
  *fingerprint = fields.Text(kFingerprint);
  WANLITE_RETURN_IF_ERROR(fields.Finish());
  if (*fingerprint != FingerprintOf(json)) {
    return absl::DataLossError(absl::StrCat(what, ": was changed: its fingerprint is ",
                                            QuoteName(*fingerprint), ", what it says has ",
                                            FingerprintOf(json)));
  }
  return manifest;
}

std::string JournalToJson(const std::string& identity, const std::vector<SampleSetFile>& files) {
  OrderedSampleJson json;
  json["format_version"] = kSampleSetVersion;
  json["identity"] = identity;
  json["files"] = FilesJson(files);
  return json.dump(1, ' ', false, OrderedSampleJson::error_handler_t::replace) + "\n";
}

absl::StatusOr<std::vector<SampleSetFile>> JournalFromJson(absl::string_view text,
                                                           absl::string_view what,
                                                           std::string* identity) {
  WANLITE_ASSIGN_OR_RETURN(const SampleJson json, ReadVersioned(text, what));
  SampleFields fields(json, std::string(what));
  fields.Int("format_version");
  *identity = fields.Text("identity");
  std::vector<SampleSetFile> files;
  fields.Keep(ReadSampleFiles(fields, what, files));
  WANLITE_RETURN_IF_ERROR(fields.Finish());
  return files;
}

}  // namespace wanlite
