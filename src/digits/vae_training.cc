// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
#include "src/digits/vae_training.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "src/core/libtorch.h"
#include "src/core/random.h"
#include "src/digits/network_parameters.h"
#include "src/digits/render_clips.h"
#include "src/train/seeded_normal.h"
#include "wanlite/status.h"

namespace wanlite::digits {
namespace {

// Streams of random numbers that must not overlap.
enum VaeStream : uint64_t { kVaeClips = 1, kVaeWindows = 2, kVaeNoise = 3, kVaeEvaluation = 4 };

// A window of the clip in which the digit can be seen.
ClipWindow SampleWindow(const ClipGeometry& geometry, const VaeTrainingOptions& options,
                        const ClipSpec& spec, uint64_t seed) {
  Random random(seed);
  ClipWindow window;
  window.frames = std::min(options.crop_frames(), geometry.frames);
  window.height = window.width = std::min(options.crop_size(), geometry.size);
  window.first_frame = static_cast<int>(random.Below(geometry.frames - window.frames + 1));
  const double progress =
      (window.first_frame + 0.5 * (window.frames - 1)) / std::max(1, geometry.frames - 1);
  const auto [x, y] = PositionAt(spec, progress);
  auto corner = [&](double position) {
    const double centre = position + 0.5 * geometry.digit_size;
    const double jitter = (random.Uniform() - 0.5) * geometry.digit_size;
    const double wanted = std::floor(centre + jitter - 0.5 * window.width);
    return static_cast<int>(
        std::clamp(wanted, 0.0, static_cast<double>(geometry.size - window.width)));
  };
  window.left = corner(x);
  window.top = corner(y);
  return window;
}

// Mean absolute difference of the neighbour differences of x and y along dimension `dim`.
at::Tensor EdgeLoss(const at::Tensor& error, int64_t dim) {
  // Differences are linear: those of x minus those of y are those of x - y.
  return error.diff(1, dim).abs().mean();
}

wan::VaeConfig MakeVaeConfig(const VaeTrainingOptions& options) {
  wan::VaeConfig config;
  config.base_dim = config.decoder_base_dim = options.base_dim();
  config.z_dim = options.z_dim();
  config.dim_mult.assign(options.dim_mult().begin(), options.dim_mult().end());
  config.num_res_blocks = options.num_res_blocks();
  return config;
}

}  // namespace

absl::StatusOr<ClipGeometry> CheckedGeometry(const DigitsDataOptions& options) {
  auto bad = [](absl::string_view field, double found, absl::string_view wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.", field, " is ", found, ", but must be ", wanted));
  };
  if (options.frames() < 1 || options.frames() % 4 != 1) {
    return bad("frames", options.frames(), "one more than a multiple of 4");
  }
  if (options.size() < 16 || options.size() % 16 != 0) {
    return bad("size", options.size(), "a multiple of 16");
  }
  if (options.digit_size() < 8 || options.digit_size() >= options.size()) {
    return bad("digit_size", options.digit_size(),
               absl::StrCat("at least 8 and less than size, ", options.size()));
  }
  if (!(options.min_travel() >= 0)) return bad("min_travel", options.min_travel(), "at least 0");
  if (!(options.max_travel() >= options.min_travel())) {
    return bad("max_travel", options.max_travel(), "at least min_travel");
  }
  ClipGeometry geometry;
  geometry.frames = options.frames();
  geometry.size = options.size();
  geometry.digit_size = options.digit_size();
  geometry.min_travel = options.min_travel();
  geometry.max_travel = options.max_travel();
  return geometry;
}

absl::Status CheckVaeOptions(const VaeTrainingOptions& options, const ClipGeometry& geometry) {
  const wan::VaeConfig config = MakeVaeConfig(options);
  WANLITE_RETURN_IF_ERROR(Annotate(wan::ValidateVaeConfig(config), "vae"));
  const auto bad = [](absl::string_view field, double found, absl::string_view wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat("vae.", field, " is ", found, ", but must be ", wanted));
  };
  const int64_t side = config.spatial_stride(), length = config.temporal_stride();
  if (geometry.size % side != 0) {
    return absl::InvalidArgumentError(absl::StrCat("data.size is ", geometry.size,
                                                   ", but must be a multiple of ", side,
                                                   ", which the VAE divides it by"));
  }
  if (options.crop_size() < side || options.crop_size() % side != 0) {
    return bad("crop_size", options.crop_size(), absl::StrCat("a positive multiple of ", side));
  }
  if (options.crop_frames() < 1 || options.crop_frames() % length != 1) {
    return bad("crop_frames", options.crop_frames(),
               absl::StrCat("one more than a multiple of ", length));
  }
  if (options.whole_every() < 0) return bad("whole_every", options.whole_every(), "at least 0");
  if (!(options.edge_weight() >= 0 && std::isfinite(options.edge_weight()))) {
    return bad("edge_weight", options.edge_weight(), "finite and at least 0");
  }
  if (!(options.kl_weight() >= 0 && std::isfinite(options.kl_weight()))) {
    return bad("kl_weight", options.kl_weight(), "finite and at least 0");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<wan::Vae>> MakeVae(const VaeTrainingOptions& options) {
  return wan::Vae::Create(MakeVaeConfig(options));
}

void InitVae(wan::Vae& vae, uint64_t seed) {
  vae.InitParameters(seed);
  at::NoGradGuard no_grad;
  const int64_t z = vae.config().z_dim;
  // The second half of the moments is the log-variance.
  vae.named_parameters()["conv1.bias"].narrow(0, z, z).fill_(-5.0);
}

VaeObjective::VaeObjective(wan::Vae& vae, const DigitScans& scans, const ClipGeometry& geometry,
                           const VaeTrainingOptions& options, uint64_t seed)
    : vae_(vae), scans_(scans), geometry_(geometry), options_(options), seed_(seed) {}

std::vector<train::TrainedTensor> VaeObjective::Parameters() {
  return NetworkParameters(vae_, "", options_.loop().muon());
}

at::Tensor VaeObjective::Batch(int64_t step, int part, int parts) const {
  const bool whole =
      options_.whole_every() > 0 && step % options_.whole_every() == options_.whole_every() - 1;
  const double crop_values =
      static_cast<double>(options_.crop_frames()) * options_.crop_size() * options_.crop_size();
  const double clip_values =
      static_cast<double>(geometry_.frames) * geometry_.size * geometry_.size;
  const int64_t count =
      whole
          ? std::max<int64_t>(1, std::llround(options_.loop().batch() * crop_values / clip_values))
          : options_.loop().batch();
  std::vector<ClipSpec> specs;
  std::vector<ClipWindow> windows;
  for (int64_t i = part; i < std::max<int64_t>(count, parts); i += parts) {
    const uint64_t id = static_cast<uint64_t>(step) << 16 | static_cast<uint64_t>(i);
    specs.push_back(SampleClip(scans_, geometry_, Split::kTrain, Combinations::kAll,
                               MixSeed(seed_, {kVaeClips, id})));
    if (whole) continue;
    windows.push_back(
        SampleWindow(geometry_, options_, specs.back(), MixSeed(seed_, {kVaeWindows, id})));
  }
  return RenderClips(scans_, geometry_, specs, windows, vae_.parameters().front().device());
}

train::Objective::Terms VaeObjective::Loss(int64_t step, int part, int parts) {
  const at::Tensor clips = Batch(step, part, parts);  // [B, 3, F, H, W]
  const wan::LatentDistribution posterior = vae_.EncodeWhole(clips);
  const at::Tensor noise = train::SeededNormal(
      posterior.mean.sizes(),
      MixSeed(seed_, {kVaeNoise, static_cast<uint64_t>(step), static_cast<uint64_t>(part)}),
      clips.device());
  const at::Tensor error = vae_.DecodeWhole(posterior.Sample(noise)) - clips;
  Terms terms;
  terms.total = error.abs().mean();
  const auto add = [&](const char* name, double weight, const at::Tensor& term) {
    terms.named.emplace_back(name, term.item<double>());
    terms.total = terms.total + weight * term;
  };
  terms.named.emplace_back("error", terms.total.item<double>());
  if (options_.edge_weight() > 0) {
    add("edges", options_.edge_weight(),
        EdgeLoss(error, 2) + EdgeLoss(error, 3) + EdgeLoss(error, 4));
  }
  if (options_.kl_weight() > 0) {
    const at::Tensor kl =
        0.5 * (posterior.mean.square() + posterior.logvar.exp() - 1 - posterior.logvar);
    add("kl", options_.kl_weight(), kl.mean());
  }
  return terms;
}

double ReconstructionPsnr(const wan::Vae& vae, const DigitScans& scans,
                          const ClipGeometry& geometry, Split split, int64_t clips, uint64_t seed) {
  at::NoGradGuard no_grad;
  double squares = 0;
  for (int64_t i = 0; i < clips; ++i) {
    const ClipSpec spec = SampleClip(scans, geometry, split, Combinations::kAll,
                                     MixSeed(seed, {kVaeEvaluation, static_cast<uint64_t>(i)}));
    const at::Tensor clip = RenderClips(scans, geometry, {spec});
    squares += (vae.Decode(vae.Encode(clip).mean) - clip).square().mean().item<double>();
  }
  return -10 * std::log10(squares / static_cast<double>(clips) / 4);
}

}  // namespace wanlite::digits
