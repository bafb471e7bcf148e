#!/bin/sh
# Measures bin/godwit beside other servers and writes docs/benchmarks.md's section "Peers", its plots and docs/results/peers.json.
#   BENCH=fastapi,rust  only these; figures of the others stay    QUICK=1  few and short blocks
#   FRESH=1  measure again what this binary has been measured against    DOCS=0  write no document
#   CHECK=1  only install and compare the answers of every setting    MOST=40m  begin no peer that would end later (default 25m)
set -eu
cd "$(dirname "$0")/.."
library=$(scripts/onnxruntime.sh)
dir=${BENCH_DIR:-dist/peers}
mkdir -p "$dir/bin"
${CC:-cc} -O2 -o "$dir/bin/floor" loadtest/floor/floor.c -ldl -lpthread
go build -o "$dir/bin/" ./loadtest/peers
set -- -subject "${SUBJECT:-bin/godwit}" -floor "$dir/bin/floor" -library "$library" -dir "$dir" "$@"
[ -z "${QUICK:-}" ] || set -- "$@" -quick
[ -z "${BENCH:-}" ] || set -- "$@" -only "$BENCH"
[ -z "${FRESH:-}" ] || set -- "$@" -fresh
[ -z "${MOST:-}" ] || set -- "$@" -most "$MOST"
[ -z "${CHECK:-}" ] || set -- "$@" -check
[ "${DOCS:-1}" = 0 ] || set -- "$@" -docs docs/benchmarks.md -plots docs/plots -results docs/results/peers.json
exec "$dir/bin/peers" "$@"
