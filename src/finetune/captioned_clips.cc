// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/finetune/captioned_clips.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/checkpoint/file_tools.h"
#include "src/core/catch_torch.h"
#include "src/core/libtorch.h"
#include "src/core/noise_levels.h"
#include "src/core/proto_text.h"
#include "src/core/random.h"
#include "src/core/sha256.h"
#include "src/metrics/extractors.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"
#include "wanlite/wan/config.h"

namespace wanlite::finetune {
namespace {

constexpr uint64_t kMaxCaptionBytes = 64 << 10;
constexpr double kTimesteps = 1000;
enum ClipNoiseStream : uint64_t { kLevel = 1, kNoise = 2, kDropout = 3 };

std::string CaptionPath(const std::string& dir, const std::string& stem) {
  return JoinPath(dir, absl::StrCat(stem, ".txt"));
}

absl::StatusOr<std::string> ReadCaption(Env& env, const std::string& path) {
  WANLITE_ASSIGN_OR_RETURN(const std::string bytes, env.ReadFile(path, kMaxCaptionBytes));
  const std::string caption(absl::StripAsciiWhitespace(WithoutByteOrderMark(bytes)));
  if (!IsUtf8(caption)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the caption is not UTF-8"));
  }
  if (caption.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the caption is empty"));
  }
  return caption;
}

std::string ClipFile(const std::string& dir, int64_t i) {
  return JoinPath(dir, absl::StrCat("clip-", i, ".safetensors"));
}
std::string NoCaptionFile(const std::string& dir) {
  return JoinPath(dir, "no_caption.safetensors");
}

class EncodedClips : public Dataset {
 public:
  EncodedClips(std::vector<std::shared_ptr<const TensorSource>> clips, at::Tensor no_caption,
               const NoiseLevels& levels, double caption_dropout, std::string fingerprint)
      : clips_(std::move(clips)),
        no_caption_(std::move(no_caption)),
        levels_(levels),
        caption_dropout_(caption_dropout),
        fingerprint_(std::move(fingerprint)) {}

  int64_t size() const override { return static_cast<int64_t>(clips_.size()); }
  const std::string& fingerprint() const override { return fingerprint_; }

  absl::StatusOr<Values> Read(int64_t i, uint64_t seed) const override {
    if (i < 0 || i >= size()) {
      return absl::OutOfRangeError(absl::StrCat("clip ", i, " of ", size()));
    }
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor x0, clips_[i]->Read("latents"));
    at::Tensor text = no_caption_;
    if (Random(MixSeed(seed, {kDropout})).Uniform() >= caption_dropout_) {
      WANLITE_ASSIGN_OR_RETURN(text, clips_[i]->Read("text"));
    }
    const double sigma = SigmaAt(levels_, Random(MixSeed(seed, {kLevel})).Uniform());
    return CatchTorch([&] { return NoisyLatents(x0, text, sigma, MixSeed(seed, {kNoise})); });
  }

 private:
  const std::vector<std::shared_ptr<const TensorSource>> clips_;
  const at::Tensor no_caption_;
  const NoiseLevels levels_;
  const double caption_dropout_;
  const std::string fingerprint_;
};

}  // namespace

absl::StatusOr<CaptionedClips> CaptionedClips::Open(Env& env, const std::string& dir,
                                                    const CancellationToken* cancel) {
  WANLITE_ASSIGN_OR_RETURN(ClipFolder folder, ClipFolder::Open(env, dir));
  CaptionedClips clips(env, std::move(folder));
  const ClipFolder& listed = clips.folder_;
  if (listed.size() == 0) {
    return absl::NotFoundError(absl::StrCat("'", dir, "' holds no clips"));
  }
  std::vector<std::string> missing;
  for (int64_t i = 0; i < listed.size(); ++i) {
    const std::string path = CaptionPath(dir, listed.stem(i));
    if (!env.FileExists(path)) missing.push_back(path);
  }
  if (!missing.empty()) {
    const size_t count = missing.size();
    constexpr size_t kShown = 3;
    if (count > kShown) missing.resize(kShown);
    return absl::NotFoundError(absl::StrCat(
        count, " of ", listed.size(), " clips have no caption: wanted is a text file beside each, ",
        absl::StrJoin(missing, ", "), count > kShown ? ", …" : ""));
  }
  Sha256 hash;
  for (int64_t i = 0; i < listed.size(); ++i) {
    WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
    WANLITE_ASSIGN_OR_RETURN(clips.captions_.emplace_back(),
                             ReadCaption(env, CaptionPath(dir, listed.stem(i))));
    std::string content;
    if (env.FileExists(listed.path(i))) {
      WANLITE_ASSIGN_OR_RETURN(content, HashFile(env, listed.path(i), cancel));
    } else {
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor frames, clips.folder_.Clip(i));
      content = Sha256Hex({static_cast<const char*>(frames.const_data_ptr()), frames.nbytes()});
    }
    hash.Update(absl::StrCat(listed.stem(i), "\n", content, "\n", clips.captions_.back(), "\n"));
  }
  clips.fingerprint_ = hash.Finish();
  return clips;
}

