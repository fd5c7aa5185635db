# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/umt5.json and data/umt5.safetensors from transformers' UMT5EncoderModel.

    python tests/golden/generate_umt5.py

Configs are odd on purpose: heads times head width is not the model width, bucket counts are small or odd,
sequences are longer than the largest distance told apart, and masks have padding and holes.
"""
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

import seeded

CASES = {
    # name: (config, [(batch, tokens, [length of each, ...], hole)])
    "wide_inner": (
        dict(vocab_size=50, d_model=24, d_kv=9, d_ff=40, num_layers=2, num_heads=5),
        [(1, 300, [300], None), (2, 17, [17, 6], None)],
    ),
    "narrow_inner": (
        dict(vocab_size=37, d_model=16, d_kv=3, d_ff=21, num_layers=3, num_heads=4,
             relative_attention_num_buckets=10, relative_attention_max_distance=20,
             layer_norm_epsilon=1e-5),
        [(3, 45, [45, 1, 30], 11), (1, 1, [1], None)],
    ),
    "odd_buckets": (
        dict(vocab_size=11, d_model=7, d_kv=4, d_ff=13, num_layers=1, num_heads=2,
             relative_attention_num_buckets=7, relative_attention_max_distance=9),
        [(2, 33, [33, 20], 3)],
    ),
}


def ids(name, batch, tokens, vocabulary):
    return ((seeded.uniform(name, (batch, tokens)) + 1) / 2 * vocabulary).long()


def main():
    folder = pathlib.Path(__file__).parent / "data"
    tensors, cases = {}, []
    for case, (config, runs) in CASES.items():
        settings = transformers.UMT5Config(**config)
        settings._attn_implementation = "eager"
        settings.architectures = ["UMT5EncoderModel"]
        model = transformers.UMT5EncoderModel(settings).eval()
        record = {"name": case, "config": json.loads(settings.to_json_string(use_diff=False)),
                  "parameters": seeded.fill(model), "runs": []}
        for i, (batch, tokens, lengths, hole) in enumerate(runs):
            name = f"{case}.{i}"
            mask = torch.zeros(batch, tokens, dtype=torch.long)
            for row, length in enumerate(lengths):
                mask[row, :length] = 1
            if hole is not None:
                mask[0, hole] = 0
            with torch.no_grad():
                out = model(ids(name + ".ids", batch, tokens, config["vocab_size"]), mask).last_hidden_state
            print(name, tuple(out.shape), f"rms {out.square().mean().sqrt():.3f}")
            tensors[name + ".out"] = out.contiguous()
            record["runs"].append({"name": name, "batch": batch, "tokens": tokens, "lengths": lengths,
                                   "hole": -1 if hole is None else hole})
        cases.append(record)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    save_file(tensors, folder / "umt5.safetensors", metadata=versions)
    (folder / "umt5.safetensors").chmod(0o644)
    with open(folder / "umt5.json", "w") as out:
        json.dump({"versions": versions, "cases": cases}, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
