// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

#include "src/checkpoint/safetensors_writer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "src/checkpoint/safetensors_format.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/model/tensor_text.h"
#include "wanlite/checkpoint.h"
#include "wanlite/nn.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

// Pieces small enough to be hashed from cache before they go to the disk.
constexpr size_t kChunkBytes = size_t{512} << 10;

// `text` as a JSON string; InvalidArgument when it is not UTF-8.
absl::StatusOr<std::string> JsonString(const std::string& text) {
  using Json = nlohmann::json;
  const std::string quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  const Json back = Json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  if (!back.is_string() || back.get_ref<const std::string&>() != text) {
    return absl::InvalidArgumentError(absl::StrCat(QuoteName(text), " is not UTF-8"));
  }
  return quoted;
}

absl::StatusOr<std::string> BuildHeader(const std::vector<TensorInfo>& order,
                                        const SafetensorsMetadata& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    absl::StrAppend(&json, "\"", kSafetensorsMetadataKey, "\":{");
    std::set<std::string> keys;
    for (const auto& [key, value] : metadata) {
      if (!keys.insert(key).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("metadata ", QuoteName(key), " is given twice"));
      }
      WANLITE_ASSIGN_OR_RETURN(const std::string quoted_key, JsonString(key));
      WANLITE_ASSIGN_OR_RETURN(const std::string quoted_value, JsonString(value));
      absl::StrAppend(&json, keys.size() > 1 ? "," : "", quoted_key, ":", quoted_value);
    }
    absl::StrAppend(&json, "}");
  }
  std::set<std::string> names;
  int64_t offset = 0;
  for (const TensorInfo& info : order) {
    if (info.name == std::string(kSafetensorsMetadataKey) || !names.insert(info.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a tensor cannot be named ", QuoteName(info.name),
          names.contains(info.name) ? ": it is there twice" : ": the name is reserved"));
    }
    const std::optional<absl::string_view> dtype = SafetensorsDtypeName(info.dtype);
    if (!dtype.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", QuoteName(info.name), " has dtype ",
                                                     c10::toString(info.dtype), ", wanted one of ",
                                                     SafetensorsDtypeList()));
    }
    WANLITE_ASSIGN_OR_RETURN(const std::string name, JsonString(info.name));
    std::string shape = ShapeText(info.shape);
    shape.erase(std::remove(shape.begin(), shape.end(), ' '), shape.end());
    absl::StrAppend(&json, json.size() > 1 ? "," : "", name, ":{\"dtype\":\"", *dtype,
                    "\",\"shape\":", shape, ",\"data_offsets\":[", offset, ",",
                    offset + info.bytes(), "]}");
    offset += info.bytes();
  }
  absl::StrAppend(&json, "}");
  // Spaces up to a multiple of 8, so that the data begins aligned.
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the header takes ", json.size(),
                                                   " bytes, at most ", kMaxSafetensorsHeaderBytes,
                                                   " are allowed"));
  }
  return json;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    Env& env, absl::string_view path, std::vector<TensorInfo> tensors,
    const SafetensorsMetadata& metadata) {
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter(std::string(path)));
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return c10::elementSize(a.dtype) > c10::elementSize(b.dtype);
  });
  writer->order_ = std::move(tensors);
  absl::StatusOr<std::string> header = BuildHeader(writer->order_, metadata);
  if (!header.ok()) return Annotate(header.status(), path);
  WANLITE_ASSIGN_OR_RETURN(writer->file_, AtomicFile::Create(env, path));
  const uint64_t header_bytes = header->size();
  char length[sizeof(header_bytes)];
  std::memcpy(length, &header_bytes, sizeof(header_bytes));
  WANLITE_RETURN_IF_ERROR(
      writer->Write(absl::StrCat(absl::string_view(length, sizeof(length)), *header)));
  return writer;
}

absl::Status SafetensorsWriter::Write(absl::string_view data) {
  for (size_t at = 0; at < data.size(); at += kChunkBytes) {
    const absl::string_view chunk = data.substr(at, kChunkBytes);
    hash_.Update(chunk);
    WANLITE_RETURN_IF_ERROR(file_->Append(chunk));
    bytes_ += static_cast<int64_t>(chunk.size());
  }
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Append(const at::Tensor& tensor) {
  if (next_ == order_.size()) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": more tensors than were announced"));
  }
  const TensorInfo& info = order_[next_];
  if (!tensor.defined() || tensor.scalar_type() != info.dtype ||
      tensor.sizes() != at::IntArrayRef(info.shape)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path_, ": tensor ", QuoteName(info.name), " is ",
        tensor.defined()
            ? absl::StrCat(c10::toString(tensor.scalar_type()), " ", ShapeText(tensor.sizes()))
            : "undefined",
        ", announced was ", c10::toString(info.dtype), " ", ShapeText(info.shape)));
  }
  if (nn::IsHollow(tensor)) {
    return absl::InternalError(
        absl::StrCat(path_, ": tensor ", QuoteName(info.name), " was left without values"));
  }
  absl::StatusOr<at::Tensor> dense =
      CatchTorch([&]() -> at::Tensor { return tensor.detach().to(at::kCPU).contiguous(); });
  if (!dense.ok())
    return Annotate(dense.status(), absl::StrCat(path_, ": tensor ", QuoteName(info.name)));
  ++next_;
  if (dense->numel() == 0) return absl::OkStatus();
  return Write(
      absl::string_view(static_cast<const char*>(dense->const_data_ptr()), dense->nbytes()));
}

absl::StatusOr<std::string> SafetensorsWriter::Finish() {
  if (next_ != order_.size()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": ", next_, " of ", order_.size(), " announced tensors were written"));
  }
  WANLITE_RETURN_IF_ERROR(file_->Publish());
  return hash_.Finish();
}

absl::StatusOr<std::string> WriteSafetensors(Env& env, absl::string_view path,
                                             const std::vector<NamedTensor>& tensors,
                                             const SafetensorsMetadata& metadata) {
  std::vector<TensorInfo> infos;
  std::map<std::string, at::Tensor> by_name;
  for (const NamedTensor& named : tensors) {
    if (!named.tensor.defined()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": tensor ", QuoteName(named.name), " is undefined"));
    }
    infos.push_back({named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()});
    by_name[named.name] = named.tensor;
  }
  WANLITE_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsWriter> writer,
                           SafetensorsWriter::Create(env, path, std::move(infos), metadata));
  for (const TensorInfo& info : writer->order()) {
    WANLITE_RETURN_IF_ERROR(writer->Append(by_name.at(info.name)));
  }
  return writer->Finish();
}

}  // namespace wanlite
