#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""wanlite against other runtimes: one forward of a Wan transformer, same weights, same input, taking turns.

  run.py --build build/dev [--rounds 9] [--layers 1] [--tokens 1024] [--only REGEX] [--clock wall|cpu]

The model has Wan2.1-1.3B's widths (1536, 12 heads, FFN 8960) and random weights, so times are real and errors
are those of random weights. diffusers' WanTransformer3DModel in fp32 is the reference: the error is the
relative L2 distance of a contender's output to its. Each contender is a process of its own, one runs at a
time, and the order is drawn again in each round. All use OMP_NUM_THREADS threads, or as many as there are
cores. A contender that cannot run says so in the table.
"""

import argparse
import datetime
import json
import os
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import results  # noqa: E402
import worker  # noqa: E402

REFERENCE = "torch_fp32"
RECIPES = {"wanlite_int8": "passes { quantize_int8 { } }",
           "wanlite_int8_convrot": "passes { quantize_int8 { rotation: CONVROT } }",
           "wanlite_int8_every_linear": 'passes { quantize_int8 { linears { include: "*" } } }'}
WANLITE = {"wanlite_fp32": ("model", "fp32"), "wanlite_bf16": ("model", "bf16"),
           "wanlite_int8": ("wanlite_int8", "fp32"), "wanlite_int8_convrot": ("wanlite_int8_convrot", "fp32"),
           "wanlite_int8_every_linear": ("wanlite_int8_every_linear", "fp32")}
WHAT = {
    "torch_fp32": "diffusers in eager mode, fp32 (the reference)",
    "torch_bf16": "diffusers in eager mode, bf16",
    "torch_int8_dynamic": "diffusers, blocks by torch.ao dynamic INT8 (per channel; one scale for all tokens)",
    "onnxruntime_fp32": "ONNX Runtime, fp32",
    "onnxruntime_int8_dynamic": "ONNX Runtime, dynamic INT8 (per channel; one scale for all tokens), every linear",
    "openvino_fp32": "OpenVINO, fp32",
    "openvino_int8_weights": "OpenVINO, INT8 weights by NNCF (per channel; activations by its default, INT8 in "
                             "groups of 32), every linear",
    "wanlite_fp32": "wanlite, dense fp32",
    "wanlite_bf16": "wanlite, dense bf16",
    "wanlite_int8": "wanlite, quantize-int8 (W8A8, one scale a token), blocks",
    "wanlite_int8_convrot": "wanlite, quantize-int8 with ConvRot, blocks",
    "wanlite_int8_every_linear": "wanlite, quantize-int8, every linear",
}


def make_model(work, layers, tokens):
    torch.manual_seed(1)
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=12, attention_head_dim=128, in_channels=16,
        out_channels=16, text_dim=4096, freq_dim=256, ffn_dim=8960, num_layers=layers)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn_like(tensor)
            if tensor.dim() > 1 and "scale_shift" not in name:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            elif "norm" in name and name.endswith("weight"):
                tensor.copy_(1 + 0.1 * noise)
            else:
                tensor.copy_(0.1 * noise)
    model.save_pretrained(os.path.join(work, "model", "transformer"))
    frames = tokens // 256  # of 16 x 16 tokens
    save_file({"hidden_states": torch.randn(1, 16, frames, 32, 32), "timestep": torch.tensor([500]),
               "encoder_hidden_states": torch.randn(1, 512, 4096)}, os.path.join(work, "inputs.safetensors"))


class Contender:
    """A process that runs once for each line it gets. `failed` says why it takes no part."""

    def __init__(self, name, command, work, log):
        self.name, self.failed, self.samples = name, "", []
        self.output = os.path.join(work, f"{name}.safetensors")
        self.process = subprocess.Popen([*command, self.output], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=log, text=True)
        self.ready = self.read() or {}

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.failed = f"ended with {self.process.wait()}"
            return None
        return json.loads(line)

    def run(self):
        try:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.failed = f"ended with {self.process.wait()}"
            return
        sample = self.read()
        if sample:
            self.samples.append(sample)

    def finish(self):
        self.process.stdin.close()
        if self.process.wait() != 0 and not self.failed:
            self.failed = f"ended with {self.process.returncode}"


def start(name, build, work, log):
    if name not in WANLITE:
        here = os.path.dirname(os.path.abspath(__file__))
        return Contender(name, [sys.executable, os.path.join(here, "worker.py"), name, work], work, log)
    folder, dtype = WANLITE[name]
    return Contender(name, [os.path.join(build, "bench", "time_forward"), "--model",
                            os.path.join(work, folder), "--inputs",
                            os.path.join(work, "inputs.safetensors"), "--dtype", dtype, "--output"],
                     work, log)


def compress(build, work, log):
    for name, text in RECIPES.items():
        recipe = os.path.join(work, name + ".textproto")
        with open(recipe, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        subprocess.run([os.path.join(build, "bin", "wanlite"), "compress", "--model",
                        os.path.join(work, "model"), "--recipe", recipe, "--out", os.path.join(work, name)],
                       check=True, stdout=log, stderr=log)


def measure(one, clock, reference):
    if one.failed:
        return {"name": one.name, "what": WHAT[one.name], "failed": one.failed}
    output = load_file(one.output)["sample"].double()
    samples = [sample[clock] for sample in one.samples]
    low, high = results.quartiles(samples)
    return {"name": one.name, "what": WHAT[one.name], "samples": one.samples, "min": min(samples),
            "median": statistics.median(samples), "quartile_low": low, "quartile_high": high,
            "variation": results.variation(samples),
            "relative_error": float((output - reference).norm() / reference.norm())}


def markdown(report):
    machine, text = report["machine"], results.seconds_text
    gib = machine.get("memory_bytes", 0) / 2**30
    lines = [
        "# peers", "", f"`{report['command']}`", "",
        f"- One forward: {report['layers']} layer(s) of width 1536 (12 heads, FFN 8960) on {report['tokens']} "
        f"video tokens and 512 text tokens, batch 1, text and time embedding and head included; random weights",
        f"- Machine: {machine.get('cpu')}, {machine.get('cores')} cores, {gib:.0f} GiB, {machine.get('system')}; "
        f"{report['threads']} thread(s); load average at the start {report['load_average']:.2f}",
        f"- CPU features: {' '.join(machine.get('cpu_features', []))}",
        "- " + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + f"; wanlite {machine.get('wanlite')}, commit {machine.get('commit')}",
        f"- {report['date']}; {report['rounds']} rounds, all contenders taking turns; "
        + ("CPU time of all threads together" if report["clock"] == "cpu" else "wall time")
        + "; *speed* is the reference's minimum over this one's (more is faster); *error* is the relative L2 "
        "distance to the reference", "",
        "| | min | median | quartiles | CV | speed | error |", "|---|---:|---:|---:|---:|---:|---:|"]
    base = next(row["min"] for row in report["contenders"] if row["name"] == REFERENCE)
    for row in report["contenders"]:
        if "failed" in row:
            lines.append(f"| {row['what']} | did not run: {row['failed']} | | | | | |")
            continue
        lines.append(f"| {row['what']} | {text(row['min'])} | {text(row['median'])} | "
                     f"{text(row['quartile_low'])} to {text(row['quartile_high'])} | "
                     f"{100 * row['variation']:.1f} % | {base / row['min']:.2f}x | {row['relative_error']:.1e} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=1024, help="a multiple of 256")
    parser.add_argument("--only", default="", metavar="REGEX", help="contenders beside torch_fp32 and wanlite_fp32")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--out", help="folder of peers.json and peers.md (BUILD/bench)")
    args = parser.parse_args()
    if args.tokens < 256 or args.tokens % 256 or args.rounds < 1 or args.layers < 1:
        parser.error("--tokens wants a multiple of 256, --rounds and --layers 1 or more")
    # wanlite's own fp32 always takes part: it also says what machine this is.
    names = [name for name in [*worker.CONTENDERS, *WANLITE]
             if name in (REFERENCE, "wanlite_fp32") or re.search(args.only, name)]
    out = args.out or os.path.join(args.build, "bench")
    os.makedirs(out, exist_ok=True)
    load = os.getloadavg()[0]
    work = tempfile.mkdtemp(prefix="wanlite_peers_")
    with open(os.path.join(out, "peers.log"), "w", encoding="utf-8") as log:
        try:
            make_model(work, args.layers, args.tokens)
            compress(args.build, work, log)
            contenders = []
            for name in names:
                print(f"loading {name}", file=sys.stderr, flush=True)
                contenders.append(start(name, args.build, work, log))
            rng = random.Random(1)
            for number in range(args.rounds):
                print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
                for one in rng.sample(contenders, len(contenders)):
                    if not one.failed:
                        one.run()
            for one in contenders:
                one.finish()
            if contenders[0].failed:
                print(f"the reference {contenders[0].failed}; see {log.name}", file=sys.stderr)
                return 1
            reference = load_file(contenders[0].output)["sample"].double()
            rows = [measure(one, args.clock, reference) for one in contenders]
        finally:
            shutil.rmtree(work, ignore_errors=True)
    threads = os.environ.get("OMP_NUM_THREADS")
    command = (f"OMP_NUM_THREADS={threads} " if threads else "") + "./dev bench peers" + "".join(
        f" --{key} {shlex.quote(str(value))}" for key, value, default in (
            ("rounds", args.rounds, 9), ("layers", args.layers, 1), ("tokens", args.tokens, 1024),
            ("only", args.only, ""), ("clock", args.clock, "wall")) if value != default)
    machine = next((one.ready["ready"] for one in contenders if one.name in WANLITE and one.ready), {})
    report = {"command": command, "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
              "machine": machine, "versions": contenders[0].ready["ready"], "threads": worker.THREADS,
              "load_average": load, "clock": args.clock, "rounds": args.rounds, "layers": args.layers,
              "tokens": args.tokens, "contenders": rows}
    base = os.path.join(out, "peers")
    with open(base + ".json", "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    text = markdown(report)
    with open(base + ".md", "w", encoding="utf-8") as file:
        file.write(text)
    print(text)
    failed = [row["name"] for row in rows if "failed" in row]
    if failed:
        print(f"did not run: {', '.join(failed)}; see {base}.log", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
