#!/usr/bin/env bash
# What godwit cost measures of a real function, and its page in Chromium.
#   run.sh [FOLDER]   FOLDER keeps the page and the screenshots
source "$(dirname "$0")/../lib.sh"
shots=${1:-$work/shots}
mkdir -p "$shots"
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || { deb chromium && chromium=$(command -v chromium); }
cache=$cache/page npm_install playwright-core@1.64.1

cp -r "$root/examples/digits" "$work"
"${GODWIT:-$root/bin/godwit}" cost "$work/digits" --requests 2M/month --node m5.large --times "$work/times.json" --html "$shots/cost.html" --json >"$work/cost.json"
CHROMIUM=$chromium PLAYWRIGHT=$cache/page/npm/node_modules/playwright-core/index.mjs SHOTS=$shots \
	node "$here/cost/drive.mjs" "$shots/cost.html" "$work/cost.json"