absl::StatusOr<at::Tensor> CaptionedClips::Video(int64_t i, const ClipSize& size,
                                                 int64_t temporal_stride,
                                                 int64_t spatial_multiple) {
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor frames, folder_.Clip(i));
  const auto bad = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(path(i), ": ", what));
  };
  int64_t count = size.frames > 0 ? size.frames : frames.size(0);
  count = 1 + (count - 1) / temporal_stride * temporal_stride;
  if (size.frames > 0 && count != size.frames) {
    return bad(absl::StrCat("--frames is ", size.frames, ", wanted one more than a multiple of ",
                            temporal_stride));
  }
  if (frames.size(0) < count) {
    return bad(absl::StrCat("the clip has ", frames.size(0), " frames, ", count, " are wanted"));
  }
  const int64_t height = size.height > 0 ? size.height : frames.size(1);
  const int64_t width = size.width > 0 ? size.width : frames.size(2);
  if (height % spatial_multiple != 0 || width % spatial_multiple != 0) {
    return bad(absl::StrCat("a clip of ", width, "x", height,
                            " pixels, but this model takes multiples of ", spatial_multiple,
                            "; bring all clips to one size with --width and --height"));
  }
  return CatchTorch([&]() -> at::Tensor {
    at::Tensor video = ClipToVideo(frames.narrow(0, 0, count));
    if (height == frames.size(1) && width == frames.size(2)) return video;
    const at::Tensor resized = at::_upsample_bilinear2d_aa(
        video[0].transpose(0, 1).contiguous(), {height, width}, /*align_corners=*/false);
    return resized.transpose(0, 1).unsqueeze(0).clamp(-1, 1).contiguous();
  });
}

absl::StatusOr<ClipEncoder> ClipEncoder::Make(Runner& runner) {
  ClipEncoder encoder(runner);
  const ModelView& shapes = runner.shapes();
  const Component* vae = shapes.FindComponent("vae");
  if (vae == nullptr) {
    return absl::NotFoundError("the model has no vae, which turns clips into latents");
  }
  WANLITE_ASSIGN_OR_RETURN(const wan::VaeConfig config, wan::ParseVaeConfig(vae->config_json));
  int64_t patch = 1;
  for (const char* name : {kHighNoise, kLowNoise}) {
    const Component* dit = shapes.FindComponent(name);
    if (dit == nullptr) continue;
    WANLITE_ASSIGN_OR_RETURN(const wan::DitConfig of, wan::ParseDitConfig(dit->config_json));
    patch = std::max({patch, of.patch_size[1], of.patch_size[2]});
  }
  encoder.temporal_stride_ = config.temporal_stride();
  encoder.spatial_multiple_ = config.spatial_stride() * patch;
  if (!config.latents_mean.empty()) {
    encoder.mean_ = at::tensor(config.latents_mean, at::kFloat).reshape({1, -1, 1, 1, 1});
    encoder.std_ = at::tensor(config.latents_std, at::kFloat).reshape({1, -1, 1, 1, 1});
  }
  return encoder;
}

