// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0
//
// The VAE's decoder, latents to frames. "whole_clip" is what LibTorch alone would run: every
// convolution over all frames at once; "chunked" is what generation runs, one latent frame after
// the other, whose memory does not grow with the clip. The kernels of both are LibTorch's.

#include "absl/strings/str_cat.h"
#include "bench/harness.h"
#include "src/core/libtorch.h"
#include "src/model/wan/vae.h"
#include "wanlite/metrics.h"

namespace wanlite::bench {
namespace {

struct Shape {
  std::string name;
  wan::VaeConfig config;
  int64_t latent_size;  // height and width
};

struct Decoder {
  std::shared_ptr<wan::Vae> vae;
  at::Tensor latents;
  double ops = 0;  // of decoding `latents`
};

absl::StatusOr<Decoder> MakeDecoder(const Shape& shape, int64_t latent_frames,
                                    at::ScalarType dtype) {
  absl::StatusOr<std::shared_ptr<wan::Vae>> vae = wan::Vae::Create(shape.config);
  if (!vae.ok()) return vae.status();
  (*vae)->InitParameters(1);
  const absl::StatusOr<ModelView> view =
      ModelView::Create({{"vae", ComponentRole::kAutoencoder, "AutoencoderKLWan", "", *vae}});
  if (!view.ok()) return view.status();
  VideoShape clip;
  clip.frames = 1 + (latent_frames - 1) * shape.config.temporal_stride();
  clip.height = clip.width = shape.latent_size * shape.config.spatial_stride();
  const absl::StatusOr<ModelOps> ops = CountOps(*view, clip);
  if (!ops.ok()) return ops.status();
  (*vae)->to(dtype);
  const at::Tensor latents =
      at::randn({1, shape.config.z_dim, latent_frames, shape.latent_size, shape.latent_size},
                at::detail::createCPUGenerator(2));
  return Decoder{*vae, latents.to(dtype), ops->vae_decode.total().dense};
}

void AddShape(const Shape& shape, int64_t latent_frames) {
  const std::string group =
      absl::StrCat("vae_decode/", shape.name, "/latent_frames:", latent_frames);
  const auto make = [=](at::ScalarType dtype) {
    return MakeLazy<Decoder>([=] { return ValueOrExit(MakeDecoder(shape, latent_frames, dtype)); });
  };
  const auto fp32 = make(at::kFloat), bf16 = make(at::kBFloat16);
  const auto expected = MakeLazy<at::Tensor>(
      [=] { return (*fp32)->vae->DecodeWhole((*fp32)->latents).clamp(-1, 1); });
  const auto add = [=](const std::string& variant, const std::shared_ptr<Lazy<Decoder>>& decoder,
                       bool half, at::Tensor (*run)(const Decoder&)) {
    const auto error = MakeLazy<double>([=] { return RelativeError(run(**decoder), **expected); });
    Add(group, variant, [=](benchmark::State& state) {
      const Decoder& d = **decoder;
      Time(state, [&] { return run(d); });
      SetWork(state, {.fp32_op = half ? 0 : d.ops, .bf16_op = half ? d.ops : 0});
      SetError(state, **error);
    });
  };
  const auto whole = [](const Decoder& d) { return d.vae->DecodeWhole(d.latents).clamp(-1, 1); };
  const auto chunked = [](const Decoder& d) { return d.vae->Decode(d.latents); };
  add("whole_clip_fp32", fp32, false, whole);
  add("whole_clip_bf16", bf16, true, whole);
  add("chunked_fp32", fp32, false, chunked);
  add("chunked_bf16", bf16, true, chunked);
}

void AddAll() {
  wan::VaeConfig digits;  // sizes of examples/digits/model/vae
  digits.base_dim = digits.decoder_base_dim = 8;
  digits.z_dim = 8;
  digits.num_res_blocks = 1;
  wan::VaeConfig base32;  // Wan 2.1's VAE at a third of its width
  base32.base_dim = base32.decoder_base_dim = 32;
  for (const int64_t latent_frames : {1, 5}) {
    AddShape({"wan_digits_64x64", digits, 8}, latent_frames);
    AddShape({"base_32_128x128", base32, 16}, latent_frames);
  }
}

}  // namespace
}  // namespace wanlite::bench

int main(int argc, char** argv) {
  wanlite::bench::AddAll();
  return wanlite::bench::Main(argc, argv, "whole_clip_fp32");
}
