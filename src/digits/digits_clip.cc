// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/digits_clip.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "src/core/catch_torch.h"
#include "src/core/input_limits.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/core/sha256.h"
#include "src/core/strict_json.h"
#include "src/digits/network_parameters.h"
#include "src/train/parameters.h"
#include "wanlite/checkpoint.h"
#include "wanlite/status.h"

namespace wanlite::digits {
namespace {

constexpr double kFirstScale = 1 / 0.07;
constexpr double kLargestScale = 100;
constexpr int64_t kMaxEmbedDim = 4096;
constexpr int64_t kMaxTextLength = 4096;

enum ClipStream : uint64_t { kClipCaption = 11 };

at::Tensor Unit(const at::Tensor& x) {
  return x / x.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-6);
}

}  // namespace

absl::StatusOr<std::shared_ptr<DigitsClip>> DigitsClip::Create(const Config& config) {
  WANLITE_RETURN_IF_ERROR(CheckWidth(config.width));
  if (config.embed_dim < 1 || config.embed_dim > kMaxEmbedDim) {
    return absl::InvalidArgumentError(absl::StrCat("embed_dim is ", config.embed_dim,
                                                   ", but must lie in [1, ", kMaxEmbedDim, "]"));
  }
  if (config.text_length < 2 || config.text_length > kMaxTextLength) {
    return absl::InvalidArgumentError(absl::StrCat("text_length is ", config.text_length,
                                                   ", but must lie in [2, ", kMaxTextLength, "]"));
  }
  WANLITE_ASSIGN_OR_RETURN(auto text, wan::Umt5::Create(config.text));
  return std::shared_ptr<DigitsClip>(new DigitsClip(config, std::move(text)));
}

DigitsClip::DigitsClip(const Config& config, std::shared_ptr<wan::Umt5> text)
    : VideoTrunk(config.width), config_(config), text_(std::move(text)) {
  video_projection_ = register_module(
      "video_projection", std::make_shared<nn::Linear>(feature_width(), config.embed_dim));
  register_module("text", text_);
  text_projection_ = register_module(
      "text_projection", std::make_shared<nn::Linear>(config.text.d_model, config.embed_dim));
  logit_scale_ = register_parameter("logit_scale", nn::NewTensor({1}));
}

void DigitsClip::InitParameters(uint64_t seed) {
  InitAll(seed);
  text_->InitParameters(MixSeed(seed, {1}));
  at::NoGradGuard no_grad;
  logit_scale_.fill_(std::log(kFirstScale));
}

at::Tensor DigitsClip::EmbedVideo(const at::Tensor& video) const {
  return Unit(video_projection_->forward(Features(video)));
}

at::Tensor DigitsClip::EmbedText(const at::Tensor& ids, const at::Tensor& mask) const {
  const at::Tensor tokens = EncodeCaptions(*text_, ids, mask);  // padding is zero
  const at::Tensor count =
      mask.to(tokens.device(), at::kFloat).sum(1, /*keepdim=*/true).clamp_min(1);
  return Unit(text_projection_->forward(tokens.sum(1) / count));
}

at::Tensor DigitsClip::Scale() const { return logit_scale_.exp().clamp_max(kLargestScale); }

absl::Status DigitsClip::Save(Env& env, absl::string_view dir, const std::string& spiece) const {
  WANLITE_RETURN_IF_ERROR(env.CreateFolders(dir));
  WANLITE_RETURN_IF_ERROR(
      WriteSafetensors(env, JoinPath(dir, "model.safetensors"), train::DetachedParameters(*this))
          .status());
  WANLITE_RETURN_IF_ERROR(env.WriteFileAtomically(JoinPath(dir, "spiece.model"), spiece));
  const nlohmann::ordered_json config = {
      {"_class_name", "WanliteDigitsClip"},
      {"width", config_.width},
      {"embed_dim", config_.embed_dim},
      {"text_length", config_.text_length},
      {"text", nlohmann::ordered_json::parse(wan::Umt5ConfigJson(config_.text))}};
  return env.WriteFileAtomically(JoinPath(dir, "config.json"), config.dump(2) + "\n");
}

