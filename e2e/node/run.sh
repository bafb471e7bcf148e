#!/usr/bin/env bash
# Compares Godwit with npm's onnxruntime-node on the odd models and on random graphs, over every path.
#   run.sh [--record]   --record also writes testdata/answers.json, which `make test` compares with
# GODWIT_E2E_GRAPHS is the number of random graphs (default 300).
source "$(dirname "$0")/../lib.sh"
version=1.30.0 graphs=${GODWIT_E2E_GRAPHS:-300} record=
[ "${1:-}" != --record ] || record=$here/node/testdata/answers.json
export ORT_DISABLE_TELEMETRY=1 # in Node; Godwit sets it itself

npm_install "onnxruntime-node@$version"
module=$cache/npm/node_modules/onnxruntime-node
cd "$root"
go build -o "$work/compare" ./e2e/node
"$work/compare" prepare -graphs "$graphs" "$work"
[ ! -d "$work/locale" ] || export LOCPATH=$work/locale
node e2e/node/ask.mjs "$work" "$module" 2>"$work/node.log" || { cat "$work/node.log" >&2 && exit 1; }

echo "- the engine that Godwit is tested with"
serve "$work/function"
"$work/compare" compare -graphs "$graphs" -server "$address" ${record:+-record "$record"} "$work"
echo "- Node's own library as the engine: every bit has to be the same"
GODWIT_ONNXRUNTIME=$(ls "$module"/bin/napi-v6/{linux/x64,linux/arm64,darwin/arm64}/libonnxruntime.* 2>/dev/null | grep "$(node -p 'process.platform+"/"+process.arch')" | head -1) \
	"$work/compare" compare -graphs "$graphs" -exactly "$work"
