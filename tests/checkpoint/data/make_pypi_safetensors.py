# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes pypi.safetensors with the safetensors package from PyPI: one tensor of each dtype, whose value
at flat index i is (7 * i) % 11 - 3 (for unsigned and bool: its remainder by 2), plus a scalar and an
empty tensor. safetensors_test.cc knows the rule.

Made with safetensors 0.8.0 and torch 2.11.0.   Usage: python make_pypi_safetensors.py OUT
"""
import sys

import torch
from safetensors.torch import save_file

DTYPES = {
    "f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
    "i64": torch.int64, "i32": torch.int32, "i16": torch.int16, "i8": torch.int8,
    "u8": torch.uint8, "bool": torch.bool,
    "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2,
}


def values(shape, dtype):
    n = 1
    for s in shape:
        n *= s
    v = (7 * torch.arange(n)) % 11 - 3
    if dtype in (torch.uint8, torch.bool):
        v = v.abs() % 2
    return v.reshape(shape).to(torch.float32).to(dtype)


tensors = {name: values((3, 5), dtype) for name, dtype in DTYPES.items()}
tensors["scalar"] = torch.tensor(2.5)
tensors["empty"] = torch.zeros(0, 4)
save_file(tensors, sys.argv[1], metadata={"format": "pt", "name": "пример"})
