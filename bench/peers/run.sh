#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# run.sh BUILD VENV [ARGS of run.py]: installs the pinned peers into VENV, once (5 GB: PyPI's torch brings
# CUDA's libraries along), and runs the comparison. `./dev bench peers` calls it.
set -euo pipefail
build=$1 venv=$2
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
  echo "==> installing torch, diffusers, ONNX Runtime and OpenVINO from PyPI into $venv (5 GB, once)" >&2
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$venv/installed.txt"
fi
exec "$venv/bin/python" "$here/run.py" --build "$build" "$@"
