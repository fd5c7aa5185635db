#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""prune_curves.py against a program that says what it was asked to do."""

import contextlib
import io
import json
import os
import stat
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
import prune_curves  # noqa: E402

# Logs its arguments; evaluates every model as half of the original. Fails on what the file "fail" names.
PROGRAM = r'''#!/usr/bin/env python3
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
arguments = sys.argv[1:]
value = lambda name: arguments[arguments.index(name) + 1]
with open(os.path.join(here, "calls"), "a") as file:
    file.write(arguments[0] + "\n")
failing = open(os.path.join(here, "fail")).read() if os.path.exists(os.path.join(here, "fail")) else "nothing"
if arguments[0] in ("record", "compress"):
    os.makedirs(value("--out"), exist_ok=True)
if arguments[0] == "compress":
    if failing in value("--out"):
        sys.exit("no such pass")
    open(os.path.join(value("--out"), "wanlite.json"), "w").close()
if arguments[0] == "evaluate":
    spread = {"median": 0.5, "quartile_low": 0.4, "quartile_high": 0.6, "runs": 3, "min": 0, "max": 1}
    def model(size):
        return {"component_parameters": {"transformer": size, "transformer_2": size, "vae": 7}, "bytes": size,
                "gflop_per_step": size, "latency_s": spread, "denoise_latency_s": spread}
    far = {"frechet": 3.0}
    quality = {"languages": {"all": {"digit": 0.9, "direction": 1.0, "colour": 0.8, "digit_consistency": 0.5}},
               "distances": {"FD": {"to_real": far, "to_original": far, "delta": 1.0, "delta_interval": [0, 2]}}}
    print(json.dumps({"original": model(100), "set": {"original": quality}, "machine": {"cpu": "X"},
                      "candidates": [{"model": model(50), "quality": quality, "paired": {
                          "psnr_db": 20, "ssim": 0.5, "latency_ratio": spread, "velocity": [{"cosine": 1}]}}]}))
'''


class PruneCurves(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = lambda *parts: os.path.join(self.folder.name, *parts)
        with open(self.path("wanlite"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        os.chmod(self.path("wanlite"), stat.S_IRWXU)
        os.makedirs(self.path("model"))
        with open(self.path("model", "w"), "w", encoding="utf-8") as file:
            file.write("weights")
        with open(self.path("prompts"), "w", encoding="utf-8") as file:
            file.write("a\nb\nc\n")

    def run_curves(self, *more):
        arguments = ["prune_curves.py", "--wanlite", self.path("wanlite"), "--out", self.path("out"), "--model",
                     self.path("model"), "--prompts", self.path("prompts"), "--amounts", "0.2,0.5", *more]
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(io.StringIO()), \
                contextlib.redirect_stderr(io.StringIO()) as errors:
            code = prune_curves.main()
        calls = []
        if os.path.exists(self.path("calls")):
            with open(self.path("calls"), encoding="utf-8") as file:
                calls = file.read().split()
            os.remove(self.path("calls"))
        return code, calls, errors.getvalue()

    def curves(self):
        with open(self.path("out", "curves.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_a_point_that_is_measured_is_not_measured_again(self):
        code, calls, _ = self.run_curves()
        self.assertEqual(code, 0)
        self.assertEqual(calls.count("compress"), 12)
        self.assertEqual(calls.count("evaluate"), 12)
        first = self.curves()
        self.assertEqual(len(first["points"]), 12)
        self.assertEqual(first["points"][0]["kept"], 0.5)
        self.assertAlmostEqual(first["points"][0]["reading"], 0.9)
        self.assertEqual(os.listdir(self.path("out", "work")).count("one-shot-l2-0.2"), 0)
        self.assertEqual(self.run_curves()[1], [])
        # One that was lost is made again alone, and a setting of recovery concerns what recovers.
        os.remove(self.path("out", "points", "one-shot-l2-0.5.json"))
        self.assertEqual(self.run_curves()[1], ["compress", "evaluate"])
        self.assertEqual(self.run_curves("--steps", "99")[1].count("compress"), 4)
        self.assertEqual(self.run_curves("--steps", "99", "--clips", "8")[1].count("evaluate"), 12)

    def test_a_point_that_fails_stops_no_other(self):
        with open(self.path("fail"), "w", encoding="utf-8") as file:
            file.write("iterative-taylor")
        code, _, errors = self.run_curves()
        self.assertEqual(code, 1)
        self.assertIn("no such pass", errors)
        self.assertEqual(len(self.curves()["points"]), 10)
        os.remove(self.path("fail"))
        code, calls, _ = self.run_curves()
        self.assertEqual((code, calls.count("compress")), (0, 2))
        self.assertEqual(len(self.curves()["points"]), 12)

    def test_rounds_and_one_shot_train_as_long(self):
        self.run_curves("--steps", "500")
        points = {(p["variant"], p["amount"]): p for p in self.curves()["points"]}
        for amount, rounds in ((0.2, 4), (0.5, 10)):
            self.assertEqual(points["iterative-recover", amount]["rounds"], rounds)
            self.assertEqual(points["iterative-recover", amount]["training_steps"], 500)
            self.assertEqual(points["one-shot-recover", amount]["training_steps"], 500)
            self.assertEqual(points["iterative-taylor", amount]["training_steps"], 0)
            self.assertIn(f"rounds: {rounds}", points["iterative-recover", amount]["recipe"])
            self.assertIn(f"steps: {500 // rounds}\n", points["iterative-recover", amount]["recipe"])

    def test_the_table_has_a_row_for_each_point_and_the_original(self):
        self.run_curves()
        with open(self.path("out", "curves.md"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertEqual(len(lines), 2 + 1 + 12)
        self.assertEqual({line.count("|") for line in lines}, {13})


if __name__ == "__main__":
    unittest.main()
