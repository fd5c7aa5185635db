#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""The repository's own rules (CONTRIBUTING.md says why each exists), and the layout of the code.

  lint.py            check everything; prints FILE:LINE: what is wrong, exits 1 when something is
  lint.py --rules    only the rules, not the layout
  lint.py --format   lay the code out with clang-format
  lint.py --root DIR check another tree
"""

import argparse
import os
import re
import shutil
import subprocess
import sys

CPP = (".cc", ".h", ".cu", ".cuh")
CODE = CPP + (".proto", ".cmake", ".py", ".sh")
MAX_LINES = 700
CLANG_FORMAT = "clang-format-14"
# Areas that must work for any model, so they may not know Wan. (The lists of built-ins live in builtin.)
MODEL_BLIND = {"core", "ops", "checkpoint", "calibration", "pipeline", "pruning", "quant", "train", "distill",
               "lora"}


class Tree:
    def __init__(self, root):
        self.root = root
        self.paths = []
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(d for d in folders if d not in ("build", "__pycache__") and d[0] != ".")
            for name in sorted(files):
                self.paths.append(os.path.relpath(os.path.join(folder, name), root))

    def select(self, prefixes, endings):
        return [p for p in self.paths if p.startswith(tuple(prefixes)) and p.endswith(tuple(endings))]

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()


def without_comments(text):
    """The text with comments and string contents blanked, line numbers kept."""
    pattern = re.compile(
        r'R"(?P<d>[^ ()\\\n]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|//[^\n]*|/\*.*?\*/',
        re.S)
    return pattern.sub(lambda m: "\n" * m.group().count("\n") or " ", text)


def lines_with(pattern, text):
    for number, line in enumerate(text.split("\n"), 1):
        match = re.search(pattern, line)
        if match:
            yield number, match


def check_errors(tree):
    """One catch, no throw: models, files and recipes report by Status."""
    for path in tree.select(["src/", "include/", "examples/", "bench/"], CPP):
        code = without_comments(tree.text(path))
        for number, _ in lines_with(r"\bthrow\b", code):
            yield path, number, "`throw`: return an absl::Status, or TORCH_CHECK in tensor code"
        if path != "src/core/catch_torch.h":
            for number, _ in lines_with(r"\bcatch\s*\(", code):
                yield path, number, "`catch`: the only one is CatchTorch in src/core/catch_torch.h"


def check_public_headers(tree):
    for path in tree.select(["include/"], [".h"]):
        for number, match in lines_with(r'#include\s+["<]([^">]+)[">]', tree.text(path)):
            name = match.group(1)
            if name == "torch/torch.h":
                yield path, number, "torch/torch.h takes a minute to compile: include what is used"
            if name.startswith("src/"):
                yield path, number, f"a public header includes the private {name}"
            if name.endswith(".pb.h") or name.startswith("google/protobuf"):
                yield path, number, f"{name}: no protobuf headers in public ones"
        guard = "WANLITE_" + re.sub(r"\W", "_", path[len("include/wanlite/"):]).upper() + "_"
        if f"#ifndef {guard}\n#define {guard}\n" not in tree.text(path):
            yield path, 1, f"include guard wanted: {guard}"


def check_libtorch(tree):
    for path in tree.select(["src/", "tests/", "bench/"], CPP):
        for number, _ in lines_with(r"#include\s+<torch/torch\.h>", tree.text(path)):
            yield (path, number,
                   "torch/torch.h doubles what a file costs: include src/core/libtorch.h and what else is used")


def check_licence(tree):
    for path in tree.paths:
        if not (path.endswith(CODE) or path in ("dev", ".clang-tidy")
                or os.path.basename(path) == "CMakeLists.txt"):
            continue
        head = tree.text(path)[:400]
        for wanted in ("SPDX-FileCopyrightText: 2026 The wanlite authors",
                       "SPDX-License-Identifier: Apache-2.0"):
            if wanted not in head:
                yield path, 1, f"line missing at the top: {wanted}"


def area_depends(tree):
    """Area -> every area it may include, itself among them, from DEPENDS of src/AREA/CMakeLists.txt."""
    direct = {}
    for path in tree.select(["src/"], ["CMakeLists.txt"]):
        text = re.sub(r"#[^\n]*", "", tree.text(path))
        for call in re.finditer(r"wanlite_area\(\s*(\w+)(.*?)\)", text, re.S):
            depends = re.search(r"\bDEPENDS\b([\w\s]*)", call.group(2))
            words = depends.group(1).split() if depends else []
            direct[call.group(1)] = {w for w in words if w.islower()}
    allowed = {}
    for area in direct:
        seen, queue = set(), [area]
        while queue:
            name = queue.pop()
            if name not in seen:
                seen.add(name)
                queue.extend(direct.get(name, ()))
        allowed[area] = seen
    return allowed


def check_direction(tree):
    allowed = area_depends(tree)
    for area, reach in allowed.items():
        for other in reach - {area}:
            if area in allowed.get(other, ()):
                yield f"src/{area}/CMakeLists.txt", 1, f"{area} and {other} depend on each other"
    for path in tree.select(["src/"], CPP):
        area = path.split("/")[1]
        for number, match in lines_with(r'#include\s+"([^"]+)"', tree.text(path)):
            name = match.group(1)
            if area in MODEL_BLIND and re.match(r"(src/model|wanlite)/wan/", name):
                yield path, number, f"{area} works for any model: {name} says the topology lacks a word"
            if name.startswith("src/") and area in allowed:
                other = name.split("/")[1]
                if other in allowed and other not in allowed[area]:
                    yield path, number, f"{area} may not include {other} (DEPENDS in src/{area}/CMakeLists.txt)"


def check_built(tree):
    """A source that no CMakeLists.txt names rots silently."""
    lists = {os.path.dirname(p): tree.text(p) for p in tree.paths if p.endswith("CMakeLists.txt")}
    for path in tree.select(["src/", "tests/", "bench/", "examples/"], [".cc", ".cu"]):
        folder, found = os.path.dirname(path), False
        while folder and not found:
            name = re.escape(os.path.relpath(path, folder))
            found = folder in lists and re.search(rf"(^|[\s(/]){name}($|[\s)])", lists[folder], re.M)
            folder = os.path.dirname(folder)
        if not found:
            yield path, 1, "no CMakeLists.txt names this file, so nothing builds it"


def check_size(tree):
    for path in tree.select(["src/", "include/", "tests/", "bench/", "examples/"], CPP):
        count = tree.text(path).count("\n")
        if count > MAX_LINES:
            yield path, MAX_LINES, f"{count} lines, at most {MAX_LINES} wanted: does it hold one noun?"


def check_seams(tree):
    for path in tree.select(["src/", "include/"], CPP):
        if not path.startswith("src/ops/"):
            for number, _ in lines_with(r"#\s*if.*WANLITE_(HAVE_)?CUDA", tree.text(path)):
                yield path, number, "CUDA is chosen at run time; only src/ops may know of the build's choice"


def check_private_places(tree):
    home = re.compile(r"(?<![\w.])/(root|home|work)/\w")
    for path in tree.paths:
        if path.endswith(CODE + (".md", ".json", ".txt", ".textproto")) and path != "tools/lint.py":
            for number, match in lines_with(home, tree.text(path)):
                yield path, number, f"a path of one machine: {match.group()}…"


RULES = [check_errors, check_public_headers, check_libtorch, check_licence, check_direction, check_built, check_size,
         check_seams, check_private_places]


def format_code(tree, fix):
    """Lays the code out, or yields the files whose layout is off."""
    program = shutil.which(CLANG_FORMAT)
    if not program:
        # Other versions lay out differently, so none of them is a judge.
        print(f"lint: {CLANG_FORMAT} not found, layout not checked", file=sys.stderr)
        return
    files = tree.select(["src/", "include/", "tests/", "bench/", "examples/"], CPP)
    for start in range(0, len(files), 50):
        chunk = files[start:start + 50]
        if fix:
            subprocess.run([program, "-i", *chunk], cwd=tree.root, check=True)
            continue
        result = subprocess.run([program, "--dry-run", "-Werror", *chunk], cwd=tree.root, text=True,
                                capture_output=True)
        for path in sorted(set(re.findall(r"^([^:\n]+):\d+:\d+: error", result.stderr, re.M))):
            yield path, 1, "layout differs from .clang-format: run ./dev format"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--format", action="store_true")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    args = parser.parse_args()
    tree = Tree(args.root)
    if args.format:
        for _ in format_code(tree, fix=True):
            pass
        return 0
    findings = [f for rule in RULES for f in rule(tree)]
    if not args.rules:
        findings += format_code(tree, fix=False)
    for path, number, message in findings:
        print(f"{path}:{number}: {message}")
    print(f"lint: {len(tree.paths)} files, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
