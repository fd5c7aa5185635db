// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/train/state_files.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "src/core/strict_json.h"
#include "src/train/tensor_exchange.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::train {
namespace {

constexpr char kRecordFile[] = "state.json";
constexpr char kFormat[] = "wanlite training state 2";
constexpr uint64_t kMaxRecordBytes = 64u << 20;
constexpr size_t kShardDigits = 32;
constexpr char kShardPrefix[] = "shard-";
constexpr char kShardEnding[] = ".safetensors";

std::string ContentOf(const std::vector<NamedTensor>& tensors) {
  Sha256 hash;
  for (const NamedTensor& named : tensors) {
    const at::Tensor tensor = named.tensor.detach().cpu().contiguous();
    hash.Update(absl::StrCat(named.name, "\n", c10::toString(tensor.scalar_type()), " ",
                             absl::StrJoin(tensor.sizes(), ","), "\n"));
    hash.Update({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
  }
  return hash.Finish();
}

std::string ShardFile(const std::string& content) {
  return absl::StrCat(kShardPrefix, content.substr(0, kShardDigits), kShardEnding);
}

bool IsShardFile(const std::string& name) {
  if (!absl::StartsWith(name, kShardPrefix)) return false;
  const std::string content = name.substr(sizeof(kShardPrefix) - 1, kShardDigits);
  return content.find_first_not_of("0123456789abcdef") == std::string::npos &&
         name == ShardFile(content);
}

// Of a file that was being written when its process ended.
bool IsLeftOver(const std::string& name) {
  const size_t end = name.find(kShardEnding);
  return IsTemporaryName(name, kRecordFile) ||
         (end != std::string::npos && IsShardFile(name.substr(0, end + sizeof(kShardEnding) - 1)) &&
          IsTemporaryName(name));
}

}  // namespace

StateFiles::StateFiles(Env& env, std::string dir, int64_t max_shard_bytes, ProcessGroup* group,
                       std::string what)
    : env_(env),
      dir_(std::move(dir)),
      max_shard_bytes_(max_shard_bytes),
      alone_(AloneGroup()),
      group_(group != nullptr ? *group : *alone_),
      what_(std::move(what)) {}

absl::StatusOr<std::optional<StateRecord>> StateFiles::ReadRecord() {
  const std::string path = JoinPath(dir_, kRecordFile);
  if (!env_.FileExists(path)) return std::nullopt;
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env_.ReadFile(path, kMaxRecordBytes));
  const auto json = ParseStrictJson(text, path);
  const auto none = [&] {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": not a training state of this version; remove ", dir_, " to start again"));
  };
  if (!json.ok() || !json->is_object() || json->value("format", nlohmann::json()) != kFormat) {
    return none();
  }
  const auto integer = [](const nlohmann::json& object, const char* name, int64_t& value) {
    const auto found = object.find(name);
    if (found == object.end() || !found->is_number_integer()) return false;
    value = found->get<int64_t>();
    return value >= 0;
  };
  StateRecord record;
  if (!integer(*json, "step", record.step) || !integer(*json, "skipped", record.skipped) ||
      !json->value("identity", nlohmann::json()).is_object() ||
      !json->value("shards", nlohmann::json()).is_array()) {
    return none();
  }
  for (const auto& [name, value] : (*json)["identity"].items()) {
    if (!value.is_string()) return none();
    record.identity[name] = value.get<std::string>();
  }
  if (json->contains("losses")) {
    if (!(*json)["losses"].is_array()) return none();
    for (const nlohmann::json& loss : (*json)["losses"]) {
      if (!loss.is_number()) return none();
      record.losses.push_back(loss.get<double>());
    }
  }
  shards_.clear();
  for (const nlohmann::json& entry : (*json)["shards"]) {
    Shard shard;
    const bool whole = entry.is_object() && integer(entry, "bytes", shard.bytes) &&
                       entry.value("content", nlohmann::json()).is_string();
    if (!whole) return none();
    shard.content = entry["content"].get<std::string>();
    shard.file = ShardFile(shard.content);
    if (shard.content.size() < kShardDigits || !IsShardFile(shard.file)) return none();
    shards_.push_back(std::move(shard));
  }
  return record;
}

absl::Status StateFiles::ReadTensors(const std::vector<NamedTensor>& into,
                                     const std::set<std::string>& others) {
  std::map<std::string, at::Tensor> wanted;
  for (const NamedTensor& named : into) wanted[named.name] = named.tensor;
  const auto other = [&](absl::string_view name, absl::string_view what) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir_, ": ", name, " ", what, "; it is the state of another network"));
  };
  at::NoGradGuard no_grad;
  for (const Shard& shard : shards_) {
    const std::string path = JoinPath(dir_, shard.file);
    const auto damaged = [&](absl::string_view why) {
      return absl::DataLossError(
          absl::StrCat(path, ": ", why, "; remove ", dir_, " to start again"));
    };
    const auto source = OpenSafetensors(env_, path);
    if (!source.ok()) return damaged(source.status().message());
    bool needed = others.empty();
    for (const TensorInfo& info : (*source)->tensors()) {
      needed = needed || !others.contains(info.name);
    }
    if (!needed) continue;
    std::vector<NamedTensor> found;
    for (const TensorInfo& info : (*source)->tensors()) {
      WANLITE_ASSIGN_OR_RETURN(at::Tensor value, (*source)->Read(info.name));
      found.push_back({info.name, std::move(value)});
    }
    if (ContentOf(found) != shard.content) return damaged("its tensors are not those written");
    for (const NamedTensor& named : found) {
      const auto target = wanted.find(named.name);
      if (target == wanted.end() && others.contains(named.name)) continue;
      if (target == wanted.end()) return other(named.name, "is no tensor of this training");
      if (target->second.sizes() != named.tensor.sizes() ||
          target->second.scalar_type() != named.tensor.scalar_type()) {
        return other(named.name,
                     absl::StrCat("is ", c10::toString(named.tensor.scalar_type()), " [",
                                  absl::StrJoin(named.tensor.sizes(), ", "), "]"));
      }
      target->second.copy_(named.tensor);
      wanted.erase(target);
    }
    for (const NamedTensor& named : found) (*source)->Release(named.name);
  }
  if (!wanted.empty()) return other(wanted.begin()->first, "is not there");
  return absl::OkStatus();
}

