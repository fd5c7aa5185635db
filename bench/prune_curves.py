#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Quality over kept parameters of pruned models: one shot, in rounds, and with recovery.

  prune_curves.py --wanlite build/dev/bin/wanlite --out DIR [--model examples/digits/model]
                  [--amounts 0.1,0.2,0.3,0.4,0.5,0.6] [--variants NAME,...] [--steps 1200]
                  [--clips 160] [--samples 0] [--threads 1] [--quick]

Records samples, then for each variant and amount: writes a recipe (hidden channels and heads of both experts
by that fraction), compresses, evaluates against the original over the set of digits (pairs with the same
noise, Frechet distance, readings, generations of both in turns), and counts what is left. Each point is a file
in DIR/points as soon as it is measured; the same command goes on where it was interrupted, and a changed
setting measures again what it concerns. At the end of every run DIR/curves.json and DIR/curves.md hold all
points there are; `wanlite report-curves DIR/curves.json --out FILE.html` draws them.

Variants:
  one-shot-random      the control: units drawn at random
  one-shot-l2          by the norm of weights
  one-shot-taylor      by first-order Taylor scores on recorded inputs
  iterative-taylor     the same in rounds of 5 %, without recovery
  one-shot-recover     one-shot-taylor, then least squares and --steps steps of training against the original
  iterative-recover    rounds of 5 %, with recovery in each: --steps steps in all, as one-shot-recover
