# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/lora.safetensors and data/lora_diffusers.safetensors: LoRA files of wanlite in diffusers, and the reverse.

    WANLITE_EXPORTS=DIR build/dev/tests/lora/wanlite_lora_test "writes the LoRA files that the golden file is made from"
    python tests/golden/generate_lora.py DIR

DIR/{peft,kohya,comfy}.safetensors are loaded as load_lora_weights() does it; the first file holds what the model then
computes. The second one is an adapter of PEFT as save_lora_weights() writes it, with ranks and alphas by layer.
"""
import pathlib
import shutil
import sys
import tempfile

import diffusers
import peft
import torch
from diffusers import WanPipeline, WanTransformer3DModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

import seeded

CONFIG = dict(num_attention_heads=2, attention_head_dim=12, ffn_dim=40, num_layers=2, in_channels=4, out_channels=4,
              text_dim=10, freq_dim=16, cross_attn_norm=True, rope_max_seq_len=64)


def model():
    network = WanTransformer3DModel(**CONFIG).eval()
    seeded.fill(network)
    return network


def sample(network):
    latents = seeded.uniform("lora.latents", (2, 4, 3, 4, 6))
    text = seeded.uniform("lora.text", (2, 7, CONFIG["text_dim"]))
    with torch.no_grad():
        return network(latents, torch.tensor([900, 120]), text).sample.contiguous()


def loaded(path):
    """The model with a LoRA file, as WanPipeline.load_lora_weights() does it."""
    state, metadata = WanPipeline.lora_state_dict(str(path), return_lora_metadata=True)
    network = model()
    WanPipeline.load_lora_into_transformer(state, network, metadata=metadata)
    return network


def main():
    folder = pathlib.Path(__file__).parent / "data"
    tensors = {"base.sample": sample(model())}
    for naming in ("peft", "kohya", "comfy"):
        network = loaded(pathlib.Path(sys.argv[1]) / f"{naming}.safetensors")
        tensors[naming + ".sample"] = sample(network)

    network = model()
    network.add_adapter(peft.LoraConfig(r=4, lora_alpha=6, target_modules=["to_q", "to_out.0", "ffn.net.2"],
                                        rank_pattern={"ffn.net.2": 3}, alpha_pattern={"ffn.net.2": 1.5}))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_" in name:
                parameter.copy_(seeded.uniform(name, tuple(parameter.shape)) * 0.5)
    tensors["diffusers.sample"] = sample(network)
    with tempfile.TemporaryDirectory() as tmp:
        config = network.peft_config["default"].to_dict()
        WanPipeline.save_lora_weights(tmp, transformer_lora_layers=get_peft_model_state_dict(network),
                                      transformer_lora_adapter_metadata=config)
        shutil.copy(pathlib.Path(tmp) / "pytorch_lora_weights.safetensors", folder / "lora_diffusers.safetensors")
    # What diffusers makes of its own file.
    again = sample(loaded(folder / "lora_diffusers.safetensors"))
    assert torch.allclose(again, tensors["diffusers.sample"], atol=1e-6), (again - tensors["diffusers.sample"]).abs().max()
    for name, value in tensors.items():
        print(name, (value - tensors["base.sample"]).norm().item())
    versions = {"diffusers": diffusers.__version__, "peft": peft.__version__, "torch": torch.__version__}
    save_file(tensors, folder / "lora.safetensors", metadata=versions)
    for name in ("lora.safetensors", "lora_diffusers.safetensors"):
        (folder / name).chmod(0o644)


if __name__ == "__main__":
    main()
