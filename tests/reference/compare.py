#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Compares the command line with the Python references, black box, on configs drawn at random.

Needs torch, diffusers, transformers and safetensors from PyPI:

    python3 tests/reference/compare.py --wanlite build/release/bin/wanlite [--seed 0] [--rounds 3]

Every round saves randomly initialised networks with the references' own save_pretrained(), runs
`wanlite forward` and `wanlite generate` on them and prints the relative L2 error of each output. Exits 1
when one is above its bound (1e-5 for a forward in fp32, 1e-4 for a latent loop). The golden tests of
tests/model/wan hold a fixed subset of this; here the configs are new every time.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import torch
from diffusers import (AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler,
                       WanPipeline, WanTransformer3DModel)
from safetensors.torch import load_file, save_file
from transformers import UMT5Config, UMT5EncoderModel

FAILURES = []


def relative_l2(got, want):
    return float((got.double() - want.double()).norm() / want.double().norm().clamp_min(1e-30))


def check(what, got, want, bound):
    if got.shape != want.shape:
        print(f"FAIL {what}: shape {tuple(got.shape)}, wanted {tuple(want.shape)}")
        FAILURES.append(what)
        return
    error = relative_l2(got, want)
    bad = not error <= bound
    print(f"{'FAIL' if bad else 'ok  '} {what}: relative L2 {error:.2e} (bound {bound:.0e})")
    if bad:
        FAILURES.append(what)


def run(args, *more):
    command = [args.wanlite, *map(str, more)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"FAIL {' '.join(command)}\n     exit {done.returncode}: {done.stderr.strip()[-800:]}")
        FAILURES.append(command[1])
        return False
    return True


