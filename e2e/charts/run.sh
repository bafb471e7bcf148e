#!/usr/bin/env bash
# Measures a server with godwit bench in each of its ways, and opens the pages
# about it in Chromium, offline, from files.
#   run.sh [FOLDER]   FOLDER keeps the screenshots
source "$(dirname "$0")/../lib.sh"
shots=${1:-$work/shots}
mkdir -p "$shots"
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || { deb chromium && chromium=$(command -v chromium); }
cache=$cache/page npm_install playwright-core@1.64.1

cd "$work"
godwit=${GODWIT:-$root/bin/godwit}
digits=$root/examples/digits
"$godwit" bench "$digits" --rate 100 --duration 6s --warmup 1s --window 500ms --out old.jsonl --html bench.html
"$godwit" bench "$digits" --rate 100 --duration 6s --warmup 1s --window 500ms --html compare.html --compare old.jsonl --tolerance 0.99 || [ $? = 5 ]
"$godwit" bench "$digits" --slo p90=50ms --duration 500ms --warmup 0s --html slo.html || [ $? = 5 ]
"$godwit" bench "$digits" --arrivals burst-from-zero --rate 20 --on 1s --duration 2s --window 250ms --html bursts.html
# One connection and a timeout that a busy server cannot keep.
"$godwit" bench "$digits" --rate 8000 --connections 1 --timeout 20ms --duration 2s --warmup 0s --window 250ms --html errors.html || [ $? = 1 ] || [ $? = 13 ]
CHROMIUM=$chromium PLAYWRIGHT=$cache/page/npm/node_modules/playwright-core/index.mjs SHOTS=$shots \
	node "$root/e2e/charts/drive.mjs" bench.html=bench compare.html=compare slo.html=slo bursts.html=bursts errors.html=errors
