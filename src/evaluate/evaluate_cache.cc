// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/evaluate/evaluate_cache.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/sha256.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite {
namespace {

constexpr char kFeaturesFile[] = "features.safetensors";

std::string ClipFile(absl::string_view name) {
  return absl::StrCat("clip-", Sha256Hex(name).substr(0, 32), ".safetensors");
}

// The sets of RealFeatures by the name of their tensor.
template <typename Features>
auto SetsOf(Features& features) {
  return std::vector{std::pair("real", &features.real), std::pair("other", &features.other),
                     std::pair("shuffled", &features.shuffled),
                     std::pair("frozen", &features.frozen)};
}

absl::Status HashFolder(Env& env, const std::string& dir, const std::string& inside,
                        const CancellationToken* cancel, Sha256& hash) {
  WANLITE_ASSIGN_OR_RETURN(const std::vector<std::string> names, env.ListFolder(dir));
  for (const std::string& name : names) {
    const std::string path = JoinPath(dir, name), shown = absl::StrCat(inside, "/", name);
    if (cancel != nullptr) WANLITE_RETURN_IF_ERROR(cancel->Check());
    if (env.FolderExists(path)) {
      WANLITE_RETURN_IF_ERROR(HashFolder(env, path, shown, cancel, hash));
      continue;
    }
    WANLITE_ASSIGN_OR_RETURN(const auto file, env.Map(path));
    hash.Update(absl::StrCat(shown, " ", file->data().size(), "\n"));
    hash.Update({file->data().data(), file->data().size()});
    file->Release(0, file->data().size());
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> ReadTensor(const TensorSource& source, const char* name, int64_t dims) {
  WANLITE_ASSIGN_OR_RETURN(at::Tensor tensor, source.Read(name));
  if (tensor.dim() == dims && tensor.numel() > 0) return tensor;
  return absl::DataLossError(absl::StrCat(name, " is of another shape"));
}

absl::StatusOr<KeptClip> ReadClipFile(Env& env, const std::string& path) {
  WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(env, path));
  KeptClip clip;
  WANLITE_ASSIGN_OR_RETURN(clip.latents, ReadTensor(*source, "latents", 5));
  if (source->Find("frames") != nullptr) {
    WANLITE_ASSIGN_OR_RETURN(clip.frames, ReadTensor(*source, "frames", 4));
  }
  return clip;
}

absl::StatusOr<RealFeatures> ReadFeaturesFile(Env& env, const std::string& path) {
  WANLITE_ASSIGN_OR_RETURN(const auto source, OpenSafetensors(env, path));
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor size, ReadTensor(*source, "frames_height_width", 1));
  if (size.numel() != 3 || size.scalar_type() != at::kLong) {
    return absl::DataLossError("frames_height_width are not three numbers");
  }
  RealFeatures features;
  for (const auto& [name, set] : SetsOf(features)) {
    WANLITE_ASSIGN_OR_RETURN(set->features, ReadTensor(*source, name, 2));
    set->frames = size[0].item<int64_t>();
    set->height = size[1].item<int64_t>();
    set->width = size[2].item<int64_t>();
  }
  return features;
}

}  // namespace

absl::StatusOr<std::string> FolderDigest(Env& env, const std::string& dir,
                                         const CancellationToken* cancel) {
  Sha256 hash;
  WANLITE_RETURN_IF_ERROR(HashFolder(env, dir, "", cancel, hash));
  return hash.Finish();
}

std::string EvaluateCache::FolderOf(absl::string_view key) const {
  return JoinPath(dir_, Sha256Hex(key).substr(0, 32));
}

std::optional<KeptClip> EvaluateCache::ReadClip(absl::string_view key,
                                                absl::string_view name) const {
  if (!enabled()) return std::nullopt;
  absl::StatusOr<KeptClip> clip = ReadClipFile(env_, JoinPath(FolderOf(key), ClipFile(name)));
  return clip.ok() ? std::optional(*std::move(clip)) : std::nullopt;
}

absl::Status EvaluateCache::WriteClip(absl::string_view key, absl::string_view name,
                                      const KeptClip& clip) const {
  if (!enabled()) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(env_.CreateFolders(FolderOf(key)));
  std::vector<NamedTensor> tensors{{"latents", clip.latents.contiguous()}};
  if (clip.frames.defined()) tensors.push_back({"frames", clip.frames.contiguous()});
  return WriteSafetensors(env_, JoinPath(FolderOf(key), ClipFile(name)), tensors).status();
}

std::optional<RealFeatures> EvaluateCache::ReadFeatures(absl::string_view key) const {
  if (!enabled()) return std::nullopt;
  absl::StatusOr<RealFeatures> features =
      ReadFeaturesFile(env_, JoinPath(FolderOf(key), kFeaturesFile));
  return features.ok() ? std::optional(*std::move(features)) : std::nullopt;
}

absl::Status EvaluateCache::WriteFeatures(absl::string_view key,
                                          const RealFeatures& features) const {
  if (!enabled()) return absl::OkStatus();
  WANLITE_RETURN_IF_ERROR(env_.CreateFolders(FolderOf(key)));
  const FeatureSet& real = features.real;
  std::vector<NamedTensor> tensors{
      {"frames_height_width", at::tensor({real.frames, real.height, real.width}, at::kLong)}};
  for (const auto& [name, set] : SetsOf(features)) {
    tensors.push_back({name, set->features.contiguous()});
  }
  return WriteSafetensors(env_, JoinPath(FolderOf(key), kFeaturesFile), tensors).status();
}

}  // namespace wanlite