def randomize(module, seed, scale=0.3):
    """References start some tensors at zero or one, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("gamma") or "norm" in name and name.endswith("weight"):
                p.copy_(1 + 0.1 * noise)
            elif p.dim() > 1:
                fan_in = p[0].numel()
                p.copy_(noise / fan_in**0.5)
            else:
                p.copy_(scale * noise)


def dit_config(rng):
    heads = rng.choice([1, 2, 3, 5])
    head_dim = rng.choice([8, 10, 12, 16, 22, 24, 32])
    return dict(patch_size=rng.choice([(1, 2, 2), (1, 2, 2), (1, 1, 1), (2, 2, 2), (1, 4, 2)]),
                num_attention_heads=heads, attention_head_dim=head_dim,
                in_channels=rng.choice([4, 16]), out_channels=rng.choice([4, 16]),
                text_dim=rng.choice([8, 20, 33]), freq_dim=rng.choice([16, 64, 256]),
                ffn_dim=rng.choice([17, 40, 96]), num_layers=rng.choice([1, 2, 3]),
                cross_attn_norm=rng.random() < 0.7, eps=rng.choice([1e-6, 1e-5]))


ORIGINAL_DIT = [("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
                ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
                ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
                ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
                ("condition_embedder.time_proj", "time_projection.1"),
                ("attn1.to_out.0", "self_attn.o"), ("attn2.to_out.0", "cross_attn.o"),
                ("attn1.to_", "self_attn."), ("attn2.to_", "cross_attn."),
                ("attn1.norm", "self_attn.norm"), ("attn2.norm", "cross_attn.norm"),
                ("ffn.net.0.proj", "ffn.0"), ("ffn.net.2", "ffn.2"), (".norm2.", ".norm3."),
                ("proj_out", "head.head")]


def original_dit_name(name):
    if name == "scale_shift_table":
        return "head.modulation"
    if name.endswith(".scale_shift_table"):
        return name.replace("scale_shift_table", "modulation")
    for old, new in ORIGINAL_DIT:
        name = name.replace(old, new)
    return name


def check_dit(args, rng, work, round_):
    config = dit_config(rng)
    model = WanTransformer3DModel(**config).eval()
    randomize(model, rng.randrange(1 << 30))
    folder = os.path.join(work, "dit")
    shard = rng.choice(["10GB", "40KB"])
    model.save_pretrained(os.path.join(folder, "transformer"), max_shard_size=shard)
    pt, ph, pw = config["patch_size"]
    batch = rng.choice([1, 2, 3])
    x = torch.randn(batch, config["in_channels"], pt * rng.choice([1, 2, 3]), ph * rng.choice([2, 3, 5]),
                    pw * rng.choice([1, 4, 7]))
    t = torch.randint(0, 1000, (batch,))
    text = torch.randn(batch, rng.choice([1, 7, 19]), config["text_dim"])
    with torch.no_grad():
        want = model(x, t, text, return_dict=False)[0]
    save_file({"hidden_states": x, "timestep": t, "encoder_hidden_states": text},
              os.path.join(work, "in.safetensors"))
    out = os.path.join(work, "out.safetensors")
    what = f"round {round_}: dit {config} input {tuple(x.shape)} shard {shard}"
    base = ["forward", "--component", "transformer", "--inputs", f"{work}/in.safetensors", "--output", out]
    if run(args, *base, "--model", folder):
        check(what, load_file(out)["sample"], want, 1e-5)
    if run(args, *base, "--model", os.path.join(folder, "transformer")):
        check(what + " (lone component)", load_file(out)["sample"], want, 1e-5)
    original = os.path.join(work, "dit_original")
    os.makedirs(original)
    save_file({original_dit_name(k): v.contiguous() for k, v in model.state_dict().items()},
              os.path.join(original, "model.safetensors"))
    config_file = os.path.join(folder, "transformer", "config.json")
    if run(args, *base, "--model", original, "--config", config_file):
        check(what + " (original names)", load_file(out)["sample"], want, 1e-5)
    if config["patch_size"] == (1, 2, 2) and config["cross_attn_norm"]:
        json.dump({"_class_name": "WanModel", "model_type": "t2v", "dim": model.inner_dim if hasattr(model, "inner_dim")
                   else config["num_attention_heads"] * config["attention_head_dim"],
                   "ffn_dim": config["ffn_dim"], "freq_dim": config["freq_dim"], "in_dim": config["in_channels"],
                   "out_dim": config["out_channels"], "num_heads": config["num_attention_heads"],
                   "num_layers": config["num_layers"], "eps": config["eps"], "text_len": 512,
                   "text_dim": config["text_dim"]},
                  open(os.path.join(work, "original_config.json"), "w"))
        if run(args, *base, "--model", original, "--config", f"{work}/original_config.json"):
            check(what + " (original names and config)", load_file(out)["sample"], want, 1e-5)
    if run(args, "convert", "--model", folder, "--to", "wanlite", "--out", f"{work}/dit_wanlite") and \
            run(args, *base, "--model", f"{work}/dit_wanlite"):
        check(what + " (wanlite checkpoint)", load_file(out)["sample"], want, 1e-5)
    if run(args, "convert", "--model", original, "--config", config_file, "--to", "diffusers", "--out",
           f"{work}/dit_back"):
        back = WanTransformer3DModel.from_pretrained(f"{work}/dit_back/transformer")
        for name, value in model.state_dict().items():
            if not torch.equal(back.state_dict()[name], value):
                print("FAIL convert to diffusers changed", name)
                FAILURES.append("convert")
                break


def check_umt5(args, rng, work, round_):
    heads = rng.choice([1, 3, 4])
    config = UMT5Config(vocab_size=rng.choice([50, 97]), d_model=rng.choice([16, 24, 40]), d_kv=rng.choice([4, 8, 11]),
                        d_ff=rng.choice([20, 33]), num_layers=rng.choice([1, 2, 3]), num_heads=heads,
                        relative_attention_num_buckets=rng.choice([8, 32]),
                        relative_attention_max_distance=rng.choice([20, 128]), dropout_rate=0.0,
                        feed_forward_proj="gated-gelu")
    model = UMT5EncoderModel(config).eval()
    randomize(model, rng.randrange(1 << 30))
    folder = os.path.join(work, "t5")
    model.save_pretrained(os.path.join(folder, "text_encoder"))
    length = rng.choice([3, 17, 150])
    ids = torch.randint(0, config.vocab_size, (2, length))
    mask = torch.ones_like(ids)
    mask[1, length // 2 + 1:] = 0
    with torch.no_grad():
        want = model(ids, mask).last_hidden_state
    save_file({"input_ids": ids, "attention_mask": mask}, os.path.join(work, "in.safetensors"))
    out = os.path.join(work, "out.safetensors")
    if run(args, "forward", "--model", folder, "--component", "text_encoder", "--inputs", f"{work}/in.safetensors",
           "--output", out):
        check(f"round {round_}: umt5 d {config.d_model} kv {config.d_kv} length {length}",
              load_file(out)["last_hidden_state"], want, 1e-5)


def vae_model(rng):
    mult = rng.choice([[1, 2, 4, 4], [1, 2, 2], [1, 1], [1, 2, 2, 4]])
    down = [rng.random() < 0.6 for _ in mult[1:]]
    z = rng.choice([4, 16, 5])
    config = dict(base_dim=rng.choice([4, 8, 12]), z_dim=z, dim_mult=mult, num_res_blocks=rng.choice([1, 2]),
                  attn_scales=[], temperal_downsample=down, dropout=0.0,
                  latents_mean=[rng.uniform(-1, 1) for _ in range(z)], latents_std=[rng.uniform(0.5, 3) for _ in range(z)])
    if rng.random() < 0.5:
        config["decoder_base_dim"] = rng.choice([4, 8])
    return config, AutoencoderKLWan(**config).eval()


def check_vae(args, rng, work, round_):
    config, model = vae_model(rng)
    randomize(model, rng.randrange(1 << 30), 0.1)
    folder = os.path.join(work, "vae")
    model.save_pretrained(os.path.join(folder, "vae"))
    space = 2 ** (len(config["dim_mult"]) - 1)
    frames = rng.choice([1, 5, 9, 13])
    video = torch.rand(rng.choice([1, 2]), 3, frames, space * rng.choice([2, 3]), space * rng.choice([2, 5])) * 2 - 1
    out = os.path.join(work, "out.safetensors")
    try:
        with torch.no_grad():
            mean = model.encode(video).latent_dist.mean
            latents = torch.randn_like(mean)
            want = model.decode(latents, return_dict=False)[0]
    except Exception as error:  # a config the reference itself cannot run
        print(f"skip round {round_}: vae {config}: the reference fails: {str(error)[:100]}")
        return
    save_file({"sample": video}, os.path.join(work, "in.safetensors"))
    if run(args, "forward", "--model", folder, "--component", "vae.encode", "--inputs", f"{work}/in.safetensors",
           "--output", out):
        check(f"round {round_}: vae.encode {config} {tuple(video.shape)}", load_file(out)["mean"], mean, 1e-5)
    save_file({"latents": latents}, os.path.join(work, "in.safetensors"))
    if run(args, "forward", "--model", folder, "--component", "vae.decode", "--inputs", f"{work}/in.safetensors",
           "--output", out):
        check(f"round {round_}: vae.decode {config} {tuple(latents.shape)}", load_file(out)["sample"], want, 1e-5)


def check_generate(args, rng, work, round_):
    config = dit_config(rng)
    config.update(patch_size=(1, 2, 2), in_channels=16, out_channels=16)
    experts = [WanTransformer3DModel(**config).eval() for _ in range(2)]
    for expert in experts:
        randomize(expert, rng.randrange(1 << 30))
    shift = rng.choice([1.0, 3.0, 5.0, 12.0])
    if rng.random() < 0.5:
        scheduler, name = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True,
                                                  flow_shift=shift), "unipc"
    else:
        scheduler, name = FlowMatchEulerDiscreteScheduler(shift=shift), "euler"
    vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1,
                           temperal_downsample=[False, True, True])
    boundary = rng.choice([0.875, 0.9, 0.5])
    pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler, transformer=experts[0],
                       transformer_2=experts[1], boundary_ratio=boundary)
    pipe.set_progress_bar_config(disable=True)
    folder = os.path.join(work, "pipe")
    for part, module in [("transformer", experts[0]), ("transformer_2", experts[1]), ("vae", vae)]:
        module.save_pretrained(os.path.join(folder, part))
    scheduler.save_pretrained(os.path.join(folder, "scheduler"))
    json.dump({"_class_name": "WanPipeline", "boundary_ratio": boundary, "expand_timesteps": False,
               "scheduler": ["diffusers", type(scheduler).__name__],
               "transformer": ["diffusers", "WanTransformer3DModel"],
               "transformer_2": ["diffusers", "WanTransformer3DModel"], "vae": ["diffusers", "AutoencoderKLWan"]},
              open(os.path.join(folder, "model_index.json"), "w"))
    frames, height, width = rng.choice([1, 5, 9]), rng.choice([32, 48]), rng.choice([32, 64])
    latents = torch.randn(1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)
    text = torch.randn(1, 6, config["text_dim"])
    negative = torch.randn(1, 6, config["text_dim"])
    guidance, guidance_2 = rng.choice([(4.0, 3.0), (5.0, 1.5), (1.0, 1.0)])
    steps = 9
    with torch.no_grad():
        want = pipe(prompt_embeds=text, negative_prompt_embeds=negative, latents=latents.clone(),
                    height=height, width=width, num_frames=frames, num_inference_steps=steps,
                    guidance_scale=guidance, guidance_scale_2=guidance_2, output_type="latent").frames
    # The pipeline returns raw latents for output_type="latent".
    save_file({"prompt_embeds": text, "negative_prompt_embeds": negative}, f"{work}/embeds.safetensors")
    save_file({"initial_latents": latents}, f"{work}/init.safetensors")
    out = f"{work}/latents.safetensors"
    if run(args, "generate", "--model", folder, "--prompt-embeds", f"{work}/embeds.safetensors",
           "--initial-latents", f"{work}/init.safetensors", "--save-latents", out, "--steps", steps,
           "--frames", frames, "--height", height, "--width", width, "--guidance", guidance,
           "--guidance-2", guidance_2):
        check(f"round {round_}: generate {name} shift {shift} boundary {boundary} guidance {guidance}/{guidance_2}",
              load_file(out)["latents"], want, 1e-4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wanlite", required=True)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["dit", "umt5", "vae", "generate"])
    args = parser.parse_args()
    print(f"seed {args.seed}")
    for round_ in range(args.rounds):
        for name, function in [("dit", check_dit), ("umt5", check_umt5), ("vae", check_vae),
                               ("generate", check_generate)]:
            if args.only in (None, name):
                rng = random.Random(f"{args.seed} {round_} {name}")
                torch.manual_seed(rng.randrange(1 << 30))
                with tempfile.TemporaryDirectory() as work:
                    function(args, rng, work, round_)
    print(f"{len(FAILURES)} failures")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
