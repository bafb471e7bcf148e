#!/usr/bin/env bash
# Drives a server with PyPI's tritonclient; README.md says how.
#   run.sh [--record]   --record replaces transcripts.zip, which `make test` replays
source "$(dirname "$0")/../lib.sh"
out=$work/transcripts
python=$(venv tritonclient "$here/tritonclient/requirements.txt")
serve "$here/tritonclient/function"
if ! "$python" "$here/tritonclient/drive.py" "$address" "$address" "$out" >"$work/drive.log" 2>&1; then
	grep -v '^ok ' "$work/drive.log" >&2
	exit 1
fi

tail -1 "$work/drive.log"
if [ "${1:-}" = --record ]; then
	"$python" "$here/tritonclient/pack.py" "$out" "$here/tritonclient/transcripts.zip"
fi
