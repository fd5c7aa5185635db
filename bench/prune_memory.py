#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Peak memory and time of each pruning pass on a model of A14B's block shape.

  prune_memory.py --build build/dev [--work DIR] [--layers 4] [--pass NAME ...] [--limit-copy 1.5]

Makes one expert of Wan2.2-T2V-A14B's widths in bf16 with random weights and --layers blocks (0.71 GB each; memory
does not depend on their number, since one is in memory at a time), and recorded inputs of a few tokens for the
passes that calibrate. Prunes it by each pass, and prints peak resident memory, what `wanlite plan` had said of it,
and the time beside that of copying the bytes that are kept: as many read and written, from and to the same disk,
with an empty cache of files. Exit code 1 when a run was over --limit-mib, or one by weights alone over --limit-copy
copies. Needs disk for the model and twice the result.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from array import array

import compress_memory

# name: (recipe, whether it wants recorded inputs)
PASSES = {
    "drop-blocks": ("drop_blocks { count: 1 score: L2 }", False),
    "drop-blocks-listed": ("drop_blocks { blocks: 'transformer.blocks.1' }", False),
    "prune-ffn": ("prune_ffn { amount: 0.25 multiple: 256 }", False),
    "prune-heads": ("prune_heads { amount: 0.25 }", False),
    "prune-width": ("prune_width { amount: 0.25 multiple: 256 }", False),
    "reduce-time-path": ("reduce_time_path { }", False),
    "prune-magnitude": ("prune_magnitude { amount: 0.3 }", False),
    "prune-nm": ("prune_nm { }", False),
    "prune-nm-packed": ("prune_nm { store: PACKED }", False),
    "prune-ffn-activation": ("prune_ffn { amount: 0.25 multiple: 256 criterion { score: ACTIVATION } }", True),
    "prune-ffn-taylor": ("prune_ffn { amount: 0.25 multiple: 256 criterion { score: TAYLOR samples: 2 } }", True),
    "prune-wanda": ("prune_wanda { amount: 0.5 }", True),
    "prune-sparsegpt": ("prune_sparsegpt { n: 2 m: 4 }", True),
    "recover-least-squares": ("recover { method: LEAST_SQUARES teacher: INPUT }", True),
}
SAMPLES = 2


def noise(count, seed):
    """fp32, uniform in [-1, 1)."""
    rng = random.Random(seed)
    return array("f", (2 * rng.random() - 1 for _ in range(count)))