absl::StatusOr<at::Tensor> ClipEncoder::Latents(CaptionedClips& clips, int64_t i,
                                                const ClipSize& size) {
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor video,
                           clips.Video(i, size, temporal_stride_, spatial_multiple_));
  WANLITE_ASSIGN_OR_RETURN(const auto encoded, runner_->Forward("vae.encode", {{"sample", video}}));
  return CatchTorch([&] {
    at::Tensor latents = encoded.at("mean").to(at::kCPU, at::kFloat);
    if (mean_.defined()) latents = (latents - mean_) / std_;
    return latents.contiguous();
  });
}

absl::StatusOr<at::Tensor> ClipEncoder::Text(const std::string& caption) {
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor text, runner_->EncodePrompt(caption));
  return text.to(at::kCPU, at::kFloat).contiguous();
}

void ClipEncoder::Unload() {
  for (const char* component : {"vae", "text_encoder"}) runner_->Unload(component);
}

NoiseLevels LevelsOf(const std::string& component, double boundary, double shift) {
  NoiseLevels levels;
  levels.shift = shift;
  if (boundary > 0 && component == kHighNoise) levels.low = boundary;
  if (boundary > 0 && component == kLowNoise) levels.high = boundary;
  return levels;
}

double SigmaAt(const NoiseLevels& levels, double place) {
  const double low = UnshiftSigma(levels.low, levels.shift);
  const double high = UnshiftSigma(levels.high, levels.shift);
  return ShiftSigma(std::max(1e-3, low + (high - low) * place), levels.shift);
}

Values NoisyLatents(const at::Tensor& latents, const at::Tensor& text, double sigma,
                    uint64_t noise_seed) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(noise_seed);
  const at::Tensor noise = at::randn(latents.sizes(), generator);
  return {{"hidden_states", (1 - sigma) * latents + sigma * noise},
          {"timestep", at::full({1}, kTimesteps * sigma)},
          {"encoder_hidden_states", text},
          {kTargetValue, noise - latents}};
}

absl::Status EncodeClips(Env& env, const std::string& dir, Runner& runner, CaptionedClips& clips,
                         const ClipSize& size, ProgressSink& progress,
                         const CancellationToken* cancel) {
  WANLITE_ASSIGN_OR_RETURN(ClipEncoder encoder, ClipEncoder::Make(runner));
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  if (!env.FileExists(NoCaptionFile(dir))) {
    WANLITE_ASSIGN_OR_RETURN(const at::Tensor none, encoder.Text(""));
    WANLITE_RETURN_IF_ERROR(WriteSafetensors(env, NoCaptionFile(dir), {{"text", none}}).status());
  }
  progress.Begin("encode clips", clips.size());
  absl::Status status;
  for (int64_t i = 0; status.ok() && i < clips.size(); ++i) {
    status = [&]() -> absl::Status {
      WANLITE_RETURN_IF_ERROR(CheckCancelled(cancel));
      if (env.FileExists(ClipFile(dir, i))) return absl::OkStatus();
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor latents, encoder.Latents(clips, i, size));
      WANLITE_ASSIGN_OR_RETURN(const at::Tensor text, encoder.Text(clips.caption(i)));
      return WriteSafetensors(env, ClipFile(dir, i), {{"latents", latents}, {"text", text}})
          .status();
    }();
    progress.Update(i + 1, "");
  }
  progress.End();
  encoder.Unload();
  return status;
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenEncodedClips(Env& env, const std::string& dir,
                                                          int64_t count, const NoiseLevels& levels,
                                                          double caption_dropout,
                                                          const std::string& fingerprint) {
  std::vector<std::shared_ptr<const TensorSource>> clips;
  for (int64_t i = 0; i < count; ++i) {
    WANLITE_ASSIGN_OR_RETURN(clips.emplace_back(), OpenSafetensors(env, ClipFile(dir, i)));
  }
  WANLITE_ASSIGN_OR_RETURN(const auto none, OpenSafetensors(env, NoCaptionFile(dir)));
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor no_caption, none->Read("text"));
  return std::make_unique<EncodedClips>(
      std::move(clips), no_caption, levels, caption_dropout,
      Sha256Hex(absl::StrCat(fingerprint, " ", count, " ", levels.low, " ", levels.high, " ",
                             levels.shift, " ", caption_dropout)));
}

}  // namespace wanlite::finetune
