# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes the numbers of quality_test.cc: python golden.py (scikit-image 0.26, numpy).
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

f, h, w, c = np.meshgrid(np.arange(3), np.arange(24), np.arange(20), np.arange(3), indexing="ij")
a = ((f * 31 + h * 7 + w * 13 + c * 29 + (h * w) % 17 * 5) % 256).astype(np.uint8)
b = (a.astype(int) + ((h * 5 + w * 3 + f + c) % 23) - 11).clip(0, 255).astype(np.uint8)


def ssim(x, y):
    return np.mean([
        structural_similarity(x[i] / 255, y[i] / 255, channel_axis=2, gaussian_weights=True, sigma=1.5,
                              use_sample_covariance=False, data_range=1.0) for i in range(len(x))
    ])


for name, other in (("near", b), ("reversed", a[::-1])):
    print(name, "psnr", peak_signal_noise_ratio(a / 255, other / 255, data_range=1.0), "ssim", ssim(a, other))
