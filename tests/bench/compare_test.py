#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""`./dev bench compare` and the table of run_bench.py, on synthetic results."""

import contextlib
import io
import json
import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
import compare  # noqa: E402
import results  # noqa: E402
import run_bench  # noqa: E402

CONTEXT = {"cpu": "CPU X", "cores": "2", "cpu_features": "avx2", "memory_bytes": "1073741824",
           "system": "Linux 6.1 x86_64", "device": "cpu", "compiler": "GCC", "libtorch": "2.11.0",
           "threads": "1", "int8_kernel": "avx2", "commit": "abc", "baselines": "LibTorch_fp32"}


def noisy(rng, median, spread, count=9):
    return [median * (1 + spread * rng.gauss(0, 1)) for _ in range(count)]


def result(times, context=None, **counters):
    entries = []
    for name, samples in times.items():
        for index, milliseconds in enumerate(samples):
            entries.append({"name": name + "/process_time/real_time",
                            "run_name": name + "/process_time/real_time", "run_type": "iteration",
                            "repetition_index": index, "real_time": milliseconds,
                            "cpu_time": milliseconds / 2, "time_unit": "ms", **counters})
        entries.append({"name": name + "_median", "run_type": "aggregate", "real_time": 1e9,
                        "cpu_time": 1e9, "time_unit": "ms"})
    return {"context": {**CONTEXT, **(context or {})}, "benchmarks": entries}


class Compare(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, value):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(value if isinstance(value, str) else json.dumps(value))
        return path

    def run_compare(self, a, b, *options):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = compare.main([self.file("a.json", a), self.file("b.json", b), *options])
        return code, out.getvalue(), err.getvalue()

    def verdicts(self, before, after):
        return compare.verdict(before, after, random.Random(1))[0]

    def test_a_result_against_itself_is_within_noise(self):
        rng = random.Random(1)
        a = result({"g/x": noisy(rng, 10, 0.05), "g/y": noisy(rng, 3, 0.001)})
        code, out, _ = self.run_compare(a, a)
        self.assertEqual(code, 0)
        self.assertIn("2 compared: 2 within noise", out)

    def test_ten_percent_with_small_spread_is_slower_and_its_reverse_faster(self):
        rng = random.Random(2)
        before, after = noisy(rng, 10, 0.01), noisy(rng, 11, 0.01)
        self.assertEqual(self.verdicts(before, after), "slower")
        self.assertEqual(self.verdicts(after, before), "faster")

    def test_ten_percent_inside_a_large_spread_is_noise(self):
        before = [10, 14, 8, 17, 9, 12, 7, 15, 11]
        after = [11.0, 15.5, 8.8, 18.7, 9.9, 13.2, 7.7, 16.5, 12.1]
        self.assertEqual(self.verdicts(before, after), "within noise")

    def test_a_sure_but_tiny_change_is_noise(self):
        before = [10 + 0.0001 * i for i in range(9)]
        self.assertEqual(self.verdicts(before, [1.005 * t for t in before]), "within noise")

    def test_few_repetitions_prove_nothing(self):
        self.assertEqual(self.verdicts([10, 10, 10, 10], [20, 20, 20, 20]), "too few")
        self.assertEqual(self.verdicts([10] * 5, [20] * 5), "slower")

    def test_equal_programs_are_rarely_called_different(self):
        rng = random.Random(3)
        wrong = sum(compare.verdict(noisy(rng, 10, 0.05), noisy(rng, 10, 0.05), random.Random(i),
                                    resamples=400)[0] != "within noise" for i in range(300))
        self.assertLess(wrong / 300, 0.09)

    def test_a_true_change_is_mostly_found(self):
        rng = random.Random(4)
        found = sum(compare.verdict(noisy(rng, 10, 0.05), noisy(rng, 11.5, 0.05), random.Random(i),
                                    resamples=400)[0] == "slower" for i in range(100))
        self.assertGreater(found, 95)

    def test_another_machine_is_said_loudly_and_does_not_fail(self):
        a = result({"g/x": [10] * 9})
        b = result({"g/x": [10] * 9}, {"cpu": "CPU Y"})
        code, out, _ = self.run_compare(a, b)
        self.assertEqual(code, 0)
        self.assertIn("DIFFERENT MACHINES", out)
        self.assertIn("cpu: CPU X | CPU Y", out)
        self.assertNotIn("DIFFERENT", self.run_compare(a, a)[1])

    def test_another_commit_is_not_another_machine(self):
        a = result({"g/x": [10] * 9})
        _, out, _ = self.run_compare(a, result({"g/x": [10] * 9}, {"commit": "def"}))
        self.assertNotIn("DIFFERENT", out)
        self.assertIn("commit def", out)

    def test_fail_slower_fails_above_its_bound_alone(self):
        a, b = result({"g/x": [10] * 9}), result({"g/x": [11] * 9})
        self.assertEqual(self.run_compare(a, b)[0], 0)
        self.assertEqual(self.run_compare(a, b, "--fail-slower", "15")[0], 0)
        code, _, err = self.run_compare(a, b, "--fail-slower", "5")
        self.assertEqual(code, 1)
        self.assertIn("g/x", err)
        self.assertEqual(self.run_compare(b, a, "--fail-slower", "5")[0], 0)

    def test_benchmarks_of_one_side_are_named(self):
        _, out, _ = self.run_compare(result({"g/x": [1] * 9, "g/old": [1] * 9}),
                                     result({"g/x": [1] * 9, "g/new": [1] * 9}))
        self.assertIn("only in A: g/old", out)
        self.assertIn("only in B: g/new", out)

    def test_bad_files_are_refused_by_name(self):
        good = result({"g/x": [1] * 9})
        aggregates = {"benchmarks": [{"name": "x", "run_type": "aggregate"}]}
        negative = result({"g/x": [-1.0]})
        for bad, wanted in (("{", "not JSON"), ("[]", "'benchmarks' is missing"),
                            (aggregates, "no repetition"), (negative, "no positive time")):
            code, _, err = self.run_compare(good, bad)
            self.assertEqual(code, 2)
            self.assertIn("b.json", err)
            self.assertIn(wanted, err)
        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.assertEqual(compare.main([self.file("a.json", good), "/nowhere/b.json"]), 2)
        self.assertIn("/nowhere/b.json", err.getvalue())


