# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Weights and what torch.nn.utils.prune makes of them (torch 2.11.0).

    python tests/pruning/golden/make_golden.py tests/pruning/golden/prune_magnitude.safetensors

Tensors: blocks.B.NAME.weight of the test's toy model (width 8, hidden 12, 2 layers), and for each amount
local.AMOUNT.PATH and global.AMOUNT.PATH after pruning the linears of the blocks. The weights are distinct
in magnitude, so that the result does not depend on the order of equal ones.
"""
import sys

import torch
from safetensors.torch import save_file
from torch.nn.utils import prune

WIDTH, HIDDEN, LAYERS = 8, 12, 2
AMOUNTS = [0.0, 0.1, 0.3, 0.5, 0.9, 1.0]


def make_layers():
    torch.manual_seed(5)
    layers = {}
    for block in range(LAYERS):
        for name, (rows, columns) in {"up": (HIDDEN, WIDTH), "gate": (HIDDEN, WIDTH), "down": (WIDTH, HIDDEN)}.items():
            layer = torch.nn.Linear(columns, rows, bias=False)
            with torch.no_grad():
                layer.weight.normal_(0, 0.5 + block)
            layers[f"blocks.{block}.{name}"] = layer
    magnitudes = torch.cat([layer.weight.detach().abs().flatten() for layer in layers.values()])
    assert magnitudes.unique().numel() == magnitudes.numel()
    return layers


def main(path):
    tensors = {f"{name}.weight": layer.weight.detach().clone() for name, layer in make_layers().items()}
    for amount in AMOUNTS:
        layers = make_layers()
        for name, layer in layers.items():
            prune.l1_unstructured(layer, "weight", amount=amount)
            prune.remove(layer, "weight")
            tensors[f"local.{amount}.{name}"] = layer.weight.detach().clone()
        layers = make_layers()
        prune.global_unstructured([(layer, "weight") for layer in layers.values()],
                                  pruning_method=prune.L1Unstructured, amount=amount)
        for name, layer in layers.items():
            prune.remove(layer, "weight")
            tensors[f"global.{amount}.{name}"] = layer.weight.detach().clone()
    # round() of Python decides how many.
    counts = [[amount, float(n), float(round(amount * n))]
              for amount in (0.05, 0.1, 0.25, 0.3, 0.5, 0.7) for n in (1, 2, 3, 5, 10, 70, 13762560)]
    tensors["counts"] = torch.tensor(counts, dtype=torch.float64)
    save_file(tensors, path)


if __name__ == "__main__":
    main(sys.argv[1])
