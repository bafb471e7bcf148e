#!/usr/bin/env bash
# Drives the page at GET / in Chromium.
#   run.sh [FOLDER]   FOLDER keeps the screenshots
source "$(dirname "$0")/../lib.sh"
shots=${1:-$work/shots}
mkdir -p "$shots"
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || { deb chromium && chromium=$(command -v chromium); }
cache=$cache/page npm_install playwright-core@1.64.1

cd "$root"
# Copies: the requests that are recorded here are for this test only.
cp -r examples/digits examples/penguins "$work"
go run ./e2e/page "$work"
serve "$work/digits" && digits=$address
serve "$work/penguins" && penguins=$address
serve "$work/many" && many=$address
CHROMIUM=$chromium PLAYWRIGHT=$cache/page/npm/node_modules/playwright-core/index.mjs SHOTS=$shots EXAMPLES=$root/examples \
	node e2e/page/drive.mjs "http://$digits/" "http://$penguins/" "http://$many/"
