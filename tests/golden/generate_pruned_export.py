# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/pruned_export.safetensors: what diffusers and transformers compute from exports of pruned models.

    WANLITE_EXPORTS=DIR build/dev/tests/builtin/wanlite_builtin_test "writes the exports that the golden file is made from"
    python tests/golden/generate_pruned_export.py DIR

The folders are loaded by from_pretrained() as a user would; a tensor that is missing, is left over or has another
shape is an error. The test makes the same exports again and compares its own outputs with the file.
"""
import json
import pathlib
import sys

import diffusers
import torch
import transformers
from safetensors.torch import save_file

import seeded

CASES = ("ffn", "depth", "padded")


def load(library_class, folder):
    model, info = library_class.from_pretrained(folder, output_loading_info=True, torch_dtype=torch.float32)
    wrong = {key: value for key, value in info.items() if value and key != "missing_keys"}
    # The table of tokens has two names in transformers, and is stored once.
    missing = [key for key in info["missing_keys"] if key != "encoder.embed_tokens.weight"]
    if wrong or missing:
        sys.exit(f"{folder}: {wrong} {missing}")
    return model.eval()


def outputs(name, folder):
    """Tensors by "component.output"."""
    result = {}
    for part in sorted(folder.iterdir()):
        if part.name.startswith("transformer"):
            model = load(diffusers.WanTransformer3DModel, part)
            text = seeded.uniform(name + ".text", (2, 7, model.config.text_dim))
            latents = seeded.uniform(name + ".latents", (2, 4, 3, 4, 6))
            result[part.name + ".sample"] = model(latents, torch.tensor([900, 120]), text).sample
        elif part.name == "text_encoder":
            model = load(transformers.UMT5EncoderModel, part)
            ids = ((seeded.uniform(name + ".ids", (2, 9)) + 1) / 2 * 50).long()
            result[part.name + ".out"] = model(ids, torch.ones_like(ids)).last_hidden_state
        elif part.name == "vae":
            model = load(diffusers.AutoencoderKLWan, part)
            result["vae.mean"] = model.encode(seeded.uniform(name + ".video", (1, 3, 5, 8, 12))).latent_dist.mean
            result["vae.decoded"] = model.decode(seeded.uniform(name + ".z", (1, 4, 3, 2, 3))).sample
    return result


def main():
    tensors = {}
    for name in CASES:
        folder = pathlib.Path(sys.argv[1]) / name
        with torch.no_grad():
            for output, value in outputs(name, folder).items():
                print(name, output, tuple(value.shape), f"rms {value.square().mean().sqrt():.3f}")
                tensors[f"{name}.{output}"] = value.contiguous()
    versions = {"diffusers": diffusers.__version__, "transformers": transformers.__version__,
                "torch": torch.__version__}
    path = pathlib.Path(__file__).parent / "data" / "pruned_export.safetensors"
    save_file(tensors, path, metadata=versions)
    path.chmod(0o644)
    print(json.dumps(versions))


if __name__ == "__main__":
    main()