absl::StatusOr<StateFiles::Shard> StateFiles::WriteShard(const std::vector<NamedTensor>& tensors) {
  Shard shard;
  shard.content = ContentOf(tensors);
  shard.file = ShardFile(shard.content);
  const std::string path = JoinPath(dir_, shard.file);
  for (const Shard& there : shards_) {
    if (there.content != shard.content) continue;
    const auto bytes = env_.FileSize(path);
    if (bytes.ok() && static_cast<int64_t>(*bytes) == there.bytes) return there;
  }
  WANLITE_RETURN_IF_ERROR(WriteSafetensors(env_, path, tensors).status());
  WANLITE_ASSIGN_OR_RETURN(const uint64_t bytes, env_.FileSize(path));
  shard.bytes = static_cast<int64_t>(bytes);
  ++shards_written_;
  return shard;
}

absl::StatusOr<std::vector<StateFiles::Shard>> StateFiles::WriteShards(
    const std::vector<NamedTensor>& tensors) {
  WANLITE_RETURN_IF_ERROR(env_.CreateFolders(dir_));
  // Sorted within a shard, as the reader lists them.
  std::vector<Shard> shards;
  std::vector<NamedTensor> part;
  int64_t bytes = 0;
  const auto flush = [&]() -> absl::Status {
    if (part.empty()) return absl::OkStatus();
    std::sort(part.begin(), part.end(),
              [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
    WANLITE_ASSIGN_OR_RETURN(shards.emplace_back(), WriteShard(part));
    part.clear();
    bytes = 0;
    return absl::OkStatus();
  };
  for (const NamedTensor& named : tensors) {
    const auto size = static_cast<int64_t>(named.tensor.nbytes());
    if (bytes + size > max_shard_bytes_) WANLITE_RETURN_IF_ERROR(flush());
    part.push_back(named);
    bytes += size;
  }
  WANLITE_RETURN_IF_ERROR(flush());
  return shards;
}

absl::StatusOr<std::vector<StateFiles::Shard>> StateFiles::GatherShards(std::vector<Shard> own) {
  if (group_.size() == 1) return own;
  std::string lines;
  for (const Shard& shard : own) absl::StrAppend(&lines, shard.content, " ", shard.bytes, "\n");
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> texts, GatherTexts(group_, lines));
  std::vector<Shard> all;
  for (const std::string& text : texts) {
    for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> fields = absl::StrSplit(line, ' ');
      Shard shard;
      if (fields.size() != 2 || !absl::SimpleAtoi(fields[1], &shard.bytes)) {
        return absl::InternalError(
            absl::StrCat(what_, ": another process tells of a shard '", std::string(line), "'"));
      }
      shard.content = fields[0];
      shard.file = ShardFile(shard.content);
      all.push_back(std::move(shard));
    }
  }
  return all;
}

absl::Status StateFiles::Write(const StateRecord& record, const std::vector<NamedTensor>& tensors) {
  absl::StatusOr<std::vector<Shard>> own = WriteShards(tensors);
  WANLITE_RETURN_IF_ERROR(Agree(group_, own.status(), what_));
  WANLITE_ASSIGN_OR_RETURN(shards_, GatherShards(*std::move(own)));
  // The others wait: nothing of the next state is written while what is left over goes.
  return Agree(group_, group_.rank() == 0 ? Publish(record) : absl::OkStatus(), what_);
}

absl::Status StateFiles::Publish(const StateRecord& record) {
  nlohmann::ordered_json json = {{"format", kFormat},
                                 {"step", record.step},
                                 {"skipped", record.skipped},
                                 {"identity", record.identity},
                                 {"shards", nlohmann::json::array()}};
  if (!record.losses.empty()) json["losses"] = record.losses;
  for (const Shard& shard : shards_) {
    json["shards"].push_back({{"bytes", shard.bytes}, {"content", shard.content}});
  }
  WANLITE_RETURN_IF_ERROR(
      env_.WriteFileAtomically(JoinPath(dir_, kRecordFile), json.dump(1) + "\n"));
  return RemoveOthers();
}

absl::Status StateFiles::RemoveOthers() {
  std::set<std::string> kept;
  for (const Shard& shard : shards_) kept.insert(shard.file);
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.ListFolder(dir_));
  for (const std::string& name : names) {
    if ((IsShardFile(name) && !kept.contains(name)) || IsLeftOver(name)) {
      WANLITE_RETURN_IF_ERROR(env_.RemoveFile(JoinPath(dir_, name)));
    }
  }
  return absl::OkStatus();
}

}  // namespace wanlite::train
