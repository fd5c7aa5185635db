#!/bin/bash
# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# keep_resource_log.sh OBJECT COMMAND…   runs a compile command and keeps what ptxas says about registers,
# stack and spills in OBJECT.ptxas, for the test that guards them. Everything else is passed on.
object=$1
shift
log=$("$@" 2>&1)
code=$?
mkdir -p "$(dirname "$object")"
grep -E 'ptxas info|bytes stack frame' <<<"$log" >"$object.ptxas"
grep -vE 'ptxas info|bytes stack frame|^$' <<<"$log" >&2
exit $code
