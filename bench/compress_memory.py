#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Peak resident memory of `wanlite compress` on a model folder larger than it may use.

Makes a random model of Wan2.1-T2V-1.3B's shape (2.8 GB of bf16 in shards), compresses it once by
quantize-int8 and once by prune-magnitude with local scope, and fails when either run was resident with
more than --limit-mib at its peak. Needs 8 GB of disk.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

RECIPES = {
    "quantize-int8": "passes { quantize_int8 { } }",
    "prune-magnitude": "passes { prune_magnitude { amount: 0.3 scope: LOCAL } }",
}


def run(command):
    """Runs it in a child of its own; returns (seconds, peak resident MiB)."""
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        # Peak memory counts from exec on, but for the pages of this small interpreter.
        os.execv(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"failed with status {status}: {' '.join(command)}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder")
    parser.add_argument("--work", help="folder for the models (a temporary one by default)")
    parser.add_argument("--limit-mib", type=float, default=1024)
    args = parser.parse_args()
    work = args.work or tempfile.mkdtemp(prefix="wanlite_memory_")
    try:
        model = os.path.join(work, "model")
        if not os.path.exists(os.path.join(model, "model_index.json")):
            shutil.rmtree(model, ignore_errors=True)
            subprocess.run([os.path.join(args.build, "bench", "make_random_wan"), model], check=True)
        failed = False
        for name, text in RECIPES.items():
            recipe = os.path.join(work, name + ".textproto")
            with open(recipe, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            out = os.path.join(work, name)
            for folder in (out, out + ".run"):
                shutil.rmtree(folder, ignore_errors=True)
            seconds, peak = run([os.path.join(args.build, "bin", "wanlite"), "compress", "--model",
                                 model, "--recipe", recipe, "--out", out])
            verdict = "ok" if peak <= args.limit_mib else f"over {args.limit_mib:.0f} MiB"
            print(f"{name}: peak resident {peak:.0f} MiB, {seconds:.0f} s: {verdict}", flush=True)
            failed = failed or peak > args.limit_mib
        return 1 if failed else 0
    finally:
        if not args.work:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