absl::StatusOr<DigitsClip::Loaded> DigitsClip::Load(Env& env, absl::string_view dir) {
  const std::string config_path = JoinPath(dir, "config.json");
  WANLITE_ASSIGN_OR_RETURN(const std::string text, env.ReadFile(config_path, 1 << 16));
  WANLITE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseStrictJson(text, config_path));
  Config config;
  const std::pair<const char*, int64_t*> sizes[] = {{"width", &config.width},
                                                    {"embed_dim", &config.embed_dim},
                                                    {"text_length", &config.text_length}};
  for (const auto& [name, size] : sizes) {
    if (!json.contains(name) || !json[name].is_number_integer()) {
      return absl::InvalidArgumentError(
          absl::StrCat(config_path, ": no integer field '", name, "'"));
    }
    *size = json[name].get<int64_t>();
  }
  if (!json.contains("text") || !json["text"].is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(config_path, ": no object 'text'"));
  }
  auto text_config = wan::ParseUmt5Config(json["text"].dump());
  if (!text_config.ok()) return Annotate(text_config.status(), config_path);
  config.text = *text_config;
  auto network = Create(config);
  if (!network.ok()) return Annotate(network.status(), config_path);
  const std::string path = JoinPath(dir, "model.safetensors");
  WANLITE_RETURN_IF_ERROR(train::LoadParameters(env, path, **network));
  const std::string spiece_path = JoinPath(dir, "spiece.model");
  WANLITE_ASSIGN_OR_RETURN(const std::string spiece, env.ReadFile(spiece_path, kMaxSpieceBytes));
  auto tokenizer = wan::Tokenizer::Parse(spiece);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), spiece_path);
  if (tokenizer->vocabulary_size() > config.text.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(spiece_path, " has ",
                                                   tokenizer->vocabulary_size(), " pieces, ",
                                                   config_path, " only ", config.text.vocab_size));
  }
  return Loaded{*std::move(network), *std::move(tokenizer)};
}

absl::StatusOr<at::Tensor> DigitsClip::Loaded::EmbedCaptions(
    const std::vector<std::string>& captions) const {
  WANLITE_ASSIGN_OR_RETURN(const wan::TokenizedText tokens,
                           tokenizer.EncodeBatch(captions, network->config().text_length));
  return CatchTorch([&] {
    at::NoGradGuard no_grad;
    return network->EmbedText(tokens.input_ids, tokens.attention_mask);
  });
}

ClipObjective::ClipObjective(DigitsClip& network, const DigitScans& scans,
                             const ClipGeometry& geometry, const CaptionTable& captions,
                             int64_t batch, uint64_t seed, bool muon, double warp)
    : network_(network),
      scans_(scans),
      geometry_(geometry),
      captions_(captions),
      batch_(batch),
      seed_(seed),
      muon_(muon),
      warp_(warp) {}

std::vector<train::TrainedTensor> ClipObjective::Parameters() {
  return NetworkParameters(network_, "", muon_);
}

train::Objective::Terms ClipObjective::Loss(int64_t step, int part, int parts) {
  const at::Device device = network_.parameters().front().device();
  const ClipBatch batch =
      NoisyClips(scans_, geometry_, batch_, step, part, parts, seed_, warp_, device);
  Random random(MixSeed(
      seed_, {kClipCaption, static_cast<uint64_t>(step) << 16 | static_cast<uint64_t>(part)}));
  const auto language = static_cast<Language>(random.Below(kLanguages));
  const int wording = static_cast<int>(random.Below(CaptionTemplates(language)));

  // The candidates: every caption of the wording, rows of the table in ascending order.
  std::set<int64_t> rows;
  for (const ClipSpec& spec : AllCombinations()) {
    rows.insert(captions_.index.at(Caption(spec, language, wording)));
  }
  const std::vector<int64_t> candidates(rows.begin(), rows.end());
  std::vector<int64_t> right;  // of each clip, its caption's place among the candidates
  for (const ClipSpec& spec : batch.specs) {
    const int64_t row = captions_.index.at(Caption(spec, language, wording));
    right.push_back(std::lower_bound(candidates.begin(), candidates.end(), row) -
                    candidates.begin());
  }
  const at::Tensor index = at::tensor(candidates);
  const at::Tensor video = network_.EmbedVideo(batch.video);
  const at::Tensor text = network_.EmbedText(captions_.ids.index_select(0, index),
                                             captions_.mask.index_select(0, index));
  const at::Tensor logits = network_.Scale() * video.matmul(text.t());  // [clips, candidates]
  const at::Tensor target = at::tensor(right).to(device);
  const at::Tensor by_caption = -logits.log_softmax(1).gather(1, target.unsqueeze(1)).mean();

  // The other way for the captions that are true of a clip of the batch, of some more than one.
  const at::Tensor said = std::get<0>(at::_unique(target, /*sorted=*/true));
  const at::Tensor fits = (said.unsqueeze(1) == target.unsqueeze(0)).to(at::kFloat);
  const at::Tensor by_clip =
      -(fits / fits.sum(1, true) * logits.index_select(1, said).t().log_softmax(1)).sum(1).mean();
  return {0.5 * (by_caption + by_clip),
          {{"by caption", by_caption.item<double>()}, {"by clip", by_clip.item<double>()}}};
}

