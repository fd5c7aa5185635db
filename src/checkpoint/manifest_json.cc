// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/manifest_json.h"

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/object_reader.h"
#include "src/core/strict_json.h"
#include "wanlite/env.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

OrderedJson NumberToJson(double value) {
  if (std::isfinite(value)) return value;
  // JSON has no such numbers; protobuf's JSON spells them so.
  return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

template <typename Files>
OrderedJson FilesToJson(const Files& files) {
  OrderedJson json = OrderedJson::array();
  for (const FileEntry& file : files) {
    json.push_back(
        OrderedJson{{"path", file.path()}, {"bytes", file.bytes()}, {"sha256", file.sha256()}});
  }
  return json;
}

// Fields may be missing, as protobuf's JSON leaves out what has its default; after an error later
// reads do nothing.
class ManifestReader : public ObjectReader {
 public:
  using ObjectReader::ObjectReader;

  std::string String(const char* field) {
    const Json* value = Field(field);
    if (value == nullptr) return "";
    if (!value->is_string()) {
      Wrong(field, *value, "a string");
      return "";
    }
    return value->get<std::string>();
  }

  uint64_t Unsigned(const char* field) {
    const Json* value = Field(field);
    if (value == nullptr) return 0;
    uint64_t number = 0;
    if (value->is_number_unsigned()) return value->get<uint64_t>();
    // Protobuf's JSON writes 64-bit numbers as strings.
    if (value->is_string() && absl::SimpleAtoi(value->get_ref<const std::string&>(), &number)) {
      return number;
    }
    Wrong(field, *value, "a number that is not negative");
    return 0;
  }

  void Each(const char* field, const std::function<absl::Status(const Json&, size_t)>& read) {
    const Json* value = Field(field);
    if (value == nullptr) return;
    if (!value->is_array()) return Wrong(field, *value, "a list");
    for (size_t i = 0; i < value->size() && status().ok(); ++i) Keep(read((*value)[i], i));
  }

  void EachKey(const char* field,
               const std::function<absl::Status(const std::string&, const Json&)>& read) {
    const Json* value = Field(field);
    if (value == nullptr) return;
    if (!value->is_object()) return Wrong(field, *value, "an object");
    for (const auto& [key, item] : value->items()) {
      if (!status().ok()) return;
      Keep(read(key, item));
    }
  }
};

bool IsSha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

absl::Status ReadFileEntry(const Json& json, const std::string& where, FileEntry* entry) {
  ManifestReader reader(json, where);
  entry->set_path(reader.String("path"));
  const uint64_t bytes = reader.Unsigned("bytes");
  entry->set_sha256(reader.String("sha256"));
  WANLITE_RETURN_IF_ERROR(reader.Finish());
  if (!IsSafeRelativePath(entry->path())) {
    return absl::InvalidArgumentError(absl::StrCat(where, " has the path ",
                                                   QuoteName(entry->path()),
                                                   ", wanted one inside the component's folder"));
  }
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError(absl::StrCat(where, " has ", bytes, " bytes"));
  }
  entry->set_bytes(static_cast<int64_t>(bytes));
  if (!IsSha256(entry->sha256())) {
    return absl::InvalidArgumentError(absl::StrCat(where,
                                                   " has sha256 = ", QuoteName(entry->sha256()),
                                                   ", wanted 64 lower-case hexadecimal digits"));
  }
  return absl::OkStatus();
}

template <typename Files>
void ReadFiles(ManifestReader& reader, const std::string& where, Files* files) {
  std::set<std::string> paths;
  reader.Each("files", [&](const Json& item, size_t i) -> absl::Status {
    FileEntry* file = files->Add();
    WANLITE_RETURN_IF_ERROR(ReadFileEntry(item, absl::StrCat(where, ".files[", i, "]"), file));
    if (!paths.insert(file->path()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, " lists the file ", QuoteName(file->path()), " twice"));
    }
    return absl::OkStatus();
  });
}

absl::Status ReadComponent(const Json& json, const std::string& where, ComponentEntry* entry) {
  ManifestReader reader(json, where);
  entry->set_name(reader.String("name"));
  entry->set_architecture(reader.String("architecture"));
  entry->set_role(reader.String("role"));
  ReadFiles(reader, where, entry->mutable_files());
  reader.EachKey("weights", [&](const std::string& layer, const Json& item) -> absl::Status {
    ManifestReader format(item, absl::StrCat(where, ".weights[", QuoteName(layer), "]"));
    WeightFormat& out = (*entry->mutable_weights())[layer];
    out.set_format(format.String("format"));
    out.set_attributes_json(format.String("attributes_json"));
    return format.Finish();
  });
  reader.EachKey("block_origin", [&](const std::string& block, const Json& item) -> absl::Status {
    if (!item.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(where, ".block_origin[", QuoteName(block),
                                                     "] is ", item.type_name(),
                                                     ", wanted a string"));
    }
    (*entry->mutable_block_origin())[block] = item.get<std::string>();
    return absl::OkStatus();
  });
  reader.EachKey("unit_origin", [&](const std::string& group, const Json& item) -> absl::Status {
    if (!item.is_number_integer() || item.get<int64_t>() < 1 ||
        item.get<int64_t>() > std::numeric_limits<int32_t>::max()) {
      return absl::InvalidArgumentError(absl::StrCat(where, ".unit_origin[", QuoteName(group),
                                                     "] is ", item.dump(),
                                                     ", wanted a number of units"));
    }
    (*entry->mutable_unit_origin())[group] = item.get<int64_t>();
    return absl::OkStatus();
  });
  WANLITE_RETURN_IF_ERROR(reader.Finish());
  const std::string& name = entry->name();
  if (!name.empty() && (!IsSafeRelativePath(name) || absl::StrContains(name, "/") || name == "." ||
                        absl::StrContains(name, "."))) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, " has the name ", QuoteName(name), ", wanted a plain folder name"));
  }
  return absl::OkStatus();
}

