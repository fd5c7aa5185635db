# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/dit.json and data/dit.safetensors from diffusers' WanTransformer3DModel.

    python tests/golden/generate_dit.py

Configs are odd on purpose: widths that are not powers of two, heads whose channels do not split
evenly over the three axes, patches of more than one frame, frames that are not square. Parameters
and inputs follow from their names (seeded.py); the file holds outputs alone.
"""
import json
import pathlib
import tempfile

import diffusers
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file

import seeded

CASES = {
    # name: (config, [(latent shape, text tokens, timesteps)])
    "odd": (
        dict(num_attention_heads=3, attention_head_dim=10, ffn_dim=50, num_layers=2, in_channels=5,
             out_channels=7, text_dim=24, freq_dim=32),
        [((2, 5, 3, 6, 10), 7, [999, 437]), ((1, 5, 1, 2, 2), 1, [0])],
    ),
    "patch_in_time": (
        dict(num_attention_heads=3, attention_head_dim=20, ffn_dim=50, num_layers=3, in_channels=4,
             out_channels=4, text_dim=24, freq_dim=32, patch_size=(2, 2, 2), cross_attn_norm=False),
        [((1, 4, 6, 4, 8), 5, [123.4]), ((2, 4, 2, 6, 2), 9, [875.0, 12.75])],
    ),
    "wide_eps": (
        dict(num_attention_heads=4, attention_head_dim=24, ffn_dim=160, num_layers=3,
             in_channels=16, out_channels=16, text_dim=64, freq_dim=256, eps=1e-3,
             rope_max_seq_len=9),
        [((2, 16, 5, 8, 18), 16, [998, 235])],
    ),
    "per_token": (
        dict(num_attention_heads=2, attention_head_dim=16, ffn_dim=48, num_layers=2, in_channels=6,
             out_channels=None, text_dim=10, freq_dim=33, patch_size=(1, 3, 2), qk_norm=None),
        [((2, 6, 3, 6, 4), 4, None)],
    ),
    "smallest_heads": (
        dict(num_attention_heads=5, attention_head_dim=2, ffn_dim=7, num_layers=1, in_channels=1,
             out_channels=2, text_dim=3, freq_dim=8, patch_size=(1, 1, 1)),
        [((1, 1, 4, 3, 5), 2, [611])],
    ),
    "head_of_128": (
        dict(num_attention_heads=2, attention_head_dim=128, ffn_dim=96, num_layers=2,
             in_channels=16, out_channels=16, text_dim=32, freq_dim=256),
        [((1, 16, 4, 10, 6), 12, [750])],
    ),
}
BFLOAT16 = ("odd", "wide_eps", "head_of_128")


def timestep_of(name, config, shape, given):
    if given is not None:
        return torch.tensor(given)
    patch = config.get("patch_size", (1, 2, 2))
    tokens = 1
    for size, p in zip(shape[2:], patch):
        tokens *= size // p
    return (seeded.uniform(name + ".timestep", (shape[0], tokens)) + 1) * 500


def main():
    folder = pathlib.Path(__file__).parent / "data"
    tensors, cases = {}, []
    for case, (config, runs) in CASES.items():
        model = WanTransformer3DModel(**config).eval()
        parameters = seeded.fill(model)
        models = {"fp32": model}
        if case in BFLOAT16:
            # As users load it: some modules stay fp32.
            with tempfile.TemporaryDirectory() as tmp:
                model.save_pretrained(tmp)
                models["bf16"] = WanTransformer3DModel.from_pretrained(
                    tmp, torch_dtype=torch.bfloat16)
        record = {"name": case, "config": json.loads(model.to_json_string()),
                  "parameters": parameters, "runs": []}
        for i, (shape, text_tokens, given) in enumerate(runs):
            name = f"{case}.{i}"
            latents = seeded.uniform(name + ".hidden_states", shape)
            text = seeded.uniform(name + ".encoder_hidden_states",
                                  (shape[0], text_tokens, config["text_dim"]))
            timestep = timestep_of(name, config, shape, given)
            for dtype, variant in models.items():
                torch_dtype = torch.bfloat16 if dtype == "bf16" else torch.float32
                with torch.no_grad():
                    out = variant(latents.to(torch_dtype), timestep, text.to(torch_dtype)).sample
                tensors[f"{name}.{dtype}"] = out.contiguous()
                rms = out.float().square().mean().sqrt().item()
                print(name, dtype, tuple(out.shape), f"rms {rms:.3f}")
            record["runs"].append({"name": name, "hidden_states": shape, "text_tokens": text_tokens,
                                   "timestep": given, "integer": not timestep.is_floating_point()})
        cases.append(record)
    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    save_file(tensors, folder / "dit.safetensors", metadata=versions)
    (folder / "dit.safetensors").chmod(0o644)
    with open(folder / "dit.json", "w") as out:
        json.dump({"versions": versions, "cases": cases}, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
