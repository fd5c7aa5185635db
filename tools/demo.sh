#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# The story of ./dev demo: look at the model, compress it, run both, compare them.
#   demo.sh WANLITE_PROGRAM OUT_DIR
set -euo pipefail

wanlite=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
model=$root/examples/digits/model
recipe=$root/examples/recipes/digits_int8.textproto
prompt="a red digit 3 moves right"
seed=7
# Enough to tell the models from real clips; fewer end sooner, and the report says what they can
# tell. The original's clips and what is known of real ones are kept beside the output, so that only
# the first demo makes them.
clips=${WANLITE_DEMO_CLIPS:-128}

rm -rf "$2"
mkdir -p "$2"
out=$(cd "$2" && pwd)
cache=$(dirname "$out")/demo-cache

bold="" plain=""
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi

step() {  # step TITLE ARGS...: shows the line that a user would type, and runs it
  printf '\n%s%s%s\n' "$bold" "$1" "$plain"
  shift
  printf '$ ./dev wanlite'
  printf ' %q' "${@/#"$root/"/}"
  printf '\n'
  "$wanlite" "$@"
}

step "1. The model: Wan-Digits, the Wan2.2 architecture at small widths, really trained" \
  inspect --model "$model"
step "2. What the recipe would do, from shapes alone" \
  plan --model "$model" --recipe "$recipe"
step "3. Compress" \
  compress --model "$model" --recipe "$recipe" --out "$out/checkpoints/int8"
step "   The same with 30 % of the weights pruned first" \
  compress --model "$model" --recipe "$root/examples/recipes/digits_prune30_int8.textproto" \
  --out "$out/checkpoints/prune30_int8"
for name in original int8; do
  [ "$name" = original ] && folder=$model || folder=$out/checkpoints/$name
  step "4. Generate with the $name model, same prompt and seed" \
    generate --model "$folder" --prompt "$prompt" --seed "$seed" \
    --out "$out/$name.webp" --sheet "$out/$name-frames.png" --upscale 4
done
step "5. What was gained and what was lost" \
  evaluate --original "$model" --compressed "$out/checkpoints" \
  --set "digits:$root/examples/digits" --set-clips "$clips" --cache "$cache" \
  --report "$out/report.html"

printf '\nThe same digit from both models (a browser shows them):\n'
for file in "$out"/*.webp "$out"/*.png; do
  printf '  %s\n' "$file"
done
printf 'The compressed checkpoints:\n'
for folder in "$out"/checkpoints/*; do
  printf '  %s\n' "$folder"
done
printf '%sThe report, everything on one page:%s\n  %s\n' "$bold" "$plain" "$out/report.html"
