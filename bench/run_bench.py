#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a benchmark program and writes NAME.json (for compare.py) and NAME.md (to read).

  run_bench.py --build build/dev --name ops [--out DIR] [--clock wall|cpu] [--repetitions 9] [--quick]
               [flags of Google Benchmark: --benchmark_filter=REGEX, ...]

Repetitions of all benchmarks are interleaved at random, so that a change of the machine's speed hits all
sides. The table shows one clock: wall time, or with --clock cpu the CPU time of all threads together, which
is the one to read on a machine that does other work too. The JSON holds both, for every repetition.
"""

import argparse
import datetime
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile

import results

NAMES = ("ops", "block", "step", "vae", "io")


# What changes the speed and is set outside: threads, and instruction sets to do without.
SETTINGS = ("OMP_NUM_THREADS", "WANLITE_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS",
            "ONEDNN_MAX_CPU_ISA")


def git(root, *args):
    done = subprocess.run(["git", "-C", root, *args], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def checkout_note(root, built):
    """What there is to say about the commit of the program against the checkout."""
    head = git(root, "rev-parse", "HEAD")
    if built == "unknown" or not head:
        return "the build's commit is not known"
    if not head.startswith(built):
        return f"the checkout has moved to {head[:12]} since"
    dirty = git(root, "status", "--porcelain", "--untracked-files=no")
    return "with uncommitted changes" if dirty else ""


def publishable(value, root, command, clock):
    """The program's JSON without this machine's name and paths, with how it came about."""
    context = value["context"]
    context.pop("host_name", None)
    context["executable"] = os.path.basename(context.get("executable", ""))
    context["command"] = command
    context["clock"] = clock
    context["date"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    # The medians and deviations that the program adds are made again from the repetitions.
    value["benchmarks"] = [entry for entry in value["benchmarks"]
                           if entry.get("run_type", "iteration") == "iteration"]
    context["commit_note"] = checkout_note(root, context.get("commit", "unknown"))
    return value


def compact(value):
    """JSON text with a line for each repetition."""
    entries = ",\n".join("  " + json.dumps(entry) for entry in value["benchmarks"])
    context = json.dumps(value["context"], indent=1)
    return f'{{"context": {context},\n"benchmarks": [\n{entries}\n]}}\n'


def baseline_of(group, baselines):
    for name in baselines:
        for one in group:
            if one.variant == name:
                return one
    return None


def table(group, baselines, clock, threads):
    base = baseline_of(group, baselines)
    has_bytes = any("bytes/s" in one.counters for one in group)
    rate = "bytes/s" if has_bytes else "op/s"
    errors = any("rel_err" in one.counters for one in group)
    peak = any("of_peak" in one.counters for one in group)
    head = ["variant", "median", "min", "quartiles", "CV", "n", "speed" if base else ""]
    head += [rate] + (["of peak"] if peak else []) + (["error"] if errors else [])
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for one in group:
        samples = one.samples(clock)
        median = statistics.median(samples)
        low, high = results.quartiles(samples)
        text = results.seconds_text
        row = [one.variant, text(median), text(min(samples)), f"{text(low)} to {text(high)}",
               f"{100 * results.variation(samples):.1f} %", str(len(samples))]
        if base is None:
            row.append("")
        elif one is base:
            row.append("1 (baseline)")
        else:
            row.append(f"{statistics.median(base.samples(clock)) / median:.2f}x")
        amount = one.amount(rate)
        row.append(results.rate_text(amount / median, rate) if amount else "")
        if peak:
            share = one.amount("of_peak")  # seconds at peak, on all threads at once
            if share and clock == "cpu":
                share *= threads
            row.append(f"{100 * share / median:.0f} %" if share else "")
        if errors:
            error = one.counters.get("rel_err")
            row.append(f"{error[0]:.2e}" if error else "")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def markdown(name, context, benchmarks):
    clock = context["clock"]
    note = f" ({context['commit_note']})" if context["commit_note"] else ""
    load = context.get("load_avg") or []
    gib = int(context.get("memory_bytes", 0)) / 2**30
    lines = [
        f"# {name}", "",
        f"`{context['command']}`", "",
        f"- Machine: {context.get('cpu')}, {context.get('cores')} cores, {gib:.0f} GiB, {context.get('system')}",
        f"- CPU features: {context.get('cpu_features')}; INT8 kernel: {context.get('int8_kernel')}",
        f"- wanlite {context.get('wanlite')}, commit {context.get('commit')}{note}; "
        f"LibTorch {context.get('libtorch')}; {context.get('compiler')}",
        f"- {context['date']}, {context.get('threads')} thread(s), load average at the start "
        f"{load[0] if load else 'unknown'}",
        "- Times are " + ("CPU time of all threads together" if clock == "cpu" else "wall time")
        + "; *speed* is the baseline's median over this one's (more is faster); *of peak* is against the "
        "arithmetic that one core was measured to do; *error* is the relative L2 distance to the fp32 result."]
    baselines = context.get("baselines", "").split(",")
    groups = {}
    for one in benchmarks:
        groups.setdefault(one.group, []).append(one)
    for group, members in groups.items():
        lines += ["", f"## {group}", "", *table(members, baselines, clock, int(context.get("threads", 1)))]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder")
    parser.add_argument("--name", required=True, choices=NAMES)
    parser.add_argument("--out", help="folder of the results (BUILD/bench)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="to see whether it runs: 2 short repetitions")
    args, rest = parser.parse_known_args()
    strange = [word for word in rest if not word.startswith(("--benchmark_", "--model="))]
    if strange:
        parser.error(f"unknown argument {strange[0]}")
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    out = args.out or os.path.join(args.build, "bench")
    os.makedirs(out, exist_ok=True)
    repetitions, seconds = (2, 0.01) if args.quick else (args.repetitions, 0.1)
    flags = [f"--benchmark_repetitions={repetitions}", "--benchmark_enable_random_interleaving=true",
             f"--benchmark_min_time={seconds}", *rest]
    with tempfile.TemporaryDirectory() as folder:
        raw = os.path.join(folder, "raw.json")
        program = os.path.join(args.build, "bench", f"bench_{args.name}")
        # The program's own table has a line for every repetition; progress is all that is wanted.
        code = subprocess.run([os.path.abspath(program), *flags, f"--benchmark_out={raw}",
                               "--benchmark_out_format=json"],
                              cwd=root, stdout=subprocess.DEVNULL, check=False).returncode
        if code != 0:
            print(f"run_bench: {program} ended with {code}", file=sys.stderr)
            return 1
        with open(raw, encoding="utf-8") as file:
            value = json.load(file)
    words = [f"{name}={os.environ[name]}" for name in SETTINGS if os.environ.get(name)]
    words += ["./dev", "bench", args.name]
    words += ["--clock", args.clock] if args.clock != "wall" else []
    words += ["--quick"] if args.quick else []
    words += ["--repetitions", str(repetitions)] if not args.quick and repetitions != 9 else []
    words += [word for word in rest if not word.startswith("--model=")]
    value = publishable(value, root, shlex.join(words), args.clock)
    try:
        context, benchmarks = results.parse(value, args.name)
    except results.ResultError as error:
        print(f"run_bench: {error}", file=sys.stderr)
        return 1
    text = markdown(args.name, context, benchmarks)
    base = os.path.join(out, args.name)
    with open(base + ".json", "w", encoding="utf-8") as file:
        file.write(compact(value))
    with open(base + ".md", "w", encoding="utf-8") as file:
        file.write(text)
    print(text)
    print(f"written: {base}.json {base}.md", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