"""

import argparse
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

VERSION = 1
VARIANTS = {
    "one-shot-random": dict(score="RANDOM"),
    "one-shot-l2": dict(score="L2"),
    "one-shot-taylor": dict(score="TAYLOR"),
    "iterative-taylor": dict(score="TAYLOR", iterative=True),
    "one-shot-recover": dict(score="TAYLOR", recover=True),
    "iterative-recover": dict(score="TAYLOR", iterative=True, recover=True),
}
READINGS = ("digit", "direction", "colour")
ROUND = 0.05


def criterion(score, samples):
    if score != "TAYLOR":
        return f"criterion {{ score: {score} }}"
    return f"criterion {{ score: TAYLOR samples: {samples} }}"


def recovery(steps, args):
    """Training against the original as teacher."""
    return f"""recover {{
      method: MODEL
      teacher: INPUT
      output: 1
      {args.recover_options}
      loop {{
        steps: {steps}
        batch: {args.batch}
        learning_rate: {args.rate:g}
        warmup_steps: {max(1, steps // 20)}
        final_rate_ratio: 0.05
        max_gradient_norm: 1
        state_every: {max(1, min(200, steps))}
        workers: {args.threads}
      }}
    }}"""


def recipe(variant, amount, args):
    """Text of the recipe, rounds, and training steps per expert in all."""
    spec = VARIANTS[variant]
    score = criterion(spec["score"], args.score_samples)
    passes = [f"prune_ffn {{ amount: {amount:g} {score} }}",
              f"prune_heads {{ amount: {amount:g} {score} }}"]
    rounds = max(1, round(amount / ROUND)) if spec.get("iterative") else 1
    steps = 0
    if spec.get("recover"):
        each = max(1, args.steps // rounds)
        steps = each * rounds
        passes += ["recover { method: LEAST_SQUARES }", recovery(each, args)]
    inner = "\n".join(f"  passes {{ {one} }}" for one in passes)
    if spec.get("iterative"):
        inner = f"passes {{\n  repeat {{\n    rounds: {rounds}\n{inner}\n  }}\n}}"
    return f'name: "{variant}-{amount:g}"\nseed: {args.seed}\n{inner}\n', rounds, steps


def run(command, log, env):
    """Its standard output; the end of its error output when it fails. Both commands and errors go to the log."""
    with open(log, "ab") as out:
        out.write((" ".join(command) + "\n").encode())
        out.flush()
        start = out.tell()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=out, env=env, check=False)
    if done.returncode != 0:
        with open(log, "rb") as text:
            text.seek(start)
            tail = text.read()[-2000:].decode(errors="replace")
        raise RuntimeError(f"{command[1]} failed with {done.returncode}: {tail.strip()}")
    return done.stdout.decode()


def write_atomically(path, text):
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def file_digest(path, digest):
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)


def folder_digest(folder):
    digest = hashlib.sha256()
    for base, dirs, names in os.walk(folder):
        dirs.sort()
        for name in sorted(names):
            digest.update(os.path.relpath(os.path.join(base, name), folder).encode())
            file_digest(os.path.join(base, name), digest)
    return digest.hexdigest()


def denoisers(model):
    """Parameters of the networks that are pruned."""
    return sum(count for name, count in model["component_parameters"].items() if name.startswith("transformer"))


def reading(quality):
    rows = quality["languages"]["all"]
    values = {name: rows[name] for name in READINGS}
    return {**values, "consistency": rows["digit_consistency"],
            "reading": sum(values.values()) / len(values)}


def distance(quality):
    return quality["distances"][next(iter(quality["distances"]))]


def ratio(json_model, original, field):
    return json_model[field]["median"] / original[field]["median"]


def measured(evaluation):
    """What a point keeps of an evaluation with one compressed model."""
    candidate, original = evaluation["candidates"][0], evaluation["original"]
    model, paired, quality = candidate["model"], candidate["paired"], candidate["quality"]
    far = distance(quality)
    return {
        "parameters": denoisers(model),
        "kept": denoisers(model) / denoisers(original),
        "bytes": model["bytes"],
        "gflop_per_step": model["gflop_per_step"],
        "operations": model["gflop_per_step"] / original["gflop_per_step"],
        "psnr_db": paired["psnr_db"], "ssim": paired["ssim"],
        "velocity_cosine": sum(step["cosine"] for step in paired["velocity"]) / len(paired["velocity"]),
        "latency_ratio": {key: paired["latency_ratio"][key]
                          for key in ("median", "quartile_low", "quartile_high", "runs")},
        "denoise_latency_ratio": ratio(model, original, "denoise_latency_s"),
        **reading(quality),
        "frechet_to_real": far["to_real"]["frechet"],
        "frechet_to_original": far["to_original"]["frechet"],
        "frechet_change": far["delta"], "frechet_change_interval": far["delta_interval"],
    }


def evaluate_command(args, models):
    command = [args.wanlite, "evaluate", "--json", "--quiet", "--original", args.model]
    for model in models:
        command += ["--compressed", model]
    return command + ["--set", f"digits:{args.digits}", "--set-clips", str(args.clips), "--extractor",
                      f"digits:{os.path.join(args.digits, 'classifier')}", "--threads", str(args.threads),
                      "--repeats", str(args.repeats), "--no-memory", "--cache", os.path.join(args.out, "cache")]


def settings_of(args, model_digest):
    """What all points of a file have in common."""
    return {"model": os.path.basename(os.path.normpath(args.model)), "model_sha256": model_digest,
            "clips": args.clips, "sample_prompts": args.prompts_used, "samples": args.samples,
            "seed": args.seed, "threads": args.threads, "repeats": args.repeats}


def measure_point(variant, amount, args, settings, env):
    name = f"{variant}-{amount:g}"
    text, rounds, steps = recipe(variant, amount, args)
    key = hashlib.sha256(json.dumps([VERSION, settings, text]).encode()).hexdigest()
    path = os.path.join(args.out, "points", name + ".json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            point = json.load(file)
        if point.get("key") == key:
            return point
    print(f"{name} ...", end=" ", flush=True)
    work = os.path.join(args.out, "work", name)
    recipe_path = work + ".textproto"
    os.makedirs(os.path.dirname(work), exist_ok=True)
    same = False
    if os.path.exists(recipe_path):
        with open(recipe_path, encoding="utf-8") as file:
            same = file.read() == text
    if not same:  # what an older recipe left behind is no beginning of this one
        for folder in (work, work + ".run"):
            shutil.rmtree(folder, ignore_errors=True)
        write_atomically(recipe_path, text)
    log = os.path.join(args.out, "log.txt")
    start = time.monotonic()
    if not os.path.exists(os.path.join(work, "wanlite.json")):
        run([args.wanlite, "compress", "--quiet", "--model", args.model, "--samples",
             os.path.join(args.out, "samples"), "--recipe", recipe_path, "--out", work], log, env)
    compress_s = time.monotonic() - start
    evaluation = json.loads(run(evaluate_command(args, [work]), log, env))
    point = {"key": key, "variant": variant, "amount": amount, "rounds": rounds, "training_steps": steps,
             "compress_s": compress_s, "recipe": text, **measured(evaluation)}
    original = {**reading(evaluation["set"]["original"]),
                "parameters": denoisers(evaluation["original"]),
                "frechet_to_real": distance(evaluation["set"]["original"])["to_real"]["frechet"],
                "latency_s": evaluation["original"]["latency_s"]["median"]}
    point["original"], point["machine"] = original, evaluation["machine"]
    write_atomically(path, json.dumps(point, indent=1) + "\n")
    if not args.keep:
        shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(work + ".run", ignore_errors=True)
    print(f"{100 * point['kept']:.1f} % kept, reading {point['reading']:.3f}, "
          f"Frechet {point['frechet_change']:+.1f}, {compress_s:.0f} s", flush=True)
    return point


def markdown(curves):
    original = curves["original"]
    lines = ["| variant | removed | parameters kept | operations | reading | of the original's | digit | same digit "
             "in all thirds | Fréchet change (95 %) | PSNR, dB | latency (quartiles) | training steps |",
             "|---|" + "---:|" * 11,
             f"| original | | 100 % | 100 % | {100 * original['reading']:.1f} % | 100 % | "
             f"{100 * original['digit']:.1f} % | {100 * original['consistency']:.1f} % | "
             f"({original['frechet_to_real']:.1f} to real) | | 1 | |"]
    for point in curves["points"]:
        low, high = point["frechet_change_interval"]
        speed = point["latency_ratio"]
        lines.append(
            f"| {point['variant']} | {100 * point['amount']:.0f} % | {100 * point['kept']:.1f} % | "
            f"{100 * point['operations']:.1f} % | {100 * point['reading']:.1f} % | "
            f"{100 * point['reading'] / original['reading']:.1f} % | {100 * point['digit']:.1f} % | "
            f"{100 * point['consistency']:.1f} % | "
            f"{point['frechet_change']:+.1f} ({low:.1f} to {high:.1f}) | {point['psnr_db']:.1f} | "
            f"{speed['median']:.2f} ({speed['quartile_low']:.2f} to {speed['quartile_high']:.2f}) | "
            f"{point['training_steps'] or ''} |")
    return "\n".join(lines) + "\n"


def collect(points, settings, args):
    points = sorted(points, key=lambda p: (list(VARIANTS).index(p["variant"]), p["amount"]))
    curves = {"version": VERSION,
              "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
              "settings": settings, "original": points[0]["original"], "machine": points[0]["machine"],
              "points": [{k: v for k, v in point.items() if k not in ("original", "machine", "key")}
                         for point in points]}
    write_atomically(os.path.join(args.out, "curves.json"), json.dumps(curves, indent=1) + "\n")
    write_atomically(os.path.join(args.out, "curves.md"), markdown(curves))


def record_samples(args, env):
    """Prompts that no clip of the evaluation has, each with noise of its own; resumes as the command does."""
    with open(args.prompts, encoding="utf-8") as file:
        prompts = [line for line in file.read().splitlines() if line.strip()][:args.prompts_used]
    chosen = os.path.join(args.out, "prompts.txt")
    write_atomically(chosen, "\n".join(prompts) + "\n")
    command = [args.wanlite, "record", "--quiet", "--model", args.model, "--prompts", chosen, "--seed", "100",
               "--threads", str(args.threads), "--out", os.path.join(args.out, "samples")]
    if args.samples:
        command += ["--samples", str(args.samples)]
    done = os.path.join(args.out, "samples.json")
    if os.path.exists(done):
        with open(done, encoding="utf-8") as file:
            if json.load(file) == command:
                return
        shutil.rmtree(os.path.join(args.out, "samples"), ignore_errors=True)
    run(command, os.path.join(args.out, "log.txt"), env)
    write_atomically(done, json.dumps(command) + "\n")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--wanlite", required=True, help="the program")
    parser.add_argument("--out", required=True, help="folder of samples, points and tables")
    parser.add_argument("--model", default="examples/digits/model")
    parser.add_argument("--digits", default="examples/digits", help="folder of the evaluation set")
    parser.add_argument("--prompts", default="examples/digits/prompts.txt")
    parser.add_argument("--prompts-used", type=int, default=96, help="of that file, for recorded samples")
    parser.add_argument("--samples", type=int, default=0, help="forward passes kept (0: all)")
    parser.add_argument("--amounts", default="0.1,0.2,0.3,0.4,0.5,0.6")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--steps", type=int, default=1200, help="of recovery, per expert, of every point that recovers")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of recovery")
    parser.add_argument("--recover-options", default="", help="more fields of recover, as text")
    parser.add_argument("--score-samples", type=int, default=64, help="forward passes that score units")
    parser.add_argument("--clips", type=int, default=160, help="of the evaluation set")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs, at least")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the recipes")
    parser.add_argument("--keep", action="store_true", help="keep the compressed models in DIR/work")
    parser.add_argument("--quick", action="store_true",
                        help="to see whether it runs: amounts 0.2 and 0.5, 60 steps, 16 clips, 12 prompts")
    args = parser.parse_args()
    if args.quick:
        args.amounts, args.steps, args.clips, args.prompts_used = "0.2,0.5", 60, 16, 12
        args.score_samples = 16
    args.amounts = [float(text) for text in args.amounts.split(",")]
    args.variants = args.variants.split(",")
    unknown = [name for name in args.variants if name not in VARIANTS]
    if unknown:
        parser.error(f"no variant {unknown[0]}; there are: {', '.join(VARIANTS)}")
    if any(not 0 < amount < 1 for amount in args.amounts):
        parser.error("amounts must lie between 0 and 1")
    return args


def main():
    args = parse_arguments()
    os.makedirs(os.path.join(args.out, "points"), exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    record_samples(args, env)
    settings = settings_of(args, folder_digest(args.model))
    points, failed = [], 0
    # Amount by amount, so that a run that is cut short has all variants to compare.
    for amount in args.amounts:
        for variant in args.variants:
            try:
                points.append(measure_point(variant, amount, args, settings, env))
            except RuntimeError as error:
                failed += 1
                print(f"{variant}-{amount:g}: {error}", file=sys.stderr, flush=True)
                continue
            collect(points, settings, args)
    if points:
        with open(os.path.join(args.out, "curves.md"), encoding="utf-8") as file:
            print(file.read())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
