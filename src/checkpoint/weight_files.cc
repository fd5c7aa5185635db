// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/weight_files.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/strict_json.h"
#include "src/model/derived_source.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr absl::string_view kEnding = ".safetensors";

bool IsPickleName(absl::string_view name) {
  for (const absl::string_view ending : {".pth", ".pt", ".bin", ".ckpt"}) {
    if (absl::EndsWith(name, ending)) return true;
  }
  return false;
}

// Splits "stem-00001-of-00003" into its parts. What follows the numbers (a variant, ".fp16")
// belongs to the stem.
bool ParseShardStem(absl::string_view name, std::string* stem, int* number, int* count) {
  constexpr size_t kNumbers = 15;  // "-00001-of-00003"
  const size_t of = name.rfind("-of-");
  if (of == absl::string_view::npos || of < 6 || name.size() < of + 9) return false;
  const absl::string_view numbers = name.substr(of - 6, kNumbers);
  const absl::string_view variant = name.substr(of + 9);
  if (numbers[0] != '-' || (!variant.empty() && variant[0] != '.')) return false;
  for (const size_t i : {1, 2, 3, 4, 5, 10, 11, 12, 13, 14}) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(numbers[i]))) return false;
  }
  *stem = absl::StrCat(name.substr(0, of - 6), variant);
  return absl::SimpleAtoi(numbers.substr(1, 5), number) &&
         absl::SimpleAtoi(numbers.substr(10, 5), count);
}

// The stem of "NAME.safetensors.index.json" or "NAME.safetensors.index.VARIANT.json"; empty for
// other names.
std::string IndexStem(absl::string_view name) {
  constexpr absl::string_view kMark = ".safetensors.index";
  const size_t mark = name.rfind(kMark);
  if (mark == absl::string_view::npos || !absl::ConsumeSuffix(&name, ".json")) return "";
  const absl::string_view variant =
      name.size() >= mark + kMark.size() ? name.substr(mark + kMark.size()) : "?";
  if (!variant.empty() && variant[0] != '.') return "";
  return absl::StrCat(name.substr(0, mark), variant);
}

absl::StatusOr<WeightFileGroup> ReadIndex(Env& env, const std::string& dir, const std::string& name,
                                          const std::set<std::string>& present) {
  const std::string path = JoinPath(dir, name);
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json, ReadStrictJson(env, path));
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path,
                                                   ": wanted an object \"weight_map\", found ",
                                                   map == json.end() ? "none" : map->type_name()));
  }
  WeightFileGroup group;
  group.stem = IndexStem(name);
  group.index_file = name;
  std::set<std::string> files;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": weight_map ", QuoteName(tensor),
                                                     " is ", shard.type_name(),
                                                     ", wanted a file name"));
    }
    const std::string& file = shard.get_ref<const std::string&>();
    if (!IsSafeRelativePath(file) || absl::StrContains(file, "/")) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": weight_map ", QuoteName(tensor),
                                                     " names the file ", QuoteName(file),
                                                     ", wanted a plain name in the folder"));
    }
    if (!absl::EndsWith(file, kEnding)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": weight_map ", QuoteName(tensor),
                                                     " names the file ", QuoteName(file),
                                                     ", wanted a ", kEnding, " file"));
    }
    if (!present.contains(file)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": the shard ", QuoteName(file), " is not in the folder"));
    }
    files.insert(file);
    group.weight_map[tensor] = file;
  }
  if (files.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": weight_map is empty"));
  group.files.assign(files.begin(), files.end());
  return group;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListVisible(Env& env, const std::string& dir) {
  WANLITE_ASSIGN_OR_RETURN(std::vector<std::string> names, env.ListFolder(dir));
  std::erase_if(names, [](const std::string& name) { return absl::StartsWith(name, "."); });
  return names;
}

bool HoldsWeights(Env& env, const std::string& dir) {
  const auto names = ListVisible(env, dir);
  return names.ok() && std::any_of(names->begin(), names->end(), [](const std::string& name) {
           return absl::EndsWith(name, kEnding);
         });
}

