#!/usr/bin/env bash
# A server that is asked for three and ten times what it can do answers nearly as much as it can, refuses the rest with
# a time to come back, recovers at once, and lets no caller take another's share. The table has the figures.
source "$(dirname "$0")/../lib.sh"

mkdir "$work/slow"
(cd "$root" && go run ./e2e/overload/model "$work/slow/slow.onnx" && go build -o "$work/overload" ./e2e/overload)
printf 'model: slow.onnx\nauth: key\n' >"$work/slow/godwit.yaml"
export GODWIT_API_KEYS=a:the-first-callers-key,b:the-second-callers-key
serve "$work/slow"
"$work/overload" -server "http://$address" -seconds "${OVERLOAD_SECONDS:-8}" the-first-callers-key the-second-callers-key
kill -0 "$server"