def write_samples(folder):
    """A sample set of the transformer: latents of 16 tokens, a prompt of 32."""
    os.makedirs(folder)
    tensors, samples = {}, []
    for i in range(SAMPLES):
        values = {"hidden_states": ([1, 16, 1, 8, 8], noise(16 * 64, i)),
                  "timestep": ([1], array("f", [900.0 - 700 * i])),
                  "encoder_hidden_states": ([1, 32, 4096], noise(32 * 4096, 100 + i))}
        names = {}
        for name, (shape, data) in values.items():
            names[name] = f"{i}.{name}"
            tensors[names[name]] = (shape, data.tobytes())
        samples.append({"component": "transformer", "weight": 1.0, "prompt": -1, "branch": "conditional", "step": i,
                        "timestep": 900.0 - 700 * i, "values": names})
    header, offset = {}, 0
    for name, (shape, data) in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "all.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(tensors[name][1])
    manifest = {"format_version": 1, "model": "", "seed": 0, "settings": {}, "prompts": [], "samples": samples,
                "files": [{"path": "all.safetensors", "bytes": 8 + len(text) + offset,
                           "sha256": sha256_of(os.path.join(folder, "all.safetensors"))}]}
    manifest["fingerprint"] = hashlib.sha256(
        json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    with open(os.path.join(folder, "samples.json"), "w", encoding="utf-8") as file:
        json.dump({**manifest, "writer": "prune_memory.py"}, file)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def copy_seconds(folder, size, scratch):
    """Reads so many of the folder's bytes and writes them, with an empty cache of files."""
    compress_memory.empty_cache(folder)
    buffer = memoryview(bytearray(compress_memory.PIECE))
    start = time.monotonic()
    out = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    left = size
    for path in compress_memory.weight_files(folder):
        file = os.open(path, os.O_RDONLY)
        while left > 0 and (count := os.readv(file, [buffer[:min(left, len(buffer))]])) > 0:
            view = buffer[:count]
            while view:
                view = view[os.write(out, view):]
            left -= count
        os.close(file)
    os.fsync(out)
    os.close(out)
    seconds = time.monotonic() - start
    os.remove(scratch)
    return seconds


def make_model(args, work):
    model = os.path.join(work, "model")
    if os.path.exists(os.path.join(model, "model_index.json")):
        return model
    shutil.rmtree(model, ignore_errors=True)
    config = os.path.join(work, "config.json")
    with open(config, "w", encoding="utf-8") as file:
        json.dump({**compress_memory.A14B, "num_layers": args.layers}, file)
    subprocess.run([os.path.join(args.build, "bench", "make_random_wan"), model, config], check=True)
    return model


def measure(name, model, work, args):
    """A line to read, and what was wrong."""
    text, wants_samples = PASSES[name]
    recipe = os.path.join(work, name + ".textproto")
    with open(recipe, "w", encoding="utf-8") as file:
        file.write(f"seed: 1 passes {{ {text} }}\n")
    out = os.path.join(work, name)
    for folder in (out, out + ".run"):
        shutil.rmtree(folder, ignore_errors=True)
    wanlite = os.path.join(args.build, "bin", "wanlite")
    plan = os.path.join(work, "plan.json")
    _, program = compress_memory.run([wanlite, "plan", "--model", model, "--recipe", recipe, "--json"], plan)
    with open(plan, encoding="utf-8") as file:
        planned = json.load(file)["passes"][0]
    predicted = program + planned["peak_memory_bytes"] / 2**20
    command = [wanlite, "compress", "--quiet", "--model", model, "--recipe", recipe, "--out", out]
    if wants_samples:
        command += ["--samples", os.path.join(work, "samples")]
    times, copies, peak = [], [], 0
    for _ in range(args.repeats):
        shutil.rmtree(out, ignore_errors=True)
        copies.append(copy_seconds(model, planned["bytes_after"], os.path.join(work, "copy")))
        compress_memory.empty_cache(model)
        seconds, resident = compress_memory.run(command, os.devnull)
        times.append(seconds)
        peak = max(peak, resident)
    written = sum(os.path.getsize(path) for path in compress_memory.weight_files(out))
    shutil.rmtree(out)
    seconds, copied = min(times), min(copies)
    wrong = []
    if peak > args.limit_mib:
        wrong.append(f"over {args.limit_mib:.0f} MiB")
    if args.limit_copy and not wants_samples and seconds > args.limit_copy * copied:
        wrong.append(f"over {args.limit_copy} times the copy")
    return (f"| {name} | {peak:.0f} | {predicted:.0f} | {seconds:.1f} | {copied:.1f} | {seconds / copied:.2f} | "
            f"{written / 1e9:.2f} | {', '.join(wrong) or 'ok'} |"), bool(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder")
    parser.add_argument("--work", help="folder for the models (a temporary one by default)")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--pass", dest="passes", action="append", choices=PASSES, help="all by default")
    parser.add_argument("--repeats", type=int, default=1, help="the best of so many runs and copies")
    parser.add_argument("--limit-mib", type=float, default=3072)
    parser.add_argument("--limit-copy", type=float, help="no limit by default")
    args = parser.parse_args()
    work = args.work or tempfile.mkdtemp(prefix="wanlite_prune_")
    failed = False
    try:
        os.makedirs(work, exist_ok=True)
        model = make_model(args, work)
        shutil.rmtree(os.path.join(work, "samples"), ignore_errors=True)
        write_samples(os.path.join(work, "samples"))
        print("| pass | peak, MiB | planned | s | a copy of what is kept, s | ratio | GB written | |")
        print("|---|" + "---:|" * 6 + "---|", flush=True)
        for name in args.passes or PASSES:
            line, wrong = measure(name, model, work, args)
            print(line, flush=True)
            failed = failed or wrong
        return 1 if failed else 0
    finally:
        if not args.work:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
