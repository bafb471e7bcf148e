#!/usr/bin/env bash
# Fails unless two answers have the same outputs.
set -euo pipefail
outputs() { node -e 'console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(process.argv[1])).outputs))' "$1"; }
a=$(outputs "$1") b=$(outputs "$2")
[ -n "$a" ] && [ "$a" != undefined ] && [ "$a" = "$b" ] || { printf 'the answers differ:\n%s\n%s\n' "$a" "$b" >&2 && exit 1; }