absl::StatusOr<WeightFiles> ListWeightFiles(Env& env, const std::string& dir) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListVisible(env, dir));
  const std::set<std::string> present(names.begin(), names.end());
  WeightFiles result;
  std::set<std::string> taken;
  for (const std::string& name : names) {
    if (IsPickleName(name)) result.pickles.push_back(name);
    if (absl::EndsWith(name, ".gguf")) result.ggufs.push_back(name);
    if (IndexStem(name).empty()) continue;
    WANLITE_ASSIGN_OR_RETURN(WeightFileGroup group, ReadIndex(env, dir, name, present));
    taken.insert(group.files.begin(), group.files.end());
    result.groups.push_back(std::move(group));
  }
  std::map<std::pair<std::string, int>, std::map<int, std::string>>
      sets;  // (stem, count) -> shards
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kEnding) || taken.contains(name)) continue;
    const std::string base(absl::StripSuffix(name, kEnding));
    std::string stem;
    int number = 0;
    int count = 0;
    if (ParseShardStem(base, &stem, &number, &count)) {
      sets[{stem, count}][number] = name;
    } else {
      result.groups.push_back({base, {name}, "", {}});
    }
  }
  for (const auto& [key, shards] : sets) {
    const auto& [stem, count] = key;
    WeightFileGroup group;
    group.stem = stem;
    for (const auto& [number, name] : shards) group.files.push_back(name);
    for (const WeightFileGroup& indexed : result.groups) {
      if (indexed.stem != stem || indexed.index_file.empty()) continue;
      return absl::InvalidArgumentError(absl::StrCat(dir, " holds ",
                                                     absl::StrJoin(group.files, ", "), ", which ",
                                                     indexed.index_file, " does not list"));
    }
    if (static_cast<int>(shards.size()) != count || shards.begin()->first != 1 ||
        shards.rbegin()->first != count) {
      return absl::InvalidArgumentError(
          absl::StrCat(dir, ": of the ", count, " shards of ", QuoteName(stem), " only ",
                       absl::StrJoin(group.files, ", "), " are there"));
    }
    result.groups.push_back(std::move(group));
  }
  std::sort(result.groups.begin(), result.groups.end(),
            [](const WeightFileGroup& a, const WeightFileGroup& b) {
              return std::tie(a.stem, a.files) < std::tie(b.stem, b.files);
            });
  return result;
}

absl::StatusOr<OpenedGroup> OpenWeightFiles(Env& env, const std::string& dir,
                                            const WeightFileGroup& group) {
  OpenedGroup result;
  std::vector<DerivedSource::Entry> entries;
  std::map<std::string, std::string> file_of;
  for (const std::string& name : group.files) {
    WANLITE_ASSIGN_OR_RETURN(std::shared_ptr<const SafetensorsFile> file,
                             SafetensorsFile::Open(env, JoinPath(dir, name)));
    for (const TensorInfo& info : file->tensors()) {
      const auto [at, is_new] = file_of.emplace(info.name, name);
      if (!is_new) {
        return absl::InvalidArgumentError(absl::StrCat(
            dir, ": tensor ", QuoteName(info.name), " is both in ", at->second, " and in ", name));
      }
      if (!group.index_file.empty()) {
        const auto listed = group.weight_map.find(info.name);
        if (listed == group.weight_map.end() || listed->second != name) {
          return absl::InvalidArgumentError(absl::StrCat(
              JoinPath(dir, name), " holds tensor ", QuoteName(info.name), ", which ",
              group.index_file,
              listed == group.weight_map.end() ? " does not list"
                                               : absl::StrCat(" places in ", listed->second)));
        }
      }
      entries.push_back(DerivedSource::Renamed(info.name, file, info.name));
    }
    result.files.push_back(std::move(file));
  }
  for (const auto& [tensor, name] : group.weight_map) {
    if (!file_of.contains(tensor)) {
      return absl::InvalidArgumentError(absl::StrCat(JoinPath(dir, name), " lacks tensor ",
                                                     QuoteName(tensor), ", which ",
                                                     group.index_file, " lists"));
    }
  }
  if (result.files.size() == 1) {
    result.source = result.files.front();
    return result;
  }
  WANLITE_ASSIGN_OR_RETURN(result.source, DerivedSource::Create(std::move(entries)));
  return result;
}

std::string UnreadAdvice(const WeightFiles& files) {
  std::vector<std::string> parts;
  const auto named = [](const std::vector<std::string>& names, absl::string_view one,
                        absl::string_view many) {
    return absl::StrCat(JoinFew(names), names.size() == 1 ? " is " : " are ",
                        names.size() == 1 ? one : many);
  };
  if (!files.pickles.empty()) {
    parts.push_back(absl::StrCat(
        named(files.pickles, "a pickle", "pickles"),
        ", which wanlite does not read (opening one can run any code in it). Take the safetensors "
        "files of the model's diffusers folder, or convert it once with Python where you trust the "
        "file: safetensors.torch.save_file(torch.load(FILE, weights_only=True), "
        "'NAME.safetensors')"));
  }
  if (!files.ggufs.empty()) {
    parts.push_back(absl::StrCat(named(files.ggufs, "a GGUF file", "GGUF files"),
                                 ", which wanlite does not read; take the model's safetensors"));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace wanlite
