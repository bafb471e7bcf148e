#!/bin/sh
# Measures our decoding of JSON numbers against C++ simdjson, both in one run,
# taking turns. Without a C++ compiler or libsimdjson-dev it measures ours alone.
# Usage: run.sh [ROUNDS]
set -eu
cd "$(dirname "$0")"
peer=
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ${CXX:-c++} -O3 -march=native -DNDEBUG -std=c++17 -o "$work/decode" peer/decode.cpp -lsimdjson 2>"$work/log"; then
	peer=$work/decode
else
	echo "no simdjson to compare with (apt-get install g++ libsimdjson-dev): $(head -n 1 "$work/log")" >&2
fi
SIMDJSON_DECODE=$peer go test -run '^$' -bench . -benchtime "${1:-20}x" .
