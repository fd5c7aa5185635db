#!/bin/bash
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# check_cuda_resources.sh FOLDER ARCHITECTURES   fails when a CUDA kernel uses stack or spills registers on
# any architecture, or when an architecture is missing. Reads what ptxas said while FOLDER was built
# (*.ptxas, kept by src/ops/cuda/keep_resource_log.sh). 77 (skipped) when there is nothing to read.
folder=$1
shopt -s globstar nullglob
logs=("$folder"/**/*.ptxas)
if ((${#logs[@]} == 0)); then
  echo "SKIPPED: no ptxas output under $folder; build the target wanlite_cuda first"
  exit 77
fi
awk -v wanted="$2" '
  /Compiling entry function/ {
    match($0, /function .[A-Za-z0-9_$]+/); kernel = substr($0, RSTART + 10, RLENGTH - 10)
    match($0, /sm_[0-9a-z]+/); arch = substr($0, RSTART + 3, RLENGTH - 3)
    seen[FILENAME " " arch]++
    kernels++
  }
  /bytes stack frame/ {
    frames++
    if ($1 + 0 != 0 || $5 + 0 != 0 || $9 + 0 != 0) {
      print "FAILED: " kernel " on sm_" arch ": " $0
      bad = 1
    }
  }
  END {
    count = split(wanted, names, /[^0-9a-z]+/)
    for (i = 1; i <= count; ++i) {
      if (names[i] !~ /^[0-9]+a?$/) continue
      for (file = 1; file < ARGC; ++file) {
        if (!((ARGV[file] " " names[i]) in seen)) {
          print "FAILED: " ARGV[file] " holds no kernel for sm_" names[i]
          bad = 1
        }
      }
    }
    if (kernels == 0 || frames < kernels) {
      print "FAILED: " kernels + 0 " kernels, but stack figures of " frames + 0
      bad = 1
    }
    if (!bad) print kernels " kernels, none with stack or spills"
    exit bad
  }' "${logs[@]}"
