# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/sampler.json and data/sampler.safetensors from diffusers' WanPipeline and schedulers.

    python tests/golden/generate_sampler.py

Two seeded experts (seeded.py) run whole latent loops; schedules of more step counts and options are
recorded without a model.
"""
import json
import pathlib

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file

import seeded

MODEL = dict(num_attention_heads=3, attention_head_dim=12, ffn_dim=40, num_layers=2, in_channels=4,
             out_channels=4, text_dim=20, freq_dim=32)
LATENTS = (2, 4, 3, 6, 4)
TEXT_TOKENS = 6

UNIPC = dict(prediction_type="flow_prediction", use_flow_sigmas=True)
SCHEDULERS = {
    "unipc_shift3": (UniPCMultistepScheduler, dict(flow_shift=3.0, **UNIPC)),
    "unipc_shift5": (UniPCMultistepScheduler, dict(flow_shift=5.0, **UNIPC)),
    "unipc_shift12": (UniPCMultistepScheduler, dict(flow_shift=12.0, **UNIPC)),
    "unipc_order1": (UniPCMultistepScheduler, dict(flow_shift=1.0, solver_order=1, **UNIPC)),
    # With bh1 the reference ends in NaN when the last sigma is zero (infinity times no correction).
    "unipc_order3_bh1": (UniPCMultistepScheduler,
                         dict(flow_shift=5.0, solver_order=3, solver_type="bh1",
                              final_sigmas_type="sigma_min", **UNIPC)),
    "unipc_order3": (UniPCMultistepScheduler, dict(flow_shift=3.0, solver_order=3, **UNIPC)),
    "unipc_sigma_min": (UniPCMultistepScheduler,
                        dict(flow_shift=3.0, final_sigmas_type="sigma_min", lower_order_final=False,
                             **UNIPC)),
    "unipc_uncorrected": (UniPCMultistepScheduler,
                          dict(flow_shift=5.0, disable_corrector=[0, 3], **UNIPC)),
    "unipc_train500": (UniPCMultistepScheduler,
                       dict(flow_shift=2.5, num_train_timesteps=500, **UNIPC)),
    "euler_shift3": (FlowMatchEulerDiscreteScheduler, dict(shift=3.0)),
    "euler_shift5": (FlowMatchEulerDiscreteScheduler, dict(shift=5.0)),
    "euler_shift12": (FlowMatchEulerDiscreteScheduler, dict(shift=12.0)),
    "euler_plain": (FlowMatchEulerDiscreteScheduler, dict(num_train_timesteps=500)),
}
STEP_COUNTS = [1, 2, 4, 9, 30, 40, 50]
# (scheduler, steps, guidance, guidance_2, boundary_ratio)
RUNS = [(name, 9, 4.0, 3.0, 0.875) for name in SCHEDULERS] + [
    ("unipc_shift12", 9, 1.0, 3.0, 0.875),
    ("unipc_shift5", 9, 5.0, 1.0, 0.9),
    ("euler_shift5", 9, 5.0, None, 0.9),
    ("unipc_shift5", 9, 5.0, None, None),
    ("unipc_shift3", 1, 5.0, 2.0, 0.5),
    ("unipc_shift3", 2, 5.0, 2.0, 0.5),
    ("unipc_shift12", 20, 4.0, 3.0, 0.875),
]


def seeded_model(prefix):
    model = WanTransformer3DModel(**MODEL).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(seeded.parameter(prefix + name, tuple(tensor.shape)))
    return model


def main():
    folder = pathlib.Path(__file__).parent / "data"
    high, low = seeded_model("high."), seeded_model("low.")
    latents = seeded.uniform("initial_latents", LATENTS) * 1.75
    text_shape = (LATENTS[0], TEXT_TOKENS, MODEL["text_dim"])
    text = seeded.uniform("prompt_embeds", text_shape)
    negative = seeded.uniform("negative_prompt_embeds", text_shape)
    tensors, schedules, runs = {}, [], []

    for name, (cls, options) in SCHEDULERS.items():
        scheduler = cls(**options)
        schedules.append({"name": name, "config": json.loads(scheduler.to_json_string())})
        for steps in STEP_COUNTS:
            scheduler.set_timesteps(steps)
            tensors[f"{name}.{steps}.timesteps"] = scheduler.timesteps.clone()
            tensors[f"{name}.{steps}.sigmas"] = scheduler.sigmas.clone()

    for i, (name, steps, guidance, guidance_2, boundary) in enumerate(RUNS):
        cls, options = SCHEDULERS[name]
        pipeline = WanPipeline(
            tokenizer=None, text_encoder=None, vae=None, scheduler=cls(**options),
            transformer=high, transformer_2=low if boundary else None, boundary_ratio=boundary)
        pipeline.set_progress_bar_config(disable=True)
        out = pipeline(
            prompt_embeds=text, negative_prompt_embeds=negative, latents=latents.clone(),
            height=48, width=32, num_frames=9, num_inference_steps=steps, guidance_scale=guidance,
            guidance_scale_2=guidance_2, output_type="latent").frames
        assert torch.isfinite(out).all(), name
        tensors[f"run{i}"] = out.contiguous()
        runs.append({"name": f"run{i}", "scheduler": name, "steps": steps, "guidance": guidance,
                     "guidance_2": guidance_2, "boundary_ratio": boundary})
        print(i, name, steps, f"rms {out.square().mean().sqrt().item():.3f}")

    versions = {"diffusers": diffusers.__version__, "torch": torch.__version__}
    record = {"versions": versions, "model": json.loads(high.to_json_string()),
              "latents": LATENTS, "text_tokens": TEXT_TOKENS, "schedulers": schedules,
              "step_counts": STEP_COUNTS, "runs": runs}
    save_file(tensors, folder / "sampler.safetensors", metadata=versions)
    (folder / "sampler.safetensors").chmod(0o644)
    with open(folder / "sampler.json", "w") as out:
        json.dump(record, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
