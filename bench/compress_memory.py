#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Peak resident memory and time of `wanlite compress` on a model folder larger than it may use.

Makes a random model in bf16, by default of Wan2.1-T2V-1.3B's shape (2.8 GB), with --a14b of one
expert of Wan2.2-T2V-A14B (28.6 GB; --layers for fewer of its 40 blocks). Compresses it by each of
the recipes, and fails when a run was resident with more than --limit-mib at its peak, when that is
not within 10 % of what `wanlite plan` had said (with what the planning process itself took, which
is the same program), or when it took more than --limit-copy times as long as copying the same
bytes: the input read and as many bytes written as the result has, from and to the same disk, both
with an empty cache of files. Needs as much disk as the input and twice the result.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

RECIPES = {
    "quantize-int8": "passes { quantize_int8 { } }",
    "quantize-int4": "passes { quantize_int4 { group: 64 } }",
    "prune-magnitude": "passes { prune_magnitude { amount: 0.3 scope: LOCAL } }",
    "cast": "passes { cast { dtype: FP16 } }",
    # All blocks but one go to the result as they are: read, checked, hashed, written.
    "one-block": "passes { cast { dtype: FP16 linears { blocks { from: 0 to: 1 } } } }",
}
A14B = {
    "_class_name": "WanTransformer3DModel", "attention_head_dim": 128, "cross_attn_norm": True,
    "eps": 1e-06, "ffn_dim": 13824, "freq_dim": 256, "in_channels": 16, "num_attention_heads": 40,
    "out_channels": 16, "patch_size": [1, 2, 2], "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024, "text_dim": 4096,
}
PIECE = 4 << 20


def run(command, output=None):
    """Runs it in a child of its own; returns (seconds, peak resident MiB)."""
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        # Peak memory counts from exec on, but for the pages of this small interpreter.
        if output is not None:
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.execv(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"failed with status {status}: {' '.join(command)}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def weight_files(folder):
    return sorted(os.path.join(base, name) for base, _, names in os.walk(folder)
                  for name in names if name.endswith(".safetensors"))


def empty_cache(folder):
    """The system forgets the files' pages, so that they come from the disk."""
    for path in weight_files(folder):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def copy_seconds(folder, result_bytes, scratch):
    """Reads the folder's weights and writes so many bytes of them, as they come, to one file."""
    empty_cache(folder)
    files = weight_files(folder)
    total = sum(os.path.getsize(path) for path in files)
    buffer = memoryview(bytearray(PIECE))
    start = time.monotonic()
    out = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    read = written = 0
    for path in files:
        file = os.open(path, os.O_RDONLY)
        while (count := os.readv(file, [buffer])) > 0:
            read += count
            while written < read * result_bytes // total:
                written += os.write(out, buffer[:min(PIECE, read * result_bytes // total - written)])
        os.close(file)
    os.fsync(out)
    os.close(out)
    seconds = time.monotonic() - start
    os.remove(scratch)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder")
    parser.add_argument("--work", help="folder for the models (a temporary one by default)")
    parser.add_argument("--a14b", action="store_true")
    parser.add_argument("--layers", type=int, default=40, help="of --a14b")
    parser.add_argument("--recipe", action="append", choices=RECIPES, help="all by default")
    parser.add_argument("--limit-mib", type=float, help="1024 by default, 3072 with --a14b")
    parser.add_argument("--limit-copy", type=float, help="no limit by default")
    args = parser.parse_args()
    limit = args.limit_mib or (3072 if args.a14b else 1024)
    work = args.work or tempfile.mkdtemp(prefix="wanlite_memory_")
    wanlite = os.path.join(args.build, "bin", "wanlite")
    try:
        model = os.path.join(work, "model")
        if not os.path.exists(os.path.join(model, "model_index.json")):
            shutil.rmtree(model, ignore_errors=True)
            make = [os.path.join(args.build, "bench", "make_random_wan"), model]
            if args.a14b:
                config = os.path.join(work, "config.json")
                os.makedirs(work, exist_ok=True)
                with open(config, "w", encoding="utf-8") as file:
                    json.dump({**A14B, "num_layers": args.layers}, file)
                make.append(config)
            subprocess.run(make, check=True)
        failed = False
        for name in args.recipe or RECIPES:
            recipe = os.path.join(work, name + ".textproto")
            with open(recipe, "w", encoding="utf-8") as file:
                file.write(RECIPES[name] + "\n")
            out = os.path.join(work, name)
            for folder in (out, out + ".run"):
                shutil.rmtree(folder, ignore_errors=True)
            plan = os.path.join(work, "plan.json")
            plan_seconds, program = run([wanlite, "plan", "--model", model, "--recipe", recipe,
                                         "--json"], plan)
            with open(plan, encoding="utf-8") as file:
                planned = json.load(file)["passes"][0]
            predicted = program + planned["peak_memory_bytes"] / 2**20
            copied = copy_seconds(model, planned["bytes_after"], os.path.join(work, "copy"))
            empty_cache(model)
            seconds, peak = run([wanlite, "compress", "--model", model, "--recipe", recipe, "--out",
                                 out])
            written = sum(os.path.getsize(path) for path in weight_files(out))
            wrong = []
            if peak > limit:
                wrong.append(f"over {limit:.0f} MiB")
            if abs(peak - predicted) > 0.1 * peak:
                wrong.append("not within 10 % of the plan")
            if args.limit_copy and seconds > args.limit_copy * copied:
                wrong.append(f"over {args.limit_copy} times the copy")
            print(f"{name}: peak resident {peak:.0f} MiB, planned {predicted:.0f}; {seconds:.1f} s, "
                  f"a copy {copied:.1f} s, x{seconds / copied:.2f}; {written / 1e9:.2f} GB written; "
                  f"planned in {plan_seconds:.1f} s: {', '.join(wrong) or 'ok'}", flush=True)
            failed = failed or bool(wrong)
            shutil.rmtree(out)
        return 1 if failed else 0
    finally:
        if not args.work:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