class Table(unittest.TestCase):
    def markdown(self, times, clock="wall", **counters):
        value = result(times, **counters)
        value["context"].update(host_name="secret", executable="/a/secret/bench_x", load_avg=[1.5])
        value = run_bench.publishable(value, "/nowhere", "./dev bench x", clock)
        context, benchmarks = results.parse(value, "x")
        return run_bench.markdown("x", context, benchmarks), value

    def test_speed_is_against_the_groups_baseline(self):
        text, _ = self.markdown({"g/wanlite": [5, 4, 6], "g/LibTorch_fp32": [9, 10, 11], "h/other": [1]})
        rows = {line.split(" | ")[0].strip("| "): line for line in text.split("\n") if line[:2] == "| "}
        self.assertIn("| 5 ms | 4 ms | 4.5 ms to 5.5 ms |", rows["wanlite"])
        self.assertIn("| 2.00x |", rows["wanlite"])
        self.assertIn("1 (baseline)", rows["LibTorch_fp32"])
        self.assertNotIn("x |", rows["other"])

    def test_rates_follow_the_clock(self):
        # 1e9 op/s over a wall time of 10 ms are 1e7 operations, in 5 ms of CPU time.
        counters = {"op/s": 1e9, "of_peak": 0.25}
        self.assertIn("1 Gop/s | 25 %", self.markdown({"g/x": [10, 10]}, **counters)[0])
        self.assertIn("2 Gop/s | 50 %", self.markdown({"g/x": [10, 10]}, "cpu", **counters)[0])

    def test_nothing_private_is_published(self):
        text, value = self.markdown({"g/x": [1, 1]})
        self.assertNotIn("secret", text + json.dumps(value))


if __name__ == "__main__":
    unittest.main()
