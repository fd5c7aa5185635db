# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Pseudo-random tensors that tests/testing/seeded.h makes again bit by bit.

Goldens therefore hold results alone: parameters and inputs follow from their names. A value that ends up
under the wrong name shows at once.
"""
import math

import numpy as np
import torch


def uniform(name, shape):
    """float32 in [-1, 1): FNV-1a of the name seeds splitmix64; 24 bits per value."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    count = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    values = (x >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return torch.from_numpy(values.reshape(shape))


def parameter(name, shape):
    """Vectors named as biases are small, other vectors near one, matrices keep the variance of what
    goes through them."""
    values = uniform(name, shape)
    sizes = [n for n in shape if n != 1]
    if name.endswith("bias"):
        return values * np.float32(0.1)
    if len(sizes) <= 1 and not name.endswith("conv_out.weight"):
        return values * np.float32(0.25) + np.float32(1)
    fan_in = int(np.prod(shape[1:], dtype=np.int64))
    return values * np.float32(math.sqrt(3.0 / fan_in))


def fill(module):
    """Fills all parameters of a torch module, and returns {name: shape}."""
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            tensor.copy_(parameter(name, tuple(tensor.shape)))
    return {name: list(tensor.shape) for name, tensor in module.named_parameters()}
