#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/frechet.safetensors: random features and the distances scipy and numpy give for them."""
import os

import numpy as np
import scipy
from safetensors.numpy import save_file
from scipy import linalg


def frechet(a, b, ddof):
    mu_a, mu_b = a.mean(0), b.mean(0)
    s_a, s_b = np.cov(a, rowvar=False, ddof=ddof), np.cov(b, rowvar=False, ddof=ddof)
    root = linalg.sqrtm(s_a @ s_b)
    return ((mu_a - mu_b) ** 2).sum() + np.trace(s_a + s_b - 2 * root.real)


def kernel_distance(a, b):
    d = a.shape[1]
    k = lambda x, y: (x @ y.T / d + 1) ** 3
    n, m = len(a), len(b)
    aa, bb, ab = k(a, a), k(b, b), k(a, b)
    return (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1)) - 2 * ab.mean()


rng = np.random.default_rng(11)
out = {}
for i, (n, m, d) in enumerate([(60, 80, 12), (200, 150, 32), (40, 40, 1), (90, 70, 48)]):
    mix = rng.standard_normal((d, d)) / d**0.5
    real = rng.standard_normal((n, d)) @ mix + rng.standard_normal(d)
    generated = rng.standard_normal((m, d)) @ (mix + 0.3 * rng.standard_normal((d, d))) + 0.2
    if d == 1:
        v = lambda x, ddof: x.var(ddof=ddof)
        distances = [(real.mean() - generated.mean()) ** 2 + v(real, k) + v(generated, k)
                     - 2 * np.sqrt(v(real, k) * v(generated, k)) for k in (1, 0)]
    else:
        distances = [frechet(real, generated, k) for k in (1, 0)]
    out[f"{i}.real"], out[f"{i}.generated"] = real, generated
    out[f"{i}.expected"] = np.array([*distances, kernel_distance(real, generated)])
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "frechet.safetensors")
os.makedirs(os.path.dirname(path), exist_ok=True)
save_file(out, path, metadata={"seed": "11", "numpy": np.__version__, "scipy": scipy.__version__})
