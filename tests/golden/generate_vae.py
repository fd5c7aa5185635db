# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/vae.json and data/vae.safetensors from diffusers' AutoencoderKLWan.

    python tests/golden/generate_vae.py

Configs are odd on purpose: widths that are not powers of two, encoder and decoder of different width,
levels without temporal stride, attention in the levels, frames that are not square and frame counts
that do not fit 1 + 4k.
"""
import json
import pathlib

import diffusers
import torch
from diffusers.models.autoencoders import autoencoder_kl_wan
from safetensors.torch import save_file

import seeded

CASES = {
    # name: (config, [(video shape, latent shape)])
    "wan": (
        dict(base_dim=4, decoder_base_dim=6, z_dim=2, dim_mult=[1, 2, 2, 3], num_res_blocks=2,
             attn_scales=[], temperal_downsample=[False, True, True]),
        [((1, 3, 13, 16, 24), (1, 2, 4, 2, 3)), ((2, 3, 1, 24, 16), (2, 2, 1, 3, 2)),
         ((1, 3, 11, 16, 8), (2, 2, 2, 1, 2))],
    ),
    "early_time": (
        dict(base_dim=6, decoder_base_dim=4, z_dim=3, dim_mult=[1, 2, 3], num_res_blocks=1,
             attn_scales=[0.5], temperal_downsample=[True, False]),
        [((2, 3, 5, 20, 12), (2, 3, 3, 5, 3)), ((1, 3, 3, 8, 12), (1, 3, 1, 2, 3))],
    ),
    "two_levels": (
        dict(base_dim=5, decoder_base_dim=None, z_dim=4, dim_mult=[1, 3], num_res_blocks=1,
             attn_scales=[1.0, 0.5], temperal_downsample=[True]),
        [((1, 3, 9, 10, 7), (1, 4, 5, 4, 3))],
    ),
    "all_time": (
        dict(base_dim=3, decoder_base_dim=5, z_dim=1, dim_mult=[2, 1, 2], num_res_blocks=3,
             attn_scales=[0.25], temperal_downsample=[True, True]),
        [((1, 3, 9, 12, 8), (1, 1, 3, 3, 2))],
    ),
    "one_level": (
        dict(base_dim=7, decoder_base_dim=6, z_dim=2, dim_mult=[1], num_res_blocks=1, attn_scales=[],
             temperal_downsample=[]),
        [((1, 3, 6, 5, 4), (1, 2, 3, 5, 4))],
    ),
}


def accept_cache():
    """The reference's encoder hands its cache to all layers of a level, but its attention takes none, so
    attn_scales crash there. Attention works on single frames and has nothing to cache."""
    block = autoencoder_kl_wan.WanAttentionBlock
    forward = block.forward
    block.forward = lambda self, x, feat_cache=None, feat_idx=None: forward(self, x)


def main():
    accept_cache()
    folder = pathlib.Path(__file__).parent / "data"
    tensors, cases = {}, []
    for case, (config, runs) in CASES.items():
        z = config["z_dim"]
        model = diffusers.AutoencoderKLWan(
            latents_mean=[0.1 * i - 0.2 for i in range(z)], latents_std=[1.0 + 0.5 * i for i in range(z)],
            **config).eval()
        parameters = seeded.fill(model)
        record = {"name": case, "config": json.loads(model.to_json_string()), "parameters": parameters,
                  "runs": []}
        for i, (video, latents) in enumerate(runs):
            name = f"{case}.{i}"
            with torch.no_grad():
                posterior = model.encode(seeded.uniform(name + ".video", video)).latent_dist
                decoded = model.decode(seeded.uniform(name + ".latents", latents) * 2).sample
            clamped = (decoded.abs() == 1).float().mean().item()
            print(name, "mean", tuple(posterior.mean.shape), "decoded", tuple(decoded.shape),
                  f"clamped {clamped:.2f}")
            tensors[name + ".mean"] = posterior.mean.contiguous()
            tensors[name + ".logvar"] = posterior.logvar.contiguous()
            tensors[name + ".decoded"] = decoded.contiguous()
            record["runs"].append({"name": name, "video": video, "latents": latents})
        cases.append(record)
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    save_file(tensors, folder / "vae.safetensors", metadata=versions)
    (folder / "vae.safetensors").chmod(0o644)
    with open(folder / "vae.json", "w") as out:
        json.dump({"versions": versions, "cases": cases}, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