absl::Status ReadLineage(const Json& json, const std::string& where, LineageEntry* entry) {
  ManifestReader reader(json, where);
  entry->set_pass(reader.String("pass"));
  entry->set_options_type(reader.String("options_type"));
  entry->set_options_text(reader.String("options_text"));
  entry->set_seed(reader.Unsigned("seed"));
  entry->set_input_fingerprint(reader.String("input_fingerprint"));
  entry->set_recipe(reader.String("recipe"));
  entry->set_samples_fingerprint(reader.String("samples_fingerprint"));
  reader.EachKey("metrics", [&](const std::string& name, const Json& item) -> absl::Status {
    double value = 0;
    if (item.is_number()) {
      value = item.get<double>();
    } else if (!item.is_string() || !absl::SimpleAtod(item.get_ref<const std::string&>(), &value)) {
      return absl::InvalidArgumentError(absl::StrCat(where, ".metrics[", QuoteName(name), "] is ",
                                                     item.type_name(), ", wanted a number"));
    }
    (*entry->mutable_metrics())[name] = value;
    return absl::OkStatus();
  });
  reader.Each("notes", [&](const Json& item, size_t i) -> absl::Status {
    if (!item.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".notes[", i, "] is ", item.type_name(), ", wanted a string"));
    }
    entry->add_notes(item.get<std::string>());
    return absl::OkStatus();
  });
  return reader.Finish();
}

}  // namespace

std::string ManifestToJson(const Manifest& manifest) {
  OrderedJson json;
  json["format_version"] = manifest.format_version();
  json["writer"] = manifest.writer();
  json["components"] = OrderedJson::array();
  for (const ComponentEntry& component : manifest.components()) {
    OrderedJson out;
    out["name"] = component.name();
    out["architecture"] = component.architecture();
    out["role"] = component.role();
    out["files"] = FilesToJson(component.files());
    const std::map<std::string, WeightFormat> weights(component.weights().begin(),
                                                      component.weights().end());
    out["weights"] = OrderedJson::object();
    for (const auto& [layer, format] : weights) {
      OrderedJson entry;
      entry["format"] = format.format();
      entry["attributes_json"] = format.attributes_json();
      out["weights"][layer] = std::move(entry);
    }
    // Most models have all their blocks.
    if (!component.block_origin().empty()) {
      out["block_origin"] = std::map<std::string, std::string>(component.block_origin().begin(),
                                                               component.block_origin().end());
    }
    if (!component.unit_origin().empty()) {
      out["unit_origin"] = std::map<std::string, int64_t>(component.unit_origin().begin(),
                                                          component.unit_origin().end());
    }
    json["components"].push_back(std::move(out));
  }
  json["files"] = FilesToJson(manifest.files());
  json["lineage"] = OrderedJson::array();
  for (const LineageEntry& lineage : manifest.lineage()) {
    OrderedJson out;
    out["pass"] = lineage.pass();
    out["options_type"] = lineage.options_type();
    out["options_text"] = lineage.options_text();
    out["seed"] = lineage.seed();
    out["input_fingerprint"] = lineage.input_fingerprint();
    out["recipe"] = lineage.recipe();
    if (!lineage.samples_fingerprint().empty()) {
      out["samples_fingerprint"] = lineage.samples_fingerprint();
    }
    const std::map<std::string, double> metrics(lineage.metrics().begin(), lineage.metrics().end());
    out["metrics"] = OrderedJson::object();
    for (const auto& [name, value] : metrics) out["metrics"][name] = NumberToJson(value);
    for (const std::string& note : lineage.notes()) out["notes"].push_back(note);
    json["lineage"].push_back(std::move(out));
  }
  return json.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

absl::StatusOr<Manifest> ManifestFromJson(absl::string_view text, absl::string_view what) {
  WANLITE_ASSIGN_OR_RETURN(const Json json, ParseStrictJson(text, what));
  // Before anything else: a later version may have fields that mean something.
  const auto version = json.find("format_version");
  if (version == json.end() || !version->is_number_unsigned() ||
      version->get<uint64_t>() != kManifestFormatVersion) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, ": format_version is ",
        version == json.end() ? "absent"
                              : version->dump(-1, ' ', true, Json::error_handler_t::replace),
        ", this build of wanlite reads ", kManifestFormatVersion));
  }
  Manifest manifest;
  ManifestReader reader(json, std::string(what));
  manifest.set_format_version(static_cast<int32_t>(reader.Unsigned("format_version")));
  manifest.set_writer(reader.String("writer"));
  std::set<std::string> names;
  reader.Each("components", [&](const Json& item, size_t i) -> absl::Status {
    const std::string where = absl::StrCat(what, ": components[", i, "]");
    ComponentEntry* entry = manifest.add_components();
    WANLITE_RETURN_IF_ERROR(ReadComponent(item, where, entry));
    if (!names.insert(entry->name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": the component ", QuoteName(entry->name()), " is there twice"));
    }
    return absl::OkStatus();
  });
  ReadFiles(reader, std::string(what), manifest.mutable_files());
  reader.Each("lineage", [&](const Json& item, size_t i) {
    return ReadLineage(item, absl::StrCat(what, ": lineage[", i, "]"), manifest.add_lineage());
  });
  WANLITE_RETURN_IF_ERROR(reader.Finish());
  return manifest;
}

}  // namespace wanlite
