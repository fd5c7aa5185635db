# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/flops.json: what torch's own counter says of the reference networks.

    python tests/metrics/generate_flops.py     (torch 2.11, diffusers 0.42, transformers 5.24)

torch.utils.flop_counter counts 2 per multiply-add of mm, addmm (without its bias), bmm and convolution.
Attention has to run as matrix products (SDPBackend.MATH): the fused kernel of the CPU has no formula
and counts as nothing. All parts are split by operator and checked against the module they ran in.

Configs are odd on purpose: widths that are no powers of two, patches of several frames, per-stage
strides, single frames. (Attention inside the VAE's stages, attn_scales, does not run in diffusers.)
"""
import json
import pathlib

import diffusers
import torch
import transformers
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import UMT5Config, UMT5EncoderModel

aten = torch.ops.aten
LINEAR, ATTENTION, CONVOLUTION = (aten.mm, aten.addmm), (aten.bmm, aten.baddbmm), (aten.convolution,)

# Shapes: (frames, height, width) of the video at strides (4, 8, 8), text tokens.
TRANSFORMERS = {
    "odd": (
        dict(num_attention_heads=3, attention_head_dim=10, ffn_dim=50, num_layers=2, in_channels=5,
             out_channels=7, text_dim=24, freq_dim=32),
        [((9, 48, 80), 7), ((1, 16, 16), 1)],
    ),
    "patch_in_time": (
        dict(num_attention_heads=3, attention_head_dim=20, ffn_dim=50, num_layers=3, in_channels=4,
             out_channels=4, text_dim=24, freq_dim=33, patch_size=(2, 2, 2), cross_attn_norm=False),
        [((13, 32, 64), 5)],
    ),
    "uneven_patch": (
        dict(num_attention_heads=2, attention_head_dim=16, ffn_dim=48, num_layers=1, in_channels=6,
             out_channels=None, text_dim=10, freq_dim=30, patch_size=(1, 3, 2)),
        [((5, 48, 32), 4)],
    ),
    "wide": (
        dict(num_attention_heads=4, attention_head_dim=24, ffn_dim=160, num_layers=5, in_channels=16,
             out_channels=16, text_dim=64, freq_dim=256),
        [((17, 64, 144), 33)],
    ),
}
ENCODERS = {
    "wide_inner": (dict(vocab_size=50, d_model=24, d_kv=9, d_ff=40, num_layers=2, num_heads=5),
                   [17, 1]),
    "narrow_inner": (dict(vocab_size=37, d_model=16, d_kv=3, d_ff=21, num_layers=3, num_heads=4,
                          relative_attention_num_buckets=10, relative_attention_max_distance=20),
                     [45]),
}
# Shapes: (frames, height, width) of the video.
VAES = {
    "strides_4_8_8": (dict(base_dim=4, z_dim=3, dim_mult=[1, 2, 4, 4], num_res_blocks=1,
                           temperal_downsample=[False, True, True]),
                      [(9, 16, 24), (1, 24, 8)]),
    "wide_decoder": (dict(base_dim=6, decoder_base_dim=10, z_dim=5, dim_mult=[1, 3, 2], num_res_blocks=2,
                          temperal_downsample=[True, True]),
                     [(13, 8, 20)]),
    # Seven frames are one and a chunk of four; the encoder drops the rest.
    "two_frames_in_one": (dict(base_dim=4, z_dim=2, dim_mult=[1, 2, 3], num_res_blocks=2,
                               temperal_downsample=[False, True]),
                          [(5, 12, 16), (7, 8, 8)]),
}


def count(module, run):
    """({part: operations}, {module: operations}) of run()."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        run()
    counts = counter.get_flop_counts()
    by_op = dict(counts["Global"])
    parts = {}
    for part, ops in (("linear", LINEAR), ("attention", ATTENTION), ("convolution", CONVOLUTION)):
        parts[part] = sum(by_op.pop(op, 0) for op in ops)
    assert not by_op, f"operators of no part: {by_op}"
    assert sum(parts.values()) == counter.get_total_flops()
    root = type(module).__name__
    modules = {}
    for name, ops in counts.items():
        if name.startswith(root + "."):
            modules[name[len(root) + 1:]] = ops
    return parts, modules


def total(modules, suffixes, ops):
    return sum(modules[name].get(op, 0) for name in modules for op in ops
               if name.endswith(suffixes))


def transformer_case(name, config, shape, text):
    torch.manual_seed(0)
    model = WanTransformer3DModel(**config).eval()
    frames, height, width = shape
    latents = torch.randn(1, config["in_channels"], 1 + (frames - 1) // 4, height // 8, width // 8)
    embeds = torch.randn(1, text, config["text_dim"])
    parts, modules = count(model, lambda: model(latents, torch.tensor([437]), embeds))
    self_attention = total(modules, ".attn1", ATTENTION)
    cross_attention = total(modules, ".attn2", ATTENTION)
    assert self_attention + cross_attention == parts["attention"]
    assert total(modules, "patch_embedding", CONVOLUTION) == parts["convolution"]
    leaves = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    assert sum(sum(modules[n].values()) for n in leaves) == parts["linear"]
    return dict(network="transformer", name=name, config=dict(_class_name="WanTransformer3DModel", **config),
                frames=frames, height=height, width=width, text_tokens=text,
                tokens=latents[0, 0].numel() // torch.Size(config.get("patch_size", (1, 2, 2))).numel(),
                parameters=sum(p.numel() for p in model.parameters()),
                linear=parts["linear"], self_attention=self_attention, cross_attention=cross_attention,
                convolution=parts["convolution"],
                linear_time=sum(sum(modules[n].values()) for n in leaves if ".time_" in n),
                linear_ffn=sum(sum(modules[n].values()) for n in leaves if ".ffn." in n))


def encoder_case(name, config, tokens):
    torch.manual_seed(0)
    model = UMT5EncoderModel(UMT5Config(**config)).eval()
    ids = torch.arange(tokens)[None] % config["vocab_size"]
    parts, _ = count(model, lambda: model(ids, torch.ones_like(ids)))
    assert parts["convolution"] == 0
    return dict(network="text_encoder", name=name,
                config=dict(architectures=["UMT5EncoderModel"], model_type="umt5",
                            feed_forward_proj="gated-gelu", **config),
                text_tokens=tokens,
                parameters=sum(p.numel() for p in model.parameters()),
                linear=parts["linear"], self_attention=parts["attention"], cross_attention=0,
                convolution=0)


def vae_case(name, config, shape):
    torch.manual_seed(0)
    z = config["z_dim"]
    config = dict(config, latents_mean=[0.0] * z, latents_std=[1.0] * z)
    model = AutoencoderKLWan(**config).eval()
    frames, height, width = shape
    case = dict(network="vae", name=name, config=dict(_class_name="AutoencoderKLWan", **config),
                frames=frames, height=height, width=width,
                parameters=sum(p.numel() for p in model.parameters()))
    temporal, spatial = 2 ** sum(config["temperal_downsample"]), 2 ** (len(config["dim_mult"]) - 1)
    latent = (1 + (frames - 1) // temporal, height // spatial, width // spatial)
    runs = dict(encode=lambda: model.encode(torch.randn(1, 3, *shape)),
                decode=lambda: model.decode(torch.randn(1, z, *latent)))
    for half, run in runs.items():
        parts, _ = count(model, run)
        assert parts["linear"] == 0
        case[half] = dict(linear=0, self_attention=parts["attention"], cross_attention=0,
                          convolution=parts["convolution"])
    case["latent"] = latent
    return case


def main():
    cases = [transformer_case(n, c, s, t) for n, (c, shapes) in TRANSFORMERS.items() for s, t in shapes]
    cases += [encoder_case(n, c, t) for n, (c, tokens) in ENCODERS.items() for t in tokens]
    cases += [vae_case(n, c, s) for n, (c, shapes) in VAES.items() for s in shapes]
    path = pathlib.Path(__file__).parent / "data" / "flops.json"
    versions = dict(torch=torch.__version__, diffusers=diffusers.__version__,
                    transformers=transformers.__version__)
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    path.write_text('{"made_by": "tests/metrics/generate_flops.py", "versions": ' + json.dumps(versions) +
                    ',\n "cases": [\n' + lines + "\n]}\n")
    print(f"{len(cases)} cases in {path}")


if __name__ == "__main__":
    main()
