# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""What run_bench.py and compare.py share: reading a result file, and order statistics."""

import json
import statistics

SUFFIXES = ("/process_time", "/real_time")
# What makes two results comparable; the commit is what one compares.
MACHINE_KEYS = ("cpu", "cores", "cpu_features", "memory_bytes", "system", "device", "compiler", "libtorch",
                "threads", "int8_kernel")
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


class ResultError(Exception):
    """A file that is no result; says which file and why."""


class Benchmark:
    """One benchmark and its repetitions. Seconds."""

    def __init__(self, name):
        self.name = name
        self.real, self.cpu = [], []
        self.order = 1 << 30  # of registration; interleaved runs end in any order
        self.counters = {}  # name -> values, one a repetition

    @property
    def group(self):
        return self.name.rpartition("/")[0]

    @property
    def variant(self):
        return self.name.rpartition("/")[2]

    def samples(self, clock):
        return self.cpu if clock == "cpu" else self.real

    def amount(self, counter):
        """Per iteration, of a counter that is a rate over wall time (all of harness.h's are)."""
        rates = self.counters.get(counter)
        return statistics.median(r * t for r, t in zip(rates, self.real)) if rates else None


FIELDS = {"name", "run_name", "run_type", "repetitions", "repetition_index", "threads", "iterations",
          "real_time", "cpu_time", "time_unit", "family_index", "per_family_instance_index", "label",
          "error_occurred", "error_message"}


def plain_name(name):
    for suffix in reversed(SUFFIXES):
        name = name.removesuffix(suffix)
    return name


def parse(value, where):
    """(context, benchmarks in the order of the program) of a parsed JSON file."""
    if not isinstance(value, dict) or not isinstance(value.get("benchmarks"), list):
        raise ResultError(f"{where}: no benchmark result: 'benchmarks' is missing")
    found = {}
    for entry in value["benchmarks"]:
        if not isinstance(entry, dict) or entry.get("run_type", "iteration") != "iteration":
            continue  # aggregates of the repetitions, which we make ourselves
        name = plain_name(entry.get("run_name") or entry.get("name") or "")
        if entry.get("error_occurred"):
            raise ResultError(f"{where}: {name} failed: {entry.get('error_message')}")
        unit = UNITS.get(entry.get("time_unit"))
        times = [entry.get("real_time"), entry.get("cpu_time")]
        if not name or unit is None or not all(isinstance(t, (int, float)) and t > 0 for t in times):
            raise ResultError(f"{where}: the entry '{name}' has no positive time in ns, us, ms or s")
        one = found.setdefault(name, Benchmark(name))
        one.order = min(one.order, entry.get("family_index", one.order))
        one.real.append(times[0] * unit)
        one.cpu.append(times[1] * unit)
        for key, number in entry.items():
            if key not in FIELDS and isinstance(number, (int, float)):
                one.counters.setdefault(key, []).append(number)
    if not found:
        raise ResultError(f"{where}: holds no repetition of any benchmark (aggregates alone do not do)")
    return value.get("context", {}), sorted(found.values(), key=lambda one: one.order)


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return parse(json.load(file), path)
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: not JSON: {error}") from error


def quartiles(samples):
    """(lower, upper), linear between order statistics; of one sample, itself."""
    if len(samples) == 1:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


def variation(samples):
    """Standard deviation over mean."""
    return statistics.stdev(samples) / statistics.fmean(samples) if len(samples) > 1 else 0.0


def seconds_text(seconds):
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds / size < 100 else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def rate_text(rate, unit):
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if rate >= size:
            return f"{rate / size:.3g} {prefix}{unit}"
    return f"{rate:.3g} {unit}"
