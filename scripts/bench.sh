#!/bin/sh
# Measures bin/godwit against its floors and prints how far it is from the goals; docs/benchmarks.md explains them.
#   BENCH=7,8  only these goals    QUICK=1  few and short blocks    DOCS=1  writes the table into docs/benchmarks.md, what it is made of into docs/results/goals.json
#   BENCH_DIR  where models lie and the report goes, bench.json (default dist/bench)
set -eu
cd "$(dirname "$0")/.."
library=$(scripts/onnxruntime.sh)
dir=${BENCH_DIR:-dist/bench}
mkdir -p "$dir/bin"
${CC:-cc} -O2 -o "$dir/bin/floor" loadtest/floor/floor.c -ldl -lpthread
go build -o "$dir/bin/" ./loadtest/noop ./loadtest/goals
go build -o "$dir/bin/noop-grpc" ./loadtest/noop/grpc
set -- -subject "${SUBJECT:-bin/godwit}" -floor "$dir/bin/floor" -noop "$dir/bin/noop" -noop-grpc "$dir/bin/noop-grpc" -library "$library" -dir "$dir" -json "$dir/bench.json"
[ -z "${QUICK:-}" ] || set -- "$@" -quick
[ -z "${BENCH:-}" ] || set -- "$@" -only "$BENCH"
[ -z "${DOCS:-}" ] || set -- "$@" -docs docs/benchmarks.md
GODWIT_ONNXRUNTIME=$library exec "$dir/bin/goals" "$@"
