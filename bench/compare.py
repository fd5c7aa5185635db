#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Compares two results of run_bench.py, the older one first.

  compare.py A.json B.json [--clock wall|cpu] [--fail-slower PCT]

For every benchmark of both: the ratio of the medians B / A with a 95 % interval, and a verdict. The interval
is a percentile bootstrap: repetitions of each side are drawn again with replacement, 4000 times, with a
fixed seed. "slower" or "faster" needs three things: the interval leaves out 1, the medians differ by at
least 1 % (the same program started twice differs by that much for reasons that repetitions do not see), and
both sides have at least 5 repetitions. Everything else is "within noise" or "too few". At 95 % one in twenty
comparisons of equal programs may still be called different: the count at the end says how many that is.

Exit code 0, whatever is found; with --fail-slower PCT 1 when something is slower by more than PCT percent;
2 for files that cannot be read.
"""

import argparse
import random
import statistics
import sys

import results

RESAMPLES = 4000
LEVEL = 0.95
LEAST_CHANGE = 0.01
LEAST_REPETITIONS = 5


def ratio_interval(a, b, generator, resamples=RESAMPLES):
    """The bootstrap interval of median(b) / median(a) at LEVEL."""
    ratios = sorted(statistics.median(generator.choices(b, k=len(b)))
                    / statistics.median(generator.choices(a, k=len(a))) for _ in range(resamples))
    cut = int((1 - LEVEL) / 2 * resamples)
    return ratios[cut], ratios[-1 - cut]


def verdict(a, b, generator, resamples=RESAMPLES):
    """(verdict, ratio, low, high) of times a before and b after."""
    ratio = statistics.median(b) / statistics.median(a)
    low, high = ratio_interval(a, b, generator, resamples)
    if min(len(a), len(b)) < LEAST_REPETITIONS:
        return "too few", ratio, low, high
    if low > 1 and ratio >= 1 + LEAST_CHANGE:
        return "slower", ratio, low, high
    if high < 1 and ratio <= 1 - LEAST_CHANGE:
        return "faster", ratio, low, high
    return "within noise", ratio, low, high


def machine_differences(a, b):
    return [f"{key}: {a.get(key)} | {b.get(key)}" for key in results.MACHINE_KEYS
            if a.get(key) != b.get(key)]


def compare(a, b, clock):
    """[(name, verdict, ratio, low, high, median of a, median of b)], and the names of one side alone."""
    after = {one.name: one for one in b}
    rows = []
    for one in a:
        other = after.pop(one.name, None)
        if other is None:
            continue
        before, now = one.samples(clock), other.samples(clock)
        # Seeded by the name, so that a filter does not change a verdict.
        row = verdict(before, now, random.Random(one.name))
        rows.append((one.name, *row, statistics.median(before), statistics.median(now)))
    names = {row[0] for row in rows}
    return rows, [one.name for one in a if one.name not in names], list(after)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("a", metavar="A.json")
    parser.add_argument("b", metavar="B.json")
    parser.add_argument("--clock", choices=("wall", "cpu"), help="default: the clock that B was run with")
    parser.add_argument("--fail-slower", type=float, metavar="PCT")
    args = parser.parse_args(argv)
    try:
        context_a, a = results.load(args.a)
        context_b, b = results.load(args.b)
    except results.ResultError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    clock = args.clock or context_b.get("clock", "wall")

    different = machine_differences(context_a, context_b)
    if different:
        print("=" * 100)
        print("DIFFERENT MACHINES OR SETTINGS: the ratios below say nothing about the code alone.")
        for line in different:
            print("  " + line)
        print("=" * 100)
    for side, context in (("A", context_a), ("B", context_b)):
        note = f" ({context['commit_note']})" if context.get("commit_note") else ""
        print(f"{side}: commit {context.get('commit', 'unknown')}{note}, {context.get('date', 'undated')}")

    rows, only_a, only_b = compare(a, b, clock)
    width = max([len(row[0]) for row in rows] + [9])
    print(f"\n{'benchmark':{width}}  {'A':>9}  {'B':>9}  {'B/A':>6}  {'95 % interval':>16}  verdict ({clock} time)")
    for name, word, ratio, low, high, before, now in rows:
        print(f"{name:{width}}  {results.seconds_text(before):>9}  {results.seconds_text(now):>9}  "
              f"{ratio:6.3f}  {f'{low:.3f} to {high:.3f}':>16}  {word}")
    for title, names in (("only in A", only_a), ("only in B", only_b)):
        if names:
            print(f"{title}: {', '.join(names)}")
    if not rows:
        print("\nnothing to compare: the two have no benchmark in common")
        return 0
    counts = {word: sum(row[1] == word for row in rows) for word in
              ("faster", "slower", "within noise", "too few")}
    print(f"\n{len(rows)} compared: " + ", ".join(f"{n} {word}" for word, n in counts.items() if n)
          + f". Of as many equal pairs about {(1 - LEVEL) * len(rows):.1f} would be called different by chance.")
    if args.fail_slower is not None:
        bad = [row[0] for row in rows if row[1] == "slower" and row[2] > 1 + args.fail_slower / 100]
        if bad:
            print(f"slower by more than {args.fail_slower:g} %: {', '.join(bad)}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
