// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/dit_training.h"

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/noise_levels.h"
#include "src/core/random.h"
#include "src/digits/network_parameters.h"
#include "src/train/seeded_normal.h"

namespace wanlite::digits {
namespace {

constexpr double kTrainTimesteps = 1000;
enum DitStream : uint64_t { kDitEntry = 1, kDitNoise = 2, kDitSigma = 3 };

}  // namespace

absl::Status CheckDitOptions(const DitTrainingOptions& options) {
  auto bad = [](absl::string_view field, double found, absl::string_view wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat("dit.", field, " is ", found, ", but must be ", wanted));
  };
  const std::pair<const char*, int64_t> sizes[] = {
      {"num_heads", options.num_heads()},   {"num_layers", options.num_layers()},
      {"ffn_dim", options.ffn_dim()},       {"text_length", options.text_length()},
      {"text_dim", options.text_dim()},     {"text_layers", options.text_layers()},
      {"text_heads", options.text_heads()}, {"text_ffn_dim", options.text_ffn_dim()},
      {"vocabulary", options.vocabulary()}, {"clips", options.clips()}};
  for (const auto& [name, size] : sizes) {
    if (size < 1) return bad(name, size, "at least 1");
  }
  if (options.head_dim() < 6 || options.head_dim() % 2 != 0) {
    return bad("head_dim", options.head_dim(), "even and at least 6, for three rotary axes");
  }
  if (options.freq_dim() < 2 || options.freq_dim() % 2 != 0) {
    return bad("freq_dim", options.freq_dim(), "even and at least 2");
  }
  if (options.text_dim() % options.text_heads() != 0) {
    return bad("text_dim", options.text_dim(),
               absl::StrCat("a multiple of text_heads, ", options.text_heads()));
  }
  if (!(options.caption_dropout() >= 0 && options.caption_dropout() < 1)) {
    return bad("caption_dropout", options.caption_dropout(), "in [0, 1)");
  }
  if (!(options.train_shift() > 0)) return bad("train_shift", options.train_shift(), "above 0");
  if (!(options.sample_shift() > 0)) return bad("sample_shift", options.sample_shift(), "above 0");
  if (!(options.boundary() > 0 && options.boundary() < 1)) {
    return bad("boundary", options.boundary(), "between 0 and 1");
  }
  return absl::OkStatus();
}

wan::DitConfig MakeDitConfig(const DitTrainingOptions& options, int64_t latent_channels) {
  wan::DitConfig config;
  config.num_heads = options.num_heads();
  config.head_dim = options.head_dim();
  config.in_channels = config.out_channels = latent_channels;
  config.text_dim = options.text_dim();
  config.freq_dim = options.freq_dim();
  config.ffn_dim = options.ffn_dim();
  config.num_layers = options.num_layers();
  config.text_len = options.text_length();
  return config;
}

wan::Umt5Config MakeTextConfig(const DitTrainingOptions& options, int64_t vocabulary) {
  wan::Umt5Config config;
  config.vocab_size = vocabulary;
  config.d_model = options.text_dim();
  config.num_heads = options.text_heads();
  config.d_kv = options.text_dim() / options.text_heads();
  config.d_ff = options.text_ffn_dim();
  config.num_layers = options.text_layers();
  return config;
}

at::Tensor EncodeCaptions(const wan::Umt5& text, const at::Tensor& ids, const at::Tensor& mask) {
  const at::Tensor hidden = text.forward(ids, mask);
  return hidden * mask.unsqueeze(-1).to(hidden.device(), at::kFloat);
}

DitObjective::DitObjective(wan::Dit& dit, wan::Umt5* text, at::Tensor embeddings, Data data,
                           const DitTrainingOptions& options, int64_t batch, NoiseRange range,
                           uint64_t seed, bool muon)
    : dit_(dit),
      text_(text),
      embeddings_(std::move(embeddings)),
      data_(std::move(data)),
      options_(options),
      batch_(batch),
      range_(range),
      seed_(seed),
      muon_(muon) {}

std::vector<train::TrainedTensor> DitObjective::Parameters() {
  std::vector<train::TrainedTensor> trained = NetworkParameters(dit_, "dit.", muon_);
  if (embeddings_.defined()) return trained;
  for (train::TrainedTensor& of_text : NetworkParameters(*text_, "text.", muon_)) {
    trained.push_back(std::move(of_text));
  }
  return trained;
}

double DitObjective::SampleSigma(double uniform) const {
  const double border = UnshiftSigma(options_.boundary(), options_.train_shift());
  const double low = range_ == NoiseRange::kHigh ? border : 0;
  const double high = range_ == NoiseRange::kLow ? border : 1;
  // Exactly 0 would train on clips without noise, which no sampler shows.
  return ShiftSigma(std::max(1e-3, low + (high - low) * uniform), options_.train_shift());
}

train::Objective::Terms DitObjective::Loss(int64_t step, int part, int parts) {
  const CaptionTable& table = *data_.captions;
  const uint64_t step_id = static_cast<uint64_t>(step);
  // One number for the whole batch: the levels of its entries are evenly spaced, from a random
  // start.
  const double start = Random(MixSeed(seed_, {kDitSigma, step_id})).Uniform();
  std::vector<int64_t> clips, captions;
  std::vector<float> sigmas;
  for (int64_t i = part; i < batch_; i += parts) {
    Random random(MixSeed(seed_, {kDitEntry, step_id << 16 | static_cast<uint64_t>(i)}));
    clips.push_back(random.Below(static_cast<int64_t>(data_.specs.size())));
    const auto language = static_cast<Language>(random.Below(kLanguages));
    const int wording = static_cast<int>(random.Below(CaptionTemplates(language)));
    const bool dropped = random.Uniform() < options_.caption_dropout();
    captions.push_back(
        dropped ? 0 : table.index.at(Caption(data_.specs[clips.back()], language, wording)));
    sigmas.push_back(static_cast<float>(
        SampleSigma((start + static_cast<double>(i)) / static_cast<double>(batch_) -
                    std::floor((start + static_cast<double>(i)) / static_cast<double>(batch_)))));
  }
  const at::Device device = data_.latents.device();
  const at::Tensor x0 =
      data_.latents.index_select(0, at::tensor(clips).to(device));  // [B, z, f, h, w]
  const at::Tensor noise = train::SeededNormal(
      x0.sizes(), MixSeed(seed_, {kDitNoise, step_id, static_cast<uint64_t>(part)}), device);
  const at::Tensor sigma = at::tensor(sigmas).to(device);  // [B]
  const at::Tensor weight = sigma.reshape({-1, 1, 1, 1, 1});
  const at::Tensor noisy = (1 - weight) * x0 + weight * noise;

  const at::Tensor rows =
      at::tensor(captions).to(embeddings_.defined() ? device : table.ids.device());
  const at::Tensor text = embeddings_.defined()
                              ? embeddings_.index_select(0, rows)
                              : EncodeCaptions(*text_, table.ids.index_select(0, rows),
                                               table.mask.index_select(0, rows));
  const at::Tensor velocity = dit_.forward(noisy, sigma * kTrainTimesteps, text);
  return {at::mse_loss(velocity, noise - x0), {}};
}

}  // namespace wanlite::digits