absl::StatusOr<ZeroShotAccuracy> ReadByCaptions(const DigitsClip::Loaded& clip,
                                                const at::Tensor& video,
                                                const std::vector<ClipSpec>& specs,
                                                Language language) {
  const std::vector<ClipSpec> said = AllCombinations();
  std::vector<std::string> captions;
  for (const ClipSpec& spec : said)
    captions.push_back(Caption(spec, language, /*template_index=*/0));
  WANLITE_ASSIGN_OR_RETURN(const at::Tensor text, clip.EmbedCaptions(captions));
  return CatchTorch([&] {
    at::NoGradGuard no_grad;
    const at::Tensor best = clip.network->EmbedVideo(video).matmul(text.t()).argmax(1);
    ZeroShotAccuracy result;
    result.clips = static_cast<int64_t>(specs.size());
    const double one = 1.0 / static_cast<double>(std::max<int64_t>(1, result.clips));
    for (size_t i = 0; i < specs.size(); ++i) {
      const ClipSpec& read = said[best[static_cast<int64_t>(i)].item<int64_t>()];
      const bool digit = read.digit == specs[i].digit;
      const bool direction = read.direction == specs[i].direction;
      const bool colour = read.colour == specs[i].colour;
      result.digit += digit ? one : 0;
      result.direction += direction ? one : 0;
      result.colour += colour ? one : 0;
      result.all += digit && direction && colour ? one : 0;
    }
    return result;
  });
}

namespace {

class DigitsAlignment : public VideoTextEncoder {
 public:
  DigitsAlignment(DigitsClip::Loaded clip, std::string name, std::string fingerprint)
      : clip_(std::move(clip)), name_(std::move(name)), fingerprint_(std::move(fingerprint)) {
    for (const at::Tensor& parameter : clip_.network->parameters()) {
      parameter.set_requires_grad(false);
    }
  }
  const std::string& name() const override { return name_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  // The network is small, and stays on the CPU.
  at::Tensor EmbedVideo(const at::Tensor& video) const override {
    return clip_.network->EmbedVideo(video.to(at::kCPU, at::kFloat)).to(video.device());
  }
  absl::StatusOr<at::Tensor> EmbedText(const std::vector<std::string>& prompts) const override {
    return clip_.EmbedCaptions(prompts);
  }

 private:
  const DigitsClip::Loaded clip_;
  const std::string name_, fingerprint_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<VideoTextEncoder>> OpenDigitsAlignment(Env& env,
                                                                      absl::string_view dir) {
  WANLITE_ASSIGN_OR_RETURN(DigitsClip::Loaded clip, DigitsClip::Load(env, dir));
  Sha256 hash;
  for (const char* file : {"config.json", "model.safetensors", "spiece.model"}) {
    WANLITE_ASSIGN_OR_RETURN(const std::string bytes, env.ReadFile(JoinPath(dir, file)));
    hash.Update(absl::StrCat(bytes.size(), "\n"));
    hash.Update(bytes);
  }
  return std::make_unique<DigitsAlignment>(std::move(clip), absl::StrCat("Digits-CLIP of ", dir),
                                           hash.Finish());
}

}  // namespace wanlite::digits
